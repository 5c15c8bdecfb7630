"""Which rule ranks "like this picture, but ..." best?

    python benchmarks/compose_rules.py --data FIT --out benchmarks/results/compose_rules.json

FIT holds ``manifest.jsonl`` (``path``, ``texts``) with emoji and clip-art. Names give the ground
truth: a *heart* in one colour plus "blue" asks for the blue heart, a *man surfing* plus "woman" for
the woman surfing. The reference picture is no answer and is left out, as in CIRR. `--cache` keeps
the embeddings of the pictures in a file.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polyseek.core.config import resolve_settings
from polyseek.core.defaults import Defaults
from polyseek.core.tuning import cohort_match
from polyseek.core.types import Embeddings, Modality, Role
from polyseek.encode.mini import load
from polyseek.encode.mini_defaults import defaults
from polyseek.ingest.decoders.image import flatten
from polyseek.learn.hub import hub_bias

Doubles = NDArray[np.float64]
COLOURS = "red blue green yellow black white orange purple brown pink grey".split()
PEOPLE = ("woman", "man", "person", "women", "men", "people")
NOT_PICTURES = re.compile(r"skin tone|button|keycap")


def families(names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Subject -> attribute -> row, for subjects that come with several attributes."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row, name in enumerate(names):
        words = re.findall(r"[a-z]+", name)
        if NOT_PICTURES.search(name) or not 1 < len(words) <= 6:
            continue
        for colour in set(COLOURS) & set(words):
            if "hair" not in words:
                found["colour: " + " ".join(w for w in words if w != colour)][colour] = row
        if words[0] in PEOPLE:
            found["person: " + " ".join(words[1:])].setdefault(words[0], row)
        if ":" in name and words[0] in PEOPLE:
            found["hair: " + words[0]][name.split(":")[1].strip()] = row
    return {subject: rows for subject, rows in found.items() if len(rows) > 1}


def questions(found: dict[str, dict[str, int]]) -> list[tuple[str, int, str, int]]:
    """(kind, reference row, words, right row), one per ordered pair of attributes."""
    return [
        (subject.split(":")[0], reference, word, right)
        for subject, rows in found.items()
        for word, right in rows.items()
        for reference in rows.values()
        if reference != right
    ]


def odds(pair: tuple[Modality, Modality], query: Any, scores: Doubles, known: Defaults) -> Doubles:
    """Calibrated log-odds of the corrected scores of one query."""
    cohort = known.cohort(pair)
    match = float(cohort_match(query[None], cohort)[0]) if cohort is not None else 0.0
    found = known.tuning.calibrations[pair]
    return np.asarray(found.log_odds(scores, cohort=match, rows=len(scores)), np.float64)


def basic(scores: Doubles, weights: Doubles) -> Doubles:
    """Product of the scores, less a tenth of their squared sum (BASIC)."""
    weighted = weights[:, None] * scores
    return np.asarray(weighted.prod(axis=0) - 0.1 * weighted.sum(axis=0) ** 2)


def standard(scores: Doubles) -> Doubles:
    """Zero mean, unit deviation."""
    return np.asarray((scores - scores.mean()) / scores.std())


def rules(picture: Any, text: Any, images: Embeddings, bias: Any) -> dict[str, Doubles]:
    """``(n,)`` scores of every picture by rule."""
    known = defaults()
    shared, tower = picture
    alike = (images.tower @ tower).astype(np.float64)
    said = (images.shared @ text).astype(np.float64)
    corrected = said - 0.75 * bias
    both = (Modality.IMAGE, Modality.IMAGE), (Modality.TEXT, Modality.IMAGE)
    like, worded = odds(both[0], tower, alike, known), odds(both[1], text, corrected, known)
    p, q = 1 / (1 + np.exp(-like)), 1 / (1 + np.exp(-worded))
    a, b = standard(alike), standard(corrected)
    total = (shared + text) / np.linalg.norm(shared + text)
    return {
        "picture alone": alike,
        "text alone": corrected,
        "sum of the vectors": images.shared @ total,
        "product of the cosines": alike * said,
        "sum of standardised scores": a + b,
        "BASIC, standardised": basic(np.stack([a, b]), np.ones(2)),
        "BASIC, by the largest": basic(np.stack([x / np.abs(x).max() for x in (a, b)]), np.ones(2)),
        "BASIC, centred, clipped at 0": basic(
            np.stack([np.maximum(x, 0) / x.max() for x in (a, b)]), np.ones(2)
        ),
        "smaller of the standardised": np.minimum(a, b),
        "product of probabilities": np.log(p) + np.log(q),
        "sum of log-odds": like + worded,
    }


def embed(folder: Path, rows: Sequence[dict[str, Any]], cache: Path | None) -> Embeddings:
    """The pictures' embeddings, from the cache where there is one."""
    if cache and cache.exists():
        with np.load(cache) as kept:
            if list(kept["paths"]) != [row["path"] for row in rows]:
                raise SystemExit(f"{cache}: holds other pictures; name another file")
            return Embeddings(shared=kept["shared"], tower=kept["tower"])
    encoder = load(resolve_settings())
    prepare = encoder.info.towers[Modality.IMAGE].prepare
    pictures = [prepare(flatten(Image.open(folder / row["path"]))) for row in rows]
    found = encoder.encode(Modality.IMAGE, pictures, role=Role.DOCUMENT)
    if cache:
        np.savez(cache, shared=found.shared, tower=found.tower, paths=[row["path"] for row in rows])
    return found


def interval(values: Doubles, clusters: NDArray[np.str_], repeats: int = 1000) -> list[float]:
    """95 % bootstrap interval of a mean, whole subjects drawn at a time."""
    random = np.random.default_rng(0)
    names, member = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(member, values), np.bincount(member)
    drawn = random.integers(len(names), size=(repeats, len(names)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return [round(float(v), 3) for v in np.percentile(means, [2.5, 97.5])]


def measure(folder: Path, cache: Path | None) -> dict[str, Any]:
    """Recall by rule and kind of question."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").open(encoding="utf-8")]
    rows = [r for r in rows if r.get("modality") == "image" and r.get("language") == "en"]
    rows = [by_path for _, by_path in sorted({row["path"]: row for row in rows}.items())]
    names = [row["texts"][0].lower() for row in rows]
    images = embed(folder, rows, cache)
    asked = questions(families(names))
    words = sorted({word for _, _, word, _ in asked})
    texts = load(resolve_settings()).encode(Modality.TEXT, words, role=Role.QUERY).shared
    vectors = dict(zip(words, texts, strict=True))
    bias = hub_bias(images.shared, defaults().bank.shared)
    ranks: dict[str, list[int]] = defaultdict(list)
    for _, reference, word, right in asked:
        picture = images.shared[reference], images.tower[reference]
        for rule, scores in rules(picture, vectors[word], images, bias).items():
            others = np.delete(scores, [reference, right])
            ranks[rule].append(1 + int((others >= scores[right]).sum()))
    kinds = np.array([kind for kind, *_ in asked])
    subjects = np.array([f"{kind} {right}" for kind, _, _, right in asked])
    return {
        "questions": {kind: int((kinds == kind).sum()) for kind in np.unique(kinds)},
        "gallery": len(rows),
        "rules": {
            rule: _summary(np.array(found), kinds, subjects) for rule, found in ranks.items()
        },
    }


def _summary(
    found: NDArray[np.int64], kinds: NDArray[np.str_], subjects: NDArray[np.str_]
) -> dict[str, Any]:
    at: Callable[[int], Doubles] = lambda k: (found <= k).astype(np.float64)  # noqa: E731
    return {
        "R@1": round(float(at(1).mean()), 3),
        "R@1 interval": interval(at(1), subjects),
        "R@10": round(float(at(10).mean()), 3),
        "R@10 interval": interval(at(10), subjects),
        "median rank": float(np.median(found)),
        "R@1 by kind": {k: round(float(at(1)[kinds == k].mean()), 3) for k in np.unique(kinds)},
    }


def main() -> None:
    """Measure, write the file, and show a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    result = measure(given.data, given.cache)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(result["questions"], result["gallery"])
    for rule, row in result["rules"].items():
        print(
            f"{rule:32} {row['R@1']:.3f} {row['R@1 interval']} {row['R@10']:.3f} "
            f"{row['R@10 interval']} {row['median rank']:5.0f} {row['R@1 by kind']}"
        )


if __name__ == "__main__":
    main()
