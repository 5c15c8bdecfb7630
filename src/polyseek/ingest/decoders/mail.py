"""E-mail messages (.eml) and the files attached to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_binary_file, policy
from email.errors import CloseBoundaryNotFoundDefect
from email.message import EmailMessage
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from polyseek.core.errors import AssetError, DecodeError
from polyseek.core.types import Asset, Media, Metadata, MetadataValue, Modality, Span, SpanUnit
from polyseek.ingest.decoders.documents import html_text, only_decode_errors, within
from polyseek.ingest.decoders.text import read_text

MAX_BYTES = 128 * 1024 * 1024
MAX_PIECES = 9_999
"""Pages or rows of an attachment: they are ten-thousandths of a part."""

_HEADERS = ("from", "to", "date", "subject", "received", "message-id", "mime-version")


class MailDecoder:
    """Subject and body as one text, then what is attached, each by the decoder of its ending.

    Attachments span parts (see `Span`), except that recordings count their seconds: of several in
    one message only the first is read. A message that is attached comes without its attachments;
    a file whose ending no decoder reads is passed over.

    Args:
        legible: Decode attached pictures for reading what is written in them.
    """

    suffixes = frozenset({".eml"})

    def __init__(self, *, legible: bool = False) -> None:
        self._legible = legible

    def legible(self) -> MailDecoder:
        """See `polyseek.core.protocols.PictureDecoder`."""
        return MailDecoder(legible=True)

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        with only_decode_errors(asset):
            message = _parsed(asset, stream)
            metadata, text = _facts(message), ""
            attached = _Attached(asset, metadata, legible=self._legible)
            try:
                text = _text(asset, message)
            except DecodeError as error:
                attached.problems.append(error.reason)
            if text:
                yield Media(modality=Modality.TEXT, signal=text, metadata=metadata)
            for number, part in enumerate(_attachments(message), 1):
                yield from attached.media(number, part)
            problems = attached.problems
            if any(_is_cut(part) for part in _parts(message)):
                problems = ["is cut off: its end is missing", *problems]
            if problems:
                raise DecodeError(asset.uri, "; ".join(problems))
            if not text and not attached.found:
                raise DecodeError(asset.uri, "holds no text")


class _Attached:
    """The attachments of one message, and what was wrong with them."""

    def __init__(self, asset: Asset, metadata: Metadata, *, legible: bool) -> None:
        self._asset, self._metadata, self._legible = asset, metadata, legible
        self._recording: int | None = None
        self.found = False
        self.problems: list[str] = []

    def media(self, number: int, part: EmailMessage) -> Iterator[Media]:
        """What one attachment holds."""
        name = _file_name(part)
        try:
            with only_decode_errors(self._asset):
                for media in self._decoded(name, part):
                    span = self._span(number, media)
                    fields = {**self._metadata, **media.metadata, "attachment": name}
                    self.found = True
                    yield replace(media, span=span, metadata=fields, share=None)
        except AssetError as error:
            self.problems.append(f"attachment {name}: {error.reason}")

    def _decoded(self, name: str, part: EmailMessage) -> Iterator[Media]:
        suffix = PurePosixPath(name).suffix.lower()
        if part.get_content_type() == "message/rfc822" and part.is_multipart():
            yield self._message(cast("EmailMessage", part.get_payload(0)))
            return
        # Decoders are looked up when they are needed: this is one of them.
        from polyseek.ingest.decode import decoders

        decoder = decoders(legible=self._legible).get(suffix)
        if decoder is None:
            return
        asset, stream = within(self._asset, name, _bytes(part))
        if isinstance(decoder, MailDecoder):
            yield self._message(_parsed(asset, stream))
        else:
            yield from decoder.open(asset, stream)

    def _message(self, message: EmailMessage) -> Media:
        text = _text(self._asset, message)
        if not text:
            raise DecodeError(self._asset.uri, "holds no text")
        return Media(modality=Modality.TEXT, signal=text, metadata=_facts(message))

    def _span(self, number: int, media: Media) -> Span | None:
        inner = media.span
        seconds = inner is not None and inner.unit is SpanUnit.SECONDS
        if seconds or isinstance(media.signal, Iterator):
            if self._recording not in (None, number):
                raise DecodeError(self._asset.uri, "only the first recording of a message is read")
            self._recording = number
            return inner
        if inner is None:
            return Span(unit=SpanUnit.PART, start=number, end=number + 1)
        if inner.end > MAX_PIECES + 1:
            raise DecodeError(self._asset.uri, f"only its first {MAX_PIECES:,} pieces are read")
        start, end = (
            round(number + place / (MAX_PIECES + 1), 8) for place in (inner.start, inner.end)
        )
        return Span(unit=SpanUnit.PART, start=start, end=end)


def _parsed(asset: Asset, stream: BinaryIO) -> EmailMessage:
    if asset.size_bytes > MAX_BYTES:
        raise DecodeError(asset.uri, f"too large: over {MAX_BYTES:,} bytes of message")
    message = message_from_binary_file(stream, policy=policy.default)
    if not any(name in message for name in _HEADERS):
        raise DecodeError(asset.uri, "is no e-mail message")
    return message


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The message and the parts it is made of, not those of messages attached to it."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        yield part
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            waiting += reversed(cast("list[EmailMessage]", part.get_payload()))


def _attachments(message: EmailMessage) -> Iterator[EmailMessage]:
    leaves = (part for part in _parts(message) if part.get_content_maintype() != "multipart")
    return (part for part in leaves if _file_name(part))


def _file_name(part: EmailMessage) -> str:
    """Of an attachment; "" for a part that is none."""
    name = ""
    with suppress(Exception):  # the standard library stumbles over some broken headers
        name = PurePosixPath((part.get_filename() or "").replace("\\", "/")).name
    return name or ("message.eml" if part.get_content_type() == "message/rfc822" else "")


def _text(asset: Asset, message: EmailMessage) -> str:
    """Subject and body: the plain text, or what the HTML says."""
    plain, html = list[str](), list[str]()
    for part in _parts(message):
        kind = part.get_content_type()
        if part.is_multipart() or _file_name(part) or kind not in ("text/plain", "text/html"):
            continue
        if kind == "text/html":
            html.append(html_text(asset, _in_utf8(asset, part)))
        else:
            plain.append(_in_utf8(asset, part).decode().strip())
    body = "\n\n".join(filter(None, plain)) or "\n\n".join(filter(None, html))
    return f"{_header(message, 'subject')}\n\n{body}".strip()


def _in_utf8(asset: Asset, part: EmailMessage) -> bytes:
    data = _bytes(part)
    if not data.strip():
        return b""
    try:
        text = data.decode(part.get_content_charset() or "utf-8")
    except (LookupError, ValueError):  # unknown, or not true
        try:
            text = read_text(*within(asset, asset.path, data))
        except DecodeError:
            text = data.decode(errors="replace")
    return text.replace("\r\n", "\n").encode(errors="replace")


def _bytes(part: EmailMessage) -> bytes:
    return cast("bytes | None", part.get_payload(decode=True)) or b""


def _is_cut(part: EmailMessage) -> bool:
    return any(isinstance(each, CloseBoundaryNotFoundDefect) for each in part.defects)


def _facts(message: EmailMessage) -> dict[str, MetadataValue]:
    fields: dict[str, MetadataValue] = {}
    for name in ("subject", "from"):
        value = _header(message, name)
        if value:
            fields[name] = value
    with suppress(Exception):
        to = [str(each) for each in message["to"].addresses]
        if to:
            fields["to"] = to
    with suppress(Exception):
        sent: datetime = message["date"].datetime
        fields["date"] = (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).astimezone(UTC)
    return fields


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = str(message[name] or "")
    except Exception:  # noqa: BLE001 - see `_file_name`
        value = next((str(v) for k, v in message.raw_items() if k.lower() == name), "")
    return " ".join(value.split())
