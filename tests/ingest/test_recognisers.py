"""The real engines on real media, through the worker processes."""

import re
import shutil
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import pytest
from PIL import Image, ImageDraw, ImageFont

from polyseek.core.config import IndexOptions, resolve_settings
from polyseek.core.types import Manifest, Modality, SpanUnit
from polyseek.ingest.pipeline import ingest
from polyseek.ingest.sources.files import FileSource
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow
ocr = pytest.mark.skipif(find_spec("rapidocr") is None, reason="needs the extra 'ocr'")
asr = pytest.mark.skipif(find_spec("faster_whisper") is None, reason="needs the extra 'asr'")

SPEECH = Path(__file__).parents[1] / "data" / "john_dashwood.opus"
SAID = (
    "and mr john dashwood had then leisure to consider how much there might be prudently in his "
    "power to do for them"
)


def index(folder, **options):
    """The text segments of a folder, and why some are missing."""
    encoder = FakeEncoder()
    info = encoder.info
    dims = {modality: tower.dim for modality, tower in info.towers.items()}
    manifest = Manifest(
        format_version=1, encoder=info.name, revision="1", dim=info.dim, tower_dims=dims
    )
    store = MemoryStore.create("memory", manifest)
    chosen = IndexOptions(workers=1, **options)
    report = ingest(
        FileSource(folder, chosen),
        encoder=encoder,
        store=store,
        options=chosen,
        settings=resolve_settings(),
    )
    found = store.fetch([record.uri for record in store.records()])
    texts = [s for batch in found if batch.modality is Modality.TEXT for s in batch.segments]
    return texts, [failure.reason for failure in report.failures]


def written(*lines, size=(800, 600), points=36):
    image = Image.new("RGB", size, "white")
    for number, line in enumerate(lines):
        place = 80, 100 + 2 * number * points
        ImageDraw.Draw(image).text(place, line, "black", ImageFont.load_default(points))
    return image


def save_film(path, scenes, fps=4, sound=None):
    """Scenes of three seconds; `sound` is a file."""
    with av.open(str(path), "w") as film:
        track = film.add_stream("libx264", rate=fps)
        track.width, track.height, track.pix_fmt = *scenes[0].size, "yuv420p"
        spoken = film.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for number in range(3 * fps * len(scenes)):
            frame = av.VideoFrame.from_image(scenes[number // (3 * fps)])
            frame.pts, frame.time_base = number, Fraction(1, fps)
            film.mux(track.encode(frame))
        film.mux(track.encode(None))
        if spoken:
            size = spoken.codec_context.frame_size or 1024
            mono = av.AudioResampler("fltp", "mono", 48_000, frame_size=size)
            with av.open(str(sound)) as source:
                for frame in [*source.decode(audio=0), None]:
                    film.mux([p for piece in mono.resample(frame) for p in spoken.encode(piece)])
            film.mux(spoken.encode(None))


def words(text):
    return re.sub(r"[^a-z ]", "", text.lower()).split()


@ocr
def test_a_photo_with_a_sign_has_its_words_where_they_are(tmp_path):
    photo = Image.new("RGB", (1600, 1200), "#507050")
    photo.paste(written("Harbour Bakery", size=(400, 260)), (800, 600))
    photo.save(tmp_path / "sign.jpg")
    Image.effect_noise((640, 480), 60).convert("RGB").save(tmp_path / "noise.png")
    (segment,), problems = index(tmp_path, ocr=True)
    assert problems == []
    assert (segment.asset_uri.rsplit("/", 1)[1], segment.span) == ("sign.jpg", None)
    assert segment.text == "Harbour Bakery"
    left, top, right, bottom = map(float, segment.metadata["text_boxes"][0].split())
    assert left == pytest.approx(880 / 1600, abs=0.02)
    assert top == pytest.approx(705 / 1200, abs=0.02)
    assert right <= 1200 / 1600
    assert bottom == pytest.approx(745 / 1200, abs=0.02)


@ocr
def test_small_print_on_a_scanned_page(tmp_path):
    lines = [f"{number}. The committee approved the yearly budget" for number in range(1, 21)]
    size = 1240, 1754
    pages = [written(*lines, size=size, points=24), written("Appendix", size=size)]
    pages[0].save(tmp_path / "scan.pdf", resolution=150, save_all=True, append_images=pages[1:])
    segments, problems = index(tmp_path, ocr=True)
    assert problems == []
    first = [s for s in segments if s.span.start < 2]
    assert len(first) == 2  # passages of a page span fractions of it
    assert "\n".join(s.text for s in first).split("\n") == lines
    assert [(s.text, s.span.key()) for s in segments if s not in first] == [
        ("Appendix", "page:2-3")
    ]


@ocr
@asr
def test_a_film_is_read_and_heard(tmp_path):
    scenes = [written("Chapter One", size=(1280, 720)), written("The End", size=(1280, 720))]
    scenes[1] = Image.eval(scenes[1], lambda value: 255 - value)
    save_film(tmp_path / "film.mp4", scenes, sound=SPEECH)
    segments, problems = index(tmp_path, ocr=True, asr=True)
    assert problems == []
    assert {s.span.unit for s in segments} == {SpanUnit.SECONDS}
    read = {s.text: s.span.key() for s in segments if s.metadata["text_source"] == "ocr"}
    assert read == {"Chapter One": "seconds:0-3", "The End": "seconds:3-6"}
    (heard,) = [s for s in segments if s.metadata["text_source"] == "asr"]
    assert words(heard.text) == SAID.split()


@asr
def test_speech_is_written_down_with_its_times(tmp_path):
    shutil.copy(SPEECH, tmp_path)
    (segment,), problems = index(tmp_path, asr=True)
    assert problems == []
    assert words(segment.text) == SAID.split()
    assert segment.span.start < 1
    assert 6 < segment.span.end <= 7.2
