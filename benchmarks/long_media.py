"""Do a two-hour film and a 10,000-page document stream, and does a killed run go on?

    python benchmarks/long_media.py --work FOLDER --out benchmarks/results/long_media.json

Makes an H.264 film (640 x 360, 8 frames a second, a new scene every twelve seconds, a keyframe
every ten) with AAC sound and a subtitle every half minute, and a PDF of pages with a paragraph and
a drawing each. Each is indexed with the default settings by a process that is killed, with its
workers, when half of the file is done; a second process finishes. Memory is that of the process and
all its descendants together, looked at four times a second: the sum of their proportional sets, in
which a page that several processes share counts once, and the sum of their resident sets, in which
it counts for each. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from media_speed import HEIGHT, WIDTH, write_sound

FPS, SCENE_S, KEYFRAMES_S, CUE_S = 8, 12, 10, 30
KILL_AT = 0.5
WORDS = (
    "harbour ferry lantern orchard violin engine glacier market window river thunder bakery pilot "
    "meadow castle copper signal winter garden letter bridge forest anchor kitchen mirror valley"
).split()

RUN = """
import json, sys, polyseek
collection = polyseek.open(sys.argv[2], resident=False)
def progress(event):
    print(event.stage, event.label, flush=True)
report = collection.add(sys.argv[1], progress=progress)
assert not report.failures, report
print("report", json.dumps([report.added, report.segments, report.elapsed_s]), flush=True)
"""


def make_film(path: Path, seconds: int) -> None:
    """An MP4 with picture, sound and timed text."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "crf": "30", "g": str(KEYFRAMES_S * FPS)}
        track = container.add_stream("libx264", rate=FPS, options=options)
        track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=44_100, layout="mono")
        words = container.add_mux_stream("mov_text", rate=0)
        words.time_base = Fraction(1, 1000)
        for start_s in range(0, seconds, CUE_S):
            text = f"{WORDS[start_s // CUE_S % len(WORDS)]} number {start_s // CUE_S}".encode()
            packet = av.Packet(len(text).to_bytes(2, "big") + text)
            packet.stream, packet.time_base = words, words.time_base
            packet.pts = packet.dts = start_s * 1000
            packet.duration = 4000
            container.mux(packet)
        for number in range(seconds * FPS):
            scene, step = divmod(number, SCENE_S * FPS)
            if step == 0:
                colours = rng.integers(0, 256, (3, 3), np.uint8)
                stripes = (rows * (scene % 3) + columns) // (20 + 7 * (scene % 9)) % 2
                ground = colours[stripes]
            picture = ground.copy()
            left = (step * 6) % (WIDTH - 80)
            picture[120:200, left : left + 80] = colours[2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
        write_sound(container, sound, seconds)


def make_document(path: Path, pages: int) -> None:
    """A PDF of A5 pages: a heading, eight lines of words, a coloured figure."""
    rng = random.Random(0)  # noqa: S311 - no secrets
    index: list[int] = []
    with path.open("wb") as out:

        def write(number: int, body: str) -> None:
            index.append(out.tell())
            out.write(f"{number} 0 obj\n{body}\nendobj\n".encode())

        out.write(b"%PDF-1.4\n")
        kids = " ".join(f"{4 + 2 * page} 0 R" for page in range(pages))
        write(1, "<< /Type /Catalog /Pages 2 0 R >>")
        write(2, f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>")
        write(3, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
        for page in range(pages):
            lines = [f"Page {page + 1}", *(" ".join(rng.choices(WORDS, k=8)) for _ in range(8))]
            shown = " ".join(f"({line}) Tj T*" for line in lines)
            red, green, blue = (rng.random() for _ in range(3))
            drawn = (
                f"{red:.2f} {green:.2f} {blue:.2f} rg {rng.randint(40, 200)} 60 160 120 re f "
                f"0 g BT /F 11 Tf 16 TL 40 540 Td {shown} ET"
            )
            write(
                4 + 2 * page,
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 595] /Contents {5 + 2 * page} "
                "0 R /Resources << /Font << /F 3 0 R >> >> >>",
            )
            write(5 + 2 * page, f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
        start, size = out.tell(), len(index) + 1
        out.write(f"xref\n0 {size}\n0000000000 65535 f \n".encode())
        out.write("".join(f"{offset:010} 00000 n \n" for offset in index).encode())
        out.write(f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())


def tree(root: int) -> list[int]:
    """A process and its descendants, by id (Linux)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # ended meanwhile
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for process in found:
        found += parents.get(process, [])
    return found


def memory_mb(processes: list[int]) -> tuple[float, float]:
    """Proportional and resident sets of processes together, in MB; one that has ended has none."""
    total = {"Pss": 0, "Rss": 0}
    for process in processes:
        with suppress(OSError):
            rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
            for name, size_kb, *_ in map(str.split, rows):
                if name[:-1] in total:
                    total[name[:-1]] += int(size_kb)
    return total["Pss"] * 1024 / 1e6, total["Rss"] * 1024 / 1e6


@dataclass
class Run:
    """One process that indexes a file, watched."""

    peak_mb: float = 0.0
    resident_mb: float = 0.0
    seconds: float = 0.0
    shares: list[float] = field(default_factory=list)
    longest_still_s: float = 0.0
    added: int = 0
    segments: int = 0

    def watch(self, path: Path, collection: Path, *, kill_at: float | None = None) -> Run:
        """Index the file; `kill_at` ends it, by force, when that share of it is done."""
        started = moved = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(path), str(collection)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        sampler = threading.Thread(target=self._sample, args=(process,))
        sampler.start()
        for line in process.stdout or ():
            if line.startswith("report"):
                self.added, self.segments, _ = json.loads(line.removeprefix("report"))
            share = re.search(r" (\d+)%$", line)
            if not share:
                continue
            if not self.shares or int(share[1]) / 100 != self.shares[-1]:
                now = time.perf_counter()
                self.longest_still_s, moved = max(self.longest_still_s, now - moved), now
                self.shares.append(int(share[1]) / 100)
            if kill_at is not None and self.shares[-1] >= kill_at:
                process.kill()
        process.wait()
        sampler.join()
        if kill_at is None and process.returncode:
            raise SystemExit(f"indexing {path} failed")
        self.seconds = time.perf_counter() - started
        return self

    def _sample(self, process: subprocess.Popen[str]) -> None:
        while process.poll() is None:
            proportional, resident = memory_mb(tree(process.pid))
            self.peak_mb = max(self.peak_mb, proportional)
            self.resident_mb = max(self.resident_mb, resident)
            time.sleep(0.25)

    def told(self) -> dict[str, Any]:
        """Its figures."""
        return {
            "seconds": round(self.seconds, 1),
            "peak_memory_mb": round(self.peak_mb),
            "peak_memory_shared_pages_counted_for_each_process_mb": round(self.resident_mb),
            "steps_of_progress_inside_the_file": len(self.shares),
            "longest_time_without_progress_s": round(self.longest_still_s, 1),
        }


def folder_mb(folder: Path) -> float:
    """Bytes below a folder, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def measure(path: Path, work: Path) -> dict[str, Any]:
    """A run that is killed half-way, and the one that goes on."""
    collection = work / f"{path.name}.polyseek"
    killed = Run().watch(path, collection, kill_at=KILL_AT)
    finished = Run().watch(path, collection)
    if finished.added != 1:
        raise SystemExit(f"{path} was not indexed; was {collection} there before?")
    return {
        "file_mb": round(path.stat().st_size / 1e6, 1),
        "segments": finished.segments,
        "collection_mb": round(folder_mb(collection), 1),
        "killed_half_way": killed.told(),
        "second_run": finished.told(),
    }


def main() -> None:
    """Make, measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Long films and documents")
    parser.add_argument("--work", type=Path, required=True, help="where files are made and kept")
    parser.add_argument("--hours", type=float, default=2, help="of the film; 0 for none")
    parser.add_argument("--pages", type=int, default=10_000, help="of the document; 0 for none")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    kinds: list[tuple[str, str, float, Callable[[Path, float], None]]] = [
        (
            "film.mp4",
            "hours",
            options.hours,
            lambda path, hours: make_film(path, int(3600 * hours)),
        ),
        ("document.pdf", "pages", options.pages, lambda path, n: make_document(path, int(n))),
    ]
    result: dict[str, Any] = {}
    for name, unit, extent, make in kinds:
        path = options.work / name
        if not extent:
            continue
        if not path.exists():
            make(path, extent)
        result[name] = {unit: extent, **measure(path, options.work)}
        print(name, json.dumps(result[name], indent=2), flush=True)
    if options.out:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        text = json.dumps({**machine, "result": result}, indent=2)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
