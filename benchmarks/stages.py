"""What each stage of a search is worth, alone and together, and what it costs.

    python benchmarks/stages.py --photos PHOTOS --sounds SOUNDS --out RESULTS.json

PHOTOS and SOUNDS hold a ``manifest.jsonl``. Queries for photographs are captions (one right answer
each), and the photographs themselves; two photographs are of the same thing when the words of their
captions agree (TF-IDF cosine at least .45), which no encoder had a say in. Queries for sounds are
sounds, and the others of their class are right. Controls: a reranker that changes nothing, and one
that gives random scores. `--cache` keeps embeddings in a file.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polyseek.api.composing import read_file
from polyseek.api.opening import manifest_of
from polyseek.core.config import SearchOptions, resolve_settings
from polyseek.core.hits import Composition, Query, Term
from polyseek.core.metrics import first_ranks, mean_interval, ndcg_at, paired_test, recall_at
from polyseek.core.protocols import Reranker
from polyseek.core.reranking import RerankSetup
from polyseek.core.retriever import Diversify, Refine, Rerank, Retriever
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Floats,
    Modality,
    Role,
    Segment,
    SegmentBatch,
)
from polyseek.encode.mini import MiniEncoder, load
from polyseek.encode.mini_defaults import defaults
from polyseek.ingest.decoders.image import flatten
from polyseek.ingest.hit_signal import signal_of
from polyseek.learn.hub import hub_bias
from polyseek.search.embed import embed
from polyseek.search.pipeline import search
from polyseek.search.rerankers import patches
from polyseek.store.lance import LanceStore

DEPTH = 50
SAME_THING = 0.45
_STOP = frozenset(
    "a an the in on of and is are with at to his her its their by for from as it he she two three "
    "man woman person people boy girl men women wearing while near other into front up down out "
    "over through some group young standing one there that another".split()
)


class Random:
    """The control of controls."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def scores(self, question: Any, candidates: Sequence[Any]) -> list[float]:  # noqa: ARG002
        """As many random numbers as there are candidates."""
        found: list[float] = self._rng.random(len(candidates)).tolist()
        return found


class Idle:
    """Changes nothing."""

    def scores(self, question: Any, candidates: Sequence[Any]) -> Iterator[float]:  # noqa: ARG002
        """The order there is."""
        return iter(-float(place) for place in range(len(candidates)))


@dataclass(frozen=True, kw_only=True)
class Task:
    """Queries over one modality.

    Attributes:
        queries: With their embeddings.
        own: Row of the query itself, which is no answer; -1 for none.
        gains: ``(q, n)``.
        groups: ``(q,)`` what each query is about.
    """

    modality: Modality
    queries: Sequence[Query]
    own: Sequence[int]
    gains: NDArray[np.float64]
    groups: Sequence[int]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The manifest."""
    return [json.loads(line) for line in (folder / "manifest.jsonl").open(encoding="utf-8")]


def same_thing(captions: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """``(n, n)`` 1 where the words of two photographs' captions agree."""
    documents = [
        Counter(
            w for text in texts for w in set(re.findall("[a-z]+", text.lower()))
            if w not in _STOP and len(w) > 2
        )
        for texts in captions
    ]  # fmt: skip
    spread = Counter(w for document in documents for w in document)
    column = {w: i for i, w in enumerate(w for w, count in spread.items() if count > 2)}
    table = np.zeros((len(documents), len(column)))
    for i, document in enumerate(documents):
        for word, count in document.items():
            if word in column:
                table[i, column[word]] = count * np.log(len(documents) / spread[word])
    table /= np.linalg.norm(table, axis=1, keepdims=True) + 1e-9
    alike = table @ table.T
    np.fill_diagonal(alike, 0)
    return (alike >= SAME_THING).astype(np.float64)


def embedded(encoder: MiniEncoder, photos: Path, cache: Path | None) -> dict[str, Any]:
    """Embeddings of photographs and of their captions, from the cache where there is one."""
    if cache and cache.exists():
        with np.load(cache) as kept:
            return dict(kept)
    rows = rows_of(photos)
    prepare = encoder.info.towers[Modality.IMAGE].prepare
    pictures = [prepare(flatten(Image.open(photos / row["path"]))) for row in rows]
    seen = encoder.encode(Modality.IMAGE, pictures, role=Role.DOCUMENT)
    texts = [text for row in rows for text in row["texts"]]
    parts = [
        encoder.encode(Modality.TEXT, texts[i : i + 32], role=Role.QUERY)
        for i in range(0, len(texts), 32)
    ]
    found = {
        "img_s": seen.shared, "img_t": seen.tower, "texts": np.array(texts),
        "txt_s": np.concatenate([part.shared for part in parts]),
        "txt_t": np.concatenate([part.tower for part in parts]),
    }  # fmt: skip
    if cache:
        np.savez(cache, allow_pickle=False, **found)
    return found


def store_of(
    folder: Path, encoder: MiniEncoder, uris: Sequence[str], modality: Modality, rows: Embeddings
) -> LanceStore:
    """A collection in memory of one segment per asset."""
    store = LanceStore.create(str(folder), manifest_of(encoder.info), resident=True)
    segments = [Segment(asset_uri=uri, modality=modality) for uri in uris]
    records = [
        AssetRecord(
            uri=uri, status=AssetStatus.INDEXED, modalities=(modality,), etag="", size_bytes=1
        )
        for uri in uris
    ]
    bias = {Modality.TEXT: hub_bias(rows.shared, defaults().bank.shared)}
    with store.writing():
        store.upsert(records, [SegmentBatch(modality, segments, rows, bias)])
        store.optimize()
    return store


def of_row(query: Modality, label: str, shared: Floats, tower: Floats) -> Query:
    """A query that is embedded already."""
    rows = Embeddings(shared=shared[None], tower=tower[None])
    return Query(modality=query, signals=(), label=label, embeddings=rows)


def photo_tasks(found: Mapping[str, Any], captions: Sequence[Sequence[str]]) -> dict[str, Task]:
    """Captions -> photographs, and photographs -> photographs of the same thing."""
    each = [i for owner, texts in enumerate(captions) for i in [owner] * len(texts)]
    chosen = [i for i in range(len(each)) if i % 5 == 0]
    owners = [each[i] for i in chosen]
    gains = np.zeros((len(chosen), len(captions)))
    gains[np.arange(len(chosen)), owners] = 1
    same = same_thing(captions)
    asked = np.flatnonzero(same.any(axis=1)).tolist()
    return {
        "text -> image": Task(
            modality=Modality.IMAGE,
            queries=[
                of_row(Modality.TEXT, str(found["texts"][i]), found["txt_s"][i], found["txt_t"][i])
                for i in chosen
            ],
            own=[-1] * len(chosen), gains=gains, groups=owners,
        ),
        "image -> image": Task(
            modality=Modality.IMAGE,
            queries=[
                of_row(Modality.IMAGE, f"photo {i}", found["img_s"][i], found["img_t"][i])
                for i in asked
            ],
            own=asked, gains=same[asked], groups=asked,
        ),
    }  # fmt: skip


def sound_task(encoder: MiniEncoder, folder: Path) -> tuple[Task, Embeddings, list[str]]:
    """Sounds -> others of their class."""
    rows = rows_of(folder)
    paths = [folder / row["path"] for row in rows]
    parts = []
    for path in paths:
        query = read_file(path.absolute().as_uri())
        if query is None:
            raise SystemExit(f"{path}: cannot be read")
        parts.append(embed(query, encoder))
    all_rows = Embeddings(
        shared=np.concatenate([p.shared for p in parts]),
        tower=np.concatenate([p.tower for p in parts]),
    )
    labels = np.array([row["label"] for row in rows])
    gains = (labels[:, None] == labels).astype(np.float64)
    np.fill_diagonal(gains, 0)
    queries = [
        of_row(Modality.AUDIO, path.name, all_rows.shared[i], all_rows.tower[i])
        for i, path in enumerate(paths)
    ]
    task = Task(
        modality=Modality.AUDIO, queries=queries, own=list(range(len(rows))), gains=gains,
        groups=list(range(len(rows))),
    )  # fmt: skip
    return task, all_rows, [path.absolute().as_uri() for path in paths]


def ask(
    task: Task, uris: Sequence[str], run: Callable[[Query], Sequence[str]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``(q, 50)`` gains of what was found, and ``(q,)`` milliseconds."""
    row_of = {uri: i for i, uri in enumerate(uris)}
    ranked, times = np.zeros((len(task.queries), DEPTH)), np.zeros(len(task.queries))
    for q, query in enumerate(task.queries):
        started = perf_counter()
        found = run(query)
        times[q] = (perf_counter() - started) * 1e3
        rows = [row_of[uri] for uri in found][:DEPTH]
        ranked[q, : len(rows)] = task.gains[q, rows]
    return ranked, times


def quality(task: Task, ranked: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """``(q,)`` of each figure."""
    ranks = first_ranks(ranked)
    return {
        "R@1": recall_at(ranks, 1),
        "R@10": recall_at(ranks, 10),
        "nDCG@10": ndcg_at(ranked, task.gains, 10),
    }


def measure(
    task: Task,
    store: LanceStore,
    uris: Sequence[str],
    encoder: MiniEncoder,
    ways: Mapping[str, tuple[Retriever, Mapping[str, Reranker]]],
) -> dict[str, Any]:
    """Figures of each way to search, against the first."""
    nobody: frozenset[str] = frozenset()
    own = zip(task.queries, task.own, strict=True)
    judged = {query.label: frozenset([uris[i]]) for query, i in own if i >= 0}
    result: dict[str, Any] = {}
    base: dict[str, NDArray[np.float64]] = {}
    for name, (retriever, rerankers) in ways.items():
        options = SearchOptions(
            limit=DEPTH, modalities=[task.modality], show_all=True, retriever=retriever
        )

        def run(query: Query, options: SearchOptions = options, by: Any = rerankers) -> list[str]:
            whole = Composition(terms=[Term(query=query)], judged=judged.get(query.label, nobody))
            hits = search(
                whole, encoder=encoder, store=store, options=options, defaults=defaults(),
                rerankers=by,
            )  # fmt: skip
            if hits.notes:
                raise SystemExit(str(hits.notes))
            return [hit.uri for hit in hits]

        ranked, times = ask(task, uris, run)
        values = quality(task, ranked)
        base = base or values
        row: dict[str, Any] = {"median_ms": round(float(np.median(times)), 2)}
        for figure, each in values.items():
            around = mean_interval(each, task.groups)
            row[figure] = round(100 * float(each.mean()), 2)
            row[f"{figure} interval"] = [round(100 * v, 2) for v in (around.low, around.high)]
        row["p"] = round(paired_test(base["nDCG@10"], values["nDCG@10"], task.groups), 4)
        result[name] = row
        print(f"  {name:28} {row}")
    return result


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    settings = resolve_settings()
    encoder = load(settings)
    rows = rows_of(given.photos)
    found = embedded(encoder, given.photos, given.cache)
    uris = [(given.photos / row["path"]).absolute().as_uri() for row in rows]
    setup = RerankSetup(settings=settings, encoder=encoder, signal_of=signal_of)
    plain = Retriever(refine=Refine(shared=0.0, reciprocal=0.0))
    patient = replace(plain, rerank=Rerank(budget_ms=3_600_000))
    controls: dict[str, tuple[Retriever, Mapping[str, Reranker]]] = {
        "plain": (plain, {}),
        "control: idle reranker": (patient, {"idle": Idle()}),
        "control: random reranker": (patient, {"random": Random()}),
        "collapse": (replace(plain, diversify=Diversify(collapse=True)), {}),
        "diverse .5": (replace(plain, diversify=Diversify(diverse=0.5)), {}),
    }
    second: dict[str, tuple[Retriever, Mapping[str, Reranker]]] = {
        "shared": (replace(plain, refine=Refine(shared=1.0, reciprocal=0.0)), {}),
        "reciprocal .3": (replace(plain, refine=Refine(shared=0.0, reciprocal=0.3)), {}),
        "shared + reciprocal .3": (replace(plain, refine=Refine(shared=1.0, reciprocal=0.3)), {}),
    }
    result: dict[str, Any] = {"photos": len(rows)}
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(
            Path(folder) / "photos", encoder, uris, Modality.IMAGE,
            Embeddings(shared=found["img_s"], tower=found["img_t"]),
        )  # fmt: skip
        tasks = photo_tasks(found, [row["texts"] for row in rows])
        by_parts = {"patches": (patient, {"patches": patches.load(setup)})}
        ways = {
            "text -> image": {**controls, **by_parts},
            "image -> image": {**controls, **second},
        }
        for name, task in tasks.items():
            print(name, len(task.queries))
            result[name] = {
                "queries": len(task.queries),
                **measure(task, store, uris, encoder, ways[name]),
            }
        task, heard, names = sound_task(encoder, given.sounds)
        store = store_of(Path(folder) / "sounds", encoder, names, Modality.AUDIO, heard)
        print("audio -> audio", len(task.queries))
        result["audio -> audio"] = {
            "queries": len(task.queries), **measure(task, store, names, encoder, controls)
        }  # fmt: skip
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
