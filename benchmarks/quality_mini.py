"""How well does `mini` retrieve photographs by caption, and captions by photograph?

    python benchmarks/quality_mini.py --data PHOTOS --out benchmarks/results/quality_mini.json
    python benchmarks/quality_mini.py --data PHOTOS --encoder mini-multilingual --out ...

PHOTOS holds ``manifest.jsonl`` (``id``, ``path``, ``texts``) and optionally
``manifest_multilingual.jsonl``. Nothing was fitted on it. Everything goes through the shipped
encoder. Any of a photograph's captions counts as its right answer; ties count against us.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polyseek.core import plugins
from polyseek.core.config import resolve_settings
from polyseek.core.metrics import Values, ranks
from polyseek.core.protocols import Encoder
from polyseek.core.types import Embeddings, Modality, Prepared, Role

Doubles = NDArray[np.float64]


def summary(found: Values) -> dict[str, float]:
    """Recall in percent of queries, and the median rank."""
    recall = {f"R@{k}": round(float((found <= k).mean() * 100), 1) for k in (1, 5, 10)}
    return {**recall, "median_rank": float(np.median(found)), "queries": len(found)}


def embed(
    modality: Modality,
    batch: Sequence[Prepared],
    encoder: Encoder,
    role: Role = Role.DOCUMENT,
) -> Embeddings:
    """All of `batch`, in calls of 32."""
    parts = [
        encoder.encode(modality, batch[i : i + 32], role=role) for i in range(0, len(batch), 32)
    ]
    return Embeddings.concat(parts)


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _photo(row: dict[str, Any]) -> str:
    """The photograph a translated row belongs to: its id is ``photo@language``."""
    return str(row["id"]).split("@", maxsplit=1)[0]


def measure(folder: Path, encoder: Encoder) -> dict[str, dict[str, float]]:
    """Every direction, by name."""
    prepare = encoder.info.towers[Modality.IMAGE].prepare
    photos = read(folder / "manifest.jsonl")
    images = embed(
        Modality.IMAGE,
        [prepare(Image.open(folder / row["path"]).convert("RGB")) for row in photos],
        encoder,
    )
    captions = [text for row in photos for text in row["texts"]]
    owner = np.repeat(np.arange(len(photos)), [len(row["texts"]) for row in photos])
    texts = embed(Modality.TEXT, captions, encoder)
    scores = (texts.shared @ images.shared.T).astype(np.float64)
    right = owner[:, None] == np.arange(len(photos))
    same = (texts.tower @ texts.tower.T).astype(np.float64)
    np.fill_diagonal(same, -np.inf)
    sibling = owner[:, None] == owner
    np.fill_diagonal(sibling, val=False)
    result = {
        "text -> image": summary(ranks(scores, right)),
        "image -> text": summary(ranks(scores.T, right.T)),
        "text -> text (another caption of the same photograph)": summary(ranks(same, sibling)),
    }
    other = folder / "manifest_multilingual.jsonl"
    place = {row["id"]: i for i, row in enumerate(photos)}
    for language in ("zh", "ar") if other.exists() else ():
        rows = [r for r in read(other) if r["language"] == language and _photo(r) in place]
        asked = embed(Modality.TEXT, [t for r in rows for t in r["texts"]], encoder, Role.QUERY)
        target = np.repeat([place[_photo(r)] for r in rows], [len(r["texts"]) for r in rows])
        scores = (asked.shared @ images.shared.T).astype(np.float64)
        right = target[:, None] == np.arange(len(photos))
        result[f"text ({language}) -> image"] = summary(ranks(scores, right))
        result[f"image -> text ({language})"] = summary(ranks(scores.T, right.T))
        scores = (asked.tower @ texts.tower.T).astype(np.float64)
        right = target[:, None] == owner
        result[f"text ({language}) -> English text"] = summary(ranks(scores, right))
    return result


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description="Retrieval quality of mini")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="mini")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = measure(options.data, plugins.load("encoder", options.encoder)(resolve_settings()))
    print("| direction | R@1 | R@5 | R@10 | median rank | queries |\n|---|---|---|---|---|---|")
    for name, row in result.items():
        print(f"| {name} | {' | '.join(f'{v:g}' for v in row.values())} |")
    if options.out:
        report = {
            "data": options.data.name,
            "encoder": options.encoder,
            "machine": platform.machine(),
            "result": result,
        }
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
