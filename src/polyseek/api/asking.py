"""What a caller looks for, as a query: terms, vectors from elsewhere, rows of the collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from polyseek.api.composing import ComposedQuery, read
from polyseek.core.errors import DimensionError, QueryError
from polyseek.core.hits import Composition, Query
from polyseek.core.protocols import StoreReader
from polyseek.core.sparse import SparseVector
from polyseek.core.types import Embeddings, EncoderInfo, Floats, Modality

ID_PREFIX = "id:"
"""``id:NAME`` is a term for what is like an asset of the collection."""

MAX_PIECES = 16


def ask(
    given: Any,
    store: StoreReader,
    *,
    vector: Any = None,
    sparse: Any = None,
    offline: bool,
    encoder: EncoderInfo | None = None,
) -> Query | Composition | None:
    """The query that a term, a vector, or both stand for; None where there is neither.

    Args:
        given: A term, several together, a vector, ``id:...``, or None.
        store: The collection's rows.
        vector: ``(dim,)`` numbers in the collection's shared space.
        sparse: A `SparseVector`, or weights by index.
        offline: Refuse URLs.
        encoder: Whose towers decide what a file is; None for any.

    Raises:
        QueryError: There is nothing to look for, or it cannot be read.
        DimensionError: The vector has another length than the collection's.
    """
    if isinstance(given, np.ndarray | list | tuple) and vector is None:
        given, vector = None, given
    if given is None and vector is None and sparse is None:
        return None
    if isinstance(given, ComposedQuery):
        if vector is not None or sparse is not None:
            raise QueryError("a vector is looked for alone or with one text, not with more terms")
        own = [(_like(term, store) or term, weight) for term, weight in given.terms]
        return read(replace(given, terms=own), offline=offline, encoder=encoder)
    query = _term(given, store, offline=offline, encoder=encoder)
    if vector is not None:
        if not query.typed and query.signals:
            raise QueryError("a vector is looked for alone or with a text, not with a file")
        rows = _unit(vector, store.manifest.dim)[None]
        nothing = np.zeros((1, 0), np.float32)
        query = replace(query, embeddings=Embeddings(shared=rows, tower=nothing))
    return query if sparse is None else replace(query, sparse=_sparse(sparse))


def _term(given: Any, store: StoreReader, *, offline: bool, encoder: EncoderInfo | None) -> Query:
    if given is None:
        return Query(modality=Modality.TEXT, signals=(), label="vector")
    found = _like(given, store)
    if found is not None:
        return found
    read_one = read(given, offline=offline, encoder=encoder)
    assert isinstance(read_one, Query)  # noqa: S101 - one term was given
    return read_one


def _like(term: Any, store: StoreReader) -> Query | None:
    """The query of an ``id:...`` term; None for any other term."""
    if not isinstance(term, str) or not term.startswith(ID_PREFIX):
        return None
    from polyseek.ingest.sources.locate import uri_of

    name = term.removeprefix(ID_PREFIX)
    batches = store.fetch([name]) or (store.fetch([uri_of(name)]) if name else ())
    if not batches:
        raise QueryError(
            f"{term}: the collection has no asset of that id or path; write text:{term} to search "
            "for it as text"
        )
    rows = batches[0].embeddings
    return Query(
        modality=batches[0].modality,
        signals=(),
        label=term,
        embeddings=Embeddings(shared=rows.shared[:MAX_PIECES], tower=rows.tower[:MAX_PIECES]),
    )


def _unit(vector: Any, dim: int) -> Floats:
    """``(dim,)`` float32 of unit length."""
    try:
        row = np.asarray(vector, np.float32)
    except (TypeError, ValueError) as error:
        raise QueryError(f"the query vector cannot be read as numbers: {error}") from error
    row = row[0] if row.ndim == 2 and len(row) == 1 else row
    if row.shape != (dim,):
        raise DimensionError(
            f"the query vector has shape {row.shape}, the collection's vectors have {dim} numbers"
        )
    length = np.linalg.norm(row)
    if not np.isfinite(length) or not length:
        raise QueryError("the query vector is not finite, or all zero; it has no direction")
    unit: Floats = (row / length).astype(np.float32)
    return unit


def _sparse(given: Any) -> SparseVector:
    if isinstance(given, SparseVector):
        return given
    if not isinstance(given, Mapping):
        raise QueryError(
            f"the sparse vector is a {type(given).__name__}; expected weights by index"
        )
    try:
        return SparseVector.of({int(index): float(weight) for index, weight in given.items()})
    except (TypeError, ValueError) as error:
        raise QueryError(f"the sparse vector cannot be read: {error}") from error
