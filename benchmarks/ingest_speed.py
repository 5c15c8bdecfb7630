"""How much of the bare encoder's speed does `polyseek index` keep, and what does a second run cost?

    python benchmarks/ingest_speed.py --data FOLDER --out benchmarks/results/ingest_speed.json

The pictures are dealt into rounds. In each: the bare ONNX Runtime loop on pictures that are decoded
and prepared beforehand, a fresh index run with the default settings, the bare loop again (the two
are averaged), and a second, unchanged index run. Reported are medians over the rounds, because
other work on the machine comes and goes.
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

ROUNDS = 5


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


def one_round(paths: list[Path], run: Any) -> dict[str, float]:
    """Seconds of the bare loop before and after, of a fresh index run, and of an unchanged one."""
    with tempfile.TemporaryDirectory() as work:
        corpus = Path(work) / "in"
        corpus.mkdir()
        for path in paths:
            shutil.copyfile(path, corpus / path.name)
        tensors = prepared(paths)
        before = bare_loop(tensors, run)
        first = polyseek.open(Path(work) / "c.polyseek").add(corpus)
        after = bare_loop(tensors, run)
        second = polyseek.open(Path(work) / "c.polyseek").add(corpus)
        if (first.added, second.skipped) != (len(paths), len(paths)):
            raise SystemExit(f"unexpected: {first}, {second}")
    return {
        "bare_s": (before + after) / 2,
        "bare_spread": abs(before - after) / (before + after) * 2,
        "index_s": first.elapsed_s,
        "unchanged_s": second.elapsed_s,
    }


def measure(folder: Path, limit: int) -> dict[str, float]:
    """Medians over the rounds."""
    settings = resolve_settings()
    model = ensure(catalogue.get("mini").artifact("image"), settings)
    run = session(model, threads=settings.threads).run
    paths = sorted(p for p in folder.rglob("*.jpg"))[:limit]
    bare_loop(prepared(paths[:8]), run)
    rounds = [one_round(list(part), run) for part in np.array_split(np.array(paths), ROUNDS)]
    found = {name: [each[name] for each in rounds] for name in rounds[0]}
    shares = [each["bare_s"] / each["index_s"] for each in rounds]
    ratios = [each["index_s"] / each["unchanged_s"] for each in rounds]
    return {
        "pictures": len(paths),
        "rounds": ROUNDS,
        "pictures_per_s": round(len(paths) / sum(found["index_s"]), 2),
        "bare_pictures_per_s": round(len(paths) / sum(found["bare_s"]), 2),
        "share_of_bare_speed": round(float(np.median(shares)), 3),
        "lowest_share": round(min(shares), 3),
        "highest_share": round(max(shares), 3),
        "bare_loop_spread": round(float(np.median(found["bare_spread"])), 3),
        "unchanged_run_s": round(float(np.median(found["unchanged_s"])), 4),
        "first_over_unchanged": round(float(np.median(ratios)), 0),
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
