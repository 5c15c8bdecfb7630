"""How long does one `polyseek search` take from the shell, and where does the time go?

    python benchmarks/cold_search.py --data FOLDER --out benchmarks/results/cold_search.json

Indexes a folder of pictures once and runs the installed command in processes of its own. Disk
caches are warm, as on the second search of a day; every process is cold. The parts are timed in
processes of their own too: an empty interpreter, and one that only imports the store's library.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

import polyseek

ROUNDS = 9


def seconds(command: list[str], folder: str) -> list[float]:
    """Wall times of the command, after one run to warm the disk cache."""
    times = []
    for _ in range(ROUNDS + 1):
        started = perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        times.append(perf_counter() - started)
    return times[1:]


def measure(data: Path, limit: int) -> dict[str, dict[str, float]]:
    """Median and slowest time of each command."""
    program = str(Path(sys.executable).with_name("polyseek"))
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "in"
        pictures.mkdir()
        for path in sorted(data.rglob("*.jpg"))[:limit]:
            shutil.copyfile(path, pictures / path.name)
        polyseek.open(Path(folder) / ".polyseek").add(pictures)
        some = next(pictures.iterdir())
        commands = {
            "search with a text": [program, "search", "two dogs in the snow"],
            "search with a picture": [program, "search", str(some)],
            "--help": [program, "--help"],
            "part: python alone": [sys.executable, "-c", "pass"],
            "part: import lancedb": [sys.executable, "-c", "import lancedb"],
            "part: import onnxruntime": [sys.executable, "-c", "import onnxruntime"],
        }
        timed = {name: seconds(command, folder) for name, command in commands.items()}
    return {
        name: {"median_s": round(float(np.median(times)), 3), "slowest_s": round(max(times), 3)}
        for name, times in timed.items()
    }


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Cold search from the shell")
    parser.add_argument("--data", type=Path, required=True, help="folder with .jpg files")
    parser.add_argument("--limit", type=int, default=200, help="number of pictures")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = measure(options.data, options.limit)
    for name, times in result.items():
        print(f"{name:>26}  median {times['median_s']:.2f} s, slowest {times['slowest_s']:.2f} s")
    if options.out:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        report = {**machine, "pictures": options.limit, "rounds": ROUNDS, "result": result}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
