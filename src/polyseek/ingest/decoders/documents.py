"""What the decoders of documents share: archives of XML files, HTML, files inside of files."""

from __future__ import annotations

import io
import posixpath
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import BinaryIO
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, Metadata, MetadataValue, Modality, Span, SpanUnit
from polyseek.ingest.decoders.text import from_html, read_text

MAX_ENTRY_BYTES = 64 * 1024 * 1024
MAX_TOTAL_BYTES = 256 * 1024 * 1024
"""What may be unpacked of a document. Entries that are not read, such as films, do not count."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Archive:
    """The entries of a document, read within limits."""

    def __init__(self, asset: Asset, stream: BinaryIO) -> None:
        self._asset, self._left = asset, MAX_TOTAL_BYTES
        if stream.read(len(_OLE)) == _OLE:
            raise DecodeError(asset.uri, "is password-protected, or of a format before 2007")
        stream.seek(0)
        try:
            self._zip = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise DecodeError(asset.uri, "is no ZIP archive, or cut off") from error

    def __contains__(self, name: str) -> bool:
        return name in self._zip.NameToInfo

    def read(self, name: str) -> bytes:
        """One entry's content.

        Raises:
            DecodeError: It is missing, broken, encrypted, or too large.
        """
        info = self._zip.NameToInfo.get(name)
        if info is None:
            raise DecodeError(self._asset.uri, f"{name} is missing")
        if info.flag_bits & 1:
            raise DecodeError(self._asset.uri, "is password-protected")
        if info.file_size > min(MAX_ENTRY_BYTES, self._left):
            raise DecodeError(self._asset.uri, f"too large: {name}, {info.file_size:,} bytes")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DecodeError(self._asset.uri, f"{name} is packed in a way that is not known")
        self._left -= info.file_size
        try:
            return self._zip.read(info)  # never more than the size that was checked
        except Exception as error:  # zipfile raises what it meets
            raise DecodeError(self._asset.uri, f"{name} is broken: {error}") from error

    def xml(self, name: str) -> Element:
        """One entry as XML. Raises `DecodeError`."""
        data = self.read(name)
        try:
            return ElementTree.fromstring(data)  # noqa: S314 - Expat bounds what entities add up to
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise DecodeError(self._asset.uri, f"{name} is broken: {error}") from error


@contextmanager
def only_decode_errors(asset: Asset) -> Iterator[None]:
    """Whatever an odd document makes of our reading is the document's error."""
    try:
        yield
    except (DecodeError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DecodeError(asset.uri, f"broken document: {reason}") from error


def local_name(element: Element) -> str:
    """The tag without its namespace: transitional and strict documents differ in it."""
    return element.tag.rsplit("}", 1)[-1]


def child_text(parent: Element, name: str) -> str:
    """The text of the first element below of that name, on one line."""
    found = next((each for each in parent.iter() if local_name(each) == name), None)
    return "" if found is None else " ".join("".join(found.itertext()).split())


def dublin_core(root: Element) -> dict[str, MetadataValue]:
    """Title, author and date of an office document or a book."""
    fields: dict[str, MetadataValue] = {}
    for field, name in (("title", "title"), ("author", "creator")):
        value = child_text(root, name)
        if value:
            fields[field] = value
    for name in ("created", "date", "modified"):
        with suppress(ValueError, OverflowError):
            date = datetime.fromisoformat(_whole_date(child_text(root, name)))
            fields["date"] = (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
            break
    return fields


def _whole_date(text: str) -> str:
    return text + "-01-01"[len(text) - 4 :] if len(text) in (4, 7) else text


def resolved(base: str, target: str) -> str:
    """The entry that a reference in the entry `base` names."""
    target = unquote(target.split("#", 1)[0])
    if target.startswith("/"):
        return posixpath.normpath(target.lstrip("/"))
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), target))


def within(asset: Asset, name: str, data: bytes) -> tuple[Asset, BinaryIO]:
    """A file inside of an asset, as a decoder takes it; errors name the asset."""
    inner = replace(asset, path=name, size_bytes=len(data), metadata={}, companions=())
    return inner, io.BytesIO(data)


def html_text(asset: Asset, data: bytes) -> str:
    """The words of a page; "" where it holds none. Raises `DecodeError`."""
    if not data.strip():
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Beautiful Soup warns of markup that looks odd
        return from_html(read_text(asset, io.BytesIO(data)))[0].strip()


def pages(
    asset: Asset,
    texts: Iterable[tuple[int, Callable[[], str]]],
    *,
    metadata: Metadata,
    named: str,
) -> Iterator[Media]:
    """One text for each numbered part that has any; the rest goes on where one cannot be read.

    Args:
        asset: The document.
        texts: Number of each part, from 1, and what reads it.
        metadata: Of every text.
        named: What the parts are called, in an error.

    Raises:
        DecodeError: At the end: some cannot be read, or none holds a text.
    """
    broken, found = list[str](), False
    for number, read in texts:
        try:
            text = read()
        except DecodeError:
            broken.append(str(number))
            continue
        if text:
            found = True
            span = Span(unit=SpanUnit.PAGE, start=number, end=number + 1)
            yield Media(modality=Modality.TEXT, signal=text, span=span, metadata=metadata)
    if broken:
        raise DecodeError(asset.uri, f"{named} that cannot be read: {', '.join(broken)}")
    if not found:
        raise DecodeError(asset.uri, "holds no text")
