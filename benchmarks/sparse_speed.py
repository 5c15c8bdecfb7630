"""How fast is exact search over sparse vectors, and what do they weigh?

    python benchmarks/sparse_speed.py --out RESULTS.json

Made vectors: 128 indices of a vocabulary of 30,522, the frequent ones more often, as learned sparse
encoders have them; queries of 32. The reference is a product with every stored vector.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from polyseek.core.hits import Retrieval
from polyseek.core.sparse import SparseVector
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

VOCABULARY, NONZEROS, ASKED, DIM, BLOCK, QUERIES = 30_522, 128, 32, 64, 5_000, 50
TEXT = Modality.TEXT


def make(rng: np.random.Generator, count: int, nonzeros: int) -> list[SparseVector]:
    """Vectors whose indices follow a Zipf-like law."""
    chances = 1 / (np.arange(VOCABULARY) + 50.0)
    logs = np.log(chances)
    found = []
    for _ in range(count):  # the best of noisy logarithms: a draw without replacement
        noisy = logs + rng.gumbel(size=VOCABULARY)
        indices = np.sort(np.argpartition(-noisy, nonzeros)[:nonzeros]).astype(np.int32)
        weights = rng.gamma(2.0, 0.5, nonzeros).astype(np.float32)
        found.append(SparseVector(indices=indices, weights=weights))
    return found


def fill(store: LanceStore, rng: np.random.Generator, rows: int) -> list[SparseVector]:
    """Write the segments in blocks; their sparse vectors."""
    everything: list[SparseVector] = []
    for start in range(0, rows, BLOCK):
        vectors = make(rng, BLOCK, NONZEROS)
        segments = [
            Segment(asset_uri=f"mem:/{start + i}", modality=TEXT, sparse=vector)
            for i, vector in enumerate(vectors)
        ]
        dense = rng.normal(size=(BLOCK, DIM)).astype(np.float32)
        dense /= np.linalg.norm(dense, axis=1, keepdims=True)
        records = [
            AssetRecord(uri=s.asset_uri, status=AssetStatus.INDEXED, etag="1", size_bytes=1)
            for s in segments
        ]
        batch = SegmentBatch(TEXT, segments, Embeddings(shared=dense, tower=dense))
        with store.writing():
            store.upsert(records, [batch])
        everything += vectors
    return everything


def brute_force(vectors: list[SparseVector], query: SparseVector) -> Floats:
    """``(n,)`` products, one after the other."""
    dense = np.zeros(VOCABULARY, np.float32)
    dense[query.indices] = query.weights
    return np.array([dense[v.indices] @ v.weights for v in vectors], np.float32)


def measure(store: LanceStore, vectors: list[SparseVector], asked: list[SparseVector]) -> Any:
    """Milliseconds of the first and of later searches, and agreement with the reference."""
    request = Retrieval(vector=np.eye(DIM, dtype=np.float32)[0], modality=TEXT, limit=10)
    times, agreeing = [], 0
    for query in asked:
        started = perf_counter()
        found = store.search_sparse(query, request).hits
        times.append((perf_counter() - started) * 1e3)
        expected = np.sort(brute_force(vectors, query))[::-1][:10]
        scores = np.array([hit.sparse_score for hit in found])
        agreeing += int(np.allclose(scores, expected, rtol=1e-4))
    return {
        "first_ms": round(times[0], 1),
        "median_ms": round(float(np.median(times[1:])), 1),
        "top10_equal_to_brute_force": f"{agreeing} of {len(asked)}",
    }


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    rng = np.random.default_rng(0)
    manifest = Manifest(
        format_version=1, encoder="none", revision="1", dim=DIM, tower_dims={TEXT: DIM}
    )
    with tempfile.TemporaryDirectory() as folder:
        store = LanceStore.create(f"{folder}/c", manifest)
        vectors = fill(store, rng, given.rows)
        asked = make(rng, QUERIES, ASKED)
        started = perf_counter()
        brute_force(vectors, asked[0])
        result = {
            "rows": given.rows,
            "nonzeros": NONZEROS,
            "query_nonzeros": ASKED,
            "brute_force_ms": round((perf_counter() - started) * 1e3, 1),
            "memory": measure(LanceStore.open(f"{folder}/c", resident=True), vectors, asked),
            "lance": measure(LanceStore.open(f"{folder}/c"), vectors, asked[:10]),
        }
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
