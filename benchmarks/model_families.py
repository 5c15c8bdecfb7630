"""Torch against our ONNX path: the same weights, the same machine, one process each.

Weights are random, of the CLIP ViT-B/32 configuration: good for speed, memory and what int8 costs
an embedding, not for quality. One thread each: on a busy machine waiting threads would count as
work, and signals per second of CPU time hold there too.

    python benchmarks/model_families.py --work /tmp/families
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.config import Settings
from polyseek.core.export import Precision
from polyseek.core.types import Modality, Role

SIGNALS = {Modality.IMAGE: 8, Modality.TEXT: 32}
ROUNDS = 3
PRECISIONS = (Precision.FP32, Precision.INT8)


def build(folder: Path) -> None:
    """A CLIP ViT-B/32 of random weights at their usual scale, in the hub's layout."""
    import torch
    import transformers

    torch.manual_seed(0)
    letters = [chr(b) for b in range(33, 127)]
    tokens = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer(
        {token: i for i, token in enumerate(tokens)}, [], model_max_length=77
    )
    tokenizer.save_pretrained(folder)
    text = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text))
    model.eval().save_pretrained(folder)
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def signals(modality: Modality) -> list[Any]:
    """Different pictures, or texts of about 12 words."""
    from PIL import Image

    rng = np.random.default_rng(1)
    if modality is Modality.IMAGE:
        noise = rng.integers(0, 256, (SIGNALS[modality], 16, 16, 3), np.uint8)
        return [Image.fromarray(each).resize((500, 375)) for each in noise]
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return [
        " ".join("".join(rng.choice(letters, 3)) for _ in range(12))
        for _ in range(SIGNALS[modality])
    ]


def measure(name: str, home: Path) -> dict[str, Any]:
    """Start, throughput, memory and the embeddings themselves, in a process of its own."""
    began = time.perf_counter()
    from polyseek.encode import names

    encoder = names.load(name, Settings(home=home, device="cpu", threads=1))
    described_s = time.perf_counter() - began
    encoder.encode(Modality.TEXT, ["a"], role=Role.QUERY)
    told: dict[str, Any] = {
        "open_s": round(described_s, 2),
        "first_text_s": round(time.perf_counter() - began, 2),
        "first_text_cpu_s": round(time.process_time(), 2),
    }
    for modality in SIGNALS:
        tower = encoder.info.towers[modality]
        prepared = [tower.prepare(each) for each in signals(modality)]
        encoder.encode(modality, prepared[:2], role=Role.DOCUMENT)
        wall, cpu = [], []
        for _ in range(ROUNDS):
            began, worked = time.perf_counter(), time.process_time()
            rows = encoder.encode(modality, prepared, role=Role.DOCUMENT).shared
            wall.append(time.perf_counter() - began)
            cpu.append(time.process_time() - worked)
        told[f"{modality}s_per_s"] = round(len(prepared) / statistics.median(wall), 2)
        told[f"{modality}s_per_cpu_s"] = round(len(prepared) / statistics.median(cpu), 2)
        told[f"{modality}_rows"] = rows
    told["peak_memory_mb"] = peak_memory_mb()
    return told


def peak_memory_mb() -> int:
    """Of this process; what `getrusage` tells begins with its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def alone(name: str, home: Path) -> dict[str, Any]:
    """`measure` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, name, home).result()


def export(model: str, to: Path, precision: Precision, home: Path) -> dict[str, Any]:
    """Write an ONNX folder, whatever the gate would say of it is in the result."""
    from polyseek.api.exporting import export_model
    from polyseek.core.errors import EncoderError

    began = time.perf_counter()
    try:
        report = export_model(model, to, precision=str(precision), settings=Settings(home=home))
    except EncoderError as error:
        return {"refused": str(error)}
    return {**report.to_dict(), "folder": "", "seconds": round(time.perf_counter() - began, 1)}


def agreement(rows: NDArray[Any], reference: NDArray[Any]) -> dict[str, float]:
    """Cosines of the same signal, and whether nearest neighbours stay the same."""
    cosines = np.vecdot(rows, reference)

    def nearest(each: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = np.argmax(each @ each.T - 2 * np.eye(len(each)), axis=1)
        return found

    return {
        "mean_cosine": round(float(cosines.mean()), 5),
        "least_cosine": round(float(cosines.min()), 5),
        "same_nearest": round(float((nearest(rows) == nearest(reference)).mean()), 3),
    }


def main() -> None:
    """Build, export, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder, 2 GB")
    arguments = parser.parse_args()
    work: Path = arguments.work
    model, home = work / "clip-b32", work / "home"
    if not model.exists():
        model.mkdir(parents=True)
        build(model)
    results: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "load_at_start": round(os.getloadavg()[0], 1),
        "runs": {},
    }
    fresh = "torch fp32, never described before"
    before = _before()
    results["runs"][fresh] = before.get(fresh)
    if not (home / "models" / "described").exists():
        results["runs"][fresh] = _plain(alone(str(model), home))
    torch_run = alone(str(model), home)
    results["runs"]["torch fp32"] = _plain(torch_run)
    _save(results)
    for precision in PRECISIONS:
        folder = work / f"onnx-{precision}"
        known = before.get(f"onnx {precision}", {}).get("export", {})
        gate = known if folder.exists() else export(str(model), folder, precision, home)
        entry: dict[str, Any] = {"export": gate}
        if folder.exists():
            found = alone(str(folder), home)
            entry |= _plain(found)
            for modality in SIGNALS:
                key = f"{modality}_rows"
                entry[f"{modality} against torch"] = agreement(found[key], torch_run[key])
        results["runs"][f"onnx {precision}"] = entry
        _save(results)
    print(json.dumps(results, indent=1))


TARGET = Path(__file__).parent / "results" / "model_families.json"


def _before() -> dict[str, Any]:
    """What an earlier run found: an export that is there is not made again."""
    runs: dict[str, Any] = json.loads(TARGET.read_text(encoding="utf-8"))["runs"]
    return runs


def _save(results: dict[str, Any]) -> None:
    TARGET.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if not key.endswith("_rows")}


if __name__ == "__main__":
    main()
