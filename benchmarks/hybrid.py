"""What words add to a search when only half of the photographs have a caption.

    python benchmarks/hybrid.py --photos PHOTOS --out RESULTS.json

PHOTOS holds photographs with several captions each. A random half is indexed with its first
caption; every query is the second caption of a photograph, so the words differ from the stored
ones. Queries without an answer count how often something is found all the same.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import polyseek
from polyseek.core.hits import Hit
from polyseek.search.fuse import reciprocal_rank

DEPTH = 100
MODES = ("dense", "text", "hybrid")
Ranks = Mapping[str, Sequence[int]]


def index(photos: Path, rows: Sequence[Mapping[str, Any]], folder: Path) -> set[str]:
    """Index the photographs, half of them with a caption; names of that half."""
    chosen = set(random.Random(0).sample([row["path"] for row in rows], len(rows) // 2))  # noqa: S311
    table = folder / "captions.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "caption"])
        writer.writerows((r["path"], r["texts"][0]) for r in rows if r["path"] in chosen)
    collection = polyseek.open(folder / "collection")
    collection.add(photos, metadata=table, include=["*.jpg"])
    return {Path(path).name for path in chosen}


def rank_of(name: str, hits: Sequence[Hit]) -> int:
    """Rank of the photograph, `DEPTH + 1` when it is not there."""
    return next((i for i, hit in enumerate(hits, 1) if hit.uri.endswith("/" + name)), DEPTH + 1)


def ask(collection: polyseek.Collection, rows: Sequence[Mapping[str, Any]]) -> tuple[Ranks, Any]:
    """Ranks of the right photograph by way of searching, and milliseconds per search."""
    ranks: dict[str, list[int]] = {mode: [] for mode in (*MODES, "rank fusion")}
    times: dict[str, list[float]] = {mode: [] for mode in MODES}
    for row in rows:
        name, found = Path(row["path"]).name, {}
        for mode in MODES:
            started = perf_counter()
            found[mode] = collection.search(
                f"text:{row['texts'][1]}", limit=DEPTH, mode=mode, show_all=True
            ).hits
            times[mode].append((perf_counter() - started) * 1e3)
        found["rank fusion"] = reciprocal_rank([found["dense"], found["text"]])
        for mode, hits in found.items():
            ranks[mode].append(rank_of(name, hits))
    return ranks, {mode: round(float(np.median(ms)), 1) for mode, ms in times.items()}


def quality(ranks: Sequence[int]) -> dict[str, float]:
    """R@1, R@10 and nDCG@10 in percent; every query has one right answer."""
    found = np.array(ranks)
    gains = np.where(found <= 10, 1 / np.log2(1 + found), 0)
    figures = {"R@1": found == 1, "R@10": found <= 10, "nDCG@10": gains}
    return {name: round(100 * float(np.mean(values)), 1) for name, values in figures.items()}


def answered(collection: polyseek.Collection, queries: Sequence[str]) -> dict[str, float]:
    """Percent of the queries that find something, by way of searching."""
    return {
        mode: round(
            100 * float(np.mean([not collection.search(f"text:{q}", mode=mode).no_match
                                 for q in queries])), 1
        )
        for mode in ("dense", "hybrid")
    }  # fmt: skip


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--photos", type=Path, required=True)
    arguments.add_argument(
        "--absent", type=Path, default=Path(__file__).with_name("absent_queries.txt")
    )
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    manifest = (given.photos / "manifest.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in manifest.splitlines()]
    absent = [q for q in given.absent.read_text(encoding="utf-8").splitlines() if q.strip()]
    with tempfile.TemporaryDirectory() as folder:
        captioned = index(given.photos, rows, Path(folder))
        collection = polyseek.open(Path(folder) / "collection")
        ranks, times = ask(collection, rows)
        inside = np.array([Path(row["path"]).name in captioned for row in rows])
        shares = {"all": inside | ~inside, "with caption": inside, "without": ~inside}
        result = {
            "photos": len(rows),
            "quality": {
                name: {mode: quality(np.array(r)[mask].tolist()) for mode, r in ranks.items()}
                for name, mask in shares.items()
            },
            "found_something_percent": {
                "queries without an answer": answered(collection, absent),
                "queries with an answer": answered(collection, [r["texts"][1] for r in rows]),
            },
            "median_ms_per_search": times,
        }
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
