import numpy as np
from PIL import Image

from polyseek.core.config import IndexOptions
from polyseek.core.types import Frame, Media, Modality, Motion, Sound, Span, SpanUnit
from polyseek.ingest.segmenters.audio import AudioSegmenter
from polyseek.ingest.segmenters.image import ImageSegmenter
from polyseek.ingest.segmenters.maps import DepthSegmenter, ThermalSegmenter
from polyseek.ingest.segmenters.motion import MotionSegmenter
from polyseek.ingest.segmenters.text import TextSegmenter
from polyseek.ingest.segmenters.video import VideoSegmenter
from polyseek.testing.segmenter import SegmenterConformance


class TestImageSegmenter(SegmenterConformance):
    def make_segmenter(self):
        return ImageSegmenter(IndexOptions())

    def media(self):
        signal = Image.new("RGB", (4, 3))
        return {"a.jpg": Media(modality=Modality.IMAGE, signal=signal, metadata={"width": 4})}


class TestDepthSegmenter(SegmenterConformance):
    kind, modality = DepthSegmenter, Modality.DEPTH

    def make_segmenter(self):
        return self.kind(IndexOptions())

    def media(self):
        signal = np.ones((3, 4), np.float32)
        return {"a.npy": Media(modality=self.modality, signal=signal, metadata={"width": 4})}


class TestThermalSegmenter(TestDepthSegmenter):
    kind, modality = ThermalSegmenter, Modality.THERMAL


class TestMotionSegmenter(SegmenterConformance):
    def make_segmenter(self):
        return MotionSegmenter(IndexOptions())

    def media(self):
        def motion(*stretches):
            for start_s, seconds in stretches:
                samples = np.zeros((6, seconds * 50), np.float32)
                yield Motion(samples=samples, sample_rate_hz=50, start_s=start_s)

        return {
            "a.imu.csv": Media(
                modality=Modality.IMU, signal=motion((0, 31), (40, 3)), metadata={"n": 1}
            ),
            "short.imu.csv": Media(modality=Modality.IMU, signal=motion((0, 1))),
        }


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


class TestVideoSegmenter(SegmenterConformance):
    def make_segmenter(self):
        return VideoSegmenter(IndexOptions())

    def media(self):
        def frames():
            for n in range(90):
                image = Image.new("RGB", (48, 32), ["red", "blue", "green"][n // 40])
                yield Frame(image=image, start_s=n / 2, end_s=(n + 1) / 2)

        one = Frame(image=Image.new("RGB", (48, 32)), start_s=0, end_s=0.04)
        return {
            "a.mp4": Media(modality=Modality.VIDEO, signal=frames(), metadata={"fps": 25.0}),
            "one.mp4": Media(modality=Modality.VIDEO, signal=iter([one])),
        }


class TestAudioSegmenter(SegmenterConformance):
    def make_segmenter(self):
        return AudioSegmenter(IndexOptions())

    def media(self):
        def sounds(seconds):
            for n in range(seconds):
                samples = np.full(1000, 0.1, np.float32)
                yield Sound(samples=samples, sample_rate_hz=1000, start_s=float(n))

        return {
            "a.wav": Media(modality=Modality.AUDIO, signal=sounds(31), metadata={"channels": 1}),
            "short.wav": Media(modality=Modality.AUDIO, signal=sounds(1)),
        }
