"""Words beside vectors: what BM25 adds to a search for a text.

A calibrated cosine says how probable a segment is; BM25 is, by its own model, a sum of logarithms
of odds, one per word. So the two add. Words of one query come together, which that model leaves
out, and one stray word is no evidence: BM25 counts less than in full, and the less, the fewer of
the words are there. A text that has every word is what people expect to find, whatever it looks
like.

Evidence is never negative: a picture without a caption keeps the probability that its embedding
gives it, and without any words in common nothing changes at all.

Where nothing is calibrated the two rankings are fused by reciprocal rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from polyseek.core.errors import QueryError
from polyseek.core.filters import And, Filter, Not, Words
from polyseek.core.hits import Candidates, Composition, Hit, Query, Retrieval, Terms
from polyseek.core.protocols import StoreReader
from polyseek.core.retriever import SearchMode
from polyseek.core.tuning import Numbers, WordEvidence
from polyseek.core.types import Modality
from polyseek.core.words import TextQuery, read_text_query
from polyseek.search.fuse import reciprocal_rank

DEPTH = 300
"""Segments looked at by their words: more than by their vectors, which all segments have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSearch:
    """The words of a query and how they take part.

    Attributes:
        query: As the encoder shall read it.
        terms: Words to look for; none for a search by vectors alone.
        condition: The search's filter and what phrases and exclusions demand.
        alone: Only segments that have the words, ordered by them.
    """

    query: Query
    terms: Terms
    condition: Filter | None
    alone: bool = False

    def candidates(self, store: StoreReader, request: Retrieval, near: Candidates) -> Candidates:
        """The near segments with those that have the words, in the order of their cosines.

        Args:
            store: The collection's rows.
            request: What found the near ones.
            near: Segments by their vectors.
        """
        if not self.terms:
            return near
        depth = max(DEPTH, request.limit)
        found = store.search_text(self.terms, replace(request, limit=depth))
        if self.alone:
            return found
        by_id = {hit.id: hit for hit in found.hits}
        known = [by_id.pop(hit.id, hit) for hit in near.hits]
        return replace(near, hits=[*known, *by_id.values()])

    def reorder(
        self,
        hits: Sequence[Hit],
        probabilities: Numbers | None,
        *,
        near: int,
        evidence: WordEvidence,
    ) -> tuple[Sequence[Hit], Numbers | None]:
        """Hits with their probabilities, best first, after what the words say.

        Args:
            hits: As `candidates` gives them.
            probabilities: By their vectors; None where nothing is calibrated.
            near: How many of the hits were found by their vectors, best first.
            evidence: How much words add.
        """
        if not self.terms or self.alone:
            return hits, None if self.alone else probabilities
        if probabilities is None:
            return _by_rank(hits, near), None
        after = add_evidence(probabilities, hits, evidence)
        order = np.argsort(-after, kind="stable")
        return [hits[i] for i in order.tolist()], after[order]


def read_words(query: Query, condition: Filter | None, mode: SearchMode) -> WordSearch:
    """How words take part in a search.

    Args:
        query: What is looked for; only a text that somebody typed has words.
        condition: The search's own filter.
        mode: What is compared.

    Raises:
        QueryError: Words alone shall be compared, and the query has none.
    """
    if mode is SearchMode.TEXT and not _typed(query):
        raise _wordless()
    if mode is SearchMode.DENSE or not _typed(query):
        return WordSearch(query=query, terms=Terms(), condition=condition)
    read = read_text_query(query.label)
    terms = Terms(exact=read.terms, fuzzy=read.fuzzy)
    if mode is SearchMode.TEXT and not terms:
        raise _wordless()
    plain = read.plain.strip() or query.label
    return WordSearch(
        query=replace(query, signals=[plain]),
        terms=terms,
        condition=_demands(read, condition),
        alone=mode is SearchMode.TEXT,
    )


def read_all_words(
    query: Composition, condition: Filter | None, mode: SearchMode
) -> list[WordSearch]:
    """How the words of every term take part; what one wanted term demands holds for all.

    Args:
        query: One or several terms. The words of unwanted ones are left to their embeddings.
        condition: The search's own filter.
        mode: What is compared.

    Raises:
        QueryError: Words alone shall be compared, and there are none or several terms.
    """
    if mode is SearchMode.TEXT and len(query.terms) > 1:
        raise QueryError("several terms are not searched by words alone; leave out --text")
    read = []
    for term in query.terms:
        chosen = mode if term.weight > 0 else SearchMode.DENSE
        read.append(read_words(term.query, condition, chosen))
        condition = read[-1].condition
    return [replace(words, condition=condition) for words in read]


def add_evidence(probabilities: Numbers, hits: Sequence[Hit], evidence: WordEvidence) -> Numbers:
    """``(n,)`` probabilities after what each hit's words say; never lower.

    Args:
        probabilities: ``(n,)`` by their vectors.
        hits: n hits.
        evidence: How much words add.
    """
    scores = np.array([hit.text_score or 0.0 for hit in hits])
    shares = np.array([hit.text_share or 0.0 for hit in hits])
    return evidence.added(probabilities, scores, shares)


def _by_rank(hits: Sequence[Hit], near: int) -> list[Hit]:
    """The ranking by vectors and the one by words as one."""
    by_words = sorted((h for h in hits if h.text_score), key=lambda h: -(h.text_score or 0.0))
    return reciprocal_rank([hits[:near], by_words])


def _wordless() -> QueryError:
    return QueryError("a search by words alone needs a text with words; leave out --text")


def _typed(query: Query) -> bool:
    return query.modality is Modality.TEXT and list(query.signals) == [query.label]


def _demands(read: TextQuery, condition: Filter | None) -> Filter | None:
    parts: list[Filter] = [condition] if condition else []
    parts += [Words(phrase) for phrase in read.phrases]
    parts += [Not(Words(phrase)) for phrase in read.without]
    return And(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None
