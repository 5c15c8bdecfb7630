"""Do filtered searches stay exact, and what do they cost?

    python benchmarks/filtered_search.py --out RESULTS.json

Made unit vectors in 1,000 clusters, an integer field and a list of tags; filters that let 0.1, 1,
10 and 50 percent pass. Queries lie near stored vectors, and far off as texts lie from pictures.
Recall@10 is against a product with every vector that passes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from polyseek.core.filters import parse
from polyseek.core.hits import Retrieval
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Floats,
    Manifest,
    Modality,
    Segment,
    SegmentBatch,
)
from polyseek.store.lance import LanceStore

DIM, TOWER_DIM, CLUSTERS, BLOCK, QUERIES, K = 384, 8, 1_000, 20_000, 25, 10
SHARES = (0.001, 0.01, 0.1, 0.5)
IMAGE = Modality.IMAGE


def unit(rows: Any) -> Floats:
    """Rows at length 1."""
    scaled: Floats = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return scaled


def fill(store: LanceStore, rng: np.random.Generator, rows: int) -> Floats:
    """Write the segments; their vectors. Row i has the number i * 7919 modulo the rows."""
    centres = unit(rng.normal(size=(CLUSTERS, DIM)))
    parts = []
    for start in range(0, rows, BLOCK):
        numbers = range(start, start + BLOCK)
        noise = 0.8 * unit(rng.normal(size=(BLOCK, DIM)))
        vectors = unit(centres[rng.integers(0, CLUSTERS, BLOCK)] + noise)
        segments = [
            Segment(
                asset_uri=f"mem:/{i}",
                modality=IMAGE,
                metadata={"n": i * 7919 % rows, "tags": tags(i * 7919 % rows, rows)},
            )
            for i in numbers
        ]
        records = [
            AssetRecord(uri=s.asset_uri, status=AssetStatus.INDEXED, etag="1", size_bytes=1)
            for s in segments
        ]
        tower = unit(rng.normal(size=(BLOCK, TOWER_DIM)))
        with store.writing():
            store.upsert(records, [SegmentBatch(IMAGE, segments, Embeddings(vectors, tower))])
        parts.append(vectors)
    with store.writing():
        store.optimize()
    return np.concatenate(parts)


def tags(number: int, rows: int) -> list[str]:
    """A tag for each share the row is in."""
    return ["any", *(f"s{share:g}" for share in SHARES if number < share * rows)]


def measure(store: LanceStore, vectors: Floats, queries: Floats, where: str, share: float
            ) -> dict[str, Any]:  # fmt: skip
    """Recall, median latency and who answered."""
    rows = len(vectors)
    passing = np.flatnonzero(np.arange(rows) * 7919 % rows < share * rows)
    condition, recalls, times, tier = parse(where), [], [], ""
    for query in queries:
        started = perf_counter()
        found = store.search(Retrieval(vector=query, modality=IMAGE, limit=K, filter=condition))
        times.append((perf_counter() - started) * 1e3)
        exact = np.sort(vectors[passing] @ query)[-K]
        recalls.append(float(np.mean([hit.score >= exact - 1e-5 for hit in found.hits])))
        tier = found.tier
        if found.rows != len(passing):
            raise SystemExit(f"{where}: {found.rows} rows pass, expected {len(passing)}")
    figures = {"recall@10": round(float(np.mean(recalls)), 4)}
    return {**figures, "median_ms": round(float(np.median(times)), 1), "tier": tier}


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    rng = np.random.default_rng(0)
    manifest = Manifest(
        format_version=1, encoder="none", revision="1", dim=DIM, tower_dims={IMAGE: TOWER_DIM}
    )
    with tempfile.TemporaryDirectory() as folder:
        vectors = fill(LanceStore.create(f"{folder}/c", manifest), rng, given.rows)
        noise = 0.3 * unit(rng.normal(size=(QUERIES, DIM)))
        near = unit(vectors[rng.choice(len(vectors), QUERIES)] + noise)
        far = unit(near + unit(rng.normal(size=DIM)))
        stores = {
            "memory": LanceStore.open(f"{folder}/c", resident=True),
            "lance": LanceStore.open(f"{folder}/c"),
        }
        result: dict[str, Any] = {"rows": given.rows, "dim": DIM}
        for name, store in stores.items():
            store.search(Retrieval(vector=near[0], modality=IMAGE))  # what is read once
            result[name] = {
                f"{100 * share:g} %": {
                    kind: {
                        "near": measure(store, vectors, near, where, share),
                        "far": measure(store, vectors, far, where, share),
                    }
                    for kind, where in {
                        "range": f"n < {share * given.rows:.0f}",
                        "list": f"tags HAS 's{share:g}'",
                    }.items()
                }
                for share in SHARES
            }
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
