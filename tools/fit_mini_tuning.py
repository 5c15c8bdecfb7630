"""Fit what makes the scores of `mini` comparable: calibrations, cohorts, the embedded bank.

    python tools/fit_mini_tuning.py FIT_FOLDER --classes CLASS_MAP_CSV --sounds SOUNDS --cache CACHE

The same with ``--encoder mini-multilingual`` and a cache of its own.

FIT_FOLDER holds emoji and clip-art with English names (``manifest.jsonl``), SOUNDS short CC0
samples named by what they are. No photograph and no caption is used. Two items are relevant to each
other when their names say the same: MiniLM cosine of at least `SAME`, and irrelevant below `OTHER`;
what lies between is left out. Half of the queries have no answer. Recordings of named things with a
free licence are rare, so sounds are simulated from YAMNet's class names: see `simulated_sounds`.
Deterministic.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fit_mini_sound import WORDINGS, by_names, class_names
from polyseek.core.adapting import Adapters
from polyseek.core.config import Settings, resolve_settings
from polyseek.core.defaults import Defaults
from polyseek.core.protocols import Encoder
from polyseek.core.tuning import Origin, Pair, Tuning, cohort_match
from polyseek.core.types import Embeddings, Floats, Modality, Role, exactly
from polyseek.encode import mini, mini_multilingual
from polyseek.encode.heads import shipped_sound_head
from polyseek.encode.mini_defaults import FILE, MULTILINGUAL_FILE, save_defaults
from polyseek.ingest.decoders.image import flatten
from polyseek.learn.bank import generic_queries
from polyseek.learn.calibration import HUB_STRENGTH, Examples, examples, fit, match_probability
from polyseek.learn.hub import hub_bias

ENCODERS: dict[str, tuple[Callable[[Settings], Encoder], str]] = {
    mini.NAME: (mini.load, FILE),
    mini_multilingual.NAME: (mini_multilingual.load, MULTILINGUAL_FILE),
}
SAME, OTHER = 0.7, 0.55
COHORT_PICTURES, COHORT_TEXTS, COHORT_SOUNDS = 550, 550, 550
QUERIES = ("{}", "the sound of {}", "a recording of {}")
SIZES = (50, 100, 200, 400, 800)
ROUNDS = 8
MAX_QUERIES = 200
_JUNK = re.compile(r"roadsign|icons?$|country|flag|keycap|button|http|official|symbol|aiga")
TEXT, IMAGE, AUDIO, VIDEO = Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO


@dataclass(frozen=True, eq=False)
class Items:
    """Embedded segments, and the MiniLM vector of each one's name."""

    embeddings: Embeddings
    name: Floats

    def rows(self, pair: Pair) -> Floats:
        """In the space this pair is compared in."""
        return self.embeddings.compared(pair)

    def take(self, rows: NDArray[np.int64]) -> Items:
        """Some of them."""
        return Items(self.embeddings.take(rows), self.name[rows])

    def __len__(self) -> int:
        return len(self.name)


class Embedder:
    """Embeds through the encoder, with a cache on disk."""

    def __init__(self, encoder: Encoder, cache: Path) -> None:
        self._encoder, self._cache = encoder, cache
        cache.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, modality: Modality, signals: Sequence[object]) -> Embeddings:
        """Embeddings of texts or pictures, from the cache when they are there."""
        path = self._cache / f"{name}.npz"
        if not path.exists():
            tower = self._encoder.info.towers[modality]
            parts = []
            for start in range(0, len(signals), 32):
                prepared = [tower.prepare(s) for s in signals[start : start + 32]]  # type: ignore[arg-type]
                parts.append(self._encoder.encode(modality, prepared, role=Role.DOCUMENT))
            np.savez(
                path,
                shared=np.concatenate([p.shared for p in parts]),
                tower=np.concatenate([p.tower for p in parts]),
            )
        with np.load(path) as arrays:
            return Embeddings(shared=arrays["shared"], tower=arrays["tower"])


def pictures(folder: Path) -> list[tuple[Path, str, str]]:
    """Path, name and further words of emoji and clip-art with a usable English name of its own."""
    found: dict[str, tuple[Path, str, str]] = {}
    twice = set()
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name = str(row["texts"][0])
        usable = re.fullmatch(r"[A-Za-z][A-Za-z ,'-]{2,80}", name) and len(name.split()) <= 12
        if row["language"] != "en" or not usable or _JUNK.search(name.lower()):
            continue
        if name in found:
            twice.add(name)
        found[name] = (folder / row["path"], name, " ".join(row["texts"][1:]))
    return [each for name, each in sorted(found.items()) if name not in twice]


def sound_queries(classes: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Texts that look for a sound by one of its class's names, and the class of each."""
    found = [
        (wording.format(part.strip().lower()), row)
        for wording in QUERIES
        for row, name in enumerate(classes)
        for part in name.split(",")
    ]
    return [text for text, _ in found], np.array([row for _, row in found], np.int64)


def simulated_sounds(count: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """``(count, dim)`` shared embeddings of made-up recordings, and the class each is of.

    A recording of class c scores c between .2 and 1, classes whose names lie near c's in
    proportion, and a handful of others up to .2: what YAMNet gives for field recordings.
    """
    head = shipped_sound_head()
    alike = np.clip(head.class_vectors @ head.class_vectors.T, 0, 1) ** 2
    classes = rng.integers(len(alike), size=count)
    loudness = rng.uniform(0.2, 1, size=(count, 1))
    scores = alike[classes] * loudness * rng.uniform(0, 1, size=(count, len(alike)))
    noise = rng.uniform(0, 0.2, size=scores.shape) * (rng.random(scores.shape) < 0.03)
    scores = np.maximum(scores, noise)
    scores[np.arange(count), classes] = loudness[:, 0]
    return head(scores.astype(np.float32)), classes


def draw(
    pair: Pair, queries: Items, targets: Items, defaults: Defaults, rng: np.random.Generator
) -> Examples:
    """Top hits of queries with and without an answer, in collections of several sizes."""
    cohort = defaults.cohort(pair)
    bank = defaults.bank.compared(pair) if pair[0] is TEXT else None
    drawn = []
    asked_names = np.unique(queries.name, axis=0)
    for size in [s for s in SIZES if s <= 0.7 * len(targets)] * ROUNDS:
        # Some queries' answers are taken out, so that there are always queries without one.
        orphans = rng.permutation(asked_names)[: len(asked_names) // 4]
        left = np.flatnonzero((orphans @ targets.name.T).max(axis=0) < SAME)
        chosen_rows = rng.permutation(left)[:size]
        members = targets.take(chosen_rows)
        same = queries.name @ members.name.T
        if queries is targets:
            same[chosen_rows, np.arange(len(members))] = (SAME + OTHER) / 2  # not the query itself
        answered = np.flatnonzero(same.max(axis=1) >= SAME)
        unanswered = np.flatnonzero(same.max(axis=1) < OTHER)
        count = min(len(answered), len(unanswered), MAX_QUERIES)
        if not count:
            continue
        chosen = np.concatenate(
            [rng.permutation(answered)[:count], rng.permutation(unanswered)[:count]]
        )
        asked, vectors = queries.rows(pair)[chosen], members.rows(pair)
        found = examples(
            asked,
            vectors,
            relevant=np.where(
                same[chosen] >= SAME, 1.0, np.where(same[chosen] < OTHER, 0.0, np.nan)
            ),
            bias=hub_bias(vectors, bank) if bank is not None else None,
            strength=strength_of(pair),
            cohort=cohort_match(asked, cohort) if cohort is not None else None,
        )
        drawn.append(found)
    return Examples.join(drawn)


def strength_of(pair: Pair) -> float:
    """Where it was measured to help: texts have few hubs, and sounds lie where their names lie."""
    return HUB_STRENGTH if pair == (TEXT, IMAGE) else 0.0


def quantiles(values: Floats) -> str:
    """Five quantiles, for the eye."""
    return " ".join(f"{v:.2f}" for v in np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]))


def build(encoder: Encoder, options: argparse.Namespace) -> Defaults:
    """Embed everything, fit every pair, print what came out."""
    embed = Embedder(encoder, options.cache)
    meaning = Embedder(mini.load(resolve_settings()), options.cache / "meaning")
    rng = np.random.default_rng(0)
    rows = pictures(options.folder)
    named = [name for _, name, _ in rows]
    names, says = embed("names", TEXT, named), meaning("names", TEXT, named).tower
    images = Items(
        embed("pictures", IMAGE, [flatten(Image.open(path)) for path, _, _ in rows]), says
    )
    titles = Items(names, says)
    described = [i for i, (_, _, words) in enumerate(rows) if len(words) > 3]
    documents = Items(embed("words", TEXT, [rows[i][2][:300] for i in described]), says[described])
    classes = class_names(options.classes)
    said = [embed(f"classes {i}", TEXT, [wording.format(name) for name in classes])
            for i, wording in enumerate(WORDINGS)]  # fmt: skip
    bank = embed("bank", TEXT, list(generic_queries()))
    adapter = by_names(
        [rows.tower for rows in said],
        shipped_sound_head().class_vectors,
        bank,
        encoder=exactly(encoder.info.name, encoder.info.revision),
    )
    adapters = Adapters(shipped=adapter)
    classes_say = meaning("classes", TEXT, classes).tower
    texts, of_name = sound_queries(classes)
    asked = adapters.move(TEXT, embed("sound queries", TEXT, texts))
    sound_names = Items(asked, classes_say[of_name])
    made, of_class = simulated_sounds(2000, rng)
    unheard = np.zeros((len(made), encoder.info.towers[AUDIO].dim), np.float32)
    sounds = Items(adapters.move(AUDIO, Embeddings(made, unheard)), classes_say[of_class])
    samples = sampled(encoder, options.sounds, options.cache)
    both = rng.permutation(len(images))
    cohort_rows, fit_rows = both[:COHORT_PICTURES], both[COHORT_PICTURES:]
    some = rng.permutation(len(bank))[:COHORT_TEXTS]
    nothing = np.empty((0, 1), np.float32)
    cohorts = {
        IMAGE: images.take(cohort_rows).embeddings,
        TEXT: Embeddings(bank.shared[some], bank.tower[some]),
        AUDIO: Embeddings(simulated_sounds(COHORT_SOUNDS, np.random.default_rng(1))[0], nothing),
    }
    cohorts[VIDEO] = cohorts[IMAGE]
    blank = Defaults(tuning=Tuning(), bank=adapters.move(TEXT, bank), cohorts=cohorts)
    images = images.take(fit_rows)
    setups: dict[Pair, tuple[Items, Items]] = {
        (TEXT, IMAGE): (titles, images),
        (TEXT, TEXT): (titles, documents),
        (TEXT, AUDIO): (sound_names, sounds),
        (IMAGE, TEXT): (images, documents),
        (IMAGE, IMAGE): (images, images),
        (IMAGE, AUDIO): (images, sounds),
        (AUDIO, TEXT): (sounds, documents),
        (AUDIO, IMAGE): (sounds, images),
        (AUDIO, AUDIO): (samples, samples),
    }
    calibrations = {}
    for pair, (queries, targets) in setups.items():
        drawn = draw(pair, queries, targets, blank, rng)
        found = fit(drawn, strength=strength_of(pair), origin=Origin.SHIPPED)
        p, top = drawn.probability(found), drawn.rank == 0
        least = match_probability(p[top], (~drawn.answered[top]).astype(np.float32))
        found = replace(found, match_probability=least)
        calibrations[pair] = found
        print(
            f"{pair[0]} -> {pair[1]}: {len(p):,} examples, {drawn.relevant.mean():.1%} relevant; "
            f"slope {found.slope:.1f}, cohort {found.cohort_weight:.1f}, "
            f"size {found.size_weight:.2f}, match {least:.2f}\n"
            f"  p of best hits, relevant {quantiles(p[top & drawn.relevant])}"
            f" | not {quantiles(p[top & ~drawn.relevant])}"
        )
    for (query, target), found in list(calibrations.items()):
        if IMAGE in (query, target):
            for pair in alike(query, target):
                calibrations[pair] = found
    tuning = Tuning(calibrations=calibrations, adapted=adapters.keys)
    return Defaults(tuning=tuning, bank=bank, cohorts=cohorts, adapter=adapter)


def alike(query: Modality, target: Modality) -> list[Pair]:
    """The pairs in which video stands for image: its shots are pictures' vectors."""
    queries = [IMAGE, VIDEO] if query is IMAGE else [query]
    targets = [IMAGE, VIDEO] if target is IMAGE else [target]
    return [(q, t) for q in queries for t in targets if VIDEO in (q, t)]


def sampled(encoder: Encoder, folder: Path, cache: Path) -> Items:
    """Real recordings, each named by its kind."""
    from polyseek.ingest.term import read_query
    from polyseek.search.embed import embed as embed_query

    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    labels = [row["label"].split("_")[1] for row in rows]
    kinds = sorted(set(labels))
    path = cache / "samples.npz"
    if not path.exists():
        found = [embed_query(read_query(folder / row["path"]), encoder) for row in rows]
        np.savez(
            path,
            shared=np.concatenate([f.shared for f in found]),
            tower=np.concatenate([f.tower for f in found]),
        )
    with np.load(path) as arrays:
        embeddings = Embeddings(shared=arrays["shared"], tower=arrays["tower"])
    # Kinds are codes here, not words: same kind 1, other kind 0.
    return Items(embeddings, np.eye(len(kinds), dtype=np.float32)[[kinds.index(k) for k in labels]])


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description="Fit mini's calibrations")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", type=Path, required=True)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--encoder", choices=ENCODERS, default=mini.NAME)
    parser.add_argument("--out", type=Path, default=Path("src/polyseek/encode/data"))
    options = parser.parse_args()
    load, name = ENCODERS[options.encoder]
    defaults = build(load(resolve_settings()), options)
    path = options.out / name
    with path.open("wb") as file:
        save_defaults(file, defaults)
    data = path.read_bytes()
    print(f"{path}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
