"""Is a probability of relevance what it says, for every pair of modalities that has labels?

    python benchmarks/reliability.py --photos PHOTOS --sounds SOUNDS --out RESULTS.json

The data of `fair_list.py`; nothing was fitted on it. After `polyseek tune` means: after it saw the
collection, and, where pictures are the queries, other pictures. Pairs with sounds are not tuned.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fair_list import AUDIO, IMAGE, TEXT, Data, reliability, run, score
from polyseek.core.defaults import Defaults
from polyseek.core.tuning import Pair
from polyseek.core.types import Embeddings
from polyseek.encode.mini_defaults import defaults
from polyseek.learn.tune import fit_pair
from quality_audio import IN_CAPTIONS

Flags = NDArray[np.bool_]


def rows_of(all_rows: Embeddings, chosen: NDArray[Any]) -> Embeddings:
    """Some of the rows."""
    return Embeddings(all_rows.shared[chosen], all_rows.tower[chosen])


def before_and_after(
    pair: Pair,
    queries: Embeddings,
    segments: Embeddings,
    relevant: Flags,
    shipped: Defaults,
    *,
    bank: Embeddings | None = None,
) -> dict[str, Any]:
    """Reliability as shipped and, given a bank to tune with, tuned."""
    found = {"shipped": shipped.tuning.calibrations[pair]}
    tuned = fit_pair(pair, bank, segments, shipped) if bank is not None else None
    if tuned and tuned.calibration:
        found["tuned"] = tuned.calibration
    result: dict[str, Any] = {"queries": len(queries), "segments": len(segments)}
    for name, calibration in found.items():
        own_bank = bank if name == "tuned" else None
        scored = score(pair, queries, segments, shipped, calibration, bank=own_bank)
        probability = scored.probability
        if queries is segments:  # no segment is asked for itself
            np.fill_diagonal(probability, -1.0)
        result[name] = reliability(probability, relevant)
    return result


def measure(data: Data) -> dict[str, Any]:
    """Every pair of which the labels say what is relevant."""
    shipped, count = defaults(), len(data.texts)
    first = np.arange(0, 5 * count, 5)
    asked, documents = rows_of(data.captions, first), rows_of(data.captions, first + 1)
    own: Flags = np.eye(count, dtype=bool)
    half = np.random.default_rng(2).permutation(count)
    others, half = np.sort(half[: count // 2]), np.sort(half[count // 2 :])
    inside = np.isin(data.owner, half)
    # What a photograph shows that can be heard; three of its captions must say so.
    shown = np.array(
        [
            [
                sum(bool(re.search(IN_CAPTIONS[kind], text.lower())) for text in texts) >= 3
                if kind in IN_CAPTIONS
                else False
                for kind in data.labels
            ]
            for texts in data.texts
        ]
    )
    pictures: Flags = np.logical_or.reduce(shown, axis=1)
    sounds: Flags = np.logical_or.reduce(shown, axis=0)
    audible, heard = rows_of(data.photos, pictures), rows_of(data.sounds, sounds)
    named = data.asked_label[:, None] == data.labels
    same = data.labels[:, None] == data.labels
    return {
        "text -> image": before_and_after(
            (TEXT, IMAGE),
            data.captions,
            data.photos,
            data.owner[:, None] == np.arange(count),
            shipped,
            bank=shipped.bank,
        ),
        "text -> text": before_and_after(
            (TEXT, TEXT), asked, documents, own, shipped, bank=shipped.bank
        ),
        "image -> text": before_and_after(
            (IMAGE, TEXT),
            rows_of(data.photos, half),
            rows_of(data.captions, inside),
            half[:, None] == data.owner[inside],
            shipped,
            bank=rows_of(data.photos, others),
        ),
        "text -> audio": before_and_after((TEXT, AUDIO), data.asked, data.sounds, named, shipped),
        "audio -> audio": before_and_after((AUDIO, AUDIO), data.sounds, data.sounds, same, shipped),
        "image -> audio": before_and_after(
            (IMAGE, AUDIO), audible, data.sounds, shown[pictures], shipped
        ),
        "audio -> image": before_and_after(
            (AUDIO, IMAGE), heard, data.photos, shown.T[sounds], shipped
        ),
        "audio -> text": before_and_after(
            (AUDIO, TEXT), heard, documents, shown.T[sounds], shipped
        ),
    }


if __name__ == "__main__":
    run("Reliability of probabilities by pair", measure)
