"""Is one mixed list fair, are its probabilities honest, and does it know when nothing matches?

    python benchmarks/fair_list.py --photos PHOTOS --sounds SOUNDS --out RESULTS.json

PHOTOS holds photographs with five captions each, SOUNDS labelled recordings. Nothing that is
measured here was fitted on them; where a figure is taken after `polyseek tune`, the tuning saw the
collection and no query.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polyseek.core.config import resolve_settings
from polyseek.core.defaults import Defaults, shipped_adapters
from polyseek.core.metrics import ranks
from polyseek.core.tuning import RRF_K, Calibration, Pair, cohort_match
from polyseek.core.types import Embeddings, Modality
from polyseek.encode.mini import load
from polyseek.encode.mini_defaults import defaults
from polyseek.learn.hub import hub_bias
from polyseek.learn.tune import fit_pair
from quality_audio import IN_CAPTIONS, PHRASES, encode_files
from quality_mini import embed, read, summary

TEXT, IMAGE, AUDIO = Modality.TEXT, Modality.IMAGE, Modality.AUDIO
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Data:
    """The embedded evaluation data."""

    photos: Embeddings
    captions: Embeddings
    texts: list[list[str]]
    sounds: Embeddings
    labels: NDArray[np.str_]
    asked: Embeddings
    asked_label: NDArray[np.str_]
    absent: Embeddings

    @property
    def owner(self) -> NDArray[np.int64]:
        """Which photograph each caption belongs to."""
        return np.repeat(np.arange(len(self.texts)), [len(t) for t in self.texts])


def load_data(photos: Path, sounds: Path, absent: Path) -> Data:
    """Embed everything."""
    encoder = load(resolve_settings())
    prepare = encoder.info.towers[IMAGE].prepare
    rows = read(photos / "manifest.jsonl")
    pictures = [prepare(Image.open(photos / row["path"]).convert("RGB")) for row in rows]
    recorded = read(sounds / "manifest.jsonl")
    phrases = [(label, text) for label, texts in PHRASES.items() for text in texts.split("|")]
    return Data(
        photos=embed(IMAGE, pictures, encoder),
        captions=embed(TEXT, [text for row in rows for text in row["texts"]], encoder),
        texts=[row["texts"] for row in rows],
        sounds=encode_files(encoder, [sounds / row["path"] for row in recorded]),
        labels=np.array([row["label"] for row in recorded]),
        asked=embed(TEXT, [text for _, text in phrases], encoder),
        asked_label=np.array([label for label, _ in phrases]),
        absent=embed(TEXT, absent.read_text(encoding="utf-8").splitlines(), encoder),
    )


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of all queries with one modality's segments, ``(queries, segments)`` each."""

    cosine: Doubles
    corrected: Doubles
    probability: Doubles
    calibration: Calibration


def score(
    pair: Pair,
    queries: Embeddings,
    segments: Embeddings,
    shipped: Defaults,
    found: Calibration,
    *,
    bank: Embeddings | None = None,
) -> Scored:
    """What a search computes, for all pairs at once; the bank is the shipped one if left out."""
    adapters = shipped_adapters(shipped)
    asked, rows = adapters.move(pair[0], queries).compared(pair), segments.compared(pair)
    cosine = (asked @ rows.T).astype(np.float64)
    corrected = cosine
    if found.hub_strength:
        banked = adapters.move(pair[0], bank or shipped.bank).compared(pair)
        corrected = cosine - found.hub_strength * hub_bias(rows, banked)
    cohort = shipped.cohort(pair)
    match = np.zeros(len(asked)) if cohort is None else cohort_match(asked, cohort)
    probability = found.probability(corrected, cohort=match[:, None], rows=len(rows))
    return Scored(cosine, corrected, probability.astype(np.float64), found)


def ndcg(scores: Doubles, relevant: NDArray[np.bool_], k: int = 10) -> Doubles:
    """nDCG@k of each query; the ideal is computed from all relevant items; ties as they come."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    gains = np.take_along_axis(relevant, order, axis=1) / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    best = ideal[np.minimum(relevant.sum(axis=1), k) - 1]
    found: Doubles = gains.sum(axis=1) / best
    return found


def mixed_list(data: Data, shipped: Defaults, found: dict[Pair, Calibration]) -> dict[str, Any]:
    """One list of photographs, captions and recordings, queries with answers in several of them."""
    count = len(data.texts)
    first = np.arange(0, 5 * count, 5)
    documents = Embeddings(data.captions.shared[first + 1], data.captions.tower[first + 1])
    kinds = list(PHRASES)
    named = {
        kind: np.array(
            [
                sum(bool(re.search(pattern, text.lower())) for text in texts) >= 3
                for texts in data.texts
            ]
        )
        for kind, pattern in IN_CAPTIONS.items()
    }
    some = np.random.default_rng(0).permutation(count)[:100]
    queries = Embeddings(
        np.concatenate([data.captions.shared[first[some]], data.asked.shared]),
        np.concatenate([data.captions.tower[first[some]], data.asked.tower]),
    )
    # A caption is answered by its photograph and that one's other caption, a sound's name by the
    # recordings of its kind and by the photographs and captions that show it.
    own = some[:, None] == np.arange(count)
    nothing = np.zeros(count, bool)
    shown = np.array([named.get(label, nothing) for label in data.asked_label])
    heard = data.asked_label[:, None] == data.labels
    relevant = {
        IMAGE: np.concatenate([own, shown]),
        TEXT: np.concatenate([own, shown]),
        AUDIO: np.concatenate([np.zeros((len(some), len(data.labels)), bool), heard]),
    }
    segments = {IMAGE: data.photos, TEXT: documents, AUDIO: data.sounds}
    scored = {m: score((TEXT, m), queries, segments[m], shipped, found[TEXT, m]) for m in segments}
    right = np.concatenate([relevant[m] for m in segments], axis=1)
    owner = np.concatenate([np.full(relevant[m].shape[1], i) for i, m in enumerate(segments)])
    ways: dict[str, Callable[[Scored], Doubles]] = {
        "raw cosine": lambda s: s.cosine,
        "reciprocal rank": lambda s: 1 / (RRF_K + places(s.cosine)),
        "z-score of each list": lambda s: z_scores(s.cosine),
        "probability": lambda s: s.probability,
    }
    captions = np.arange(len(right)) < len(some)
    result: dict[str, Any] = {"kinds": len(kinds), "queries": len(right)}
    for name, way in ways.items():
        scores = np.concatenate([way(scored[m]) for m in segments], axis=1)
        gain = ndcg(scores, right)
        top = owner[np.argsort(-scores, axis=1, kind="stable")[:, :10]]
        result[name] = {
            "nDCG@10": round(float(gain.mean()), 3),
            "nDCG@10, captions": round(float(gain[captions].mean()), 3),
            "nDCG@10, names of sounds": round(float(gain[~captions].mean()), 3),
            "share in the top 10": {
                str(m): round(float((top == i).mean()), 3) for i, m in enumerate(segments)
            },
        }
    result["share among the answers"] = {
        str(m): round(float(relevant[m].sum() / right.sum()), 3) for m in segments
    }
    return result


def places(scores: Doubles) -> Doubles:
    """Rank of each item in its row, from 1."""
    order = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return (order + 1).astype(np.float64)


def z_scores(scores: Doubles) -> Doubles:
    """Scores in standard deviations above the mean of their row."""
    found: Doubles = (scores - scores.mean(axis=1, keepdims=True)) / scores.std(
        axis=1, keepdims=True
    )
    return found


def hubs(data: Data, shipped: Defaults, found: dict[Pair, Calibration]) -> dict[str, Any]:
    """Text -> image with and without hub correction."""
    scored = score((TEXT, IMAGE), data.captions, data.photos, shipped, found[TEXT, IMAGE])
    right = data.owner[:, None] == np.arange(len(data.texts))
    return {
        name: {**summary(ranks(scores, right)), "skewness": round(skewness(scores), 2)}
        for name, scores in (("cosine", scored.cosine), ("corrected", scored.corrected))
    }


def picture_hubs(data: Data, shipped: Defaults) -> dict[str, Any]:
    """Image -> text over the captions of half of the photographs; the other half is the bank."""
    count = len(data.texts)
    order = np.random.default_rng(2).permutation(count)
    banked, asked = np.sort(order[: count // 2]), np.sort(order[count // 2 :])
    inside = np.isin(data.owner, asked)
    captions = Embeddings(data.captions.shared[inside], data.captions.tower[inside])
    bank = Embeddings(data.photos.shared[banked], data.photos.tower[banked])
    queries = Embeddings(data.photos.shared[asked], data.photos.tower[asked])
    found = fit_pair((IMAGE, TEXT), bank, captions, shipped).calibration
    assert found is not None  # noqa: S101 - there is nothing to measure otherwise
    scored = score((IMAGE, TEXT), queries, captions, shipped, found, bank=bank)
    right = asked[:, None] == data.owner[inside]
    return {
        name: {**summary(ranks(scores, right)), "skewness": round(skewness(scores), 2)}
        for name, scores in (("cosine", scored.cosine), ("corrected", scored.corrected))
    }


def skewness(scores: Doubles, k: int = 10) -> float:
    """Of how often each item is among the k best: above 1 there are hubs."""
    top = np.argpartition(-scores, k, axis=1)[:, :k]
    counts = np.bincount(top.ravel(), minlength=scores.shape[1]).astype(float)
    centred = counts - counts.mean()
    return float((centred**3).mean() / max((centred**2).mean(), 1e-12) ** 1.5)


def reliability(
    probability: Doubles, relevant: NDArray[np.bool_], depth: int = 10
) -> dict[str, Any]:
    """Expected calibration error of the `depth` best hits, and the curve behind it."""
    order = np.argsort(-probability, axis=1, kind="stable")[:, :depth]
    p = np.take_along_axis(probability, order, axis=1).ravel()
    y = np.take_along_axis(relevant, order, axis=1).ravel()
    bins = np.minimum((p * 10).astype(int), 9)
    curve = {
        f"{b / 10:.1f}": [
            round(float(p[bins == b].mean()), 3),
            round(float(y[bins == b].mean()), 3),
        ]
        for b in range(10)
        if (bins == b).any()
    }
    error = sum(
        float((bins == b).mean()) * abs(float(p[bins == b].mean() - y[bins == b].mean()))
        for b in range(10)
        if (bins == b).any()
    )
    return {"ECE": round(error, 3), "curve (said, was)": curve}


def no_match(data: Data, shipped: Defaults, find: Callable[[Embeddings], Calibration]) -> Any:
    """Queries with and without an answer among half of the photographs."""
    count = len(data.texts)
    keep = np.sort(np.random.default_rng(1).permutation(count)[: count // 2])
    photos = Embeddings(data.photos.shared[keep], data.photos.tower[keep])
    found = find(photos)
    inside = np.isin(data.owner, keep)
    groups = {
        "answered": Embeddings(data.captions.shared[inside], data.captions.tower[inside]),
        "removed": Embeddings(data.captions.shared[~inside], data.captions.tower[~inside]),
        "written": data.absent,
    }
    scored = {n: score((TEXT, IMAGE), q, photos, shipped, found) for n, q in groups.items()}
    right = scored["answered"].corrected.argmax(axis=1) == np.searchsorted(keep, data.owner[inside])
    plain = scored["answered"].cosine.argmax(axis=1) == np.searchsorted(keep, data.owner[inside])
    least = found.match_probability
    result: dict[str, Any] = {
        "as shipped or tuned": {
            "match from": round(least, 3),
            "false hits, written": share(scored["written"].probability.max(axis=1) >= least),
            "false hits, removed": share(scored["removed"].probability.max(axis=1) >= least),
            "true top-1 hits kept": share(
                scored["answered"].probability.max(axis=1)[right] >= least
            ),
        }
    }
    for name, values, true in (
        ("probability", {n: s.probability.max(axis=1) for n, s in scored.items()}, right),
        ("best fixed cosine", {n: s.cosine.max(axis=1) for n, s in scored.items()}, plain),
    ):
        for without in ("written", "removed"):
            kept = [
                share(values["answered"][true] > np.quantile(values[without], 1 - false))
                for false in (0.05, 0.1, 0.2)
            ]
            result[f"{name}, {without}: true top-1 hits kept at 5, 10, 20 % false hits"] = kept
    return result


def share(flags: NDArray[np.bool_]) -> float:
    """Of the true ones, in percent."""
    return round(float(flags.mean()) * 100, 1)


def measure(data: Data) -> dict[str, Any]:
    """Everything, as shipped and tuned to the collection."""
    shipped = defaults()
    before = dict(shipped.tuning.calibrations)

    def tune_images(photos: Embeddings) -> Calibration:
        found = fit_pair((TEXT, IMAGE), shipped.bank, photos, shipped)
        print(found.note)
        assert found.calibration is not None  # noqa: S101 - there is nothing to measure otherwise
        return found.calibration

    second = slice(1, None, 5)
    documents = Embeddings(data.captions.shared[second], data.captions.tower[second])
    texts = fit_pair((TEXT, TEXT), shipped.bank, documents, shipped)
    print(texts.note)
    after = {**before, (TEXT, IMAGE): tune_images(data.photos)}
    if texts.calibration:
        after[TEXT, TEXT] = texts.calibration
    right = data.owner[:, None] == np.arange(len(data.texts))
    probabilities = {
        name: score((TEXT, IMAGE), data.captions, data.photos, shipped, found[TEXT, IMAGE])
        for name, found in (("shipped", before), ("tuned", after))
    }
    return {
        "mixed list": mixed_list(data, shipped, before),
        "mixed list, tuned": mixed_list(data, shipped, after),
        "hubs, text -> image": hubs(data, shipped, before),
        "hubs, image -> text, tuned": picture_hubs(data, shipped),
        "reliability, text -> image": {
            name: reliability(found.probability, right) for name, found in probabilities.items()
        },
        "no match, shipped": no_match(data, shipped, lambda _: before[TEXT, IMAGE]),
        "no match, tuned": no_match(data, shipped, tune_images),
    }


def run(description: str, measure: Callable[[Data], dict[str, Any]]) -> None:
    """Read the options, measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--absent", type=Path, default=Path(__file__).parent / "absent_queries.txt")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = measure(load_data(options.photos, options.sounds, options.absent))
    text = json.dumps(
        {"data": [options.photos.name, options.sounds.name], "result": result}, indent=2
    )
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    run("Fairness of mixed lists", measure)
