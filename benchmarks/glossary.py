"""Does a glossary help with words that the encoder does not know, and how much does it spoil?

    python benchmarks/glossary.py --data PHOTOS --cache FOLDER --out RESULTS.json

PHOTOS has photographs with captions; FOLDER the cache of ``benchmarks/adapters.py``, where their
embeddings are. Words of the captions are replaced by made-up ones that a glossary explains.
Controls: the same glossary with random words as expansions, and unchanged captions with synonyms
and with random words, where a glossary can only spoil.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import polyseek.search.embed as road
from adapters import figures, load_data
from polyseek.core.config import resolve_settings
from polyseek.core.glossary import Glossary
from polyseek.core.hits import Query
from polyseek.core.metrics import ranks
from polyseek.core.types import Modality
from polyseek.encode.mini import load
from polyseek.search.embed import embed
from quality_mini import read

MEANINGS = {
    "dog": ("zorvex", "dog, puppy"),
    "dogs": ("zorvexes", "dogs, puppies"),
    "man": ("brandel", "man, guy"),
    "woman": ("quillat", "woman, lady"),
    "girl": ("pemmel", "girl, young lady"),
    "boy": ("tarrick", "boy, young man"),
    "water": ("osmelt", "water, waves"),
    "beach": ("varune", "beach, sand at the sea"),
    "snow": ("gliste", "snow, white ground"),
    "bike": ("drumfex", "bike, bicycle"),
    "ball": ("skoblin", "ball, toy ball"),
    "grass": ("wendry", "grass, lawn"),
}
RANDOM = "teapot keyboard violin cactus ladder envelope carpet telescope pumpkin anchor".split()
TEMPLATES = ("a photo of {}", "a photograph showing {}", "{}, photo")


def glossary_of(lines: Mapping[str, str]) -> Glossary:
    """A glossary with these lines."""
    return Glossary(terms={term: [e.strip() for e in of.split(",")] for term, of in lines.items()})


def measure(folder: Path, cache: Path, count: int, shares: Sequence[float]) -> dict[str, Any]:
    """Every way to ask, by name."""
    data = load_data(folder.name, read(folder / "manifest.jsonl"), folder, cache)
    encoder = load(resolve_settings())
    known = re.compile(rf"\b({'|'.join(MEANINGS)})\b", re.IGNORECASE)
    rows = [i for i, text in enumerate(data.words) if known.search(text)]
    rows = np.random.default_rng(0).permutation(rows)[:count].tolist()
    plain = [data.words[i] for i in rows]
    coded = [known.sub(lambda found: MEANINGS[found[0].lower()][0], text) for text in plain]
    right = data.owner[rows][:, None] == np.arange(len(data.images))
    wrong = np.resize(RANDOM, 2 * len(MEANINGS)).reshape(-1, 2)
    random = [", ".join(pair) for pair in wrong.tolist()]
    terms = dict(MEANINGS.values())
    ways: dict[str, tuple[list[str], Glossary | None]] = {
        "as written": (plain, None),
        "as written, synonyms": (plain, glossary_of({w: of for w, (_, of) in MEANINGS.items()})),
        "as written, random words": (
            plain, glossary_of(dict(zip(MEANINGS, random, strict=True))),
        ),
        "made-up words": (coded, None),
        "made-up words, glossary": (coded, glossary_of(terms)),
        "made-up words, random words": (coded, glossary_of(dict(zip(terms, random, strict=True)))),
        **{
            f"template '{form}'": ([form.format(text) for text in plain], None)
            for form in TEMPLATES
        },
    }  # fmt: skip
    result: dict[str, Any] = {"queries": len(rows)}
    for name, (texts, glossary) in ways.items():
        for share in shares if glossary else (1.0,):
            road.ORIGINAL = share
            vectors = [
                embed(Query(modality=Modality.TEXT, signals=[t], label=t), encoder, glossary).shared
                for t in texts
            ]
            scores = np.concatenate(vectors) @ data.images.shared.T
            label = f"{name} (original {share:g})" if glossary else name
            result[label] = figures(ranks(scores, right))
            print(label, result[label], flush=True)
    return result


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Glossaries and templates")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.6])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = measure(options.data, options.cache, options.count, options.shares)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
