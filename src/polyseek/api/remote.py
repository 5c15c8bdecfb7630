"""A collection behind a server, searched as a local one is. Standard library only."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

from polyseek.api.answers import results_of, status_of
from polyseek.api.composing import ComposedQuery
from polyseek.api.status import Status
from polyseek.core import errors
from polyseek.core.filters import FieldType
from polyseek.core.hits import PICTURE_LABEL, Clip, Hit
from polyseek.core.types import asset_id
from polyseek.search.results import Results

TIMEOUT_S = 60.0

Send: TypeAlias = "Mapping[str, Any]"

_KINDS: dict[str, type[errors.PolyseekError]] = {
    "invalid-filter": errors.InvalidFilterError,
    "invalid-query": errors.QueryError,
    "invalid-request": errors.QueryError,
    "invalid-option": errors.ConfigError,
    "unknown-asset": errors.UnknownAssetError,
    "unknown-collection": errors.CollectionNotFoundError,
    "collection-busy": errors.CollectionBusyError,
    "undecodable-media": errors.QueryError,
    "unsupported-media": errors.QueryError,
}
"""Errors of a search by the code of the server's problem; all others are a `ServerError`."""


def connect(
    url: str, *, api_key: str | None = None, collection: str | None = None
) -> RemoteCollection:
    """A collection that `polyseek serve` serves, to search it as a local one.

    >>> photos = polyseek.connect("http://localhost:8000")
    >>> photos.search("sunset over the ocean", limit=10)

    Args:
        url: Of the server.
        api_key: Where the server asks for one.
        collection: Its name; may be left out where there is only one.

    Raises:
        ServerError: The server cannot be reached, or refuses the key.
        CollectionNotFoundError: It has no such collection, or several to choose from.
    """
    server = _Server(url, api_key)
    known = [one["name"] for one in server.get("/v1/collections")["collections"]]
    if collection is None and len(known) == 1:
        collection = known[0]
    if collection is None or collection not in known:
        wanted = f"no collection '{collection}'" if collection else "several collections or none"
        listed = ", ".join(known) or "none"
        raise errors.CollectionNotFoundError(
            f"{url}: {wanted}; name one of these with collection=...: {listed}"
        )
    return RemoteCollection(server, collection)


class RemoteCollection:
    """A collection behind a server. Made by `connect`; safe to share between threads."""

    def __init__(self, server: _Server, name: str) -> None:
        self.name = name
        self.location = f"{server.url}/v1/collections/{quote(name, safe='')}"
        self._server = server
        self._path = urlsplit(self.location).path

    def __repr__(self) -> str:
        return f"RemoteCollection({self.location!r})"

    def __len__(self) -> int:
        """Number of searchable assets."""
        assets = self._server.get(f"{self._path}/status?failures=0")["assets"]
        return int(assets["indexed"] + assets["partial"])

    def search(
        self,
        query: str | Path | ComposedQuery | Any | None = None,
        *,
        limit: int = 10,
        modalities: Sequence[str] = (),
        filter: str | None = None,  # noqa: A002 - as for a local collection
        min_probability: float | None = None,
        show_all: bool = False,
        mode: str = "hybrid",
        group: str = "asset",
    ) -> Results:
        """Rank everything in the collection, as `Collection.search` does.

        Files and pictures are sent to the server. Dates in the metadata of hits are texts.

        Raises:
            QueryError: The query cannot be read or the options are wrong.
            ServerError: The server cannot be reached, or cannot answer now.
        """
        asked = _Request()
        terms = query.terms if isinstance(query, ComposedQuery) else [(query, 1.0)]
        terms = terms if query is not None else []
        body = {
            "terms": [{**asked.term(term), "weight": weight} for term, weight in terms],
            "any": query.any if isinstance(query, ComposedQuery) else False,
            "limit": limit,
            "modalities": [modalities] if isinstance(modalities, str) else list(modalities),
            "filter": filter,
            "min_probability": min_probability,
            "show_all": show_all,
            "mode": mode,
            "group": group,
            "explain": True,
        }
        answer = self._server.post(f"{self._path}/search", body, asked.files)
        return results_of(answer, base=self._server.url, preview=self._preview)

    def fields(self) -> Mapping[str, FieldType]:
        """Metadata fields that filters may name, with their types."""
        found = self._server.get(f"{self._path}/fields")["fields"]
        return {one["name"]: FieldType(one["type"]) for one in found}

    def status(self) -> Status:
        """Counts by status and modality, and failures with their reasons."""
        return status_of(self._server.get(f"{self._path}/status?failures=1000"), self.location)

    def _preview(self, hit: Hit) -> Clip | None:
        known = hit.uri.startswith(f"{self.location}/assets/")
        asset = hit.uri.split("/")[-2] if known else asset_id(hit.uri)
        try:
            mime, data = self._server.fetch(
                f"{self._path}/assets/{asset}/preview?kind=clip&segment={hit.id}"
            )
        except errors.UnknownAssetError:
            return None
        return Clip(mime=mime, data=data) if mime else None


@dataclass
class _Request:
    """Terms, and the files that go with them."""

    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def term(self, term: Any) -> dict[str, Any]:
        """What is sent for a term that a local collection would take."""
        from polyseek.ingest.term import TEXT_PREFIX, is_url, path_of

        if isinstance(term, str):
            if is_url(term):
                return {"uri": term}
            path = path_of(term)
            if path is None:
                return {"text": term.removeprefix(TEXT_PREFIX)}
            term = path
        if isinstance(term, Path):
            return self._file(term.name, _read(term))
        buffer = BytesIO()
        try:
            term.save(buffer, "PNG")
        except (AttributeError, OSError, ValueError) as error:
            kind = type(term).__name__
            raise errors.QueryError(
                f"expected a text, a path or a PIL image, got {kind} ({error})"
            ) from error
        return self._file(f"{PICTURE_LABEL}{len(self.files) or ''}.png", buffer.getvalue())

    def _file(self, name: str, data: bytes) -> dict[str, Any]:
        part = f"file{len(self.files)}"
        self.files[part] = name, data
        return {"file": part}


def _read(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise errors.QueryError(f"{path}: cannot be read: {error.strerror}") from error


class _Server:
    """Requests to one server; each thread keeps a connection of its own."""

    def __init__(self, url: str, api_key: str | None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise errors.ConfigError(f"{url}: expected a URL such as http://localhost:8000")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._prefix = parts.path.rstrip("/")
        self._netloc, self._secure = parts.netloc, parts.scheme == "https"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._local = threading.local()

    def get(self, path: str) -> Any:
        """The JSON of an answer."""
        return json.loads(self.fetch(path)[1])

    def fetch(self, path: str) -> tuple[str, bytes]:
        """Media type and body of an answer."""
        path = path if path.startswith(self._prefix) else self._prefix + path
        return self._send("GET", path, None, {})

    def post(self, path: str, body: Send, files: Mapping[str, tuple[str, bytes]]) -> Any:
        """The JSON of the answer to some JSON, and files."""
        kind, data = "application/json", json.dumps(body).encode()
        if files:
            kind, data = _multipart(data, files)
        return json.loads(self._send("POST", path, data, {"Content-Type": kind})[1])

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[str, bytes]:
        for last in (False, True):
            try:
                connection = self._connection(anew=last)
                connection.request(method, path, body, {**self._headers, **headers})
                response = connection.getresponse()
                data = response.read()
            except (OSError, HTTPException) as error:
                if last:
                    raise errors.ServerError(
                        f"{self.url}: the server cannot be reached: {_reason(error)}"
                    ) from error
                continue  # it closes connections that were idle
            if response.status >= 400:
                raise self._problem(response.status, data)
            return response.headers.get_content_type(), data
        raise AssertionError("unreachable")

    def _connection(self, *, anew: bool) -> HTTPConnection:
        kept: _Kept | None = getattr(self._local, "kept", None)
        if kept is None or anew:
            kind = HTTPSConnection if self._secure else HTTPConnection
            kept = self._local.kept = _Kept(kind(self._netloc, timeout=TIMEOUT_S))
        return kept.connection

    def _problem(self, status: int, data: bytes) -> errors.PolyseekError:
        try:
            body = json.loads(data)
            code, detail = body["code"], body["detail"]
        except (ValueError, KeyError, TypeError):
            return errors.ServerError(f"{self.url}: answered {status}, and not as polyseek does")
        kind = _KINDS.get(code)
        return kind(detail) if kind else errors.ServerError(f"{self.url}: {detail} ({status})")


class _Kept:
    """A connection that ends with the thread, or the collection, that it belongs to."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _multipart(request: bytes, files: Mapping[str, tuple[str, bytes]]) -> tuple[str, bytes]:
    """``multipart/form-data`` with the JSON and the files."""
    boundary = secrets.token_hex(16)
    parts = [(b'name="request"', request)]
    for part, (name, data) in files.items():
        plain = quote(name, safe=" ()[]{}+,;=@!$&'~")
        parts.append((f'name="{part}"; filename="{plain}"'.encode(), data))
    blocks = [
        b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
        % (boundary.encode(), head, data)
        for head, data in parts
    ]
    body = b"".join(blocks) + f"--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body
