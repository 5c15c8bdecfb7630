"""What a search must answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from polyseek.core import filters
from polyseek.core.config import Group
from polyseek.core.errors import DimensionError, InvalidFilterError
from polyseek.core.hits import Candidates
from polyseek.core.protocols import Store
from polyseek.core.types import Floats, Modality, Space, Span, SpanUnit
from polyseek.testing.store.samples import (
    DIM,
    IMAGE,
    MANIFEST,
    TEXT,
    TOLERANCE,
    TOWER_DIMS,
    Row,
    axis,
    look,
    only,
    passages,
    put,
    row,
    unit,
    uris,
)


class SearchChecks:
    """Checks that need a `store` fixture."""

    def test_what_passes_is_listed_by_uri_and_place(self, store: Store) -> None:
        put(
            store,
            *passages("mem:/b", 30, 4),
            row("mem:/a", metadata={"n": 1}),
            row("mem:/c", span=Span(unit=SpanUnit.ROW, start=1, end=2), metadata={"n": 2}),
            row("mem:/c", span=Span(unit=SpanUnit.ROW, start=0, end=1), metadata={"n": 1}),
            row("mem:/picture", modality=IMAGE, metadata={"n": 1}),
        )

        def listed(where: str | None = None, **how: Any) -> tuple[list[tuple[str, Any]], int]:
            condition = filters.parse(where) if where else None
            asked = {"limit": 10, "group": Group.ASSET, **how}
            found = store.browse(TEXT, condition, **asked)
            assert [hit.rank for hit in found.hits] == list(range(1, len(found.hits) + 1))
            assert {hit.score for hit in found.hits} <= {1.0}
            return [(hit.uri, hit.span and hit.span.start) for hit in found.hits], found.rows

        rows = [("mem:/c", 0), ("mem:/c", 1)]
        everything = [("mem:/a", None), ("mem:/b", 4), ("mem:/b", 30), *rows]
        assert listed(group=Group.SEGMENT) == (everything, 5)
        assert listed() == ([*everything[:2], *rows], 5)
        assert listed(limit=2) == (everything[:2], 5)
        assert listed("n = 1") == ([("mem:/a", None), rows[0]], 2)
        assert listed("n > 2") == ([], 0)
        hit = store.browse(TEXT, filters.parse("n = 2"), limit=1, group=Group.ASSET).hits[0]
        assert hit.metadata == {"n": 2}
        with pytest.raises(InvalidFilterError, match="colour"):
            listed("colour = 1")

    def test_nothing_is_listed_where_there_is_nothing(self, store: Store) -> None:
        put(store, row("mem:/a"))
        assert not store.browse(IMAGE, None, limit=9, group=Group.ASSET).hits

    def test_an_empty_store_answers_with_nothing(self, store: Store) -> None:
        assert store.manifest == MANIFEST
        assert not list(store.records())
        assert not any(store.counts().values())
        assert not store.fields()
        assert not any(map(len, store.fetch(["mem:/a"])))
        for modality, tower_dim in TOWER_DIMS.items():
            assert _nothing(store, axis(0), modality, Space.SHARED)
            assert _nothing(store, axis(0, tower_dim), modality, Space.TOWER)

    def test_one_row_is_found(self, store: Store) -> None:
        one = row("mem:/one", modality=IMAGE)
        put(store, one)
        for space in Space:
            found = look(store, one.vector(space), IMAGE, space=space)
            hit = only(found)
            assert (hit.id, hit.uri, hit.modality) == (one.segment.id, "mem:/one", IMAGE)
            assert (hit.rank, found.rows) == (1, 1)
            assert hit.score == pytest.approx(1, abs=TOLERANCE[space])

    def test_vectors_come_in_the_order_of_the_ids_and_are_nan_where_gone(
        self, store: Store
    ) -> None:
        rows = [row(f"mem:/{i}", modality=IMAGE) for i in range(3)]
        put(store, *rows, row("mem:/text"))
        ids = [rows[2].segment.id, "gone", rows[0].segment.id, row("mem:/text").segment.id]
        for space in Space:
            found = store.vectors(IMAGE, ids, space)
            assert np.isnan(found[[1, 3]]).all()
            for i, one in ((0, rows[2]), (2, rows[0])):
                np.testing.assert_allclose(found[i], one.vector(space), atol=TOLERANCE[space])
            assert store.vectors(IMAGE, [], space).shape[0] == 0

    def test_equal_scores_come_in_the_order_of_ids(self, store: Store) -> None:
        same = [row(f"mem:/{i}", shared=axis(1)) for i in range(9)]
        put(store, row("mem:/better", shared=axis(0)), *same)
        first, *rest = look(store, unit(axis(0) + axis(1) / 2)).hits
        assert first.uri == "mem:/better"
        assert [hit.id for hit in rest] == sorted(each.segment.id for each in same)

    def test_the_limit_keeps_the_lowest_ids_among_equal_scores(self, store: Store) -> None:
        same = [row(f"mem:/{i}", shared=axis(1)) for i in range(9)]
        put(store, *same)
        kept = [hit.id for hit in look(store, axis(1), limit=4).hits]
        assert kept == sorted(each.segment.id for each in same)[:4]

    def test_a_limit_beyond_the_rows_gives_what_there_is(self, store: Store) -> None:
        put(store, *(row(f"mem:/{i}", metadata={"n": i}) for i in range(5)))
        assert len(look(store, limit=6).hits) == 5
        passing = look(store, where="n < 3", limit=4)
        assert (len(passing.hits), passing.rows) == (3, 3)

        none = look(store, where="n > 5")
        assert (list(none.hits), none.rows) == ([], 0)

    def test_a_filter_that_does_not_fit_the_fields_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidFilterError, match="missing_field"):
            look(store, where="missing_field = 1")
        put(store, row("mem:/a", metadata={"n": 1}))
        for modality in TOWER_DIMS:
            with pytest.raises(InvalidFilterError, match="missing_field"):
                look(store, modality=modality, where="missing_field = 1")
        with pytest.raises(InvalidFilterError, match="n"):
            look(store, where="n = 'one'")

    def test_a_vector_of_another_length_is_refused(self, store: Store) -> None:
        other = {Space.SHARED: TOWER_DIMS[TEXT], Space.TOWER: DIM}
        for space in Space:
            with pytest.raises(DimensionError):
                look(store, axis(0, 3), space=space)
        put(store, row("mem:/a"))
        for space in Space:
            for dim in (3, other[space]):
                with pytest.raises(DimensionError):
                    look(store, axis(0, dim), space=space)

    def test_a_modality_without_rows_has_no_hits(self, store: Store) -> None:
        put(store, row("mem:/a", metadata={"n": 1}))
        assert _nothing(store, axis(0), IMAGE, Space.SHARED)
        assert _nothing(store, axis(0, TOWER_DIMS[IMAGE]), IMAGE, Space.TOWER)
        assert not look(store, modality=IMAGE, where="n = 1").hits

    def test_each_space_has_its_own_ranking(self, store: Store) -> None:
        near, far = [1, 0.1, 0, 0, 0, 0], [0.1, 1, 0, 0, 0, 0]
        put(
            store,
            row("mem:/shared", shared=[*near, 0, 0], tower=far),
            row("mem:/tower", shared=[*far, 0, 0], tower=near),
        )
        shared = look(store, axis(0), space=Space.SHARED).hits
        tower = look(store, axis(0, TOWER_DIMS[TEXT]), space=Space.TOWER).hits
        assert [hit.uri for hit in shared] == ["mem:/shared", "mem:/tower"]
        assert [hit.uri for hit in tower] == ["mem:/tower", "mem:/shared"]

    def test_a_search_is_exact_with_and_without_a_filter(self, store: Store) -> None:
        rng = np.random.default_rng(5)
        rows = [
            row(f"mem:/{i}", metadata={"n": float(rng.random()), "group": "abc"[i % 3]})
            for i in range(240)
        ]
        put(store, *rows)
        passing = [each for each in rows if _passes(each)]
        for space in Space:
            query = unit(rng.normal(size=len(rows[0].vector(space))))
            everything = look(store, query, space=space, limit=12)
            _assert_exact(everything, query, rows, space)
            selected = look(store, query, where=SELECTIVE, space=space, limit=12)
            _assert_exact(selected, query, passing, space)

    def test_every_form_of_filter_selects_what_it_says(self, store: Store) -> None:
        put(
            store,
            row("mem:/1", metadata={"n": 1, "t": "One_x", "ok": True, "tags": ["a", "b"]}),
            row("mem:/2", metadata={"n": 2, "t": "it's 50%", "ok": False, "tags": []}),
            row("mem:/3", metadata={"n": 3}),
        )
        selected = {
            where: "".join(sorted(uri[-1] for uri in uris(look(store, where=where))))
            for where in SELECTIONS
        }
        assert selected == SELECTIONS


SELECTIONS = {
    "n = 2": "2",
    "n != 2": "13",
    "n < 2": "1",
    "n <= 2": "12",
    "n > 1.5 AND n < 3": "2",
    "n >= 3 OR t = 'One_x'": "13",
    "n IN (1, 3)": "13",
    "n NOT IN (1, 3)": "2",
    "t = 'it''s 50%'": "2",
    "t LIKE 'one%'": "",
    "t ILIKE 'one%'": "1",
    "t LIKE '%\\%'": "2",
    "t IS NULL": "3",
    "t IS NOT NULL": "12",
    "t != 'One_x'": "2",
    "NOT t = 'One_x'": "2",
    "ok = true": "1",
    "NOT ok = true": "2",
    "tags HAS 'b'": "1",
    "NOT tags HAS 'b'": "2",
    "NOT (ok = true OR n = 3)": "2",
}
"""The rows that pass, by condition; a comparison with a missing value is neither true nor false."""


def _nothing(store: Store, vector: Floats, modality: Modality, space: Space) -> bool:
    found = look(store, vector, modality, space=space)
    return not found.hits and found.rows == 0


def _assert_exact(found: Candidates, query: Floats, rows: Sequence[Row], space: Space) -> None:
    """These are the twelve nearest of the rows, in order, with their cosines."""
    tolerance = TOLERANCE[space]
    cosines = {each.segment.id: float(each.vector(space) @ query) for each in rows}
    best = sorted(cosines.values(), reverse=True)[:12]
    scores = [hit.score for hit in found.hits]
    assert found.rows == len(rows)
    assert [hit.rank for hit in found.hits] == list(range(1, 13))
    assert scores == sorted(scores, reverse=True)
    assert {hit.id for hit in found.hits} <= cosines.keys(), "a row that does not pass was found"
    assert scores == pytest.approx([cosines[hit.id] for hit in found.hits], abs=tolerance)
    assert scores == pytest.approx(best, abs=tolerance), "nearer rows were missed"


SELECTIVE = "n < 0.3 AND group != 'b'"


def _passes(each: Row) -> bool:
    values = each.segment.metadata
    return float(str(values["n"])) < 0.3 and values["group"] != "b"
