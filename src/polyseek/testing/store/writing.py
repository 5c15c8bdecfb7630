"""What writing must leave behind, and what other readers and writers see of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from polyseek.core.errors import CollectionBusyError, StoreError
from polyseek.core.protocols import Store
from polyseek.core.types import AssetStatus, Space
from polyseek.testing.store.samples import (
    DIM,
    IMAGE,
    MANIFEST,
    TEXT,
    TOLERANCE,
    TOWER_DIMS,
    batches,
    counted,
    failed,
    indexed,
    look,
    only,
    passages,
    put,
    row,
    snapshot,
    stored,
    uris,
)


class WriteChecks:
    """Checks that need the fixtures `store` and `second`."""

    def test_the_same_call_twice_leaves_the_same_rows(self, store: Store) -> None:
        rows = [*passages("mem:/a", 0, 10), row("mem:/b", modality=IMAGE, metadata={"n": 1})]
        put(store, *rows, records=[failed("mem:/c")])
        once = snapshot(store)
        put(store, *rows, records=[failed("mem:/c")])
        assert snapshot(store) == once
        assert len(once["records"]) == 3

    def test_an_upsert_replaces_all_segments_of_its_assets(self, store: Store) -> None:
        kept = passages("mem:/kept", 0)
        put(store, *passages("mem:/a", 0, 10, 20), *passages("mem:/b", 0, 10), *kept)
        assert look(store).rows == 6
        new = [*passages("mem:/a", 10, 15), *passages("mem:/b", 99)]
        put(store, *new)
        expected = {each.segment.id: each.segment.text for each in [*new, *kept]}
        assert {hit.id: hit.text for hit in look(store).hits} == expected
        assert look(store).rows == 4
        assert stored(store, "mem:/a", "mem:/b", "mem:/kept").keys() == expected.keys()
        assert {r.uri: r.segments for r in store.records()} == {
            "mem:/a": 2,
            "mem:/b": 1,
            "mem:/kept": 1,
        }

    def test_segments_are_added_to_assets_that_keep_theirs(self, store: Store) -> None:
        put(store, *passages("mem:/a", 0, 10), *passages("mem:/b", 0, 10))
        picture = row("mem:/a", modality=IMAGE, metadata={"n": 1})
        again, new = (
            row("mem:/a", span=passages("mem:/a", 10)[0].segment.span, text="again"),
            [*passages("mem:/a", 20), *passages("mem:/b", 20)],
        )
        with store.writing():
            for _ in range(2):  # the same call twice leaves the same rows
                store.upsert(
                    indexed([picture, again, *new]),
                    batches([picture, again, *new]),
                    keep={"mem:/a", "mem:/absent"},
                )
        expected = {
            *(each.segment.id for each in (picture, again, *new)),
            passages("mem:/a", 0)[0].segment.id,
        }
        rows = stored(store, "mem:/a", "mem:/b")
        assert rows.keys() == expected
        assert rows[again.segment.id].segment.text == "again"
        ended = indexed(passages("mem:/a", 0))
        with store.writing():
            store.upsert(ended, [], keep={"mem:/a"})
        assert stored(store, "mem:/a", "mem:/b").keys() == expected
        assert {r.uri: r for r in store.records()}["mem:/a"] == ended[0]

    def test_a_sample_has_the_hub_biases_that_are_known(self, store: Store) -> None:
        put(store, *passages("mem:/a", 0, 10))
        with store.writing():
            store.set_hub_bias(TEXT, IMAGE, lambda rows: rows.shared[:, 0])
        put(store, *passages("mem:/b", 0))
        found = store.sample(TEXT, 100)
        assert found is not None
        expected = np.where(
            [segment.asset_uri == "mem:/a" for segment in found.segments],
            found.embeddings.shared[:, 0],
            np.nan,
        )
        assert found.hub_bias[IMAGE] == pytest.approx(expected, nan_ok=True)
        assert np.isnan(found.hub_bias.get(TEXT, np.full(3, np.nan))).all()

    def test_an_upsert_replaces_vectors_and_metadata(self, store: Store) -> None:
        put(store, row("mem:/a", metadata={"old": 1, "n": 1}, shared=[1] * DIM))
        assert uris(look(store, where="n = 1")) == {"mem:/a"}
        new = row("mem:/a", metadata={"n": 2}, shared=[1] + [-1] * (DIM - 1))
        put(store, new)
        hit = only(look(store, new.shared))
        assert hit.score == pytest.approx(1, abs=1e-5)
        assert dict(hit.metadata) == {"n": 2}
        assert not look(store, where="n = 1 OR old = 1").hits

    def test_an_asset_that_changes_its_modality_leaves_no_old_rows(self, store: Store) -> None:
        put(store, *passages("mem:/a", 0, 10), row("mem:/b"))
        put(store, row("mem:/a", modality=IMAGE))
        assert uris(look(store)) == {"mem:/b"}
        assert uris(look(store, modality=IMAGE)) == {"mem:/a"}
        assert [e.segment.modality for e in stored(store, "mem:/a").values()] == [IMAGE]
        indexed_ = AssetStatus.INDEXED
        assert counted(store) == {(indexed_, (TEXT,)): 1, (indexed_, (IMAGE,)): 1}

    def test_an_asset_may_have_segments_of_two_modalities(self, store: Store) -> None:
        put(store, row("mem:/a"), row("mem:/a", modality=IMAGE))
        assert uris(look(store)) == uris(look(store, modality=IMAGE)) == {"mem:/a"}

    def test_batches_of_one_modality_add_up_within_a_call(self, store: Store) -> None:
        first, second = passages("mem:/a", 0), [*passages("mem:/a", 10), row("mem:/b")]
        with store.writing():
            store.upsert(indexed([*first, *second]), [*batches(first), *batches(second)])
        assert look(store).rows == 3

    def test_a_failed_asset_is_remembered_without_segments(self, store: Store) -> None:
        put(store, *passages("mem:/a", 0, 10), row("mem:/b"), records=[failed("mem:/c")])
        put(store, records=[failed("mem:/a")])
        records = {record.uri: record for record in store.records()}
        assert records["mem:/a"] == failed("mem:/a")
        assert records["mem:/b"] == indexed([row("mem:/b")])[0]
        assert counted(store) == {(AssetStatus.FAILED, ()): 2, (AssetStatus.INDEXED, (TEXT,)): 1}
        assert uris(look(store)) == {"mem:/b"}

    def test_a_deleted_asset_is_gone(self, store: Store) -> None:
        uri = 'mem:/it\'s "a" %_\\東京.txt'
        put(store, *passages(uri, 0, 10), row("mem:/b"))
        assert uris(look(store)) == {uri, "mem:/b"}
        with store.writing():
            store.delete([uri, "mem:/absent"])
        assert uris(look(store)) == {"mem:/b"}
        assert not stored(store, uri)
        assert {record.uri for record in store.records()} == {"mem:/b"}
        assert sum(store.counts().values()) == 1

    def test_deleting_or_writing_nothing_changes_nothing(self, store: Store) -> None:
        put(store, *passages("mem:/a", 0, 10))
        before = snapshot(store)
        with store.writing():
            store.delete(["mem:/absent", "mem:/it's"])
            store.delete([])
            store.upsert([], [])
        assert snapshot(store) == before

    def test_an_embedding_that_is_not_finite_is_refused(self, store: Store) -> None:
        put(store, *passages("mem:/a", 0))
        before, version = snapshot(store), store.version
        for space, bad in itertools.product(Space, (np.nan, np.inf, -np.inf)):
            good, broken = row("mem:/a", metadata={"n": 1}), row("mem:/b", modality=IMAGE)
            broken.vector(space)[1] = bad
            with pytest.raises(StoreError), store.writing():
                store.upsert(indexed([good, broken]), batches([good, broken]))
        assert (snapshot(store), store.version) == (before, version), "something was written"

    def test_the_version_grows_with_every_write(self, store: Store) -> None:
        versions = [store.version]
        put(store, *passages("mem:/a", 0, 10))
        versions.append(store.version)
        put(store, *passages("mem:/a", 0, 10))
        versions.append(store.version)
        put(store, row("mem:/b", metadata={"n": 1}))
        versions.append(store.version)
        put(store, row("mem:/c", modality=IMAGE, metadata={"n": 1.5}))
        versions.append(store.version)
        put(store, records=[failed("mem:/d")])
        versions.append(store.version)
        for uri in ("mem:/d", "mem:/a"):
            with store.writing():
                store.delete([uri])
            versions.append(store.version)
        assert versions == sorted(set(versions))

    def test_fetch_gives_the_stored_rows_of_these_assets_alone(self, store: Store) -> None:
        wanted = [*passages("mem:/a", 0, 10), row("mem:/b", modality=IMAGE, metadata={"n": 1})]
        put(store, *wanted, row("mem:/c"))
        found = store.fetch(["mem:/b", "mem:/a", "mem:/absent"])
        assert sorted(batch.modality for batch in found if len(batch)) == sorted([TEXT, IMAGE])
        rows = stored(store, "mem:/b", "mem:/a", "mem:/absent")
        assert rows.keys() == {each.segment.id for each in wanted}
        for each in wanted:
            got = rows[each.segment.id]
            assert got.segment == each.segment
            assert got.segment.signal is None
            assert got.shared.dtype == got.tower.dtype == np.float32
            np.testing.assert_array_equal(got.shared, each.shared)
            np.testing.assert_allclose(got.tower, each.tower, atol=TOLERANCE[Space.TOWER])
        assert not stored(store)

    def test_two_writers_exclude_each_other(self, store: Store) -> None:
        with store.writing(), pytest.raises(CollectionBusyError), store.writing():
            pytest.fail("a second writer was let in")
        with pytest.raises(ZeroDivisionError), store.writing():
            raise ZeroDivisionError
        put(store, row("mem:/a"))  # the right to write was given back

    def test_optimize_keeps_everything(self, store: Store) -> None:
        for i in range(3):
            put(store, *passages(f"mem:/{i}", 0, 10), row("mem:/x", modality=IMAGE))
        with store.writing():
            store.delete(["mem:/1"])
        before = snapshot(store)
        with store.writing():
            store.optimize()
        assert snapshot(store) == before

    def test_another_reader_sees_every_write(self, store: Store, second: Store) -> None:
        assert second.manifest == MANIFEST
        assert snapshot(second) == snapshot(store)
        version = second.version
        put(store, *passages("mem:/a", 0, 10), row("mem:/b", metadata={"n": 1}))
        assert second.version > version
        assert uris(look(second)) == {"mem:/a", "mem:/b"}
        put(store, row("mem:/c", metadata={"n": 0.5, "new": "x"}), row("mem:/d", modality=IMAGE))
        assert snapshot(second) == snapshot(store)
        with store.writing():
            store.delete(["mem:/a"])
        assert uris(look(second, where="n < 2")) == {"mem:/b", "mem:/c"}
        assert second.fetch(["mem:/d"])[0].embeddings.tower.shape == (1, TOWER_DIMS[IMAGE])

    def test_another_handle_cannot_write_meanwhile(self, store: Store, second: Store) -> None:
        with store.writing(), pytest.raises(CollectionBusyError), second.writing():
            pytest.fail("a second writer was let in")
        put(second, row("mem:/a"))
        put(store, row("mem:/a", modality=IMAGE))  # the first handle knows what the second wrote
        assert not look(second).hits
