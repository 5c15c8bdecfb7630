"""Labelled queries for a collection: from a file, or mined from the collection itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyseek.core.errors import AssetError, ConfigError, QueryError
from polyseek.core.hits import Query
from polyseek.core.inventory import Inventory
from polyseek.core.judged import Judged, look_up
from polyseek.core.pairs import joined, read_pairs
from polyseek.core.types import EncoderInfo, Modality
from polyseek.evaluate.mining import Mined, mine

AUTO = "auto"
FIELD = "field:"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Labelled:
    """Labelled queries that something in the collection answers.

    Attributes:
        source: Where they are from, for people.
        judged: Of a file; empty when they were mined.
        mined: Of the collection itself, by modality; empty when they are of a file.
        queries: What each judged query holds, by its id.
        notes: What was left out, for people.
    """

    source: str
    judged: Sequence[Judged] = ()
    mined: Sequence[Mined] = ()
    queries: Mapping[str, Query]
    notes: Sequence[str] = ()

    def every(self) -> list[Judged]:
        """All of them, wherever they are from."""
        return [*self.judged, *(one for mined in self.mined for one in mined.queries)]


def labelled(
    pairs: str | Path,
    inventory: Inventory,
    *,
    encoder: EncoderInfo,
    queries: str | Path | None = None,
) -> Labelled:
    """What `--pairs` names.

    Args:
        pairs: ``"auto"`` for queries mined from the collection, ``"field:NAME"`` for those of one
            metadata field, else a file or folder that `core.pairs.read_pairs` reads.
        inventory: Of the collection.
        encoder: Of the collection: its towers decide what a file is.
        queries: A file with the queries that the ids in `pairs` stand for.

    Raises:
        ConfigError: The file cannot be read, or nothing in the collection answers any query.
    """
    if not inventory:
        raise ConfigError("nothing is indexed yet, so nothing can answer; run 'polyseek index'")
    given = str(pairs)
    if given == AUTO or given.startswith(FIELD):
        return _mined(inventory, given.removeprefix(FIELD) if given != AUTO else None)
    where = Path(pairs).expanduser()
    read = read_pairs(where, queries=queries)
    beside = where if where.is_dir() else where.parent
    judged, notes = look_up(joined(read.queries), inventory, beside=beside)
    known, failed = {}, []
    for one in judged:
        try:
            known[one.query.id] = _query(one, encoder)
        except (QueryError, AssetError) as error:
            failed.append(str(error))
    if failed:
        notes.append(f"{len(failed):,} queries cannot be read: {failed[0]}")
    if not known:
        raise ConfigError(
            f"--pairs {pairs}: nothing in the collection answers any of its queries; "
            f"{'; '.join(notes) or 'it has none'}"
        )
    return Labelled(
        source=where.name,
        judged=[one for one in judged if one.query.id in known],
        queries=known,
        notes=[*read.notes, *notes],
    )


def _mined(inventory: Inventory, field: str | None) -> Labelled:
    mined = mine(inventory, field=field)
    if not mined:
        raise ConfigError(
            f"--pairs {FIELD}{field}: no asset has a text in this field ('polyseek fields')"
            if field is not None
            else "--pairs auto: no captions, titles, labels, texts beside the assets or telling "
            "file names; give --pairs FILE with columns 'query' and 'path'"
        )
    return Labelled(
        source="the collection itself",
        mined=mined,
        queries={
            one.query.id: Query(
                modality=Modality.TEXT, signals=[one.query.query], label=one.query.query
            )
            for source in mined
            for one in source.queries
        },
    )


def _query(one: Judged, encoder: EncoderInfo) -> Query:
    from polyseek.ingest.term import TEXT_PREFIX, read_query

    asked = Path(one.query.query) if one.query.is_file else TEXT_PREFIX + one.query.query
    return read_query(asked, offline=True, encoder=encoder)
