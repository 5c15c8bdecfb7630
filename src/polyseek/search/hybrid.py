"""Words beside vectors: what BM25 adds to a search for a text.

A calibrated cosine says how probable a segment is; BM25 is, by its own model, a sum of logarithms
of odds, one per word. So the two add. Words of one query come together, which that model leaves
out, and one stray word is no evidence: BM25 counts less than in full, and the less, the fewer of
the words are there. A text that has every word is what people expect to find, whatever it looks
like.

Evidence is never negative: a picture without a caption keeps the probability that its embedding
gives it, and without any words in common nothing changes at all.

Sparse vectors add in the same way, once labels have told how much a product of them proves.

Where something is not calibrated, rankings are fused by reciprocal rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from polyseek.core.errors import QueryError
from polyseek.core.filters import And, Filter, Not, Words
from polyseek.core.hits import Candidates, Composition, Hit, Query, Retrieval, Terms
from polyseek.core.protocols import SparseEncoder, StoreReader
from polyseek.core.retriever import SearchMode
from polyseek.core.sparse import SparseVector
from polyseek.core.tuning import Numbers, SparseEvidence, WordEvidence
from polyseek.core.types import Role
from polyseek.core.words import TextQuery, read_text_query
from polyseek.search.fuse import reciprocal_rank, reciprocal_rank_of_some

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
        sparse: Sparse vector to look for, too; None for none.
    """

    query: Query
    terms: Terms
    condition: Filter | None
    alone: bool = False
    sparse: SparseVector | None = None

    def candidates(self, store: StoreReader, request: Retrieval, near: Candidates) -> Candidates:
        """The near segments with those found by words or sparse vector, in the order of cosines.

        Args:
            store: The collection's rows.
            request: What found the near ones.
            near: Segments by their vectors; none where the query has no embedding.
        """
        deep = replace(request, limit=max(DEPTH, request.limit))
        if self.alone:  # cosines play no part: `listing.with_cosines` gives them to what is shown
            return store.search_text(self.terms, replace(deep, vector=np.zeros_like(deep.vector)))
        found = [store.search_text(self.terms, deep)] if self.terms else []
        if self.sparse is not None:
            found.append(store.search_sparse(self.sparse, deep))
        if not found:
            return near
        known = {hit.id: hit for hit in near.hits}
        for hit in (hit for candidates in found for hit in candidates.hits):
            known[hit.id] = _with_signals(known.get(hit.id, hit), hit)
        whole = near if near.tier else found[0]
        return replace(whole, hits=list(known.values()))

    def reorder(
        self,
        hits: Sequence[Hit],
        probabilities: Numbers | None,
        *,
        near: int,
        words: WordEvidence,
        sparse: SparseEvidence | None,
    ) -> tuple[Sequence[Hit], Numbers | None]:
        """Hits with their probabilities, best first, after what words and sparse vectors say.

        Args:
            hits: As `candidates` gives them.
            probabilities: By their vectors; None where nothing is calibrated.
            near: How many of the hits were found by their vectors, best first.
            words: How much words add.
            sparse: How much a product of sparse vectors adds; None where only ranks count.
        """
        if self.alone:
            return hits, None
        after = probabilities
        if probabilities is not None and (self.terms or (self.sparse and sparse)):
            after = add_evidence(probabilities, hits, words, sparse)
            order = np.argsort(-after, kind="stable")
            hits, after = [hits[i] for i in order.tolist()], after[order]
        known = after is not None and (self.sparse is None or sparse is not None)
        if known or not (self.terms or self.sparse):
            return hits, after
        weighed = _best(hits, "sparse_score")
        ranked = (
            reciprocal_rank([hits[:near], _best(hits, "text_score"), weighed])
            if after is None
            else reciprocal_rank_of_some(hits, weighed)
        )
        return ranked if near else [_scored(hit) for hit in ranked], None


def read_words(
    query: Query, condition: Filter | None, mode: SearchMode, encoder: SparseEncoder | None = None
) -> WordSearch:
    """How words take part in a search.

    Args:
        query: What is looked for; only a text that somebody typed has words.
        condition: The search's own filter.
        mode: What is compared.
        encoder: The collection's sparse encoder; None for none.

    Raises:
        QueryError: Words alone shall be compared, and the query has none.
    """
    if mode is SearchMode.TEXT and not query.typed:
        raise _wordless()
    if mode is SearchMode.DENSE or not query.typed:
        return WordSearch(query=query, terms=Terms(), condition=condition, sparse=query.sparse)
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
        sparse=query.sparse or _encoded(plain, encoder),
    )


def read_all_words(
    query: Composition,
    condition: Filter | None,
    mode: SearchMode,
    encoder: SparseEncoder | None = None,
) -> list[WordSearch]:
    """How the words of every term take part; what one wanted term demands holds for all.

    Args:
        query: One or several terms. The words of unwanted ones are left to their embeddings.
        condition: The search's own filter.
        mode: What is compared.
        encoder: The collection's sparse encoder; None for none.

    Raises:
        QueryError: Words alone shall be compared, and there are none or several terms.
    """
    if mode is SearchMode.TEXT and len(query.terms) > 1:
        raise QueryError("several terms are not searched by words alone; leave out --text")
    read = []
    for term in query.terms:
        chosen = mode if term.weight > 0 else SearchMode.DENSE
        read.append(read_words(term.query, condition, chosen, encoder))
        condition = read[-1].condition
    return [replace(words, condition=condition) for words in read]


def add_evidence(
    probabilities: Numbers,
    hits: Sequence[Hit],
    words: WordEvidence,
    sparse: SparseEvidence | None = None,
) -> Numbers:
    """``(n,)`` probabilities after what each hit's words and sparse vector say; never lower.

    Args:
        probabilities: ``(n,)`` by their vectors.
        hits: n hits of one query.
        words: How much words add.
        sparse: How much a product of sparse vectors adds; None for nothing.
    """
    scores = np.array([hit.text_score or 0.0 for hit in hits])
    shares = np.array([hit.text_share or 0.0 for hit in hits])
    after = words.added(probabilities, scores, shares)
    return after if sparse is None else sparse.added(after, products_of(hits))


def products_of(hits: Sequence[Hit]) -> Numbers:
    """``(n,)`` products with the query's sparse vector; NaN where they share no index."""
    return np.array([np.nan if hit.sparse_score is None else hit.sparse_score for hit in hits])


def _best(hits: Sequence[Hit], signal: str) -> list[Hit]:
    """The hits that have a signal, best first."""
    found = [hit for hit in hits if getattr(hit, signal) is not None]
    return sorted(found, key=lambda hit: -getattr(hit, signal))


def _with_signals(hit: Hit, other: Hit) -> Hit:
    """A hit with what another search says of it."""
    return replace(
        hit,
        text_score=hit.text_score if other.text_score is None else other.text_score,
        text_share=hit.text_share if other.text_share is None else other.text_share,
        sparse_score=hit.sparse_score if other.sparse_score is None else other.sparse_score,
    )


def _scored(hit: Hit) -> Hit:
    """A hit of a query without an embedding: its score is what found it."""
    return replace(hit, score=(hit.text_score or 0.0) if hit.sparse_score is None
                   else hit.sparse_score)  # fmt: skip


def _encoded(text: str, encoder: SparseEncoder | None) -> SparseVector | None:
    vector = encoder.encode([text], role=Role.QUERY)[0] if encoder is not None else None
    return vector if vector is not None and len(vector.indices) else None


def _wordless() -> QueryError:
    return QueryError("a search by words alone needs a text with words; leave out --text")


def _demands(read: TextQuery, condition: Filter | None) -> Filter | None:
    parts: list[Filter] = [condition] if condition else []
    parts += [Words(phrase) for phrase in read.phrases]
    parts += [Not(Words(phrase)) for phrase in read.without]
    return And(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None
