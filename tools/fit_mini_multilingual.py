"""Fit the head of `mini-multilingual`: from the multilingual text tower into mini's space.

    python tools/fit_mini_multilingual.py FIT_FOLDER --cache CACHE_FOLDER

It sees English words and phrases only, those that `fit_mini.py` fits mini's own heads on; what it
does for other languages rests on the tower. Printed for validation: names of emoji in other
languages, each looking for its English name among all of them. Deterministic.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from fit_mini import STOP_WORDS, Doubles, cached, load_words, norm, ridge
from polyseek.core.artifacts import ensure
from polyseek.core.config import resolve_settings
from polyseek.core.types import Floats, Modality, Role
from polyseek.encode import catalogue, heads, mini
from polyseek.encode.mini_multilingual import HEAD_FILE, NAME, MultilingualHead, english_share
from polyseek.encode.use import UseTower

STRENGTHS = (0.03, 0.1, 0.3)
SHIPPED = 0.1
WORD_SHARES = (0.0, 0.25, 0.5)


def emoji_names(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """By language, each emoji's name in it and in English."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").open(encoding="utf-8")]
    emoji = [row for row in rows if row["path"].startswith("emoji")]
    english = {row["path"]: row["texts"][0] for row in emoji if row["language"] == "en"}
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in emoji:
        if row["path"] in english and row["language"] not in ("en", "en-gb"):
            found[row["language"]].append((row["texts"][0], english[row["path"]]))
    return found


def recall(asked: Doubles, names: Doubles, own: list[int]) -> str:
    """R@1 / R@10 in percent; ties count against it."""
    scores = asked @ names.T
    ranks = (scores >= scores[np.arange(len(own)), own][:, None]).sum(axis=1)
    return f"{(ranks <= 1).mean() * 100:.0f} / {(ranks <= 10).mean() * 100:.0f}"


def main() -> None:
    """Fit, compare, and write the head."""
    parser = argparse.ArgumentParser(description="Fit the head of mini-multilingual")
    parser.add_argument("folder", type=Path, help="data folder")
    parser.add_argument("--cache", type=Path, required=True, help="where features are kept")
    parser.add_argument("--out", type=Path, default=Path("src/polyseek/encode/data") / HEAD_FILE)
    options = parser.parse_args()
    settings = resolve_settings()
    entry = catalogue.get(NAME)
    tower = UseTower(
        partial(ensure, entry.artifact("sentences"), settings),
        partial(ensure, entry.artifact("pieces"), settings),
    )

    def embed(texts: list[str]) -> Floats:
        return tower.encode(texts)

    shipped = heads.shipped()
    words = load_words(options.folder, embed, options.cache)
    targets = words.y @ shipped.basis.astype(np.float64)
    english = frozenset(STOP_WORDS).union(shipped.words)
    pairs = emoji_names(options.folder)
    names = sorted({name for rows in pairs.values() for _, name in rows})
    encoder = mini.load(settings)
    named = cached(
        options.cache / "english_names.npy",
        lambda: encoder.encode(Modality.TEXT, names, role=Role.DOCUMENT).shared[:, :-1],
    )
    place = {name: i for i, name in enumerate(names)}
    for language, rows in sorted(pairs.items()):
        foreign = [row for row in rows if english_share(row[0], english) < 0.5]
        texts = [text for text, _ in foreign]
        x = cached(options.cache / f"names_{language}.npy", partial(embed, texts))
        lexical = norm(np.stack([shipped.word_sum(text) for text in texts]).astype(np.float64))
        cells = []
        for strength in STRENGTHS:
            mapped = norm(x @ ridge(words.x, targets, strength))
            for share in WORD_SHARES if strength == SHIPPED else WORD_SHARES[:1]:
                asked = norm((1 - share) * mapped + share * lexical)
                found = recall(asked, named, [place[name] for _, name in foreign])
                cells.append(f"ridge {strength}, words {share}: {found}")
        print(f"{language} ({len(foreign)}): " + "; ".join(cells), flush=True)
    head = MultilingualHead(
        sentence_map=ridge(words.x, targets, SHIPPED).astype(np.float32),
        function_words=STOP_WORDS,
    )
    with options.out.open("wb") as file:
        head.save(file)
    data = options.out.read_bytes()
    print(f"{options.out}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
