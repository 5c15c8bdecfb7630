"""What sparse vectors add beside embeddings and words, fused by rank and by what labels say.

    python benchmarks/sparse_hybrid.py --photos PHOTOS --labelled OTHER_PHOTOS --out RESULTS.json

All photographs are in one collection, a random half of them with its first caption. The queries are
second captions of PHOTOS; labels, for `polyseek tune --pairs`, second and third captions of
OTHER_PHOTOS, so nothing is fitted to what is measured. No hub is needed: the sparse encoder expands
every word to itself and to words of the generic bank whose embeddings by mini's text tower are
near, as a learned one would, without its training.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import polyseek
from hybrid import DEPTH, quality, rank_of
from polyseek.api import opening
from polyseek.api.collection import Collection
from polyseek.core.config import resolve_settings
from polyseek.core.hits import Retrieval
from polyseek.core.sparse import SparseVector
from polyseek.core.types import Floats, Modality, Role
from polyseek.core.words import words
from polyseek.encode.mini import load
from polyseek.learn.bank import generic_queries

NEIGHBOURS, LEAST_COSINE = 6, 0.45


class Expanding:
    """Words and their neighbours, weighted by the square of the cosine."""

    name, revision = "expanding", "1"

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        for text in generic_queries():
            for word in words(text):
                self._known.setdefault(word, len(self._known))
        self._encoder = load(resolve_settings())
        self._vectors = self._embed(list(self._known))
        self._near: dict[str, list[tuple[int, float]]] = {}

    def encode(self, texts: Sequence[str], *, role: Role) -> Sequence[SparseVector]:  # noqa: ARG002
        """See `polyseek.core.protocols.SparseEncoder`."""
        read = [set(words(text)) for text in texts]
        self._learn(sorted(set().union(*read)))
        return [self._vector(found) for found in read]

    def _vector(self, found: set[str]) -> SparseVector:
        weights: dict[int, float] = {}
        for word in found:
            for index, weight in self._near[word]:
                weights[index] = max(weights.get(index, 0.0), weight)
        return SparseVector.of(weights)

    def _learn(self, found: Sequence[str]) -> None:
        new = [word for word in found if word not in self._near]
        if not new:
            return
        cosines = self._embed(new) @ self._vectors.T
        for word, row in zip(new, cosines, strict=True):
            best = np.argsort(-row)[:NEIGHBOURS]
            near = {int(i): float(row[i]) ** 2 for i in best if row[i] > LEAST_COSINE}
            own = self._known.get(word, len(self._known) + len(self._near))
            self._near[word] = list({**near, own: 1.0}.items())

    def _embed(self, found: Sequence[str]) -> Floats:
        tower = self._encoder.info.towers[Modality.TEXT]
        parts = [
            self._encoder.encode(
                Modality.TEXT, [tower.prepare(w) for w in found[i : i + 64]], role=Role.QUERY
            ).tower
            for i in range(0, len(found), 64)
        ]
        return np.concatenate(parts)


def read(folder: Path) -> list[dict[str, Any]]:
    """Rows of a folder's manifest."""
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def index(folders: Mapping[Path, Sequence[Mapping[str, Any]]], work: Path) -> Collection:
    """All photographs, half of them with a caption."""
    collection = polyseek.open(work / "collection", sparse="expanding")
    for number, (folder, rows) in enumerate(folders.items()):
        chosen = random.Random(number).sample(list(rows), len(rows) // 2)  # noqa: S311
        table = work / f"captions-{number}.csv"
        with table.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["path", "caption"])
            writer.writerows((row["path"], row["texts"][0]) for row in chosen)
        names = [Path(row["path"]).name for row in rows]
        collection.add(folder, metadata=table, include=names)
    return collection


def pairs(folder: Path, rows: Sequence[Mapping[str, Any]], work: Path) -> Path:
    """Labelled queries: two captions of each photograph."""
    table = work / "pairs.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["query", "path"])
        for row in rows:
            writer.writerows((text, str(folder / row["path"])) for text in row["texts"][1:3])
    return table


def ask(
    collection: Collection, rows: Sequence[Mapping[str, Any]], mode: str
) -> tuple[dict[str, float], float]:
    """Quality over the queries, and median milliseconds."""
    ranks, spent = [], []
    for row in rows:
        started = perf_counter()
        found = collection.search(
            f"text:{row['texts'][1]}", limit=DEPTH, mode=mode, show_all=True, modalities=["image"]
        )
        spent.append((perf_counter() - started) * 1e3)
        ranks.append(rank_of(Path(row["path"]).name, found.hits))
    return quality(ranks), round(float(np.median(spent)), 1)


def alone(
    collection: Collection, rows: Sequence[Mapping[str, Any]], encoder: Expanding
) -> dict[str, float]:
    """Quality of sparse vectors by themselves."""
    blank = np.zeros(collection.manifest.dim, np.float32)
    request = Retrieval(vector=blank, modality=Modality.IMAGE, limit=DEPTH)
    ranks = []
    for row in rows:
        (vector,) = encoder.encode([row["texts"][1]], role=Role.QUERY)
        found = collection.store.search_sparse(vector, request)
        ranks.append(rank_of(Path(row["path"]).name, found.hits))
    return quality(ranks)


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--photos", type=Path, required=True)
    arguments.add_argument("--labelled", type=Path, required=True)
    arguments.add_argument("--count", type=int, default=1_000, help="photographs of each")
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    encoder = Expanding()
    opening.load_sparse_encoder = lambda name, settings: encoder  # noqa: ARG005
    measured, others = read(given.photos)[: given.count], read(given.labelled)[: given.count]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        index({given.photos: measured, given.labelled: others}, work)
        collection = polyseek.open(work / "collection")
        result: dict[str, Any] = {
            "measured": len(measured), "labelled": len(others), "quality": {}, "median_ms": {},
        }  # fmt: skip

        def note(name: str, mode: str) -> None:
            result["quality"][name], result["median_ms"][name] = ask(collection, measured, mode)
            print(name, result["quality"][name], result["median_ms"][name], flush=True)

        note("dense, as shipped", "dense")
        note("dense, words, sparse by rank, as shipped", "hybrid")
        result["quality"]["sparse alone"] = alone(collection, measured, encoder)
        tuning = collection.tune(pairs=pairs(given.labelled, others, work))
        result["notes"] = list(tuning.notes)
        note("dense, tuned", "dense")
        note("words", "text")
        note("dense, words, sparse, tuned", "hybrid")
        with collection.store.writing():
            collection.store.save_tuning(replace(tuning, sparse=None))
        note("dense, words, sparse by rank, tuned", "hybrid")
        collection = Collection(
            collection.location, store=collection.store, encoder=collection._encoder,
            settings=collection.settings,
        )  # fmt: skip
        note("dense, words, tuned", "hybrid")
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
