"""Does late interaction find sounds better: words, or class names, against every second of them?

    python benchmarks/audio_patches.py --sounds SOUNDS --out benchmarks/results/audio_patches.json

SOUNDS holds ``manifest.jsonl``, recordings with one of ten labels each. Queries are four everyday
phrasings per label (`quality_audio.py`). A part is a patch of YAMNet, .96 s; there are as many
embeddings of a sound as it has patches, made like the whole sound's. Weights are chosen on the
queries of the nine other classes, so that every query is judged by a weight it had no say in.

*Windows* is the reranker itself behind a search, with weights around its own, on single recordings
of 4 s and on windows in which two or three of them follow each other, as in a longer recording.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from polyseek.core.artifacts import ensure
from polyseek.core.config import SearchOptions, resolve_settings
from polyseek.core.hits import Query
from polyseek.core.metrics import mean_interval, ndcg_at, paired_test
from polyseek.core.types import Embeddings, Floats, Modality, Role
from polyseek.encode import catalogue, heads
from polyseek.encode.mini import MiniEncoder, load
from polyseek.encode.mini_defaults import defaults
from polyseek.encode.yamnet import YamnetPrepare, YamnetTower
from polyseek.ingest.term import read_query
from polyseek.search.compose import log_odds
from polyseek.search.embed import embed
from polyseek.search.pipeline import search
from quality_audio import PHRASES, among_sounds
from stage_tasks import of_row, store_of

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
"""Of a signal, standardised over the sounds as the plain cosine is."""

FITS = (0.0, 2.5, 5.0, 10.0, 20.0, 40.0)
"""Weights of the best part's cosine in the log-odds."""

DRAWS = 5
"""Of the recordings that make a window."""

Numbers = NDArray[np.float64]


def class_scores(folder: Path) -> tuple[list[Floats], NDArray[np.str_]]:
    """``(patches, 521)`` of each sound, and the labels."""
    settings = resolve_settings()
    artifact = catalogue.get("mini").artifact("audio")
    tower = YamnetTower(lambda: ensure(artifact, settings), threads=settings.threads)
    found, labels = [], []
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        signals = read_query(folder / row["path"]).signals
        waves = [cast("Floats", YamnetPrepare()(signal)) for signal in signals]
        parts = [tower._session.run(["scores"], {"waveform": wave})[0] for wave in waves]
        found.append(np.concatenate(parts))
        labels.append(row["label"])
    return found, np.array(labels)


def signals(encoder: MiniEncoder, texts: list[str], scores: list[Floats]) -> Mapping[str, Numbers]:
    """``(queries, sounds)`` of each way to compare; the plain one first."""
    head = heads.shipped_sound_head()
    asked = among_sounds(encoder.encode(Modality.TEXT, texts, role=Role.QUERY))
    whole = head(np.stack([(s.mean(axis=0) + s.max(axis=0)) / 2 for s in scores]))
    parts = [head(s) for s in scores]
    by_word = [
        encoder.encode(Modality.TEXT, words, role=Role.QUERY).shared
        for words in (heads.words_of(text) for text in texts)
    ]
    looks = [encoder.words(text) for text in texts]
    names = asked @ head.class_vectors.T

    def each(of: Callable[[int, int], float]) -> Numbers:
        return np.array([[of(q, s) for s in range(len(scores))] for q in range(len(texts))])

    def label(sharpness: float) -> Numbers:
        """Class names are the words: those like the query, as far as they are ever heard."""
        share = np.exp(sharpness * (names - names.max(axis=1, keepdims=True)))
        share /= share.sum(axis=1, keepdims=True)
        heard: Numbers = share @ np.sqrt(np.stack([s.max(axis=0) for s in scores])).T
        return heard

    return {
        "plain": (asked @ whole.T).astype(np.float64),
        "best part": each(lambda q, s: (parts[s] @ asked[q]).max()),
        "mean of the best 3 parts": each(
            lambda q, s: np.sort(parts[s] @ asked[q])[-3:].mean()
        ),
        "each word x its best part": each(
            lambda q, s: (parts[s] @ by_word[q].T).max(axis=0).mean()
        ),
        "each word's look x its best part": each(
            lambda q, s: (
                float(np.average((parts[s] @ looks[q][0].T).max(axis=0), weights=looks[q][1]))
                if len(looks[q][0]) else 0.0
            )
        ),
        "class names like the query, sharpness 5": label(5),
        "class names like the query, sharpness 10": label(10),
        "class names like the query, sharpness 20": label(20),
    }  # fmt: skip


def standardised(values: Numbers) -> Numbers:
    """Each query's over the sounds."""
    spread: Numbers = values - values.mean(axis=1, keepdims=True)
    spread /= np.maximum(spread.std(axis=1, keepdims=True), 1e-9)
    return spread


def ranked(scores: Numbers, gains: Numbers) -> Numbers:
    """``(queries, sounds)`` gains, best first."""
    found: Numbers = np.take_along_axis(gains, np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return found


def average_precision(scores: Numbers, gains: Numbers) -> Numbers:
    """``(queries,)``."""
    found = ranked(scores, gains)
    precision = np.cumsum(found, axis=1) / np.arange(1, found.shape[1] + 1)
    each: Numbers = (precision * found).sum(axis=1) / found.sum(axis=1)
    return each


def added(
    plain: Numbers, signal: Numbers, gains: Numbers, groups: NDArray[np.int64]
) -> tuple[Numbers, list[float]]:
    """The sum of both, each class's queries with the weight that is best for all others."""
    total, chosen = np.empty_like(plain), []
    for group in np.unique(groups):
        others, own = groups != group, groups == group
        quality = [average_precision(plain + w * signal, gains)[others].mean() for w in WEIGHTS]
        chosen.append(WEIGHTS[int(np.argmax(quality))])
        total[own] = plain[own] + chosen[-1] * signal[own]
    return total, chosen


def windows(
    encoder: MiniEncoder,
    scores: list[Floats],
    labels: NDArray[np.str_],
    asked: list[tuple[str, str]],
    *,
    count: int,
) -> dict[str, Any]:
    """The reranker with each weight, over windows of so many recordings; averages of `DRAWS`."""
    rng = np.random.default_rng(0)
    head = heads.shipped_sound_head()
    groups = [list(PHRASES).index(name) for name, _ in asked]
    draws: dict[float, list[Numbers]] = {}
    for _ in range(1 if count == 1 else DRAWS):
        chosen = np.stack([rng.permutation(len(scores)) for _ in range(count)], axis=1)
        whole = [np.concatenate([scores[i] for i in row]) for row in chosen]
        rows = head(np.stack([(s.mean(axis=0) + s.max(axis=0)) / 2 for s in whole]))
        gains = np.array([[float(name in labels[row]) for row in chosen] for name, _ in asked])
        before, parts = np.zeros_like(gains), [head(s) for s in whole]
        fits = np.zeros_like(gains)
        uris = [f"mem:/{i}" for i in range(len(whole))]
        with tempfile.TemporaryDirectory() as folder:
            towers = np.zeros((len(rows), YamnetTower.dim), np.float32)
            embeddings = Embeddings(shared=rows, tower=towers)
            store = store_of(Path(folder), encoder, uris, Modality.AUDIO, embeddings)
            for q, (_, text) in enumerate(asked):
                query = embed(Query(modality=Modality.TEXT, signals=[text], label=text), encoder)
                found = search(
                    of_row(Modality.TEXT, text, query.shared[0], query.tower[0]),
                    encoder=encoder, store=store, defaults=defaults(),
                    options=SearchOptions(limit=len(uris), show_all=True),
                )  # fmt: skip
                for hit in found:
                    before[q, uris.index(hit.uri)] = log_odds(np.array([hit.probability]))[0]
                vector = among_sounds(query)[0]
                fits[q] = [(part @ vector).max() for part in parts]
        for weight in FITS:
            draws.setdefault(weight, []).append(
                np.stack([
                    average_precision(before + weight * fits, gains),
                    ndcg_at(ranked(before + weight * fits, gains), gains, 10),
                ])
            )  # fmt: skip
    means = {weight: np.mean(found, axis=0) for weight, found in draws.items()}
    return {
        f"weight {weight:g}": {
            "mAP": round(100 * float(found[0].mean()), 2),
            "nDCG@10": round(100 * float(found[1].mean()), 2),
            "p (mAP)": round(paired_test(means[0][0], found[0], groups), 4),
            "p (nDCG@10)": round(paired_test(means[0][1], found[1], groups), 4),
        }
        for weight, found in means.items()
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    scores, labels = class_scores(given.sounds)
    asked = [(name, text) for name, texts in PHRASES.items() for text in texts.split("|")]
    wanted = np.array([name for name, _ in asked])
    groups = np.array([list(PHRASES).index(name) for name in wanted])
    gains = (wanted[:, None] == labels).astype(np.float64)
    encoder = load(resolve_settings())
    by_way = signals(encoder, [text for _, text in asked], scores)
    plain = standardised(by_way["plain"])
    result: dict[str, Any] = {"queries": len(asked), "sounds": len(labels)}
    base = average_precision(plain, gains)
    base_ndcg = ndcg_at(ranked(plain, gains), gains, 10)
    for name, values in by_way.items():
        alone = standardised(values)
        ways: dict[str, tuple[Numbers, list[float]]] = {name: (alone, [])}
        if name != "plain":
            ways[f"plain + {name}"] = added(plain, alone, gains, groups)
        for way, (total, weights) in ways.items():
            each = average_precision(total, gains)
            ndcg = ndcg_at(ranked(total, gains), gains, 10)
            around = mean_interval(ndcg, groups.tolist())
            result[way] = {
                "mAP": round(100 * float(each.mean()), 2),
                "nDCG@10": round(100 * float(ndcg.mean()), 2),
                "nDCG@10 interval": [round(100 * v, 2) for v in (around.low, around.high)],
                "p (mAP)": round(paired_test(base, each, groups.tolist()), 4),
                "p (nDCG@10)": round(paired_test(base_ndcg, ndcg, groups.tolist()), 4),
                **({"weights": sorted(set(weights))} if weights else {}),
            }
            print(f"{way:50} {result[way]}")
    for count in (1, 2, 3):
        name = f"windows of {count} recordings"
        result[name] = windows(encoder, scores, labels, asked, count=count)
        print(name, result[name])
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
