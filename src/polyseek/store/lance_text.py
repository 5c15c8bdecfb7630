"""BM25 over the words of segments, by Lance's inverted index.

Words are made by `core.words` before Lance sees them, so its tokeniser only splits at blanks. Rows
that the index does not cover yet are found all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from polyseek.core.filters import Filter
from polyseek.core.hits import Candidates, Retrieval, Terms
from polyseek.core.words import edits_of
from polyseek.store import inverted, layout
from polyseek.store.filter_sql import to_sql
from polyseek.store.hits import hits_from_arrow, read_metadata
from polyseek.store.words import share_found, stored_words, words_of

_TIES = 32
"""Lance breaks ties as it likes: this many more rows are asked for, and ordered by id."""

WHOLE_BYTES = 8 * 1024 * 1024
"""An index up to here is read whole where every read is a request."""


def search(table: Any, request: Retrieval, condition: Filter | None, *, terms: Terms) -> Candidates:
    """See `polyseek.core.protocols.StoreReader.search_text`."""
    if not searchable(table) or not terms:
        return Candidates(hits=(), tier="empty", rows=0)
    vector = layout.vector_column(request.space, table.schema.names)
    unread = {*layout.VECTOR_COLUMN.values(), *inverted.COLUMNS}
    if request.vector.any():  # else all cosines are 0: each row's vector is a read of its own
        unread.remove(vector)
    names = [name for name in table.schema.names if name not in unread]
    found = ranked(table, terms, request.limit, condition=condition, columns=names)
    cosines = np.zeros(len(found), np.float32)
    if vector in found.column_names and len(found):
        cosines = layout.vectors_to_numpy(found[vector]) @ request.vector
        found = found.drop_columns([vector])
    hits = hits_from_arrow(
        found, cosines.tolist(), request.modality, hub=request.hub,
        matched=matches(terms, found["_score"], found[layout.WORDS]),
    )  # fmt: skip
    return Candidates(hits=hits, tier="lance-text", rows=_rows(table, condition))


def ranked(
    table: Any, terms: Terms, limit: int, *, condition: Filter | None, columns: Sequence[str]
) -> pa.Table:
    """These columns and ``_score`` of the best rows; equal scores are ordered by id."""
    found = _best(table, terms, limit, condition).select([*columns, "_score"]).to_arrow()
    return found.sort_by([("_score", "descending"), ("id", "ascending")]).slice(0, limit)


def scored(table: Any, terms: Terms, limit: int, condition: Filter | None) -> pa.Table:
    """``_rowid`` and ``_score`` of the best rows and of some more, from the index alone."""
    return (
        _best(table, terms, limit, condition)
        .select(["_score"])
        .with_row_id(with_row_id=True)
        .to_arrow()
    )


def matches(terms: Terms, scores: Any, words: Any) -> list[tuple[float, float]]:
    """`text_score` and `text_share` of rows with these words."""
    shares = (share_found(terms, stored or "") for stored in words.to_pylist())
    return list(zip(scores.to_pylist(), shares, strict=True))


def fetch(table: Any) -> None:
    """Read the index into memory, unless it is large."""
    index = _index_of(table)
    if index is not None and index.size_bytes <= WHOLE_BYTES:
        table.prewarm_index(index.name)


def searchable(table: Any) -> bool:
    """Whether the table has words: one that an older polyseek wrote gets them by `refresh`."""
    return layout.WORDS in table.schema.names


def refresh(table: Any) -> None:
    """Give words to rows without, and build the index when there is none.

    Killed in between, the next call goes on.
    """
    if not searchable(table):
        table.add_columns([pa.field(layout.WORDS, pa.string())])
    if table.count_rows(f"{layout.WORDS} IS NULL"):
        _fill(table)
    if _index_of(table) is None:
        _build(table)


def index_new(table: Any) -> None:
    """Take rows into the index that it does not cover, without touching the rows themselves."""
    index = _index_of(table)
    stats = table.index_stats(index.name) if index is not None else None
    if stats is not None and stats.num_unindexed_rows:
        _build(table)


def _index_of(table: Any) -> Any | None:
    return next((i for i in table.list_indices() if i.columns == [layout.WORDS]), None)


def _build(table: Any) -> None:
    from lancedb.index import FTS

    table.create_index(
        layout.WORDS,
        config=FTS(
            base_tokenizer="whitespace", lower_case=False, stem=False,
            remove_stop_words=False, ascii_folding=False,
        ),
        replace=True,
    )  # fmt: skip


def _fill(table: Any) -> None:
    vectors = {*layout.VECTOR_COLUMN.values(), *inverted.COLUMNS}
    names = [name for name in table.schema.names if name not in vectors]
    wordless = table.search().where(f"{layout.WORDS} IS NULL").limit(None).select(names)
    parts = []
    for block in wordless.to_batches():
        rows = pa.Table.from_batches([block])
        uris, texts = rows["asset_uri"].to_pylist(), rows["text"].to_pylist()
        found = [
            stored_words(words_of(uri, text, read_metadata(rows, i)))
            for i, (uri, text) in enumerate(zip(uris, texts, strict=True))
        ]
        parts.append(pa.table({"id": rows["id"], layout.WORDS: pa.array(found, pa.string())}))
    filled = layout.keyed(pa.concat_tables(parts))
    table.merge_insert("id").when_matched_update_all().execute(filled)


def _best(table: Any, terms: Terms, limit: int, condition: Filter | None) -> Any:
    query = table.search(_query(terms)).limit(limit + _TIES)
    if condition is None:
        return query
    return query.where(to_sql(condition, table.schema.names), prefilter=True)


def _query(terms: Terms) -> Any:
    from lancedb import query

    match: Any = query.MatchQuery  # its annotations demand what has defaults
    parts = [match(" ".join(terms.exact), layout.WORDS)] if terms.exact else []
    parts += [match(word, layout.WORDS, fuzziness=edits_of(word)) for word in terms.fuzzy]
    if len(parts) == 1:
        return parts[0]
    return query.BooleanQuery([(query.Occur.SHOULD, part) for part in parts])


def _rows(table: Any, condition: Filter | None) -> int:
    names = table.schema.names
    return int(table.count_rows(to_sql(condition, names) if condition is not None else None))
