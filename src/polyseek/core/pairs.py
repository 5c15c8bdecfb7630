"""Queries with what answers them: what quality is measured with, and what is fitted with labels.

Files name assets as their owner does: by path, file name, uri, or an id that is one of the asset's
fields. What these names stand for in a collection is `core.inventory`'s to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from polyseek.core.errors import ConfigError
from polyseek.core.pair_rows import Row, is_number, rows_of
from polyseek.core.words import words

QUERY_COLUMNS = ("query", "text", "caption", "question", "queries", "texts", "captions")
FILE_COLUMNS = ("query_path", "query_file", "query_image", "query_audio", "query_video")
ASSET_COLUMNS = ("path", "asset", "uri", "file", "file_name", "filename", "image", "audio", "video",
                 "doc_id", "docid", "corpus-id", "corpus_id")  # fmt: skip
ID_COLUMNS = ("query_id", "query-id", "qid", "_id", "id")
GAIN_COLUMNS = ("relevance", "rel", "gain", "score")
_COLUMNS = frozenset((*QUERY_COLUMNS, *FILE_COLUMNS, *ASSET_COLUMNS, *ID_COLUMNS, *GAIN_COLUMNS))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledQuery:
    """A query and what is relevant to it.

    Attributes:
        id: What it is called; the query itself where its file has no ids.
        query: A text, or an absolute path where `is_file`.
        is_file: Whether the query is a media file.
        relevant: Gain, above 0, by the name of an asset; empty where nothing is.
        fields: What else its file says about it, such as its language.
    """

    id: str
    query: str
    is_file: bool = False
    relevant: Mapping[str, float] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[bool, str]:
        """What near-duplicates share: the words in their order, or the path."""
        return self.is_file, self.query if self.is_file else " ".join(words(self.query))

    @property
    def fingerprint(self) -> str:
        """Eight hex digits by which it is recognised later, without keeping what it says."""
        return hashlib.blake2b(self.key[1].encode(errors="replace"), digest_size=4).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What a file holds.

    Attributes:
        queries: In the order of the file, no two with the same id.
        notes: What was left out and why, for people.
    """

    queries: Sequence[LabelledQuery]
    notes: Sequence[str] = ()


def read_pairs(path: str | Path, *, queries: str | Path | None = None) -> Pairs:
    """Pairs of queries and assets from a file or folder of any of these kinds.

    - a table (``.csv``, ``.tsv``, ``.jsonl``) with a query (``query``, ``text``, ``caption``, or a
      list of them) and an asset (``path``, ``asset``, ``uri``, ...) in every row, and perhaps an
      id and a relevance. A query that names an existing file beside the table is that file.
    - TREC qrels (``query-id 0 asset relevance``) or a table of ids, with `queries` to say what the
      ids stand for: a table with an id and a text or file in every row, or ``id<TAB>text`` lines.
    - a folder in BEIR's layout: ``queries.jsonl`` and ``qrels/test.tsv`` (or the only one there).

    Args:
        path: The file or folder.
        queries: The queries of ids.

    Raises:
        ConfigError: It cannot be read, or two different queries share an id; names file and row.
    """
    where = Path(path).expanduser()
    if where.is_dir():
        where, queries = _beir(where, queries)
    rows = list(rows_of(where, _COLUMNS))
    known = _known_queries(Path(queries).expanduser()) if queries is not None else None
    found: dict[str, LabelledQuery] = {}
    blank, unknown = [], []
    for number, row in rows:
        asset = _first(row, ASSET_COLUMNS)
        asked = list(_asked(row, known, where))
        if known is not None and not asked and row:
            unknown.append(number)
        elif not asked or not asset:
            blank.append(number)
        for one in asked:
            gain = _gain(row, where, number)
            relevant = dict.fromkeys(asset, gain) if gain > 0 else {}
            _add(found, replace(one, relevant=relevant), where, number)
    if not found:
        raise ConfigError(_nothing_in(where, rows, needs_queries=known is None))
    return Pairs(
        queries=tuple(found.values()),
        notes=tuple(
            f"{where.name}: {len(lines):,} rows {why} were left out (the first is row {lines[0]})"
            for lines, why in (
                (blank, "without a query or an asset"),
                (unknown, "of ids that the queries do not have"),
            )
            if lines
        ),
    )


def joined(queries: Iterable[LabelledQuery]) -> list[LabelledQuery]:
    """Near-duplicates as one: what answers a query answers any other with the same words.

    The first one's id and fields stay.
    """
    found: dict[tuple[bool, str], LabelledQuery] = {}
    for query in queries:
        earlier = found.get(query.key)
        if earlier is None:
            found[query.key] = query
        else:
            found[query.key] = replace(earlier, relevant=_both(earlier.relevant, query.relevant))
    return list(found.values())


def _both(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {name: max(first.get(name, 0), second.get(name, 0)) for name in {**first, **second}}


def _add(found: dict[str, LabelledQuery], one: LabelledQuery, where: Path, number: int) -> None:
    earlier = found.setdefault(one.id, one)
    if earlier.key != one.key:
        raise ConfigError(
            f"{where}: row {number}: id '{one.id}' is given to two different queries, "
            f"{earlier.query!r} and {one.query!r}; ids of queries must differ (or leave them out)"
        )
    if earlier is not one:
        found[one.id] = replace(earlier, relevant=_both(earlier.relevant, one.relevant))


def _asked(
    row: Row, known: Mapping[str, LabelledQuery] | None, where: Path
) -> Iterator[LabelledQuery]:
    """The queries of a row, without what answers them."""
    own = next(iter(_first(row, ID_COLUMNS)), None)
    if known is not None:
        if own is not None and own in known:
            yield known[own]
        return
    files, texts = _first(row, FILE_COLUMNS), _first(row, QUERY_COLUMNS)
    fields = {
        name: str(value)
        for name, value in row.items()
        if name not in _COLUMNS and value is not None and not isinstance(value, (list, dict))
    }
    asked = files or texts
    for place, query in enumerate(asked, 1):
        path = (
            (where.parent / Path(query).expanduser()).absolute() if files else _file(where, query)
        )
        shown = str(path) if path else query
        name = shown if own is None else own if len(asked) == 1 else f"{own}/{place}"
        yield LabelledQuery(id=name, query=shown, is_file=path is not None, fields=fields)


def _file(where: Path, query: str) -> Path | None:
    """The file that a query names, beside its table."""
    try:
        path = (where.parent / query).absolute()
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long, or a NUL byte: no path
        return None


def _known_queries(path: Path) -> dict[str, LabelledQuery]:
    found: dict[str, LabelledQuery] = {}
    for number, row in rows_of(path, _COLUMNS):
        for one in _asked(row, None, path):
            if _first(row, ID_COLUMNS):
                _add(found, one, path, number)
    if not found:
        raise ConfigError(
            f"{path}: no queries; expected a table with the columns 'query_id' (or 'id', '_id') "
            "and 'query' (or 'text'), or lines of an id, a tab and a text"
        )
    return found


def _beir(folder: Path, queries: str | Path | None) -> tuple[Path, str | Path]:
    every = sorted((folder / "qrels").glob("*.tsv"))
    chosen = next((p for p in every if p.stem == "test"), every[0] if len(every) == 1 else None)
    if chosen is None:
        raise ConfigError(
            f"{folder}: expected BEIR's layout, with qrels/test.tsv and queries.jsonl; "
            f"qrels has {', '.join(p.name for p in every) or 'no .tsv file'}"
        )
    return chosen, queries or folder / "queries.jsonl"


def _first(row: Row, names: Sequence[str]) -> list[str]:
    """The values of the first of these columns that has any."""
    for name in names:
        value = row.get(name)
        values = value if isinstance(value, list) else [value]
        found = [str(v).strip() for v in values if v is not None and str(v).strip()]
        if found:
            return found
    return []


def _gain(row: Row, where: Path, number: int) -> float:
    given = next(iter(_first(row, GAIN_COLUMNS)), "1")
    if not is_number(given):
        raise ConfigError(f"{where}: row {number}: relevance is {given!r}; expected a number")
    return float(given)


def _nothing_in(where: Path, rows: Sequence[tuple[int, Row]], *, needs_queries: bool) -> str:
    if not rows:
        return f"{where}: holds no pairs"
    names = ", ".join(map(str, rows[0][1]))
    if needs_queries and _first(rows[0][1], ID_COLUMNS) and not _first(rows[0][1], QUERY_COLUMNS):
        return (
            f"{where}: has ids of queries but not the queries; give them with --queries FILE "
            "(an id and a text in every row)"
        )
    return (
        f"{where}: no row has both a query and an asset; expected columns like 'query' and 'path', "
        f"got {names}"
    )
