"""How much memory does a large metadata table take?

    python benchmarks/metadata_table.py --mb 1000 --out benchmarks/results/metadata_table.json

A table of captions, numbers and dates in each format is read in a process of its own, as `polyseek
index --metadata` reads it, and a thousand of its rows are looked up. Peak memory is that process's,
without what Python and its libraries take before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROW_BYTES = 200
READ = """
import resource, sys, time
from pathlib import Path
from pyarrow import csv, parquet
from polyseek.ingest.sources.metadata import read_table
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.perf_counter()
table = read_table(Path(sys.argv[1]))
read = time.perf_counter() - started
started = time.perf_counter()
for i in range(1000):
    assert table[f"photos/{i:09}.jpg"]["number"] == i
looked = time.perf_counter() - started
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(table), (after - before) / 1024, read, looked)
"""


def write(path: Path, rows: int) -> None:
    """A table of that many rows."""
    import pyarrow as pa
    from pyarrow import parquet

    note = "a photograph of something that somebody has described at length; " * 2
    if path.suffix == ".parquet":
        schema = pa.schema([("path", "string"), ("caption", "string"), ("number", "int64"),
                            ("day", "string")])  # fmt: skip
        with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as out:
            for start in range(0, rows, 50_000):
                block = [_row(i, note) for i in range(start, min(rows, start + 50_000))]
                out.write_table(pa.Table.from_pylist(block, schema=schema))
        return
    with path.open("w", encoding="utf-8") as out:
        if path.suffix == ".csv":
            out.write("path,caption,number,day\n")
        for i in range(rows):
            row = _row(i, note)
            values = row.values()
            line = ",".join(map(str, values)) if path.suffix == ".csv" else json.dumps(row)
            out.write(f"{line}\n")


def _row(i: int, note: str) -> dict[str, Any]:
    return {"path": f"photos/{i:09}.jpg", "caption": f"{note}{i}", "number": i, "day": "2026-01-01"}


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--mb", type=int, default=1_000)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    result: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "tables": {}}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".csv", ".jsonl", ".parquet"):
            path = Path(folder) / f"table{suffix}"
            write(path, given.mb * 1_000_000 // ROW_BYTES)
            told = subprocess.run(
                [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True
            ).stdout.split()
            result["tables"][suffix] = {
                "file_mb": round(path.stat().st_size / 1e6),
                "rows": int(told[0]),
                "peak_memory_mb": round(float(told[1])),
                "read_s": round(float(told[2]), 1),
                "lookup_ms": round(float(told[3]), 3),
            }
            print(suffix, result["tables"][suffix], flush=True)
            path.unlink()
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
