"""The web: a file, the files a server lists below a folder, or those a manifest names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError, ConfigError, SourceError, SourceNotFoundError
from polyseek.core.objects import explain
from polyseek.core.protocols import Source
from polyseek.core.types import Asset
from polyseek.ingest.sources.beside import SIDECAR
from polyseek.ingest.sources.listing import assets_of, with_sidecar
from polyseek.ingest.sources.manifest import SUFFIXES, ManifestSource, described
from polyseek.ingest.sources.metadata import read_table
from polyseek.ingest.sources.remote import client_of, open_object
from polyseek.ingest.sources.selection import Selection

MAX_PAGES = 10_000
_MAX_PAGE_BYTES = 64 * 1024 * 1024


class WebSource:
    """``https://host/folder/``, or a single file.

    Of a folder, the links on the page that the server makes of it are followed, downwards only.

    Args:
        url: As a browser shows it.
        options: `include`, `exclude` and `metadata` are used.

    Raises:
        ConfigError: The URL holds a password.
        SourceError: The metadata table cannot be read or joined.
    """

    def __init__(self, url: str, options: IndexOptions | None = None) -> None:
        options = options or IndexOptions()
        if "@" in urlsplit(url).netloc:
            raise ConfigError(
                "a URL with a name and password in it would be stored; leave them out"
            )
        self.url = url
        self._selection = Selection(options)
        self._table = read_table(options.metadata) if options.metadata else {}
        path = urlsplit(url).path
        suffix = f".{path.rpartition('.')[2].lower()}"
        self._manifest = ManifestSource(url, options) if suffix in SUFFIXES else None
        self._root = url if path.endswith("/") else None

    def list(self) -> Iterator[Asset | AssetError]:
        """See `polyseek.core.protocols.Source`."""
        if self._manifest:
            yield from self._manifest.list()
            return
        named = self._links() if self._root else iter([(self.url, _name(self.url))])
        entries = []
        for found in described(named):
            if not isinstance(found, AssetError):
                entries.append(found)
            elif found.uri == self.url:
                raise SourceNotFoundError(str(found))
            else:
                yield found
        yield from assets_of(entries, self._selection, self._table)

    def open(self, asset: Asset) -> BinaryIO:
        """See `polyseek.core.protocols.Source`."""
        opener: Source | None = self._manifest
        return opener.open(asset) if opener else open_object(asset)

    def detail(self, asset: Asset) -> Asset:
        """See `polyseek.core.protocols.DetailedSource`."""
        return with_sidecar(asset, self.open)

    def covers(self, uri: str) -> bool:
        """See `polyseek.core.protocols.Source`."""
        if self._manifest:
            return self._manifest.covers(uri)
        if self._root is None or not uri.startswith(self._root):
            return uri == self.url
        return self._selection.covers(unquote(uri.removeprefix(self._root)))

    def _links(self) -> Iterator[tuple[str, str]]:
        """Uri and path of all files below the root, page by page."""
        root, seen = str(self._root), {str(self._root)}
        waiting = [root]
        while waiting:
            page = waiting.pop()
            for link in _links_on(page):
                if link in seen or not link.startswith(root):
                    continue
                seen.add(link)
                below = unquote(link.removeprefix(root))
                if not link.endswith("/"):
                    if self._selection.covers(below) or below.endswith(SIDECAR):
                        yield link, below
                elif not self._selection.prunes(below.rstrip("/")):
                    waiting.append(link)
            if len(seen) > MAX_PAGES * 100 or len(waiting) > MAX_PAGES:
                raise SourceError(f"{root}: lists more than {MAX_PAGES:,} folders; name one below")


def _links_on(page: str) -> list[str]:
    """Absolute links, in order; those with a query sort the page or search in it."""
    import obstore
    from bs4 import BeautifulSoup
    from obstore.exceptions import BaseError

    try:
        store, key = client_of(page)
        answer = obstore.get(store, key)
        if answer.meta["size"] > _MAX_PAGE_BYTES:
            raise SourceError(f"{page}: is larger than a page that lists files")
        soup = BeautifulSoup(bytes(answer.bytes()), "html.parser")
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"{page}: is not there") from error
    except (BaseError, OSError, ValueError) as error:
        raise SourceError(f"{page}: cannot be listed: {explain(page, error)}") from error
    links = (urldefrag(urljoin(page, str(a["href"])))[0] for a in soup.find_all("a", href=True))
    return [link for link in links if not urlsplit(link).query]


def _name(url: str) -> str:
    return unquote(urlsplit(url).path).rpartition("/")[2] or "index.html"
