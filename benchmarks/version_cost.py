"""What do versions cost on disk?

    python benchmarks/version_cost.py --out RESULTS.json

A collection of made vectors gets runs that each add one per cent of rows and replace another. Its
size is told after every run, with large tables rewritten by every run and with the rule in use, and
what compacting leaves.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import polyseek
from polyseek.core.types import Floats
from polyseek.store import lance_index, lance_versions

RUNS = 8


def size_mb(folder: Path) -> float:
    """Of all files."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


def measure(folder: Path, vectors: Floats, rows: int) -> dict[str, Any]:
    """The sizes, and how long a run takes."""
    opened = polyseek.open_external(folder, dim=vectors.shape[1])
    opened.add_vectors(vectors[:rows], ids=range(rows))
    step, sizes, times = rows // 100, [round(size_mb(folder))], []
    for run in range(RUNS):
        start = rows + run * step
        picked = np.r_[start : start + step, run * step : (run + 1) * step]
        began = perf_counter()
        opened.add_vectors(vectors[start : start + 2 * step], ids=picked)
        times.append(perf_counter() - began)
        sizes.append(round(size_mb(folder)))
    answer = {"mb_after_each_run": sizes, "seconds_per_run": round(float(np.median(times)), 2)}
    opened.compact(keep=1)
    return {**answer, "mb_compacted": round(size_mb(folder))}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    # Nobody else reads here, so nothing has to stay for them.
    lance_versions.GRACE = lance_versions.COMPACT_GRACE = timedelta(milliseconds=1)
    lance_versions.MARGIN = timedelta(0)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((given.rows * (100 + RUNS + 2) // 100, given.dim), np.float32)
    result: dict[str, Any] = {
        "rows": given.rows, "dim": given.dim, "kept": lance_versions.KEPT,
        "mb_of_plain_vectors": round(4 * given.rows * given.dim / 1e6),
    }  # fmt: skip
    rule = lance_index.worn
    with tempfile.TemporaryDirectory() as name:
        lance_index.worn = lambda table: True  # noqa: ARG005 - as it was before
        result["rewritten_by_every_run"] = measure(Path(name) / "old", vectors, given.rows)
        lance_index.worn = rule
        result["in_use"] = measure(Path(name) / "new", vectors, given.rows)
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
