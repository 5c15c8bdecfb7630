"""Words in pictures: passages, boxes, what is not read, and an engine that fails."""

import io

import pytest
from fake_recognisers import FakeTextRecogniser, line
from PIL import Image

from made_documents import made_mail, made_pdf
from polyseek.core.config import IndexOptions
from polyseek.core.types import EncoderInfo, Modality, Segment, Span, SpanUnit, Tower
from polyseek.ingest.decode import decode, toolbox
from polyseek.ingest.decoders.image import ImageDecoder
from polyseek.ingest.reading import passages
from polyseek.ingest.recognise import Recognisers
from polyseek.ingest.sources.files import FileSource
from polyseek.ingest.workers import Workers
from polyseek.testing import FakeEncoder

PICTURE = Image.new("RGB", (40, 30))
PAGE = Span(unit=SpanUnit.PAGE, start=3, end=4)


def read(*lines, span=None, passage_chars=600, signal=PICTURE):
    segment = Segment(
        asset_uri="mem:/a", modality=Modality.IMAGE, span=span, metadata={"x": 1}, signal=signal
    )
    recogniser = FakeTextRecogniser(*lines)
    return list(passages(segment, recogniser, passage_chars=passage_chars))


def found(path, recogniser, info=None, **options):
    """All segments of one file, and why some are missing."""
    chosen = IndexOptions(**options)
    source = FileSource(path, chosen)
    tools = toolbox(source, info or FakeEncoder().info, chosen, Recognisers(text=recogniser))
    (asset,) = source.list()
    *_, last = parts = list(decode(asset, tools))
    return [segment for part in parts for segment in part.segments], last.reason


def texts(segments):
    return [segment.text for segment in segments if segment.modality is Modality.TEXT]


def test_the_words_of_a_photo_lie_where_it_lies_with_a_box_a_line():
    (segment,) = read(line("Fresh  bread", box=(0, 0.25, 0.5, 1)), line("every day"))
    assert (segment.modality, segment.span) == (Modality.TEXT, None)
    assert segment.text == segment.signal == "Fresh bread\nevery day"
    assert segment.metadata["text_boxes"] == [
        "0.0000 0.2500 0.5000 1.0000",
        "0.1000 0.2000 0.5000 0.2500",
    ]
    assert (segment.metadata["text_source"], segment.metadata["x"]) == ("ocr", 1)


def test_what_is_not_sure_to_be_words_is_left_out():
    assert read() == []
    assert read(line("Iil|", confidence=0.4), line("-- . --"), line("O")) == []
    (segment,) = read(line("STOP"), line("moss", confidence=0.3))
    assert segment.text == "STOP"


def test_much_text_makes_several_passages_of_whole_lines():
    lines = [line(f"line {number}") for number in range(10)]
    photo = read(*lines, passage_chars=30)
    assert [segment.text.count("\n") + 1 for segment in photo] == [4, 4, 2]
    assert [segment.span.key() for segment in photo] == [
        "characters:0-28",
        "characters:28-56",
        "characters:56-70",
    ]
    page = read(*lines, span=PAGE, passage_chars=30)
    assert [segment.span.key() for segment in page] == [
        "page:3-3.4",
        "page:3.4-3.8",
        "page:3.8-4",
    ]
    assert all(len(s.metadata["text_boxes"]) == s.text.count("\n") + 1 for s in photo + page)


def test_what_the_frames_of_a_shot_show_is_told_once():
    span = Span(unit=SpanUnit.SECONDS, start=2, end=9)
    (segment,) = read(line("News at ten"), line("NEWS AT TEN!"), span=span, signal=[PICTURE] * 4)
    assert (segment.text, segment.span) == ("News at ten", span)


def test_a_photo_is_decoded_large_enough_to_be_read(tmp_path):
    Image.new("RGB", (4000, 3000), "red").save(tmp_path / "a.jpg")
    segments, reason = found(tmp_path / "a.jpg", FakeTextRecogniser(sizes=True))
    assert (texts(segments), reason) == (["width 2000"], None)
    (media,) = ImageDecoder().open(None, io.BytesIO((tmp_path / "a.jpg").read_bytes()))
    assert media.signal.width == 1000


def test_a_page_with_a_text_is_not_read_and_one_without_is(tmp_path):
    written = ["This page has a text of its own that"], ["nobody needs to recognise."]
    (tmp_path / "a.pdf").write_bytes(made_pdf(written[0] + written[1], [], ["Scanned with an app"]))
    segments, reason = found(tmp_path / "a.pdf", FakeTextRecogniser(sizes=True))
    assert reason is None
    by_page = {
        page: [s.text for s in segments if s.text and int(s.span.start) == page]
        for page in (1, 2, 3)
    }
    assert len(by_page[1]) == 1
    assert by_page[2] == ["width 1400"]
    assert by_page[3] == ["Scanned with an app", "width 1400"]
    assert len({segment.id for segment in segments}) == len(segments) == 7


def test_an_attached_scan_is_read(tmp_path):
    message = made_mail()
    message.add_attachment(made_pdf([]), maintype="application", subtype="pdf", filename="scan.pdf")
    (tmp_path / "a.eml").write_bytes(bytes(message))
    segments, _ = found(tmp_path / "a.eml", FakeTextRecogniser(sizes=True))
    assert "width 1400" in texts(segments)


def test_an_engines_error_costs_the_words_and_says_so_once(tmp_path):
    (tmp_path / "a.pdf").write_bytes(made_pdf([], []))
    segments, reason = found(tmp_path / "a.pdf", FakeTextRecogniser(error=ValueError("no\nluck")))
    assert [segment.modality for segment in segments] == [Modality.IMAGE] * 2
    assert reason == "the words in it cannot be read: ValueError: no luck"


@pytest.mark.slow
def test_a_picture_that_takes_too_long_to_read_is_kept_without_its_words(tmp_path):
    PICTURE.save(tmp_path / "a.png")
    source = FileSource(tmp_path / "a.png")
    engines = Recognisers(text=FakeTextRecogniser(seconds=30))
    tools = toolbox(source, FakeEncoder().info, IndexOptions(), engines)
    with Workers(tools, count=1, timeout_s=2.0) as workers:
        part, error = workers.decode(source.list())
    assert [segment.modality for segment in part.segments] == [Modality.IMAGE]
    assert error.reason == "took longer than 2 s"


@pytest.mark.parametrize("lines", [["hello"], []])
def test_an_encoder_that_sees_no_pictures_gets_their_words(tmp_path, lines):
    info = EncoderInfo(
        name="t", revision="1", dim=2, towers={Modality.TEXT: Tower(dim=2, prepare=str)}
    )
    PICTURE.save(tmp_path / "a.png")
    if lines:
        segments, reason = found(tmp_path / "a.png", FakeTextRecogniser(*lines), info)
        assert (texts(segments), len(segments), reason) == (lines, 1, None)
    else:
        with pytest.raises(Exception, match="the encoder cannot read image"):
            found(tmp_path / "a.png", FakeTextRecogniser(), info)
