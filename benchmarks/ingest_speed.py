"""How much of the bare encoder's speed does `polyseek index` keep, and what does a second run cost?

    python benchmarks/ingest_speed.py --data FOLDER --out benchmarks/results/ingest_speed.json

In one run, on one folder of pictures: the bare ONNX Runtime loop on pictures that are decoded and
prepared beforehand, a fresh index of the folder, the bare loop again (the two are averaged), and a
second, unchanged index run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

import polyseek
from polyseek.core.artifacts import ensure
from polyseek.core.config import resolve_settings
from polyseek.core.runtime import session
from polyseek.encode import catalogue
from polyseek.encode.towers import CLIP_MEAN, CLIP_STD, ClipPrepare


def bare_loop(tensors: list[Any], run: Any) -> float:
    """Seconds for the encoder alone, one picture per call as the encoder needs it."""
    started = perf_counter()
    for tensor in tensors:
        run(["image_embeds"], {"pixel_values": tensor})
    return perf_counter() - started


def prepared(paths: list[Path]) -> list[Any]:
    """Tensors ``(1, 3, 224, 224)`` float32, ready for the encoder."""
    prepare, tensors = ClipPrepare(), []
    for path in paths:
        pixels = np.asarray(prepare(Image.open(path).convert("RGB")), dtype=np.float32)
        scaled = (pixels / 255 - CLIP_MEAN) / CLIP_STD
        tensors.append(np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32))
    return tensors


def measure(folder: Path, limit: int) -> dict[str, float]:
    """All timings, in seconds, and their ratios."""
    settings = resolve_settings()
    model = ensure(catalogue.get("mini").artifact("image"), settings)
    run = session(model, threads=settings.threads).run
    with tempfile.TemporaryDirectory() as work:
        corpus = Path(work) / "in"
        corpus.mkdir()
        paths = sorted(p for p in folder.rglob("*.jpg"))[:limit]
        for path in paths:
            shutil.copyfile(path, corpus / path.name)
        tensors = prepared(paths)
        bare_loop(tensors[:8], run)
        before = bare_loop(tensors, run)
        collection = polyseek.open(Path(work) / "c.polyseek")
        first = collection.add(corpus)
        after = bare_loop(tensors, run)
        reopened = polyseek.open(Path(work) / "c.polyseek")
        second = reopened.add(corpus)
        if (first.added, second.skipped) != (len(paths), len(paths)):
            raise SystemExit(f"unexpected: {first}, {second}")
    bare = (before + after) / 2
    return {
        "pictures": len(paths),
        "bare_loop_s": round(bare, 2),
        "bare_loop_spread": round(abs(before - after) / bare, 3),
        "index_s": round(first.elapsed_s, 2),
        "pictures_per_s": round(len(paths) / first.elapsed_s, 2),
        "share_of_bare_speed": round(bare / first.elapsed_s, 3),
        "unchanged_run_s": round(second.elapsed_s, 4),
        "first_over_unchanged": round(first.elapsed_s / second.elapsed_s, 0),
    }


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Ingest speed against the bare encoder")
    parser.add_argument("--data", type=Path, required=True, help="folder with .jpg files")
    parser.add_argument("--limit", type=int, default=1000, help="number of pictures")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = measure(options.data, options.limit)
    for name, value in result.items():
        print(f"{name:>22}  {value:g}")
    if options.out:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        report = {"data": options.data.name, **machine, "result": result}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
