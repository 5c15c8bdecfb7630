"""How long do `--ocr` and `--asr` take?

    python benchmarks/recognisers.py --speech FILE --out benchmarks/results/recognisers.json

Processor seconds (the recognisers run on one thread) for a drawn sign in a JPEG of 12 megapixels, a
drawn page of 24 lines, a frame of 1280 x 720 with a title, a picture of noise without a word, and
for half a minute of speech: FILE, repeated (so its words, which a check against loops would drop,
are counted in FILE itself). Decoding the photo counts; loading the models does not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from polyseek.core.config import resolve_settings
from polyseek.core.types import Asset, Floats, Sound
from polyseek.encode.yamnet import resampled
from polyseek.ingest.decoders.audio import AudioDecoder
from polyseek.ingest.decoders.image import ImageDecoder
from polyseek.ingest.recognisers.rapid import RapidTextRecogniser
from polyseek.ingest.recognisers.whisper import WhisperRecogniser

SPEECH_S, SPEECH_RATE_HZ = 30, 16_000
LINE = "The committee approved the yearly budget without any further discussion of the matter"


def asset(name: str) -> Asset:
    """Something to decode."""
    return Asset(uri="x", path=name, size_bytes=1, modified=datetime.now(UTC), etag="1")


def written(lines: list[str], size: tuple[int, int], points: int) -> Image.Image:
    """A white picture with lines."""
    image = Image.new("RGB", size, "white")
    for number, line in enumerate(lines):
        place = size[0] // 12, size[1] // 10 + 2 * number * points
        ImageDraw.Draw(image).text(place, line, "black", ImageFont.load_default(points))
    return image


def photo_with_a_sign() -> bytes:
    """A JPEG of 12 megapixels."""
    photo = Image.new("RGB", (4000, 3000), "#507050")
    photo.paste(written(["Harbour Bakery", "Fresh bread daily"], (1100, 500), 70), (1800, 1200))
    out = BytesIO()
    photo.save(out, "JPEG")
    return out.getvalue()


def timed(work: Callable[[], Any], times: int = 3) -> tuple[float, Any]:
    """Least processor seconds of a few tries, after one that does not count; what it gave."""
    found = work()
    spent = []
    for _ in range(times):
        started = time.process_time()
        found = work()
        spent.append(time.process_time() - started)
    return round(min(spent), 2), found


def pictures() -> dict[str, Any]:
    """Seconds and lines of each picture."""
    reader = RapidTextRecogniser(resolve_settings())
    jpeg, decoder = photo_with_a_sign(), ImageDecoder().legible()

    def read_photo() -> Any:
        (media,) = decoder.open(asset("sign.jpg"), BytesIO(jpeg))
        return reader.read(cast("Image.Image", media.signal))

    page = written([LINE] * 24, (1448, 2048), 26)
    frame = written(["Chapter One"], (1280, 720), 60)
    noise = Image.effect_noise((1600, 1200), 60).convert("RGB")
    kinds: dict[str, Callable[[], Any]] = {
        "photo of 12 megapixels with a sign": read_photo,
        "page of 24 lines": lambda: reader.read(page),
        "frame of 1280 x 720 with a title": lambda: reader.read(frame),
        "picture of 1600 x 1200 without words": lambda: reader.read(noise),
    }
    result = {}
    for name, work in kinds.items():
        seconds, lines = timed(work)
        result[name] = {"seconds": seconds, "lines": len(lines)}
        print(name, result[name], flush=True)
    return result


def speech(path: Path) -> dict[str, Any]:
    """Seconds for half a minute, and times realtime."""
    listener = WhisperRecogniser(resolve_settings())
    with path.open("rb") as stream:
        decoded = AudioDecoder().open(asset(path.name), stream)
        sounds = list(cast("Iterator[Sound]", next(decoded).signal))
    rate = sounds[0].sample_rate_hz
    whole = np.concatenate([sound.samples for sound in sounds])

    def sound(samples: Floats) -> Sound:
        read = resampled(Sound(samples=samples, sample_rate_hz=rate, start_s=0.0), SPEECH_RATE_HZ)
        return Sound(samples=read, sample_rate_hz=SPEECH_RATE_HZ, start_s=0.0)

    once, long = sound(whole), sound(np.resize(whole, SPEECH_S * rate))
    words = sum(len(piece.text.split()) for piece in listener.transcribe(once))
    seconds, _ = timed(lambda: listener.transcribe(long), times=2)
    result = {
        "seconds": seconds,
        "times_realtime": round(SPEECH_S / seconds, 1),
        "words_in_the_file": words,
    }
    print("speech", result, flush=True)
    return result


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Speed of the recognisers")
    parser.add_argument("--speech", type=Path, default=Path("tests/data/john_dashwood.opus"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = {"ocr": pictures(), "asr, half a minute": speech(options.speech)}
    if options.out:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        text = json.dumps({**machine, "result": result}, indent=2)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
