"""E-books (.epub): the chapters in reading order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO
from xml.etree.ElementTree import Element

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media
from polyseek.ingest.decoders.documents import (
    Archive,
    dublin_core,
    html_text,
    local_name,
    only_decode_errors,
    pages,
    resolved,
)

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_TEXTS = frozenset({"application/xhtml+xml", "text/html", "text/x-oeb1-document"})


class EpubDecoder:
    """A text for each document of the spine; its place there, from 1, is its page number.

    Embedded pictures are not read.
    """

    suffixes = frozenset({".epub"})

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        with only_decode_errors(asset):
            archive = Archive(asset, stream)
            package = _package(asset, archive)
            root = archive.xml(package)
            texts = _texts(asset, archive, root, package)
            yield from pages(asset, texts, metadata=dublin_core(root), named="chapters")


def _texts(
    asset: Asset, archive: Archive, root: Element, package: str
) -> Iterator[tuple[int, Callable[[], str]]]:
    """The texts of the spine, to be read one by one."""
    locked = _locked(archive)
    for number, name in _spine(root, package):
        if name in locked:
            raise DecodeError(asset.uri, "is protected against copying (DRM)")
        yield number, partial(_text, asset, archive, name)


def _text(asset: Asset, archive: Archive, name: str) -> str:
    return html_text(asset, archive.read(name))


def _package(asset: Asset, archive: Archive) -> str:
    for each in archive.xml(_CONTAINER).iter():
        if local_name(each) == "rootfile" and each.get("full-path"):
            return each.get("full-path", "")
    raise DecodeError(asset.uri, "is no e-book")


def _spine(root: Element, package: str) -> Iterator[tuple[int, str]]:
    """Number and entry of each text in reading order."""
    elements = list(root.iter())
    items = {each.get("id"): each for each in elements if local_name(each) == "item"}
    listed = (each.get("idref") for each in elements if local_name(each) == "itemref")
    for number, each in enumerate(listed, 1):
        item = items.get(each)
        if item is not None and item.get("media-type") in _TEXTS:
            yield number, resolved(package, item.get("href", ""))


def _locked(archive: Archive) -> frozenset[str]:
    """Encrypted entries. Fonts often are, in books that are not protected otherwise."""
    if _ENCRYPTION not in archive:
        return frozenset()
    listed = archive.xml(_ENCRYPTION).iter()
    return frozenset(
        resolved("", each.get("URI", ""))
        for each in listed
        if local_name(each) == "CipherReference"
    )
