from PIL import Image

from polyseek.core.config import IndexOptions
from polyseek.core.types import Media, Modality, Span, SpanUnit
from polyseek.ingest.segmenters.image import ImageSegmenter
from polyseek.ingest.segmenters.text import TextSegmenter
from polyseek.testing.segmenter import SegmenterConformance


class TestImageSegmenter(SegmenterConformance):
    def make_segmenter(self):
        return ImageSegmenter(IndexOptions())

    def media(self):
        signal = Image.new("RGB", (4, 3))
        return {"a.jpg": Media(modality=Modality.IMAGE, signal=signal, metadata={"width": 4})}


class TestTextSegmenter(SegmenterConformance):
    def make_segmenter(self):
        return TextSegmenter(IndexOptions(passage_chars=40))

    def media(self):
        prose = (
            "Größe 東京 🎈. It is red. It is fast!\n\nThe same again, and again, and again. " * 5
        )
        row = Span(unit=SpanUnit.ROW, start=7, end=8)
        return {
            "a.txt": Media(modality=Modality.TEXT, signal=prose, metadata={"year": 2020}),
            "spaces.txt": Media(modality=Modality.TEXT, signal="\n\n  one  \n\n\n\n" * 9),
            "long.txt": Media(modality=Modality.TEXT, signal="x" * 500),
            "a.md": Media(
                modality=Modality.TEXT, signal=f"# Title\n\n{prose}\n\n## Next\n\n- item"
            ),
            "a.csv": Media(modality=Modality.TEXT, signal=prose, span=row, metadata={"n": 1}),
        }
