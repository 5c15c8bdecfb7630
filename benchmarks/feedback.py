"""Do liked and unliked hits, unwanted terms and "any of these" find more of what is wanted?

    python benchmarks/feedback.py --photos PHOTOS --sounds SOUNDS --out RESULTS.json

What is wanted is known from captions (a photograph shows a thing that three of its five captions
name) and labels of recordings. *Vague* queries name one of two things that a photograph has to show
both of: "a dog", where dogs in snow are wanted. *Full* ones name both. Whoever asks looks down the
list, likes the first right hits, and dislikes the first wrong one; all that was judged is taken out
of the answers before and after (the residual collection), so nothing is won by repeating it. The
control likes as many hits of the same list at random. p by a paired test against the answer before.
`--cache` is a folder that keeps embeddings of photographs; `stages.py` shares it.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.config import SearchOptions, resolve_settings
from polyseek.core.hits import Composition, Query, Term
from polyseek.core.metrics import mean_interval, ndcg_at, paired_test
from polyseek.core.types import Embeddings, Modality
from polyseek.encode.mini import MiniEncoder, load
from polyseek.encode.mini_defaults import defaults
from polyseek.search.embed import embed
from polyseek.search.feedback import with_feedback
from polyseek.search.pipeline import search
from polyseek.store.lance import LanceStore
from quality_audio import PHRASES
from stage_tasks import embedded, rows_of, sound_task, store_of
from video_moments import THINGS

LEAST = 5
"""Right answers that a need has at least."""

LOOKS = 20
"""Hits that somebody looks at before giving feedback."""

SHOWN = 60
"""Hits of a search: more than are judged and looked at together."""

WAYS = {"like 1": (1, 0), "like 2": (2, 0), "like 3": (3, 0), "unlike 1": (0, 1),
        "like 1, unlike 1": (1, 1)}  # fmt: skip

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Need:
    """Something that is looked for.

    Attributes:
        query: As it is asked.
        gains: ``(n,)`` which assets are right.
        group: Needs that are not independent of each other share one.
    """

    query: Query | Composition
    gains: Numbers
    group: int


@dataclass(frozen=True, eq=False)
class Place:
    """A collection that is asked."""

    encoder: MiniEncoder
    store: LanceStore
    uris: Sequence[str]
    modality: Modality

    def order(self, query: Query | Composition) -> list[int]:
        """Rows of the first hits, best first."""
        options = SearchOptions(limit=SHOWN, modalities=[self.modality], show_all=True)
        found = search(
            query, encoder=self.encoder, store=self.store, options=options, defaults=defaults()
        )
        row_of = {uri: i for i, uri in enumerate(self.uris)}
        return [row_of[hit.uri] for hit in found]

    def text(self, words: str) -> Query:
        """A text that is embedded once."""
        query = Query(modality=Modality.TEXT, signals=[words], label=words)
        return replace(query, signals=(), embeddings=embed(query, self.encoder))


def ndcg(order: Sequence[int], gains: Numbers, without: Sequence[int]) -> float:
    """nDCG@10 of the residual collection."""
    left = gains.copy()
    left[list(without)] = 0
    ranked = left[[row for row in order if row not in set(without)]]
    return float(ndcg_at(ranked[None], left[None], 10)[0])


def summary(before: Sequence[float], after: Sequence[float], groups: Sequence[int]) -> Any:
    """Means in percent with intervals."""
    first, second = np.array(before), np.array(after)
    gain = second - first
    around = mean_interval(gain, list(groups))
    return {
        "before": round(100 * float(first.mean()), 2),
        "after": round(100 * float(second.mean()), 2),
        **(
            {"gain interval": [round(100 * v, 2) for v in (around.low, around.high)]}
            if gain.any()
            else {}
        ),
        "p": round(paired_test(first, second, list(groups)), 4),
        "needs": len(first),
    }


def feedback(place: Place, needs: Sequence[Need]) -> dict[str, Any]:
    """nDCG@10 before and after feedback, and after feedback at random."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    orders = [place.order(need.query) for need in needs]
    for name, (like, unlike) in WAYS.items():
        for who in ("", "control: "):
            before, after, groups = [], [], []
            for need, order in zip(needs, orders, strict=True):
                head = order[:LOOKS]
                right = [row for row in head if need.gains[row]][:like]
                wrong = [row for row in head if not need.gains[row]][:unlike]
                if len(right) < like or len(wrong) < unlike:
                    continue
                if who:
                    drawn = rng.choice(head, like + unlike, replace=False).tolist()
                    right, wrong = drawn[:like], drawn[like:]
                asked = with_feedback(
                    need.query, place.store,
                    like=[place.uris[row] for row in right],
                    unlike=[place.uris[row] for row in wrong],
                )  # fmt: skip
                judged = [*right, *wrong]
                before.append(ndcg(order, need.gains, judged))
                after.append(ndcg(place.order(asked), need.gains, judged))
                groups.append(need.group)
            if before:
                found[who + name] = summary(before, after, groups)
                print(f"  {who + name:28} {found[who + name]}", flush=True)
    return found


def compared(
    place: Place, cases: Sequence[tuple[dict[str, Query | Composition], Numbers, int]]
) -> dict[str, Any]:
    """nDCG@10 of several ways to ask for the same, against the first."""
    values: dict[str, list[float]] = {}
    for ways, gains, _ in cases:
        for name, query in ways.items():
            values.setdefault(name, []).append(ndcg(place.order(query), gains, []))
    groups = [group for *_, group in cases]
    base = next(iter(values.values()))
    found = {name: summary(base, each, groups) for name, each in values.items()}
    for name, row in found.items():
        print(f"  {name:28} {row}", flush=True)
    return found


def of(*terms: tuple[Query, float], any_of: bool = False) -> Composition:
    """Terms together."""
    return Composition(terms=[Term(query=q, weight=w) for q, w in terms], any=any_of)


def photo_needs(
    place: Place, captions: Sequence[Sequence[str]]
) -> tuple[dict[str, list[Need]], dict[str, Any]]:
    """Vague and full needs of two things, and cases for unwanted terms and "any"."""
    shows = {
        name: np.array(
            [sum(bool(re.search(what, text.lower())) for text in texts) >= 3 for texts in captions]
        )
        for name, what in THINGS.items()
    }
    texts = {name: place.text(name) for name in THINGS}
    names = list(THINGS)
    vague, full, unwanted, calm, either = [], [], [], [], []
    for first, second in permutations(names, 2):
        both = shows[first] & shows[second]
        group = names.index(first)
        if both.sum() >= LEAST and both.sum() <= 0.7 * shows[first].sum():
            gains = both.astype(np.float64)
            vague.append(Need(texts[first], gains, group))
            if first < second:
                together = of((texts[first], 1.0), (texts[second], 1.0))
                full.append(Need(together, gains, group))
            only = (shows[first] & ~shows[second]).astype(np.float64)
            if only.sum() >= LEAST:
                sentence = place.text(f"{first} without {second}")
                ways = {
                    "the wanted term alone": texts[first],
                    "minus the unwanted one": of((texts[first], 1.0), (texts[second], -1.0)),
                    "one sentence": sentence,
                    "difference of the vectors": _difference(texts[first], texts[second]),
                }
                unwanted.append((ways, only, group))
        if not both.sum() and shows[first].sum() >= LEAST:
            ways = {
                "the wanted term alone": texts[first],
                "minus the unwanted one": of((texts[first], 1.0), (texts[second], -1.0)),
                "difference of the vectors": _difference(texts[first], texts[second]),
            }
            calm.append((ways, shows[first].astype(np.float64), group))
        if first < second and not both.sum():
            gains = (shows[first] | shows[second]).astype(np.float64)
            either.append((_any(place, texts[first], texts[second]), gains, group))
    return {"vague": vague, "full": full}, {
        "unwanted": unwanted,
        "unwanted, which none of the wanted show": calm,
        "any": either,
    }


def _any(place: Place, first: Query, second: Query) -> dict[str, Query | Composition]:
    return {
        "all (mean)": of((first, 1.0), (second, 1.0)),
        "any (maximum)": of((first, 1.0), (second, 1.0), any_of=True),
        "one sentence": place.text(f"{first.label} or {second.label}"),
    }


def _difference(first: Query, second: Query) -> Query:
    """The naive rule: one vector less the other."""

    def rows(of_query: Callable[[Embeddings], Any]) -> Any:
        assert first.embeddings is not None  # noqa: S101 - made with them
        assert second.embeddings is not None  # noqa: S101 - made with them
        found = of_query(first.embeddings) - 0.5 * of_query(second.embeddings)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    made = Embeddings(shared=rows(lambda e: e.shared), tower=rows(lambda e: e.tower))
    return replace(first, embeddings=made, label=f"{first.label} less {second.label}")


def sound_needs(place: Place, labels: NDArray[np.str_]) -> tuple[list[Need], list[Any]]:
    """Phrasings of labels, and pairs of labels."""
    needs, either = [], []
    names = list(PHRASES)
    for group, name in enumerate(names):
        gains = (labels == name).astype(np.float64)
        needs += [Need(place.text(text), gains, group) for text in PHRASES[name].split("|")]
    first_of = {name: place.text(PHRASES[name].split("|")[0]) for name in names}
    for first, second in permutations(names, 2):
        if first < second:
            gains = np.isin(labels, [first, second]).astype(np.float64)
            ways = _any(place, first_of[first], first_of[second])
            either.append((ways, gains, names.index(first)))
    return needs, either


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    encoder = load(resolve_settings())
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        _, heard, names = sound_task(encoder, given.sounds)
        labels = np.array([row["label"] for row in rows_of(given.sounds)])
        store = store_of(Path(folder) / "sounds", encoder, names, Modality.AUDIO, heard)
        place = Place(encoder, store, names, Modality.AUDIO)
        needs, either = sound_needs(place, labels)
        print("sounds")
        result["sounds: feedback"] = feedback(place, needs)
        result["sounds: any of two"] = compared(place, either)
        rows = rows_of(given.photos)
        seen = embedded(encoder, given.photos, given.cache and given.cache / "photos.npz")
        uris = [(given.photos / row["path"]).absolute().as_uri() for row in rows]
        pictures = Embeddings(shared=seen["img_s"], tower=seen["img_t"])
        store = store_of(Path(folder) / "photos", encoder, uris, Modality.IMAGE, pictures)
        shelf = Place(encoder, store, uris, Modality.IMAGE)
        wanted, cases = photo_needs(shelf, [row["texts"] for row in rows])
        for name, found in wanted.items():
            print(f"photos: feedback, {name}")
            result[f"photos: feedback, {name}"] = feedback(shelf, found)
        for name, found in cases.items():
            print(f"photos: {name}")
            result[f"photos: {name}"] = compared(shelf, found)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
