"""What does a search cost when the collection lies in a bucket?

    python benchmarks/object_storage.py --out benchmarks/results/object_storage.json

The same segments (random unit vectors of mini's dimension with a few words each) go into a
collection in a local folder and into one behind a real S3 server of this machine. Measured are a
search for embeddings, one for words alone (with the cosines of the ten best only, as
`search.pipeline` asks for them) and one for both: cold (a newly opened collection, as by a process
that ends) and warm, by Lance itself and by a resident copy in memory; for the bucket as it is and
with a delay added to every request by a proxy, which also counts them. The time of the encoder is
not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import lancedb
import numpy as np

from polyseek.api.opening import manifest_of
from polyseek.core.hits import Retrieval, Terms
from polyseek.core.objects import bucket_of
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    EncoderInfo,
    Floats,
    Modality,
    Segment,
    SegmentBatch,
    Space,
    Tower,
)
from polyseek.encode.mini import DIM
from polyseek.store import lance_bucket
from polyseek.store.lance import LanceStore
from polyseek.testing.s3 import Proxy, s3_proxy, s3_server

TOWER_DIM, BLOCK, REPEATS, SHOWN = 512, 5_000, 15, 10
WORDS = [f"word{i}" for i in range(2_000)]


def unit(rows: Floats) -> Floats:
    """Rows of length 1."""
    scaled: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def make(location: str, rows: int) -> dict[str, float]:
    """Fill a collection; seconds that writing and tidying up took."""
    tower = Tower(dim=TOWER_DIM, prepare=str)
    info = EncoderInfo(name="bench", revision="1", dim=DIM, towers={Modality.IMAGE: tower})
    store, rng = LanceStore.create(location, manifest_of(info)), np.random.default_rng(7)
    started = perf_counter()
    with store.writing():
        for start in range(0, rows, BLOCK):
            uris = [f"file:///bench/{i}.jpg" for i in range(start, min(rows, start + BLOCK))]
            segments = [
                Segment(
                    asset_uri=uri,
                    modality=Modality.IMAGE,
                    text=" ".join(rng.choice(WORDS, 6)),
                    metadata={"n": i},
                )
                for i, uri in enumerate(uris, start)
            ]
            shared = unit(rng.standard_normal((len(uris), DIM), dtype=np.float32))
            tower_rows = unit(rng.standard_normal((len(uris), TOWER_DIM), dtype=np.float32))
            records = [
                AssetRecord(
                    uri=uri,
                    status=AssetStatus.INDEXED,
                    modalities=(Modality.IMAGE,),
                    etag="1",
                    content_hash=uri,
                    size_bytes=1,
                    segments=1,
                )
                for uri in uris
            ]
            batch = SegmentBatch(
                Modality.IMAGE, segments, Embeddings(shared=shared, tower=tower_rows)
            )
            store.upsert(records, [batch])
        written = perf_counter()
        store.optimize()
    return {
        "write_s": round(written - started, 1),
        "optimize_s": round(perf_counter() - written, 1),
    }


def searches() -> dict[str, Callable[[LanceStore], Any]]:
    """What is timed."""
    vector = unit(np.random.default_rng(1).standard_normal((1, DIM), dtype=np.float32))[0]
    request = Retrieval(vector=vector, modality=Modality.IMAGE, space=Space.SHARED, limit=100)
    terms = Terms(exact=("word1", "word2"), fuzzy=())
    blank = replace(request, vector=np.zeros_like(vector))

    def words_alone(store: LanceStore) -> Any:
        found = store.search_text(terms, blank)
        best = [hit.id for hit in found.hits[:SHOWN]]
        return found, store.vectors(Modality.IMAGE, best, Space.SHARED)

    return {
        "embeddings": lambda store: store.search(request),
        "words": words_alone,
        "both": lambda store: (store.search(request), store.search_text(terms, request)),
    }


def measure(location: str, proxy: Proxy | None) -> dict[str, Any]:
    """Times and, behind a proxy, requests of both ways to search."""
    found: dict[str, Any] = {}
    for way, resident in (("lance", False), ("resident", True)):
        for name, search in searches().items():
            cold, cold_requests, warm, warm_requests = [], [], [], []
            for _ in range(3):
                before = len(proxy.requests) if proxy else 0
                started = perf_counter()
                store = LanceStore.open(location, resident=resident)
                search(store)
                cold.append(perf_counter() - started)
                cold_requests.append(len(proxy.requests) - before if proxy else 0)
            for _ in range(REPEATS):
                before = len(proxy.requests) if proxy else 0
                started = perf_counter()
                search(store)
                warm.append(perf_counter() - started)
                warm_requests.append(len(proxy.requests) - before if proxy else 0)
            found[f"{way}, {name}"] = {
                "cold_ms": round(float(np.median(cold)) * 1e3, 1),
                "warm_ms": round(float(np.median(warm)) * 1e3, 1),
                **(
                    {
                        "cold_requests": int(np.median(cold_requests)),
                        "warm_requests": int(np.median(warm_requests)),
                    }
                    if proxy
                    else {}
                ),
            }
    return found


def refresh_requests(location: str, proxy: Proxy) -> float:
    """Requests per second of a resident reader that is asked all the time and finds no change."""
    store, search = LanceStore.open(location, resident=True), searches()["embeddings"]
    search(store)
    before, started = len(proxy.requests), perf_counter()
    while perf_counter() - started < 5:
        search(store)
        sleep(0.01)
    return round((len(proxy.requests) - before) / (perf_counter() - started), 1)


def sizes(folder: Path, rows: int) -> dict[str, float]:
    """Bytes per segment on disk, by what they are for, in the newest version alone."""
    for name in lancedb.connect(folder).table_names():  # without versions that readers may use
        lancedb.connect(folder).open_table(name).optimize(cleanup_older_than=timedelta(0))
    total: dict[str, int] = {}
    for path in (p for p in folder.rglob("*") if p.is_file()):
        table = path.relative_to(folder).parts[0]
        kind = "index" if "_indices" in path.parts else "data" if "data" in path.parts else "rest"
        name = f"{table.removesuffix('.lance')} {kind}"
        total[name] = total.get(name, 0) + path.stat().st_size
    return {name: round(size / rows, 1) for name, size in sorted(total.items()) if size > rows}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--delay-ms", type=float, default=20)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    os.environ.setdefault("LANCEDB_LOG", "error")
    results: dict[str, Any] = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
        },
        "rows": given.rows,
        "dim": DIM,
        "tower_dim": TOWER_DIM,
        "refresh_s": lance_bucket.REFRESH_S,
    }
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder) / "s3") as server:
        local = Path(folder) / "local"
        results["local"] = {"making": make(str(local), given.rows)}
        results["local"]["search"] = measure(str(local), None)
        results["bytes per segment"] = sizes(local, given.rows)
        with s3_proxy(server) as proxy:
            os.environ.update(server.environment(proxy.endpoint))
            bucket_of("s3://bench").put("exists", b"")
            where = "s3://bench/collection"
            results["s3"] = {"making": make(where, given.rows)}
            results["s3"]["requests to make"] = len(proxy.requests)
            results["s3"]["search"] = measure(where, proxy)
            results["s3"]["refresh_requests_per_s"] = refresh_requests(where, proxy)
            proxy.delay_s = given.delay_ms / 1e3
            results[f"s3, {given.delay_ms:g} ms more per request"] = measure(where, proxy)
    given.out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
