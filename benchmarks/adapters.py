"""What does an adapter win, from how many pairs, what does it cost elsewhere, and does it refuse?

    python benchmarks/adapters.py --adapt PHOTOS --dev OTHER_PHOTOS --generic FIT --cache FOLDER
        --sounds SAMPLES RECORDINGS --out benchmarks/results/adapters.json

PHOTOS stands for the user's own pairs: 1,500 photographs with five captions each. Everything is
measured on OTHER_PHOTOS, 1,000 with five captions, on which nothing is fitted or picked, and on
emoji and clip-art with their names (FIT), which are nothing like the pairs. Hub correction comes
from the shipped bank, at the strength that `polyseek tune` picks. Each ``--part`` can be run alone;
results are added to those in OUT.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import polyseek
from polyseek.core.adapting import between, features_of
from polyseek.core.config import resolve_settings
from polyseek.core.errors import ConfigError
from polyseek.core.metrics import Values, ranks, recall_at
from polyseek.core.types import Embeddings, Floats, Modality
from polyseek.encode.mini import load
from polyseek.encode.mini_defaults import defaults
from polyseek.ingest.decoders.image import flatten
from polyseek.learn.adapters.ladder import Fitted, Task, fit
from polyseek.learn.adapters.pairs import Linked, Side
from polyseek.learn.adapters.residual import Residual
from polyseek.learn.adapters.trial import Verdict, climb
from polyseek.learn.hub import hub_bias
from polyseek.learn.tune import hub_strength
from quality_mini import embed, read

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE
SIZES = (50, 150, 500, 1500)
STRENGTHS = (0.0, 0.5, 1.0)
TRIALS, TRIAL_PHOTOS, TRIAL_DIMS = 100, 150, 64
GENERIC_STEP = 2
"""Every second emoji and clip-art: half of the time."""

Place = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, eq=False)
class Data:
    """Pictures and texts with the picture each text belongs to."""

    images: Embeddings
    texts: Embeddings
    words: list[str]
    owner: NDArray[np.int64]

    def sides(self, query: Modality) -> tuple[Embeddings, Embeddings, NDArray[np.bool_]]:
        """Queries, items and what belongs together."""
        right = self.owner[:, None] == np.arange(len(self.images))
        if query is TEXT:
            return self.texts, self.images, right
        return self.images, self.texts, right.T


def load_data(name: str, rows: list[dict[str, Any]], folder: Path, cache: Path) -> Data:
    """Embed what is not in the cache yet."""
    path = cache / f"{name}.npz"
    if not path.exists():
        encoder = load(resolve_settings())
        prepare = encoder.info.towers[IMAGE].prepare
        words = [text for row in rows for text in row["texts"]]
        pictures = [prepare(flatten(Image.open(folder / row["path"]))) for row in rows]
        images, texts = embed(IMAGE, pictures, encoder), embed(TEXT, words, encoder)
        owner = np.repeat(np.arange(len(rows)), [len(row["texts"]) for row in rows])
        np.savez(
            path, img_s=images.shared, img_t=images.tower, txt_s=texts.shared, txt_t=texts.tower,
            owner=owner, texts=np.array(words),
        )  # fmt: skip
    with np.load(path) as found:
        return Data(
            images=Embeddings(found["img_s"], found["img_t"]),
            texts=Embeddings(found["txt_s"], found["txt_t"]),
            words=found["texts"].tolist(),
            owner=found["owner"],
        )


def generic_rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    """English names of emoji or clip-art, one each."""
    found = [
        {**row, "texts": row["texts"][:1]}
        for row in read(folder / "manifest.jsonl")
        if row["path"].startswith(kind) and row["language"] == "en" and row["texts"]
    ]
    return [row for row in found if (folder / row["path"]).exists()][::GENERIC_STEP]


def linked(data: Data, photos: NDArray[np.int64]) -> Linked:
    """The captions of some photographs with their photographs."""
    place = {photo: i for i, photo in enumerate(photos.tolist())}
    first: dict[str, int] = {}
    rows: list[int] = []
    links: set[tuple[int, int]] = set()
    for row, photo in enumerate(data.owner.tolist()):
        if photo in place:
            if data.words[row] not in first:
                first[data.words[row]] = len(rows)
                rows.append(row)
            links.add((first[data.words[row]], place[photo]))
    return Linked(
        first=Side(modality=TEXT, keys=list(first), embeddings=data.texts.take(np.array(rows))),
        second=Side(
            modality=IMAGE,
            keys=[f"photo {i}" for i in photos.tolist()],
            embeddings=data.images.take(photos),
        ),
        links=np.array(sorted(links), np.int64),
    )


def task_of(pairs: Linked, others: Floats | None = None) -> Task:
    """Among themselves, and the items of a collection that are in no pair."""
    dim = pairs.second.found.compared(pairs.pair).shape[1]
    return Task(
        pairs=pairs, distractors=np.zeros((0, dim), np.float32) if others is None else others
    )


def measure(data: Data, query: Modality, place: Place, bank: Embeddings) -> dict[str, Any]:
    """Recall by cosine and with hub correction.

    Args:
        data: What is searched.
        query: Modality of the queries.
        place: Features and unadapted vectors -> where queries lie.
        bank: Queries of that modality, for the hub bias.
    """
    asked, items, right = data.sides(query)
    pair = (query, IMAGE if query is TEXT else TEXT)
    rows = items.compared(pair)
    scores = place(features_of(asked), asked.compared(pair)) @ rows.T
    others = place(features_of(bank), bank.compared(pair))
    strength = hub_strength(others, rows)
    corrected = scores - strength * hub_bias(rows, others)
    return {
        "cosine": figures(ranks(scores, right)),
        "as searched": figures(ranks(corrected, right)),
        "hub strength": strength,
    }


def figures(found: Values) -> dict[str, float]:
    """Recall in percent."""
    return {f"R@{k}": round(100 * float(recall_at(found, k).mean()), 1) for k in (1, 5, 10)}


def unadapted(_: Floats, vectors: Floats) -> Floats:
    """The zero-shot search."""
    return vectors


def placer(verdict: Verdict, strength: float) -> Place:
    """What a search does with the fitted map at a strength."""
    fitted = verdict.after.fitted
    assert fitted is not None  # noqa: S101 - `climb` fits what it returns
    return lambda features, vectors: between(vectors, fitted.map(features, vectors), strength)


def curve(adapt: Data, dev: Data, query: Modality, sizes: list[int]) -> dict[str, Any]:
    """One direction: adapters from some of the photographs, measured on the others."""
    bank = defaults().bank if query is TEXT else adapt.images
    found: dict[str, Any] = {"zero-shot": measure(dev, query, unadapted, bank)}
    order = np.random.default_rng(0).permutation(len(adapt.images))
    for size in sizes:
        pairs = linked(adapt, np.sort(order[:size]))
        rest = order[size:]
        if query is IMAGE:
            rest = np.flatnonzero(np.isin(adapt.owner, rest))
        others = adapt.sides(query)[1].take(rest).shared
        started, cpu = time.perf_counter(), time.process_time()
        verdict = climb(task_of(pairs if query is TEXT else pairs.reversed(), others))
        spent = {
            "seconds": round(time.perf_counter() - started, 1),
            "CPU seconds": round(time.process_time() - cpu, 1),
            "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        report = verdict.to_dict()
        best = report["strength"]
        found[str(size)] = {
            "installed": verdict.better,
            "rung": report["rung"],
            "strength": best,
            "held-out before": report["before"],
            "held-out after": report["after"],
            "tried (MRR)": report["tried_mrr"],
            "adapted": measure(dev, query, placer(verdict, best), bank),
            **spent,
        }
        print(query, size, json.dumps(found[str(size)]), flush=True)
        found[str(size)]["_verdict"] = verdict
    return found


def fitted_curve(
    adapt: Data, dev: Data, generic: dict[str, Data], sizes: list[int]
) -> dict[str, Any]:
    """Text -> image by the residual rung alone, without the trial: a sixth of the time."""
    found: dict[str, Any] = {"zero-shot": measure(dev, TEXT, unadapted, defaults().bank)}
    order = np.random.default_rng(0).permutation(len(adapt.images))
    for size in sizes:
        task = task_of(linked(adapt, np.sort(order[:size])))
        cpu = time.process_time()
        fitted = fit(Residual(), task, np.ones(len(task.pairs.links), bool))
        spent = round(time.process_time() - cpu, 1)

        def at(strength: float, fitted: Fitted = fitted) -> Place:
            return lambda features, rows: between(rows, fitted.map(features, rows), strength)

        found[str(size)] = {
            "strength": fitted.strength,
            "CPU seconds of one fit": spent,
            "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "adapted": measure(dev, TEXT, at(fitted.strength), defaults().bank),
            "elsewhere": {
                name: {
                    f"strength {s:g}": measure(data, TEXT, at(s), defaults().bank)["cosine"]
                    for s in STRENGTHS
                }
                for name, data in generic.items()
            },
        }
        print(size, json.dumps(found[str(size)]), flush=True)
    return found


def elsewhere(verdict: Verdict, generic: dict[str, Data]) -> dict[str, Any]:
    """Text -> image on what is nothing like the pairs, from unadapted to adapted."""
    best = verdict.to_dict()["strength"]
    return {
        name: {
            f"strength {strength:g}": measure(
                data, TEXT, placer(verdict, strength), defaults().bank
            )
            for strength in sorted({*STRENGTHS, best})
        }
        for name, data in generic.items()
    }


def refusals(adapt: Data) -> dict[str, Any]:
    """How often pairs that were shuffled at random are refused, in both directions.

    Embeddings are projected to `TRIAL_DIMS` random directions, so that all trials take minutes:
    what is tested is the judgement, not the encoder.
    """
    rng = np.random.default_rng(7)
    refused = {TEXT: 0, IMAGE: 0, "both": 0}
    for trial in range(TRIALS):
        photos = np.sort(rng.permutation(len(adapt.images))[:TRIAL_PHOTOS])
        pairs = linked(adapt, photos)
        shuffled = Linked(
            first=_projected(pairs.first, trial),
            second=_projected(pairs.second, trial),
            links=np.stack(
                [pairs.links[:, 0], rng.permutation(len(photos))[pairs.links[:, 1]]], axis=1
            ),
        )
        better = {
            query: climb(task_of(one)).better
            for query, one in ((TEXT, shuffled), (IMAGE, shuffled.reversed()))
        }
        for query, won in better.items():
            refused[query] += not won
        refused["both"] += not any(better.values())
        print(trial + 1, dict(refused), flush=True)
    return {
        "trials": TRIALS,
        "photographs": TRIAL_PHOTOS,
        **{str(k): n for k, n in refused.items()},
    }


def sound_pairs(folder: Path, work: Path) -> dict[str, Any]:
    """Text <-> audio from the names or labels of sounds, as `polyseek adapt` sees them."""
    rows = [(row["path"], text) for row in read(folder / "manifest.jsonl") for text in row["texts"]]
    table = work / f"{folder.name}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "caption"), *rows])
    opened = polyseek.open(work / f"{folder.name}.polyseek")
    opened.add(folder, include=["*.flac", "*.wav"])
    try:
        report = opened.adapt(table, install=False).to_dict()
    except ConfigError as error:
        return {"pairs": len(rows), "refused": str(error)}
    keys = ("better", "rung", "queries", "groups", "before", "after", "gain_mrr", "seconds")
    return {
        "pairs": len(rows),
        **{
            f"{each['query']} -> {each['target']}": {key: each[key] for key in keys}
            for each in report["directions"]
        },
    }


def _projected(side: Side, seed: int) -> Side:
    def less(rows: Floats, part: int) -> Floats:
        # The same directions for the shared vectors of both sides: they stay comparable.
        rng = np.random.default_rng([seed, part])
        drawn = rows @ rng.normal(size=(rows.shape[1], TRIAL_DIMS)).astype(np.float32)
        short: Floats = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return short

    rows = side.embeddings
    tower = 1 if side.modality is TEXT else 2
    return Side(
        modality=side.modality,
        keys=side.keys,
        embeddings=Embeddings(less(rows.shared, 0), less(rows.tower, tower)),
    )


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Adapters from pairs")
    parser.add_argument("--adapt", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--generic", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument(
        "--part", choices=("text", "image", "elsewhere", "refusal", "fit", "sounds"), default=None
    )
    parser.add_argument("--sounds", type=Path, nargs="*", default=[], help="with names or labels")
    parser.add_argument("--kinds", nargs="*", default=["emoji", "openclipart"])
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    adapt, dev = (
        load_data(folder.name, read(folder / "manifest.jsonl"), folder, options.cache)
        for folder in (options.adapt, options.dev)
    )
    result: dict[str, Any] = {}
    if options.part in (None, "text", "elsewhere"):
        result["text -> image"] = curve(adapt, dev, TEXT, options.sizes)
    if options.part in (None, "image"):
        result["image -> text"] = curve(adapt, dev, IMAGE, options.sizes)
    generic: dict[str, Data] = {}
    if options.part in (None, "elsewhere", "fit"):
        generic = {
            kind: load_data(
                kind, generic_rows(options.generic, kind), options.generic, options.cache
            )
            for kind in options.kinds
        }
    if options.part in (None, "fit"):
        result["text -> image, residual rung alone"] = fitted_curve(
            adapt, dev, generic, options.sizes
        )
    if options.part in (None, "elsewhere"):
        verdict = result["text -> image"][str(options.sizes[-1])]["_verdict"]
        result["elsewhere"] = elsewhere(verdict, generic)
    if options.part in (None, "refusal"):
        result["shuffled pairs refused"] = refusals(adapt)
    if options.part in (None, "sounds"):
        with TemporaryDirectory() as work:
            result["text <-> audio"] = {
                folder.name: sound_pairs(folder, Path(work)) for folder in options.sounds
            }
    write(options.out, result)


def write(path: Path, result: dict[str, Any]) -> None:
    """Add results to a file."""
    known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for name, found in result.items():
        kept = {
            size: {k: v for k, v in each.items() if k != "_verdict"}
            if isinstance(each, dict)
            else each
            for size, each in found.items()
        }
        known[name] = {**known.get(name, {}), **kept}
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
