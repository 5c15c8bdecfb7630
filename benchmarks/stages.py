"""What each stage of a search is worth, alone and together, and what it costs.

    python benchmarks/stages.py --photos PHOTOS --sounds SOUNDS --adapt OTHERS --out RESULTS.json

PHOTOS and SOUNDS hold a ``manifest.jsonl``. Queries for photographs are captions (one right answer
each), and the photographs themselves; two photographs are of the same thing when the words of their
captions agree (TF-IDF cosine at least .45), which no encoder had a say in. Queries for sounds are
sounds, and the others of their class are right; or everyday phrasings of the classes. *Adapted* is
text -> image with an adapter that was fitted on 300 photographs of OTHERS with their captions.
Controls: a reranker that changes nothing, and one that gives random scores. `--cache` is a folder
that keeps embeddings. With `--only` some tasks are measured again and the rest of OUT stays.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyseek.core.adapting import Adapters
from polyseek.core.config import SearchOptions, resolve_settings
from polyseek.core.hits import Composition, Query, Term
from polyseek.core.metrics import first_ranks, mean_interval, ndcg_at, paired_test, recall_at
from polyseek.core.protocols import Reranker
from polyseek.core.reranking import RerankSetup
from polyseek.core.retriever import Diversify, Refine, Rerank, Retriever
from polyseek.core.types import (
    Embeddings,
    Modality,
)
from polyseek.encode.mini import MiniEncoder, load
from polyseek.encode.mini_defaults import defaults
from polyseek.ingest.hit_signal import signal_of
from polyseek.learn.tune import tune
from polyseek.search.pipeline import search
from polyseek.search.rerankers import patches
from polyseek.store.lance import LanceStore
from stage_tasks import (
    Task,
    adapted,
    embedded,
    photo_tasks,
    phrase_task,
    rows_of,
    sound_task,
    store_of,
)

ADAPTED = "text -> image, adapted"
DEPTH = 50

Ways: TypeAlias = "Mapping[str, tuple[Retriever, Mapping[str, Reranker]]]"
"""Retrievers and their rerankers, by name; the first is what the others are compared with."""


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
    ways: Ways,
    *,
    adapters: Adapters | None = None,
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
                rerankers=by, adapters=adapters,
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
    parser.add_argument("--adapt", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", nargs="*", help="names of tasks, such as 'text -> audio'")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    settings = resolve_settings()
    encoder = load(settings)
    rows = rows_of(given.photos)
    found = embedded(encoder, given.photos, given.cache and given.cache / "photos.npz")
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
    if given.only:
        result = json.loads(given.out.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(
            Path(folder) / "photos", encoder, uris, Modality.IMAGE,
            Embeddings(shared=found["img_s"], tower=found["img_t"]),
        )  # fmt: skip
        tasks = photo_tasks(found, [row["texts"] for row in rows])
        by_parts: dict[str, tuple[Retriever, Mapping[str, Reranker]]] = {
            "patches": (patient, {"patches": patches.load(setup)}),
            "patches + collapse": (
                replace(patient, diversify=Diversify(collapse=True)),
                {"patches": patches.load(setup)},
            ),
        }
        ways = {
            "text -> image": {**controls, **by_parts},
            "image -> image": {**controls, **second},
        }

        def run(
            name: str,
            task: Task,
            among: tuple[LanceStore, Sequence[str]],
            ways: Ways,
            adapters: Adapters | None = None,
        ) -> None:
            if given.only and name not in given.only:
                return
            print(name, len(task.queries))
            figures = measure(task, *among, encoder, ways, adapters=adapters)
            result[name] = {"queries": len(task.queries), **figures}
            given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

        for name, task in tasks.items():
            run(name, task, (store, uris), ways[name])
        heard_task, heard, names = sound_task(encoder, given.sounds)
        sounds = store_of(Path(folder) / "sounds", encoder, names, Modality.AUDIO, heard)
        run("audio -> audio", heard_task, (sounds, names), controls)
        asked = phrase_task(encoder, given.sounds)
        run("text -> audio", asked, (sounds, names), {**controls, **by_parts})
        if not given.only or ADAPTED in given.only:
            cache = given.cache and given.cache / "adapt.npz"
            adapters = adapted(encoder, given.adapt, cache)
            with store.writing():  # as `polyseek adapt` does
                tune(store, bank=defaults().bank, texts=(), defaults=defaults(), adapters=adapters)
            task = tasks["text -> image"]
            run(ADAPTED, task, (store, uris), {**controls, **by_parts}, adapters)


if __name__ == "__main__":
    main()
