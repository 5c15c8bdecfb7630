"""How fast do a million vectors come in, next to writing the same table with LanceDB alone?

    python benchmarks/import_vectors.py --out RESULTS.json

Made vectors of unit length with an id, a price, a brand of 1,000 and a time each, in a Parquet
file. Every step is a process of its own, so that its memory and processor time can be told. "Bare"
streams the file into a LanceDB table and builds nothing; an import then builds indexes, told apart.
"Update" imports a tenth of the rows once more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BLOCK = 65_536
COLLECTION, UPDATE = "collection", "update.parquet"


def make(path: Path, rows: int, dim: int) -> None:
    """The file, and one of a tenth of its rows."""
    _write(path, rows, dim)
    _write(path.with_name(UPDATE), rows // 10, dim)


def _write(path: Path, rows: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    writer = None
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        vectors = rng.standard_normal((n, dim), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)
        table = pa.table({
            "id": [f"item-{i}" for i in range(start, start + n)],
            "vector": flat,
            "price": rng.random(n),
            "brand": rng.choice([f"brand {b}" for b in range(1000)], n),
            "seen": pa.array(rng.integers(0, 2**40, n), pa.timestamp("us")),
        })  # fmt: skip
        writer = writer or pq.ParquetWriter(path, table.schema, use_dictionary=["brand"])
        writer.write_table(table)
    if writer:
        writer.close()


def bare(path: Path, folder: Path) -> dict[str, Any]:
    """LanceDB alone."""
    import lancedb

    started = perf_counter()
    file = pq.ParquetFile(path, pre_buffer=False)
    reader = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(BLOCK))
    lancedb.connect(folder / "bare").create_table("vectors", reader)
    return {"seconds": perf_counter() - started, "bytes": size(folder / "bare")}


def ours(path: Path, folder: Path) -> dict[str, Any]:
    """What `polyseek import` does."""
    from polyseek.api.vectors import open_to_import
    from polyseek.core.config import ImportOptions
    from polyseek.core.reports import Progress

    options = ImportOptions()
    started = perf_counter()
    opened, table = open_to_import(folder / COLLECTION, path, options=options)
    writing: list[float] = []

    def progress(event: Progress) -> None:
        if event.stage == "tidy":
            writing.append(processor_s())

    done = opened.add_table(table, options, progress=progress)
    return {
        "seconds": perf_counter() - started,
        "processor_s_without_indexes": writing[0],
        "indexes_s": done.tidy_s,
        "bytes": size(folder / COLLECTION),
    }


def processor_s() -> float:
    """Of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def update(path: Path, folder: Path) -> dict[str, Any]:
    """The same with a tenth of the rows, which the collection has."""
    return ours(path.with_name(UPDATE), folder)


def size(folder: Path) -> int:
    """Bytes on disk."""
    return sum(found.stat().st_size for found in folder.rglob("*") if found.is_file())


def step(name: str, path: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one step in a process of its own."""
    command = [
        sys.executable, __file__, "--step", name, "--file", str(path), "--folder", str(folder),
        "--rows", str(arguments.rows), "--dim", str(arguments.dim),
    ]  # fmt: skip
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    if "seconds" in found:
        rows = arguments.rows // (10 if name == "update" else 1)
        writing = found["seconds"] - found.get("indexes_s", 0)
        found["rows_per_s_without_indexes"] = round(rows / writing)
        found["bytes_per_vector"] = round(found.pop("bytes") / arguments.rows)
    return {name: round(v, 1) if isinstance(v, float) else v for name, v in found.items()}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        steps = {"bare": bare, "import": ours, "update": update}
        found: dict[str, Any] = {}
        if given.step == "make":
            make(given.file, given.rows, given.dim)
        else:
            found = steps[given.step](given.file, given.folder)
        found["processor_s"] = processor_s()
        found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(found))
        return
    result: dict[str, Any] = {
        "rows": given.rows, "dim": given.dim, "cores": os.cpu_count(),
        "raw_bytes_per_vector": 4 * given.dim,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "vectors.parquet"
        for each in ("make", "bare", "import", "update"):
            load = os.getloadavg()[0]
            result[each] = {**step(each, path, folder, given), "load": round(load, 1)}
            print(each, result[each], flush=True)
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
