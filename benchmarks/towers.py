"""What does an encoder find in a modality that it lacks, after a tower is joined by pairs?

    python benchmarks/towers.py --photos PHOTOS --other OTHER_PHOTOS --sounds SAMPLES --recordings
        SOUNDS --work FOLDER --out benchmarks/results/towers.json

Everything goes through `Collection.adapt` and `add`, with the towers of examples/towers.py, which
are plain arithmetic. *Pictures without colour*: photographs turned grey, shrunk to 64 x 64 and
given a sensor's noise stand for thermal images; the pairs are those of PHOTOS with their captions,
and what is asked for are OTHER_PHOTOS, by captions that nothing was fitted on. *Sounds* join `mini`
without its audio tower: SAMPLES are named by what they are, so held-out pairs of their own judge;
RECORDINGS have ten labels, which make ten groups of pairs: too few.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import polyseek
from polyseek.core.errors import ConfigError
from polyseek.core.metrics import ranks, recall_at
from polyseek.core.types import Modality, Role
from quality_mini import read

TOWERS = Path(__file__).parent.parent / "examples" / "towers.py"
BOTH = """
[[encoders]]
name = "mini"
modalities = ["text"]

[[encoders]]
name = "mini"
modalities = ["image"]
"""
AT = (1, 5, 10)
NOISE = 6.0


def table(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    """Pairs as a user has them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "caption"), *rows])
    return path


def without_colour(source: Path, folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    """Grey, small and noisy copies of photographs, by name."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = []
    for row in rows:
        with Image.open(source / row["path"]) as image:
            grey = np.asarray(image.convert("L").resize((64, 64)), float)
        noisy = (grey + rng.normal(0, NOISE, grey.shape)).clip(0, 255).astype(np.uint8)
        names.append(f"{Path(row['path']).stem}.thermal.png")
        Image.fromarray(noisy).save(folder / names[-1])
    return names


def pictures(photos: Path, other: Path, work: Path) -> dict[str, Any]:
    """Join pictures without colour, and ask for some that nothing was fitted on."""
    rows, asked = read(photos / "manifest.jsonl"), read(other / "manifest.jsonl")
    names = without_colour(photos, work / "pairs", rows)
    found = without_colour(other, work / "media", asked)
    captions = [
        (f"pairs/{name}", text)
        for name, row in zip(names, rows, strict=True)
        for text in row["texts"]
    ]
    opened = polyseek.open(work / "pictures.polyseek")
    report, spent = adapted(opened, table(work / "thermal.csv", captions), "heat", "thermal")
    started = time.perf_counter()
    opened.add(work / "media")
    indexed = time.perf_counter() - started
    texts = [(text, i) for i, row in enumerate(asked) for text in row["texts"]]
    return {
        **report,
        **spent,
        "seconds to index": round(indexed, 1),
        "indexed": opened.modalities().get(Modality.THERMAL, 0),
        "others, text -> thermal": asked_for(opened, texts, found, work / "media"),
        "others, by chance": {f"R@{k}": round(100 * k / len(found), 1) for k in AT},
    }


def asked_for(
    opened: polyseek.Collection, texts: list[tuple[str, int]], names: list[str], folder: Path
) -> dict[str, float]:
    """Recall of single files by texts, in percent: exactly, by the stored vectors."""
    uris = [(folder / name).absolute().as_uri() for name in names]
    place = {uri: i for i, uri in enumerate(uris)}
    stored = np.zeros((len(uris), opened.encoder.dim), np.float32)
    for start in range(0, len(uris), 500):
        for batch in opened.store.fetch(uris[start : start + 500]):
            for row, segment in zip(batch.embeddings.shared, batch.segments, strict=True):
                stored[place[segment.asset_uri]] = row
    words = [text for text, _ in texts]
    encoder = opened._encoder
    queries = np.concatenate(
        [
            encoder.encode(Modality.TEXT, words[i : i + 32], role=Role.QUERY).shared
            for i in range(0, len(words), 32)
        ]
    )
    right = np.array([i for _, i in texts])[:, None] == np.arange(len(uris))
    found = ranks(queries @ stored.T, right)
    return {f"R@{k}": round(100 * float(recall_at(found, k).mean()), 1) for k in AT}


def adapted(
    opened: polyseek.Collection, pairs: Path, tower: str, modality: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report by direction, and the time it took."""
    started, cpu = time.perf_counter(), time.process_time()
    report = opened.adapt(pairs, tower=f"{TOWERS}:{tower}", modality=modality).to_dict()
    print(json.dumps(report), flush=True)
    keys = ("rung", "better", "queries", "groups", "items", "before", "after", "gain_mrr")
    return {
        "joined": report["adapter"] is not None,
        "notes": report["notes"],
        **{
            f"{each['query']} -> {each['target']}": {key: each[key] for key in keys}
            for each in report["directions"]
        },
    }, {
        "seconds to join": round(time.perf_counter() - started, 1),
        "CPU seconds to join": round(time.process_time() - cpu, 1),
    }


def sounds(folder: Path, work: Path) -> dict[str, Any]:
    """Join sounds to an encoder of texts and pictures."""
    rows = read(folder / "manifest.jsonl")
    pairs = [(str(folder / row["path"]), text) for row in rows for text in row["texts"]]
    (work / "both.toml").write_text(BOTH)
    where = work / f"{folder.name}.polyseek"
    opened = polyseek.open(where, encoder=str(work / "both.toml"))
    try:
        report, spent = adapted(opened, table(work / "sounds.csv", pairs), "sound", "audio")
    except ConfigError as error:
        return {"joined": False, "refused": str(error).replace(str(work), "")}
    if report["joined"]:
        opened.add(folder, include=["*.flac", "*.wav"])
        report["indexed"] = opened.modalities().get(Modality.AUDIO, 0)
    return {**report, **spent}


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Towers joined by pairs")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="emptied")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "sounds named by what they are": lambda: sounds(options.sounds, options.work),
        "sounds with ten labels": lambda: sounds(options.recordings, options.work),
        "pictures without colour": lambda: pictures(options.photos, options.other, options.work),
    }
    result: dict[str, Any] = {}
    for name, measure in parts.items():
        result[name] = measure()
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
