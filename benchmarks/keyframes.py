"""Are keyframes enough? Speed, and cuts found, of decoding everything and of keyframes alone.

    python benchmarks/keyframes.py --photos FOLDER --out benchmarks/results/keyframes.json

Makes an H.264 film of 1280 x 720 at 25 frames a second: sixteen scenes of 2 to 6 seconds, each a
slow pan (4 % of its width a second) over one of the folder's photographs, encoded with a keyframe
every second (as phones record), every two (streaming) and wherever x264 wants one, at most every
ten. Speed is seconds of film per second of processor time, all threads together, so it does not
depend on what else the machine does. A cut counts as found within a second of where it is.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from polyseek.core.config import IndexOptions
from polyseek.core.types import Asset
from polyseek.ingest.decoders.video import VideoDecoder
from polyseek.ingest.segmenters.video import VideoSegmenter

FPS, WIDTH, HEIGHT = 25, 1280, 720
NEAR_S = 1.0
KEYFRAMES: dict[str, dict[str, str]] = {
    "1 s": {"g": "25", "keyint_min": "25", "sc_threshold": "0"},
    "2 s": {"g": "50", "keyint_min": "50", "sc_threshold": "0"},
    "up to 10 s": {"g": "250"},
}


def lengths_s() -> list[float]:
    """Of the scenes."""
    lengths: list[float] = np.random.default_rng(1).uniform(2, 6, 16).round(2).tolist()
    return lengths


def make_film(path: Path, photos: list[Path], options: dict[str, str]) -> None:
    """A pan over each of sixteen photographs."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", **options})
        track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for photo, seconds in zip(photos, lengths_s(), strict=True):
            wide = np.asarray(Image.open(photo).convert("RGB").resize((WIDTH + 320, HEIGHT)))
            for number in range(round(seconds * FPS)):
                left = number * 2
                picture = np.ascontiguousarray(wide[:, left : left + WIDTH])
                container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode(None))


def cuts(path: Path, gap_s: float) -> tuple[list[float], float]:
    """Where shots begin, but for the first, and the processor time that finding them took."""
    asset = Asset(uri="x", path=path.name, size_bytes=1, modified=datetime.now(UTC), etag="1")
    started = time.process_time()
    with path.open("rb") as stream:
        decoded = VideoDecoder(keyframe_gap_s=gap_s).open(asset, stream)
        shots = list(VideoSegmenter(IndexOptions()).split(asset, next(decoded)))
    return [shot.span.start for shot in shots[1:] if shot.span], time.process_time() - started


def judged(found: list[float], seconds: float) -> dict[str, Any]:
    """Cuts that are found within a second of where they are, and those that are none."""
    true = list(accumulate(lengths_s()))[:-1]
    right = sum(any(abs(at - other) <= NEAR_S for other in found) for at in true)
    false = sum(all(abs(at - other) > NEAR_S for other in true) for at in found)
    return {
        "times_realtime_of_one_core": round(sum(lengths_s()) / seconds, 1),
        "cuts_found": right,
        "of": len(true),
        "false_cuts": false,
    }


def main() -> None:
    """Make, measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Keyframes against full decoding")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    photos = sorted(options.photos.rglob("*.jpg"))[: len(lengths_s())]
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, encoding in KEYFRAMES.items():
            path = Path(folder) / "film.mp4"
            make_film(path, photos, encoding)
            result[name] = {
                "everything": judged(*cuts(path, 0)),
                "keyframes": judged(*cuts(path, math.inf)),
            }
            print(name, json.dumps(result[name]), flush=True)
    if options.out:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        text = json.dumps({**machine, "keyframe_every": result}, indent=2)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
