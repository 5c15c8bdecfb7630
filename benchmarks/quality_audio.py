"""How good is `mini` at finding sounds with words, words with sounds, and sounds with sounds?

    python benchmarks/quality_audio.py --sounds DIR [--samples DIR] [--photos DIR] --out FILE

--sounds: recordings with one of ten labels each (UrbanSound8K's), nothing fitted on them. Text
queries are four everyday phrasings per class, below. --photos: pictures with captions; the ones
whose captions name a class's thing are its right answers for image -> audio and audio -> image.
--samples: short samples of instruments (Sonic Pi's), labelled by kind.
YAMNet was trained on AudioSet, whose classes include nine of the ten under similar names: this
measures how well words in the user's own wording reach classes that the tower knows.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.config import resolve_settings
from polyseek.core.defaults import shipped_adapters
from polyseek.core.tuning import cohort_match
from polyseek.core.types import Embeddings, Floats, Modality, Role
from polyseek.encode.mini import MiniEncoder, load
from polyseek.encode.mini_defaults import defaults
from polyseek.ingest.term import read_query
from polyseek.search.embed import embed

PHRASES = {
    "air_conditioner": "an air conditioner|air conditioning|fan humming|ventilation",
    "car_horn": "a car horn|honking|a car honks|horn",
    "children_playing": "children playing|kids shouting on a playground|children|laughing kids",
    "dog_bark": "a dog barking|dog|barking dogs|woof",
    "drilling": "drilling|a drill|power drill|drilling into a wall",
    "engine_idling": "an engine idling|a car engine running|motor|idling truck",
    "gun_shot": "a gunshot|gun shot|someone fires a gun|shooting",
    "jackhammer": "a jackhammer|jackhammer breaking concrete|road works|pneumatic drill",
    "siren": "a siren|police siren|ambulance|emergency vehicle",
    "street_music": "street music|a band playing in the street|music|busker",
}
SAMPLES = {
    "sonicpi_ambi": "ambient sound",
    "sonicpi_bass": "bass guitar",
    "sonicpi_bd": "bass drum",
    "sonicpi_drum": "drum kit",
    "sonicpi_guit": "electric guitar",
    "sonicpi_sn": "snare drum",
    "sonicpi_tabla": "tabla, an Indian hand drum",
    "sonicpi_vinyl": "a vinyl record being scratched",
}
IN_CAPTIONS = {
    "dog_bark": r"\bdogs?\b",
    "children_playing": r"\b(children|kids)\b.*\bplay",
    "street_music": r"\b(guitar|drums?|band|musicians?|accordion|saxophone|violin)\b",
}


def rank_metrics(scores: Floats, relevant: NDArray[np.bool_]) -> dict[str, float]:
    """Class hit at 1 and 5, precision@5, mAP@10 and mAP of rankings with many right answers.

    Args:
        scores: ``(queries, items)``.
        relevant: The same shape.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(relevant, order, axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    total = hits.sum(axis=1)
    ap = (precision * hits).sum(axis=1) / total
    ap10 = (precision * hits)[:, :10].sum(axis=1) / np.minimum(total, 10)
    values = {
        "hit@1": hits[:, 0].mean(),
        "hit@5": hits[:, :5].any(axis=1).mean(),
        "precision@5": hits[:, :5].mean(),
        "mAP@10": ap10.mean(),
        "mAP": ap.mean(),
    }
    return {name: round(float(value), 3) for name, value in values.items()}


def encode_files(encoder: MiniEncoder, paths: list[Path]) -> Embeddings:
    """One embedding per file, as a query by that file has."""
    rows = [embed(read_query(path), encoder) for path in paths]
    return Embeddings.concat(rows)


def moved(query: Modality, rows: Embeddings, target: Modality) -> Floats:
    """``(n, dim)`` where queries lie among segments of another modality."""
    return shipped_adapters(defaults()).move(query, rows).compared((query, target))


def among_sounds(texts: Embeddings) -> Floats:
    """``(n, dim)`` where texts lie that look for sounds."""
    return moved(Modality.TEXT, texts, Modality.AUDIO)


def measure_sounds(encoder: MiniEncoder, folder: Path) -> tuple[dict[str, Any], Floats, list[str]]:
    """Text -> audio, audio -> text class and audio -> audio."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    labels = np.array([row["label"] for row in rows])
    sounds = encode_files(encoder, [folder / row["path"] for row in rows])
    phrasings = {name: phrases.split("|") for name, phrases in PHRASES.items()}
    flat = [(name, text) for name, texts in phrasings.items() for text in texts]
    texts = encoder.encode(Modality.TEXT, [text for _, text in flat], role=Role.QUERY)
    wanted = np.array([name for name, _ in flat])
    scores = among_sounds(texts) @ sounds.shared.T
    first = np.array([texts.index(t) for name, t in flat for texts in [phrasings[name]]])
    named = moved(Modality.AUDIO, sounds, Modality.TEXT) @ texts.shared.T
    by_class = [named[:, wanted == name].mean(axis=1) for name in PHRASES]
    guessed = np.array(list(PHRASES))[np.argmax(by_class, axis=0)]
    same = labels[:, None] == labels[None]
    alike = sounds.tower @ sounds.tower.T
    np.fill_diagonal(alike, -np.inf)
    np.fill_diagonal(same, val=False)
    return (
        {
            "text -> audio, four phrasings": rank_metrics(scores, wanted[:, None] == labels),
            "text -> audio, first two phrasings": rank_metrics(
                scores[first < 2], wanted[first < 2][:, None] == labels
            ),
            "text -> audio, nothing found": nothing_found(
                among_sounds(texts), sounds.shared, wanted[:, None] == labels
            ),
            "audio -> text, class accuracy": round(float((guessed == labels).mean()), 3),
            "audio -> text": rank_metrics(named, labels[:, None] == wanted),
            "audio -> audio": rank_metrics(alike, same),
        },
        sounds.shared,
        list(labels),
    )


def nothing_found(asked: Floats, sounds: Floats, right: NDArray[np.bool_]) -> dict[str, float]:
    """What a search answers, as shipped, with a query's sounds in the collection and without them.

    Args:
        asked: ``(q, dim)`` text queries among sounds.
        sounds: ``(n, dim)``.
        right: ``(q, n)`` which sounds a query looks for.
    """
    shipped, pair = defaults(), (Modality.TEXT, Modality.AUDIO)
    found, cohort = shipped.tuning.calibrations[pair], shipped.cohort(pair)
    assert cohort is not None  # noqa: S101 - it ships
    match = cohort_match(asked, cohort)
    kept, false = [], []
    for query, own, level in zip(asked, right, match, strict=True):
        cosines = (sounds @ query).astype(np.float64)
        without = cosines[~own]
        top = found.probability(np.array([cosines.max()]), cohort=level, rows=len(cosines))
        other = found.probability(np.array([without.max()]), cohort=level, rows=len(without))
        if own[cosines.argmax()]:
            kept.append(top[0] >= found.match_probability)
        false.append(other[0] >= found.match_probability)
    return {
        "right first hits kept": round(float(np.mean(kept)), 3),
        "false hits": round(float(np.mean(false)), 3),
    }


def measure_samples(encoder: MiniEncoder, folder: Path) -> dict[str, float]:
    """Text -> audio on short instrument samples, one query per kind that words can name."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    labels = np.array([row["label"] for row in rows])
    sounds = encode_files(encoder, [folder / row["path"] for row in rows]).shared
    texts = encoder.encode(Modality.TEXT, list(SAMPLES.values()), role=Role.QUERY)
    return rank_metrics(among_sounds(texts) @ sounds.T, np.array(list(SAMPLES))[:, None] == labels)


def measure_photos(
    encoder: MiniEncoder, folder: Path, sounds: Floats, labels: list[str]
) -> dict[str, Any]:
    """Image -> audio and audio -> image for the classes that captions name."""
    captions: dict[str, str] = {}
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        captions[row["path"]] = captions.get(row["path"], "") + "\n" + "\n".join(row["texts"])
    paths = sorted(captions)
    pictures = encode_files(encoder, [folder / path for path in paths]).shared
    found: dict[str, Any] = {}
    for name, pattern in IN_CAPTIONS.items():
        # Three of a picture's captions must name the thing: one may be mistaken.
        named = [
            sum(bool(re.search(pattern, c.lower())) for c in captions[p].split("\n")) >= 3
            for p in paths
        ]
        shown, heard = np.array(named), np.array(labels) == name
        scores = pictures @ sounds.T
        found[name] = {
            "pictures": int(shown.sum()),
            "image -> audio": rank_metrics(
                scores[shown], np.broadcast_to(heard, (shown.sum(), len(heard)))
            ),
            "audio -> image": rank_metrics(
                scores.T[heard], np.broadcast_to(shown, (heard.sum(), len(shown)))
            ),
        }
    return found


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description="Quality of mini on sounds")
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    encoder = load(resolve_settings())
    result, sounds, labels = measure_sounds(encoder, options.sounds)
    if options.samples:
        result["text -> audio, instrument samples"] = measure_samples(encoder, options.samples)
    if options.photos:
        result["with photographs"] = measure_photos(encoder, options.photos, sounds, labels)
    text = json.dumps(
        {"data": options.sounds.name, "sounds": len(labels), "result": result}, indent=2
    )
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
