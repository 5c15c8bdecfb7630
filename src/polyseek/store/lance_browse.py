"""What passes a filter, in the order of paths: nothing is looked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyseek.core.config import Group
from polyseek.core.filters import Filter
from polyseek.core.hits import Candidates
from polyseek.core.types import Modality, SpanUnit
from polyseek.store import inverted, layout
from polyseek.store.filter_sql import to_sql
from polyseek.store.hits import hits_from_arrow
from polyseek.store.lance_rows import conditions

TIER = "lance-browse"
_KEYS = ["id", "asset_uri", "span_unit", "span_start"]
_PLACE = [("asset_uri", "ascending"), ("span_start", "ascending"), ("id", "ascending")]


def browse(
    table: Any, modality: Modality, condition: Filter | None, *, limit: int, group: Group
) -> Candidates:
    """See `polyseek.core.protocols.StoreReader`: one pass over the keys, then the rows shown."""
    names = table.schema.names
    query = table.search()
    if condition is not None:
        query = query.where(to_sql(condition, names))
    keys = query.select(_KEYS).limit(None).to_arrow().combine_chunks()
    wanted = keys["id"].take(_first(keys, group)[:limit]).to_pylist()
    vectors = {*layout.VECTOR_COLUMN.values(), *inverted.COLUMNS}
    shown = [name for name in names if name not in vectors]
    parts = [
        table.search().where(by_id).limit(None).select(shown).to_arrow()
        for by_id in conditions("id", wanted)
    ]
    if not parts:
        return Candidates(hits=(), tier=TIER, rows=0)
    rows = pa.concat_tables(parts)
    place = {id_: i for i, id_ in enumerate(rows["id"].to_pylist())}
    order = [place[id_] for id_ in wanted if id_ in place]  # a writer may be at work
    hits = hits_from_arrow(rows, [1.0] * len(order), modality, rows=order)
    return Candidates(hits=hits, tier=TIER, rows=len(keys))


def _first(keys: pa.Table, group: Group) -> pa.Array:
    """Numbers of the rows that are shown, in order."""
    whole = pa.scalar(-math.inf)  # an asset as such comes before its parts
    starts = pc.fill_null(keys["span_start"], whole)
    column = keys.schema.get_field_index("span_start")
    order = pc.sort_indices(keys.set_column(column, "span_start", starts), sort_keys=_PLACE)
    if group is Group.SEGMENT or len(order) < 2:
        return order
    uris = keys["asset_uri"].combine_chunks().take(order)
    units = keys["span_unit"].combine_chunks().take(order)
    other = pc.not_equal(uris[1:], uris[:-1])
    own = pc.fill_null(pc.equal(units[1:], str(SpanUnit.ROW)), fill_value=False)
    shown = np.concatenate([[True], pc.or_(other, own).to_numpy(zero_copy_only=False)])
    return order.filter(pa.array(shown))
