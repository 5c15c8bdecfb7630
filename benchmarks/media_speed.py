"""How fast are recordings and films indexed, against the bare tower, and how much memory is used?

    python benchmarks/media_speed.py --minutes 10 --out benchmarks/results/media_speed.json

Makes an MP3 of changing tones and noise, and an H.264 film of moving shapes with a cut every six
seconds (640 x 360, a keyframe every ten seconds and at cuts) with that sound. Each is indexed with
the default settings. The bare tower runs afterwards over what the decoders hand to it, prepared
beforehand. Memory is the peak of the indexing process and of its largest worker.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import av
import numpy as np

from polyseek.core.config import IndexOptions, resolve_settings
from polyseek.core.types import Asset, Floats, Modality, Role
from polyseek.encode.mini import MiniEncoder, load
from polyseek.ingest.decode import decoder_for, decoders, segmenters

RATE, FPS, WIDTH, HEIGHT, CUT_S = 44_100, 25, 640, 360, 6


def wave(second: int) -> Floats:
    """One second of sound, never silent."""
    rng = np.random.default_rng(second)
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * (200 + 37 * (second % 40)) * time)
    mixed: Floats = (0.3 * tone + 0.05 * rng.normal(size=RATE)).astype(np.float32)
    return mixed


def write_sound(container: Any, track: Any, seconds: int) -> None:
    """Encode the sound into a track."""
    size = track.codec_context.frame_size or 1024
    shaper = av.AudioResampler(
        format=track.codec_context.format.name, layout="mono", rate=RATE, frame_size=size
    )
    for second in range(seconds):
        frame = av.AudioFrame.from_ndarray(wave(second)[None], format="flt", layout="mono")
        frame.sample_rate = RATE
        for piece in shaper.resample(frame):
            container.mux(track.encode(piece))
    container.mux(track.encode(None))


def make_recording(path: Path, seconds: int) -> None:
    """An MP3."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        write_sound(container, track, seconds)


def make_film(path: Path, seconds: int) -> None:
    """An MP4 with picture and sound."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "g": str(10 * FPS)}
        track = container.add_stream("libx264", rate=FPS, options=options)
        track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        for number in range(seconds * FPS):
            scene, step = divmod(number, CUT_S * FPS)
            colour = np.random.default_rng(scene).integers(0, 256, (2, 3))
            wide = 20 + 7 * (scene % 9)
            stripes = ((rows * (scene % 3) + columns + 2 * step) // wide) % 2
            picture = colour[stripes].astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
        write_sound(container, sound, seconds)


def index(path: Path, folder: str) -> tuple[float, int, int]:
    """Seconds of a fresh index run in a process of its own, and both peaks in MB."""
    code = (
        "import sys, json, resource, polyseek; "
        "c = polyseek.open(sys.argv[2], resident=False); r = c.add(sys.argv[1]); "
        "assert r.added == 1 and not r.failures, r; "
        "peaks = [resource.getrusage(w).ru_maxrss // 1024 for w in (resource.RUSAGE_SELF, "
        "resource.RUSAGE_CHILDREN)]; print(json.dumps([r.elapsed_s, *peaks]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), f"{folder}/{path.name}.polyseek"],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, own, worker = json.loads(done.stdout)
    return float(seconds), int(own), int(worker)


def bare(encoder: MiniEncoder, path: Path) -> float:
    """Seconds of the towers alone."""
    asset = Asset(uri="x", path=path.name, size_bytes=1, modified=datetime.now(UTC), etag="1")
    prepared: dict[Modality, list[Any]] = {Modality.AUDIO: [], Modality.VIDEO: []}
    options = IndexOptions()
    with path.open("rb") as stream:
        for media in decoder_for(asset, decoders()).open(asset, stream):
            if media.modality not in prepared:
                continue
            prepare = encoder.info.towers[media.modality].prepare
            for segment in segmenters(options)[media.modality].split(asset, media):
                if segment.signal is not None:
                    prepared[media.modality].append(prepare(segment.signal))
    for modality, batch in prepared.items():
        encoder.encode(modality, batch[:2], role=Role.DOCUMENT)
    started = perf_counter()
    for modality, batch in prepared.items():
        for start in range(0, len(batch), 8):
            encoder.encode(modality, batch[start : start + 8], role=Role.DOCUMENT)
    return perf_counter() - started


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Speed and memory on recordings and films")
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    encoder, seconds = load(resolve_settings()), options.minutes * 60
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("sound.mp3", make_recording), ("film.mp4", make_film)):
            path = Path(folder) / name
            make(path, seconds)
            took, own, worker = index(path, folder)
            alone = bare(encoder, path)
            result[name] = {
                "minutes": options.minutes,
                "index_s": round(took, 1),
                "times_realtime": round(seconds / took, 1),
                "seconds_per_hour": round(3600 * took / seconds, 0),
                "share_of_bare_tower_speed": round(alone / took, 2),
                "peak_memory_mb": own,
                "peak_memory_of_a_worker_mb": worker,
            }
            print(name, json.dumps(result[name], indent=2), flush=True)
    if options.out:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        text = json.dumps({**machine, "result": result}, indent=2)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
