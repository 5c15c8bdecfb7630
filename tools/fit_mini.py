"""Fit the alignment heads of `mini` and compare the candidates that were considered.

    python tools/fit_mini.py FIT_FOLDER --cache CACHE_FOLDER

FIT_FOLDER holds ``clip_text/clip_b16_text.npz`` and ``clip_b32_text.npz`` (text vectors of CLIP's
own text tower) and ``manifest.jsonl`` with the emoji and clip-art pictures. The heads see words
only; pictures give the mean picture and the validation scores. Everything is closed form and
deterministic: the same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polyseek.core.artifacts import ensure
from polyseek.core.config import resolve_settings
from polyseek.core.types import Floats
from polyseek.encode import catalogue
from polyseek.encode.heads import HEADS_FILE, Heads, words_of
from polyseek.encode.towers import ClipImageTower, ClipPrepare, MiniLmTower
from polyseek.ingest.decoders.image import flatten

Doubles = NDArray[np.float64]

SHARED_DIRECTIONS = 383
SPACE_RIDGE = 0.03
SENTENCE_RIDGE = 0.03
WEIGHT_POWER = 3
WORD_SHARE = 0.5

STOP_WORDS = frozenset(
    """a about after again all along also am an and another any are around as at away back be been
    before behind being below beside between both but by can could did do does doing done down each
    either else for from get gets getting got had has have having he her here hers him his how i if
    in into is it its just many may me might more most much must my near no nor not of off on one
    onto or other our out over own per she should since so some such than that the their theirs
    them then there these they this those through to together too toward towards under until up
    upon us very via was we were what when where which while who whose will with within without
    would you your yours""".split()
)


@dataclass(frozen=True)
class Words:
    """Words and phrases with unit vectors: MiniLM's ``x`` and CLIP's (B/16 space) ``y``.

    ``length`` is that of the centred B/32 vector: how far a word stands from the average word.
    """

    texts: list[str]
    x: Doubles
    y: Doubles
    length: Doubles


@dataclass(frozen=True)
class Pictures:
    """Validation pairs the heads never see: CLIP picture vectors and a text each."""

    name: str
    images: Doubles
    tower: Doubles
    texts: list[str]


def norm(rows: Doubles) -> Doubles:
    """Rows scaled to length 1."""
    scaled: Doubles = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return scaled


def ridge(x: Doubles, y: Doubles, strength: float) -> Doubles:
    """Linear map x -> y; `strength` is relative to the mean eigenvalue of x'x."""
    gram = x.T @ x
    gram += strength * np.trace(gram) / len(gram) * np.eye(len(gram))
    solved: Doubles = np.linalg.solve(gram, x.T @ y).astype(np.float64)
    return solved


def procrustes(x: Doubles, y: Doubles) -> Doubles:
    """Rotation x -> y."""
    u, _, vt = np.linalg.svd(x.T @ y)
    rotation: Doubles = u @ vt
    return rotation


def cached(path: Path, make: Callable[[], Floats]) -> Doubles:
    """An array from the cache, made when it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, make())
    found: Doubles = np.load(path).astype(np.float64)
    return found


def b32_to_b16(words32: list[str], emb32: Doubles, words16: list[str], emb16: Doubles) -> Doubles:
    """B/32 text vectors mapped to the B/16 space through the words both have.

    Half ridge, half rotation: ridge alone shrinks what the shared words cover badly.
    """
    row = {word: i for i, word in enumerate(words32)}
    pairs = [(i, row[word]) for i, word in enumerate(words16) if word in row]
    i16, i32 = (np.array(side) for side in zip(*pairs, strict=True))
    centred = emb32 - emb32.mean(axis=0)
    x, y = centred[i32], emb16[i16]
    by_ridge = norm(centred @ ridge(x, y, SPACE_RIDGE))
    by_rotation = norm(centred @ procrustes(x, y))
    return norm(by_ridge + by_rotation)


def load_words(folder: Path, tower: Callable[[list[str]], Floats], cache: Path) -> Words:
    """The words of both files in CLIP's B/16 space; each prompt style of B/16 centred alone."""
    with np.load(folder / "clip_text/clip_b32_text.npz") as f:
        texts32 = [str(t).strip().lower() for t in f["texts"]]
        emb32 = f["emb"].astype(np.float64)
    with np.load(folder / "clip_text/clip_b16_text.npz") as f:
        texts16 = [str(t).strip().lower() for t in f["texts"]]
        source, emb16 = f["source"].astype(str), f["emb"].astype(np.float64)
    for style in np.unique(source):
        emb16[source == style] -= emb16[source == style].mean(axis=0)
    return Words(
        texts=texts32,
        x=cached(cache / "words.npy", lambda: tower(texts32)),
        y=b32_to_b16(texts32, emb32, texts16, emb16),
        length=np.linalg.norm(emb32 - emb32.mean(axis=0), axis=1),
    )


def fit(words: Words, image_mean: Doubles, *, power: float = WEIGHT_POWER) -> Heads:
    """The heads that ship; every array in closed form."""
    sentence_map = ridge(words.x, words.y, SENTENCE_RIDGE)
    views = norm(norm(words.x @ sentence_map) + words.y)
    basis = np.linalg.svd(views, full_matrices=False)[2][:SHARED_DIRECTIONS].T
    basis *= np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])])
    known = [
        i
        for i, text in enumerate(words.texts)
        if words_of(text) == [text] and text not in STOP_WORDS and len(text) > 1
    ]
    vectors = words.y[known] @ basis
    scale = np.abs(vectors).max(axis=1, keepdims=True) / 127
    return Heads(
        sentence_map=(sentence_map @ basis).astype(np.float32),
        words=[words.texts[i] for i in known],
        word_vectors=np.round(vectors / scale).astype(np.int8),
        word_weights=(words.length[known] ** power).astype(np.float32),
        word_share=WORD_SHARE,
        basis=basis.astype(np.float32),
        image_mean=image_mean.astype(np.float32),
    )


def recall_at(scores: Doubles, k: int) -> float:
    """Share of rows whose own column is among the k best; ties count against it."""
    own = np.diag(scores)[:, None]
    return float(((scores >= own).sum(axis=1) <= k).mean() * 100)


def candidates(heads: Heads, words: Words, mean: Doubles) -> dict[str, Heads]:
    """The shipped heads and what they are compared with."""
    return {
        "sentence map only (ridge)": replace(heads, word_share=0.0),
        "words only": replace(heads, word_share=1.0),
        "both, words unweighted": fit(words, mean, power=0),
        "both, weight = length": fit(words, mean, power=1),
        "both, weight = length^2": fit(words, mean, power=2),
        "both, weight = length^3 (shipped)": heads,
        "both, weight = length^4": fit(words, mean, power=4),
        "both, words .3": replace(heads, word_share=0.3),
        "both, words .7": replace(heads, word_share=0.7),
        "both, picture mean not subtracted": replace(heads, image_mean=0 * heads.image_mean),
    }


def report(found: dict[str, Heads], validation: list[Pictures]) -> None:
    """Print validation recall of every candidate, text -> image and image -> text."""
    print(
        "| heads | " + " | ".join(f"{v.name} t->i R@1 / R@10, i->t R@1 / R@10" for v in validation)
    )
    print("|---|" + "---|" * len(validation))
    for name, heads in found.items():
        cells = []
        for v in validation:
            texts = heads.text(v.tower.astype(np.float32), v.texts).astype(np.float64)
            images = heads.image(v.images.astype(np.float32)).astype(np.float64)
            s = texts @ images.T
            cells.append(
                f"{recall_at(s, 1):.1f} / {recall_at(s, 10):.1f}, "
                f"{recall_at(s.T, 1):.1f} / {recall_at(s.T, 10):.1f}"
            )
        print(f"| {name} | " + " | ".join(cells) + " |")


def load_pictures(
    folder: Path,
    cache: Path,
    images: Callable[[list[Path]], Floats],
    texts: Callable[[list[str]], Floats],
) -> list[Pictures]:
    """Emoji and clip-art with their English names; junk titles are left out."""
    found: dict[str, list[tuple[Path, str]]] = {"emoji": [], "openclipart": []}
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name = str(row["texts"][0])
        kind = row["path"].split("/")[0]
        if row["language"] == "en" and re.search(r"[a-z]{3}", name.lower()):
            found[kind].append((folder / row["path"], name.replace("_", " ")))
    return [
        Pictures(
            name=kind,
            images=cached(cache / f"{kind}_images.npy", partial(images, [p for p, _ in rows])),
            tower=cached(cache / f"{kind}_texts.npy", partial(texts, [t for _, t in rows])),
            texts=[text for _, text in rows],
        )
        for kind, rows in found.items()
    ]


def main() -> None:
    """Fit, compare, and write the heads."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else ""
    )
    parser.add_argument("folder", type=Path, help="data folder")
    parser.add_argument("--cache", type=Path, required=True, help="where features are kept")
    parser.add_argument("--out", type=Path, default=Path("src/polyseek/encode/data") / HEADS_FILE)
    options = parser.parse_args()
    settings = resolve_settings()
    entry = catalogue.get("mini")
    text_tower = MiniLmTower(
        lambda: ensure(entry.artifact("text"), settings),
        lambda: ensure(entry.artifact("tokenizer"), settings),
        threads=settings.threads,
    )
    image_tower = ClipImageTower(
        lambda: ensure(entry.artifact("image"), settings), threads=settings.threads
    )
    prepare = ClipPrepare()

    def texts(batch: list[str]) -> Floats:
        order = sorted(range(len(batch)), key=lambda i: len(batch[i]))
        rows = np.empty((len(batch), MiniLmTower.dim), np.float32)
        for start in range(0, len(batch), 64):
            part = order[start : start + 64]
            rows[part] = text_tower.encode([batch[i] for i in part])
        return rows

    def images(paths: list[Path]) -> Floats:
        return np.concatenate(
            [image_tower.encode([np.asarray(prepare(flatten(Image.open(p))))]) for p in paths]
        )

    words = load_words(options.folder, texts, options.cache)
    pictures = load_pictures(options.folder, options.cache, images, texts)
    mean = np.mean([p.images.mean(axis=0) for p in pictures], axis=0)
    heads = fit(words, mean)
    report(candidates(heads, words, mean), pictures)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("wb") as file:
        heads.save(file)
    data = options.out.read_bytes()
    print(
        f"\n{options.out}: {len(heads.words)} words, {heads.dim} dimensions, "
        f"{len(data) / 1e6:.1f} MB, sha256 {hashlib.sha256(data).hexdigest()}"
    )


if __name__ == "__main__":
    main()
