"""BM25 in plain Python: the reference that other stores are tested against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from math import log
from typing import TypeVar

from polyseek.core.hits import Terms
from polyseek.core.words import edits_of, within

K1, B = 1.2, 0.75

_Key = TypeVar("_Key", bound=Hashable)


def bm25(terms: Terms, documents: Mapping[_Key, Sequence[str]]) -> dict[_Key, float]:
    """The score of every document that has any of the words.

    Source: Robertson, Zaragoza: The Probabilistic Relevance Framework, 2009; with the inverse
    document frequency that is never negative, as in Lucene and Lance.
    """
    if not documents:
        return {}
    counts = {key: Counter(words) for key, words in documents.items()}
    mean = max(1e-9, sum(map(len, documents.values())) / len(documents))
    vocabulary = {word for counted in counts.values() for word in counted}
    wanted = set(terms.exact) | {
        word for fuzzy in terms.fuzzy for word in vocabulary if within(fuzzy, word, edits_of(fuzzy))
    }
    scores: dict[_Key, float] = {}
    for word in sorted(wanted & vocabulary):
        holders = [key for key, counted in counts.items() if counted[word]]
        rarity = log(1 + (len(documents) - len(holders) + 0.5) / (len(holders) + 0.5))
        for key in holders:
            often, length = counts[key][word], len(documents[key])
            share = often * (K1 + 1) / (often + K1 * (1 - B + B * length / mean))
            scores[key] = scores.get(key, 0.0) + rarity * share
    return scores
