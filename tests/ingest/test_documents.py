import io
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from made_documents import (
    epub_entries,
    made_docx,
    made_epub,
    made_mail,
    made_pdf,
    made_pptx,
    made_zip,
    saved,
)
from polyseek.core.config import IndexOptions
from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, Modality, Span, SpanUnit
from polyseek.ingest.decode import decoders
from polyseek.ingest.decoders import documents, pdf
from polyseek.ingest.decoders.epub import EpubDecoder
from polyseek.ingest.decoders.mail import MailDecoder
from polyseek.ingest.decoders.office import OfficeDecoder
from polyseek.ingest.decoders.pdf import PdfDecoder, pdf_date
from polyseek.ingest.segmenters.image import ImageSegmenter
from polyseek.ingest.segmenters.text import TextSegmenter

ASSET = Asset(
    uri="file:///a", path="a", size_bytes=1, modified=datetime(2024, 1, 1, tzinfo=UTC), etag="1"
)


def decode(decoder, name, data):
    asset = replace(ASSET, path=name, size_bytes=len(data))
    return list(decoder.open(asset, io.BytesIO(data)))


def read(decoder, name, data):
    """What is found, and the reason why something is missing."""
    found = []
    asset = replace(ASSET, path=name, size_bytes=len(data))
    try:
        for media in decoder.open(asset, io.BytesIO(data)):
            found.append(media)  # noqa: PERF402 - an error may come after
    except DecodeError as error:
        return found, error.reason
    return found, None


def texts(found):
    return [media.signal for media in found if media.modality is Modality.TEXT]


def page(start, end, unit=SpanUnit.PAGE):
    return Span(unit=unit, start=start, end=end)


class TestPdf:
    def test_each_page_gives_its_text_and_its_picture(self):
        found = decode(PdfDecoder(), "a.pdf", made_pdf(["A red car"], [], ["Page three"]))
        assert [(str(m.modality), m.span) for m in found] == [
            ("text", page(1, 2)),
            ("image", page(1, 2)),
            ("image", page(2, 3)),
            ("text", page(3, 4)),
            ("image", page(3, 4)),
        ]
        assert texts(found) == ["A red car", "Page three"]
        assert [m.share for m in found] == [1 / 3, 1 / 3, 2 / 3, 1, 1]
        drawn, empty = found[1].signal, found[2].signal
        assert (drawn.mode, drawn.size) == ("RGB", (448, 580))
        assert np.asarray(drawn).min() < 100
        assert np.asarray(empty).min() == 255

    def test_lines_of_a_sentence_and_divided_words_are_joined(self):
        data = made_pdf(["A long exam-", "ple of a sentence that", "goes on.", "The next."])
        assert texts(decode(PdfDecoder(), "a.pdf", data)) == [
            "A long example of a sentence that goes on.\nThe next."
        ]

    def test_facts(self):
        info = "/Title (Cars\nand dogs) /Author (Ann) /CreationDate (D:20240131120000+02'00')"
        found = decode(PdfDecoder(), "a.pdf", made_pdf(["x"], info=info))
        assert found[0].metadata == {
            "pages": 1,
            "title": "Cars and dogs",
            "author": "Ann",
            "date": datetime(2024, 1, 31, 10, tzinfo=UTC),
        }

    @pytest.mark.parametrize(
        ("text", "date"),
        [
            ("D:2024", datetime(2024, 1, 1, tzinfo=UTC)),
            ("20240131", datetime(2024, 1, 31, tzinfo=UTC)),
            ("D:20240131235959-0530", datetime(2024, 2, 1, 5, 29, 59, tzinfo=UTC)),
            ("D:20240131120000Z", datetime(2024, 1, 31, 12, tzinfo=UTC)),
            ("D:20241331", None),
            ("D:20240131000000+99'99'", None),
            ("D:00010101000000+01'00'", None),
            ("yesterday", None),
        ],
    )
    def test_dates(self, text, date):
        assert pdf_date(text) == date

    def test_a_password_or_an_unknown_protection(self):
        lock = "/Encrypt << /Filter /{} /V 1 /R 2 /O <{}> /U <{}> /P -4 >> /ID [<01> <01>]"
        locked = made_pdf(["x"], trailer=lock.format("Standard", "ab" * 32, "cd" * 32))
        assert read(PdfDecoder(), "a.pdf", locked) == ([], "is password-protected")
        drm = made_pdf(["x"], trailer=lock.format("Shop.DRM", "ab" * 32, "cd" * 32))
        assert "DRM" in read(PdfDecoder(), "a.pdf", drm)[1]
        # The code PDFium remembers from the file before says nothing about this one.
        assert read(PdfDecoder(), "a.pdf", made_pdf()) == ([], "is no PDF, or a broken one")

    def test_no_pages_and_no_pdf(self):
        for data in (made_pdf(), b"", b"%PDF-1.4", b"PK\3\4" + b"\0" * 99, made_docx()):
            assert read(PdfDecoder(), "a.pdf", data) == ([], "is no PDF, or a broken one")

    def test_a_broken_page_costs_only_itself(self):
        data = made_pdf(["one"], ["two"], ["three"]).replace(b"7 0 R 9 0 R]", b"99 0 R 9 0 R]")
        found, reason = read(PdfDecoder(), "a.pdf", data)
        assert texts(found) == ["one", "three"]
        assert reason == "page 2 cannot be read"

    def test_many_broken_pages_are_given_up(self, monkeypatch):
        lying = made_pdf(["one"]).replace(b"/Count 1 ", b"/Count 9 ")
        found, reason = read(PdfDecoder(), "a.pdf", lying)
        assert texts(found) == ["one"]
        assert reason == "pages 2, 3, 4 and 5 more cannot be read"
        monkeypatch.setattr(pdf, "MAX_BROKEN", 2)
        assert read(PdfDecoder(), "a.pdf", lying)[1].startswith("too many pages")

    def test_a_cut_file_gives_what_is_left(self):
        data = made_pdf(["one"]) + b"9 0 obj\n<< /Length 99999 >>\nstream\n" + b"x" * 8192
        found, reason = read(PdfDecoder(), "a.pdf", data)
        assert texts(found) == ["one"]
        assert reason == "is cut off: its end is missing"

    def test_junk_around_a_pdf_is_no_damage(self):
        data = b"\r\n" * 9 + made_pdf(["one"]) + b"\0" * 99
        assert len(decode(PdfDecoder(), "a.pdf", data)) == 2

    def test_long_documents_are_opened_anew(self, monkeypatch):
        monkeypatch.setattr(pdf, "STRETCH", 2)
        data = made_pdf(*([f"page {i}"] for i in range(5)))
        assert texts(decode(PdfDecoder(), "a.pdf", data)) == [f"page {i}" for i in range(5)]

    def test_a_page_that_takes_too_long_is_shown_as_it_is(self, monkeypatch):
        monkeypatch.setattr(pdf, "DRAW_S", -1.0)
        assert len(decode(PdfDecoder(), "a.pdf", made_pdf(["one"]))) == 2

    def test_odd_page_sizes(self):
        for box, size in (("0 0 9 9000", (4, 4096)), ("0 0 0 0", (448, 580))):
            data = made_pdf(["x"]).replace(b"0 0 612 792", box.encode())
            assert decode(PdfDecoder(), "a.pdf", data)[-1].signal.size == size

    def test_a_reader_may_stop_early(self):
        stream = io.BytesIO(made_pdf(["one"], ["two"]))
        opened = PdfDecoder().open(ASSET, stream)
        next(opened)
        opened.close()
        assert not stream.closed


class TestOffice:
    def test_word(self):
        (media,) = decode(OfficeDecoder(), "a.docx", made_docx())
        assert media.signal == (
            "About cars\nA red car. It is fast.\nname | speed\nbeetle | slow\n\nAbout dogs\nA dog."
        )
        assert media.span is None
        assert (media.metadata["title"], media.metadata["author"]) == ("Letter", "Ann")
        assert media.metadata["date"].tzinfo is UTC

    def test_deleted_text_fallbacks_and_tab_stops_are_not_read(self):
        from docx import Document

        body = (
            "<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:ins><w:r><w:t>new</w:t></w:r></w:ins>"
            "<w:del><w:r><w:t>old</w:t></w:r></w:del><w:r><w:tab/><w:t>x</w:t></w:r>"
            "<w:r><mc:Choice><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent>"
            "</mc:Choice><mc:Fallback><w:t>box</w:t></mc:Fallback></w:r></w:p>"
            "<w:sdt><w:sdtContent><w:p><w:r><w:t>form</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        )
        entries = entries_of(saved(Document()))
        entries["word/document.xml"] = (
            f'<w:document xmlns:w="urn:w" xmlns:mc="urn:mc"><w:body>{body}</w:body></w:document>'
        )
        (media,) = decode(OfficeDecoder(), "a.docx", made_zip(entries))
        assert media.signal == "new\tx\nbox\nform"

    def test_slides(self):
        found = decode(OfficeDecoder(), "a.pptx", made_pptx())
        assert [(m.signal, m.span) for m in found] == [
            ("Cars\nThey are red\nand fast\n\nSay hello", page(1, 2)),
            ("beetle | slow", page(3, 4)),
        ]
        assert found[0].metadata["title"] == "Talk"

    def test_a_broken_slide_costs_only_itself(self):
        entries = entries_of(made_pptx()) | {"ppt/slides/slide1.xml": "<broken"}
        found, reason = read(OfficeDecoder(), "a.pptx", made_zip(entries))
        assert texts(found) == ["beetle | slow"]
        assert reason == "slides that cannot be read: 1"

    @pytest.mark.slow
    def test_broken_properties_cost_nothing(self):
        entries = entries_of(made_docx()) | {"docProps/core.xml": "<broken"}
        (media,) = decode(OfficeDecoder(), "a.docx", made_zip(entries))
        assert media.metadata == {}

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "no ZIP"),
            (made_docx()[:-400], "no ZIP"),
            (made_pdf(["x"]), "no ZIP"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99, "password-protected"),
            (made_zip({"a.txt": "x"}), "no office document"),
            (made_epub("x"), "no office document"),
        ],
    )
    def test_no_document(self, data, reason):
        found, why = read(OfficeDecoder(), "a.docx", data)
        assert not found
        assert reason in why

    def test_an_empty_document(self):
        from docx import Document

        assert read(OfficeDecoder(), "a.docx", saved(Document())) == ([], "holds no text")

    def test_an_xml_bomb(self):
        lines = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 50}">' for i in range(1, 12))
        bomb = f'<!DOCTYPE w [<!ENTITY e0 "boom">{lines}]><w><p><t>&e11;</t></p></w>'
        entries = entries_of(made_docx()) | {"word/document.xml": bomb}
        found, reason = read(OfficeDecoder(), "a.docx", made_zip(entries))
        assert not found
        assert "word/document.xml is broken" in reason

    def test_deep_nesting(self):
        deep = "<a>" * 20_000 + "</a>" * 20_000
        entries = entries_of(made_docx()) | {"word/document.xml": deep}
        assert not read(OfficeDecoder(), "a.docx", made_zip(entries))[0]


class TestEpub:
    def test_chapters_and_facts(self):
        data = made_epub(
            "<h1>One</h1><p>A dark&nbsp;night.</p>", "<img src='x.png'/>", "<p>End</p>"
        )
        found = decode(EpubDecoder(), "a.epub", data)
        assert [(m.signal, m.span) for m in found] == [
            ("One\nA dark night.", page(1, 2)),
            ("End", page(3, 4)),
        ]
        assert found[0].metadata == {
            "title": "Night",
            "author": "Ann",
            "date": datetime(1865, 7, 1, tzinfo=UTC),
        }

    def test_a_missing_chapter_costs_only_itself(self):
        entries = epub_entries("<p>one</p>", "<p>two</p>")
        del entries["OEBPS/text/chapter 0.xhtml"]
        found, reason = read(EpubDecoder(), "a.epub", made_zip(entries))
        assert texts(found) == ["two"]
        assert reason == "chapters that cannot be read: 1"

    def test_protected_books_but_not_protected_fonts(self):
        entries = epub_entries("<p>one</p>")
        for name, readable in (("font.otf", True), ("text/chapter%200.xhtml", False)):
            entries["META-INF/encryption.xml"] = (
                f'<encryption><x><CipherReference URI="OEBPS/{name}"/></x></encryption>'
            )
            found, reason = read(EpubDecoder(), "a.epub", made_zip(entries))
            assert bool(found) == readable
            assert readable or "DRM" in reason

    def test_no_book(self):
        for data in (b"", made_zip({"a": "x"}), made_docx(), made_epub()):
            found, reason = read(EpubDecoder(), "a.epub", data)
            assert not found
            assert reason


class TestZipBombs:
    def test_a_large_entry_is_refused_before_it_is_unpacked(self, monkeypatch):
        monkeypatch.setattr(zipfile.ZipFile, "read", None)
        monkeypatch.setattr(documents, "MAX_ENTRY_BYTES", 1000)
        entries = epub_entries() | {"META-INF/container.xml": b"\0" * 1001}
        found, reason = read(EpubDecoder(), "a.epub", made_zip(entries))
        assert not found
        assert reason == "too large: META-INF/container.xml, 1,001 bytes"

    def test_many_entries_add_up(self, monkeypatch):
        monkeypatch.setattr(documents, "MAX_TOTAL_BYTES", 60_000)
        data = made_epub(*(["<p>" + "word " * 4000 + "</p>"] * 4))
        found, reason = read(EpubDecoder(), "a.epub", data)
        assert len(found) == 2
        assert reason == "chapters that cannot be read: 3, 4"

    def test_entries_that_are_not_read_do_not_count(self, monkeypatch):
        monkeypatch.setattr(documents, "MAX_TOTAL_BYTES", 60_000)
        entries = epub_entries("<p>one</p>") | {"film.mp4": b"\0" * 100_000}
        assert texts(decode(EpubDecoder(), "a.epub", made_zip(entries))) == ["one"]

    def test_a_false_size_is_no_way_round(self):
        data = bytearray(made_epub("<p>" + "word " * 4000 + "</p>"))
        entry = data.rindex(b"OEBPS/text/chapter 0.xhtml") - 46
        data[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
        found, reason = read(EpubDecoder(), "a.epub", bytes(data))
        assert not found
        assert reason == "chapters that cannot be read: 1"


class TestMail:
    def test_headers_and_body(self):
        (media,) = decode(MailDecoder(), "a.eml", made_mail("Hello Bob\n").as_bytes())
        assert media.signal == "Größe 東京\n\nHello Bob"
        assert media.metadata == {
            "subject": "Größe 東京",
            "from": "Ann <ann@example.org>",
            "to": ["bob@example.org", "Eve <eve@example.org>"],
            "date": datetime(2024, 5, 31, 8, tzinfo=UTC),
        }

    def test_plain_text_is_preferred_and_html_stripped(self):
        message = made_mail()
        message.add_alternative("<p>Hello <b>HTML</b></p>", subtype="html")
        assert texts(mail(message)) == ["Größe 東京\n\nHello Bob"]
        message = made_mail()
        message.set_content("<style>x</style><p>Hello <b>HTML</b></p>", subtype="html")
        assert texts(mail(message)) == ["Größe 東京\n\nHello\nHTML"]

    def test_attachments(self):
        message = made_mail()
        message.add_attachment("First notes", filename="dir\\a.txt")
        message.add_attachment("Other notes", filename="b.txt")
        message.add_attachment(b"\0", "application", "x-thing", filename="c.unknown")
        for name in ("d.png", "e.png"):
            message.add_attachment(png(), "image", "png", filename=name)
        found = mail(message)
        assert [(m.metadata.get("attachment"), m.span) for m in found] == [
            (None, None),
            ("a.txt", page(1, 2, SpanUnit.PART)),
            ("b.txt", page(2, 3, SpanUnit.PART)),
            ("d.png", page(4, 5, SpanUnit.PART)),
            ("e.png", page(5, 6, SpanUnit.PART)),
        ]
        assert texts(found)[1:] == ["First notes\n", "Other notes\n"]
        assert {m.metadata["subject"] for m in found} == {"Größe 東京"}
        assert found[-1].signal.size == (4, 3)

    def test_pages_and_rows_of_attachments_have_spans_and_ids_of_their_own(self):
        message = made_mail("Long body. " * 200)
        two_pages = made_pdf(["A page. " * 9] * 30, ["Two"])
        message.add_attachment(two_pages, "application", "pdf", filename="a.pdf")
        message.add_attachment(two_pages, "application", "pdf", filename="b.pdf")
        message.add_attachment("text\none\ntwo\n", subtype="csv", filename="c.csv")
        found = mail(message)
        assert [m.span and (m.span.start, m.span.end) for m in found] == [
            None,
            *[(1.0001, 1.0002)] * 2,
            *[(1.0002, 1.0003)] * 2,
            *[(2.0001, 2.0002)] * 2,
            *[(2.0002, 2.0003)] * 2,
            (3.0001, 3.0002),
            (3.0002, 3.0003),
        ]
        ids = [segment.id for media in found for segment in split(media)]
        assert len(set(ids)) == len(ids) > len(found) + 5

    def test_attached_messages_come_without_their_attachments(self):
        inner = made_mail("Inner body")
        inner.replace_header("Subject", "Inner")
        inner.add_attachment("deep", filename="deep.txt")
        outer = made_mail()
        outer.add_attachment(inner)
        outer.add_attachment(inner.as_bytes(), "application", "octet-stream", filename="b.eml")
        found = mail(outer)
        assert texts(found) == ["Größe 東京\n\nHello Bob", *["Inner\n\nInner body"] * 2]
        assert [m.metadata.get("attachment") for m in found] == [None, "message.eml", "b.eml"]
        assert found[1].metadata["subject"] == "Inner"

    def test_a_broken_attachment_costs_only_itself(self):
        message = made_mail()
        message.add_attachment(png()[:50], "image", "png", filename="a.png")
        message.add_attachment("Fine", filename="b.txt")
        found, reason = read(MailDecoder(), "a.eml", message.as_bytes())
        assert texts(found) == ["Größe 東京\n\nHello Bob", "Fine\n"]
        assert reason.startswith("attachment a.png: broken picture")

    def test_of_several_recordings_the_first_is_read(self):
        message = made_mail()
        for name in ("a.wav", "b.wav"):
            message.add_attachment(wav(), "audio", "wav", filename=name)
        found, reason = [], None
        data = message.as_bytes()
        try:
            for media in MailDecoder().open(replace(ASSET, path="a.eml"), io.BytesIO(data)):
                found.append(media.metadata.get("attachment"))
                list(media.signal)
        except DecodeError as error:
            reason = error.reason
        assert found == [None, "a.wav"]
        assert reason == "attachment b.wav: only the first recording of a message is read"

    @pytest.mark.slow
    def test_too_many_rows(self):
        message = made_mail()
        message.add_attachment("text\n" + "x\n" * 10_005, subtype="csv", filename="a.csv")
        found, reason = read(MailDecoder(), "a.eml", message.as_bytes())
        assert len(found) == 10_000
        assert found[-1].span == page(1.9999, 2, SpanUnit.PART)
        assert "first 9,999" in reason

    def test_a_message_that_is_cut_off_or_has_a_broken_boundary(self):
        message = made_mail("Hello Bob")
        message.add_attachment("Notes", filename="a.txt")
        data = message.as_bytes()
        found, reason = read(MailDecoder(), "a.eml", data[: data.rindex(b"Notes") + 5])
        assert texts(found)[0].endswith("Hello Bob")
        assert reason == "is cut off: its end is missing"
        boundary = message.get_boundary().encode()
        broken = data.replace(b"--" + boundary, b"--other")
        assert "Größe" in texts(read(MailDecoder(), "a.eml", broken)[0])[0]

    @pytest.mark.parametrize("charset", ["x-unknown", "us-ascii", "zip", "utf-8\0", ""])
    def test_unknown_and_false_charsets(self, charset):
        data = f"Subject: Hi\nContent-Type: text/plain; charset={charset}\n\n".encode()
        (media,) = decode(MailDecoder(), "a.eml", data + "Grüße aus Köln".encode())
        assert media.signal == "Hi\n\nGrüße aus Köln"

    def test_raw_8_bit_headers(self):
        (media,) = decode(MailDecoder(), "a.eml", "Subject: Größe\nFrom: Jürgen\n\nx".encode())
        assert media.metadata["subject"] == "Größe"

    @pytest.mark.parametrize(
        "header",
        [
            b"Date: yesterday",
            b"Date: Fri, 99 May 2024 10:00:00 +9999",
            b"From: =?utf-8?q?=ff?= <",
            b"To: @@@,,;:",
            b"Content-Type: text/plain; charset*=x''%ff; name*0*=a'b",
            b"Content-Disposition: attachment; filename*=utf-8",
            b"Content-Type: multipart/mixed",
            b"Content-Transfer-Encoding: base64",
        ],
    )
    def test_odd_headers_cost_at_most_themselves(self, header):
        found, reason = read(MailDecoder(), "a.eml", b"Subject: Hi\n" + header + b"\n\nHello\n")
        assert reason is None
        assert found[0].metadata["subject"] == "Hi"

    def test_empty_body(self):
        assert texts(mail(made_mail(""))) == ["Größe 東京"]
        bare = EmailMessage()
        bare["From"] = "a@example.org"
        assert read(MailDecoder(), "a.eml", bare.as_bytes()) == ([], "holds no text")
        bare.set_content(png(), "image", "png", filename="a.png")
        (media,) = mail(bare)
        assert media.modality is Modality.IMAGE

    def test_no_message(self):
        for data in (b"", b"Just text.\nNo header.", png(), made_zip({"a": "b"})):
            assert read(MailDecoder(), "a.eml", data) == ([], "is no e-mail message")

    def test_decoders_are_registered(self):
        assert {".pdf", ".docx", ".pptx", ".epub", ".eml"} <= set(decoders())


class TestPassages:
    def test_passages_of_a_page_are_fractions_of_it(self):
        text = "One sentence here. " * 100
        spans = [s.span for s in split(text_media(text, page(3, 4)))]
        assert len(spans) == 4
        assert spans[0].start == 3
        assert spans[-1].end == pytest.approx(4, abs=0.001)
        for before, after in pairwise(spans):
            assert before.start < before.end <= after.start
            assert after.start == round(after.start, 4)

    def test_a_short_page_is_whole(self):
        (segment,) = split(text_media("  One sentence.  ", page(3, 4)))
        assert (segment.span, segment.text) == (page(3, 4), "One sentence.")

    def test_rows_and_seconds_are_not_split(self):
        for unit in (SpanUnit.ROW, SpanUnit.SECONDS):
            (segment,) = split(text_media("Again. " * 900, page(3, 4, unit)))
            assert segment.span == page(3, 4, unit)

    @pytest.mark.parametrize(
        "whole", [page(9_999, 10_000), page(99.9998, 99.9999, SpanUnit.PART)], ids=["page", "part"]
    )
    def test_ids_are_unique_however_long_the_text(self, whole):
        segmenter = TextSegmenter(IndexOptions(passage_chars=3))
        segments = list(segmenter.split(ASSET, text_media("ab c " * 2400, whole)))
        assert len({s.id for s in segments}) == len(segments) > 4000
        for segment in segments:
            assert whole.start <= segment.span.start < segment.span.end <= whole.end


def entries_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(buffer, "PNG")
    return buffer.getvalue()


def wav():
    import wave

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(b"\0\1" * 8000)
    return buffer.getvalue()


def mail(message):
    return decode(MailDecoder(), "a.eml", message.as_bytes())


def text_media(text, span):
    return Media(modality=Modality.TEXT, signal=text, span=span)


def split(media):
    segmenter = TextSegmenter if media.modality is Modality.TEXT else ImageSegmenter
    return list(segmenter(IndexOptions()).split(ASSET, media))
