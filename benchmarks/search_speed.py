"""How fast and how exact is search at 1k, 100k and 1M vectors?

    python benchmarks/search_speed.py --out benchmarks/results/search_speed.json

Synthetic unit vectors of mini's dimension in 1,000 clusters go into a real LanceDB collection and
are searched in memory, as a long-lived process does. Two kinds of query: near stored vectors (a
stored vector plus noise), and far from them as texts are from pictures (the same, shifted by a
constant vector of length 1 plus noise). Recall@10 is against a brute-force scan in this script.
A second time, each stored vector has a hub bias that is taken off its score, and the whole search
road is timed with hub correction, probabilities and no-match against the plain one, in turns.
The floor is the time to read the float32 vectors once at the memory bandwidth of the machine, read
by read in turns with the searches; a quantised tier can be below it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.api.opening import manifest_of
from polyseek.core.config import SearchOptions
from polyseek.core.hits import HubCorrection, Query, Retrieval
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    EncoderInfo,
    Floats,
    Modality,
    Prepared,
    Role,
    Segment,
    SegmentBatch,
    Tower,
)
from polyseek.encode.mini import DIM
from polyseek.encode.mini_defaults import defaults
from polyseek.search.pipeline import search
from polyseek.store.lance import LanceStore

CLUSTERS = 1000
SPREAD = 0.8
BLOCK = 50_000
TOWER_DIM = 8
QUERIES = 200
K = 10
HUB = HubCorrection(query=Modality.TEXT, strength=0.5, missing=0.0)
HUB_SPREAD = 0.05


def _text(signal: Any) -> str:
    return str(signal)


class OneVectorEncoder:
    """Stands in for an encoder that takes no time: every query is the same stored vector."""

    def __init__(self, vector: Floats) -> None:
        self.info = EncoderInfo(
            name="bench",
            revision="1",
            dim=DIM,
            towers={
                Modality.IMAGE: Tower(dim=TOWER_DIM, prepare=_text),
                Modality.TEXT: Tower(dim=TOWER_DIM, prepare=_text),
            },
        )
        self._answer = Embeddings(shared=vector[None], tower=np.ones((1, TOWER_DIM), np.float32))

    def encode(self, _: Modality, __: Sequence[Prepared], *, role: Role) -> Embeddings:  # noqa: ARG002
        """The one answer."""
        return self._answer


def unit(rows: Floats) -> Floats:
    """Rows of length 1."""
    scaled: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def vectors(rows: int, rng: np.random.Generator) -> Floats:
    """``(rows, DIM)`` unit vectors in clusters."""
    centres = unit(rng.standard_normal((CLUSTERS, DIM), dtype=np.float32))
    out = np.empty((rows, DIM), np.float32)
    for start in range(0, rows, BLOCK):
        end = min(rows, start + BLOCK)
        noise = rng.standard_normal((end - start, DIM), dtype=np.float32) * (SPREAD / DIM**0.5)
        out[start:end] = unit(centres[rng.integers(0, CLUSTERS, end - start)] + noise)
    return out


def queries(stored: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    """Both kinds of query."""
    some = stored[rng.integers(0, len(stored), QUERIES)]
    noise = rng.standard_normal(some.shape).astype(np.float32) * (0.5 / DIM**0.5)
    shift = unit(rng.standard_normal((1, DIM)).astype(np.float32))
    return {"in distribution": unit(some + noise), "text-like": unit(some + noise + shift)}


class Memory:
    """Times plain reads of a buffer far larger than any cache, by all cores together."""

    def __init__(self) -> None:
        self._cores = os.cpu_count() or 1
        self._parts = np.array_split(np.ones(64 * 1024 * 1024, np.float32), self._cores)
        self._bytes = sum(part.nbytes for part in self._parts)
        self._pool = ThreadPoolExecutor(self._cores)
        self._times: list[float] = []

    def read(self) -> None:
        """One pass over the buffer."""
        started = perf_counter()
        list(self._pool.map(lambda part: np.dot(part, part), self._parts))
        self._times.append(perf_counter() - started)

    def floor_ms(self, size_bytes: int) -> float:
        """Median time to read so many bytes."""
        return float(np.median(self._times)) / self._bytes * size_bytes * 1e3


def fill(store: LanceStore, data: Floats, bias: Floats) -> None:
    """Store the vectors as pictures with a little metadata."""
    with store.writing():
        for start in range(0, len(data), BLOCK):
            rows = data[start : start + BLOCK]
            segments = [
                Segment(
                    asset_uri=f"file:///bench/{i}.jpg",
                    modality=Modality.IMAGE,
                    metadata={"path": f"{i}.jpg", "year": 2000 + i % 25, "width": i % 4000},
                )
                for i in range(start, start + len(rows))
            ]
            tower = np.full((len(rows), TOWER_DIM), TOWER_DIM**-0.5, np.float32)
            record = AssetRecord(
                uri=f"file:///bench/block-{start}",
                status=AssetStatus.INDEXED,
                modalities=(Modality.IMAGE,),
                etag="1",
                size_bytes=1,
            )
            batch = SegmentBatch(
                Modality.IMAGE,
                segments,
                Embeddings(shared=rows, tower=tower),
                hub_bias={Modality.TEXT: bias[start : start + BLOCK]},
            )
            store.upsert([record], [batch])
        store.optimize()


def timed(work: Callable[[], object], repeat: int) -> NDArray[np.float64]:
    """Milliseconds of each of `repeat` calls, after a warm-up."""
    for _ in range(5):
        work()
    times = []
    for _ in range(repeat):
        started = perf_counter()
        work()
        times.append((perf_counter() - started) * 1e3)
    return np.array(times)


def exact_ids(data: Floats, asked: Floats, offset: Floats | float = 0.0) -> list[set[str]]:
    """Asset uris of the true best vectors of each query, by cosine less an offset of each."""
    best = [np.argpartition(offset - data @ query, K)[:K] for query in asked]
    return [{f"file:///bench/{i}.jpg" for i in rows} for rows in best]


def measure(rows: int) -> dict[str, Any]:
    """One table size."""
    rng = np.random.default_rng(7)
    data = vectors(rows, rng)
    with tempfile.TemporaryDirectory() as folder:
        encoder = OneVectorEncoder(data[0])
        writer = LanceStore.create(f"{folder}/c", manifest_of(encoder.info))
        started = perf_counter()
        bias = (rng.standard_normal(rows) * HUB_SPREAD).astype(np.float32)
        fill(writer, data, bias)
        result: dict[str, Any] = {"rows": rows, "write_s": round(perf_counter() - started, 1)}
        size_bytes = data.nbytes
        asked = queries(data, rng)
        truth = {kind: exact_ids(data, some) for kind, some in asked.items()}
        corrected = exact_ids(data, asked["text-like"], HUB.strength * bias)
        del data
        sleep(3)  # a collection that was written this moment is watched more closely
        store = LanceStore.open(f"{folder}/c", resident=True)
        started = perf_counter()
        store.search(Retrieval(vector=asked["text-like"][0], modality=Modality.IMAGE))
        result["first_search_s"] = round(perf_counter() - started, 2)
        for kind, some in asked.items():
            result[kind] = _searches(store, some, truth[kind], size_bytes)
        result["text-like, hub correction"] = _searches(
            store, asked["text-like"], corrected, size_bytes, hub=HUB
        )
        result["whole_road_p50_ms"] = _road(store, encoder)
        result["lance_p50_ms"] = round(_direct(f"{folder}/c", asked["text-like"]), 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result["peak_memory_of_this_script_mb"] = round(peak)
    return result


def _searches(
    store: LanceStore,
    asked: Floats,
    truth: Sequence[set[str]],
    size_bytes: int,
    *,
    hub: HubCorrection | None = None,
) -> dict[str, Any]:
    """Searches and plain reads take turns, so that other work on the machine slows both."""
    memory = Memory()
    found, times, tier = 0, [], ""
    for query in asked[:10]:
        store.search(Retrieval(vector=query, modality=Modality.IMAGE, limit=K, hub=hub))
    for query, best in zip(asked, truth, strict=True):
        memory.read()
        started = perf_counter()
        answer = store.search(Retrieval(vector=query, modality=Modality.IMAGE, limit=K, hub=hub))
        times.append((perf_counter() - started) * 1e3)
        found += len({hit.uri for hit in answer.hits} & best)
        tier = answer.tier
    p50, p95 = np.percentile(times, [50, 95])
    floor_ms = memory.floor_ms(size_bytes)
    return {
        "tier": tier,
        "p50_ms": round(float(p50), 3),
        "p95_ms": round(float(p95), 3),
        "float32_floor_ms": round(floor_ms, 3),
        "times_floor": round(float(p50) / floor_ms, 2),
        "recall@10": round(found / (K * len(truth)), 4),
    }


def _road(store: LanceStore, encoder: OneVectorEncoder) -> dict[str, float]:
    """The whole search road with an encoder that takes no time, metadata of the hits read.

    With mini's calibrations and without any, in turns.
    """
    query = Query(modality=Modality.TEXT, signals=["x"], label="x")
    ways = {"plain": None, "calibrated": defaults()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(105):
        for name, shipped in ways.items():
            started = perf_counter()
            options = SearchOptions(limit=K, show_all=True)
            found = search(query, encoder=encoder, store=store, options=options, defaults=shipped)
            for hit in found:
                dict(hit.metadata)
            if turn >= 5:
                times[name].append((perf_counter() - started) * 1e3)
    medians = {name: float(np.median(some)) for name, some in times.items()}
    return {
        **{name: round(ms, 3) for name, ms in medians.items()},
        "ratio": round(medians["calibrated"] / medians["plain"], 3),
    }


def _direct(location: str, asked: Floats) -> float:
    """Asking Lance, as a one-shot process does."""
    store = LanceStore.open(location)
    some = iter(np.tile(asked, (2, 1)))

    def work() -> None:
        store.search(Retrieval(vector=next(some), modality=Modality.IMAGE, limit=K))

    return float(np.median(timed(work, 15)))


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Search speed and recall")
    parser.add_argument("--rows", default="1000,100000,1000000")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = []
    for rows in map(int, options.rows.split(",")):
        results.append(measure(rows))
        print(json.dumps(results[-1], indent=2), flush=True)
    if options.out:
        machine = {"machine": platform.machine(), "cores": os.cpu_count(), "dim": DIM}
        text = json.dumps({**machine, "results": results}, indent=2)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
