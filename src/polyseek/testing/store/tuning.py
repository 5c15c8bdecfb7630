"""What a store must do for hub correction and tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from polyseek.core.hits import Candidates, HubCorrection, Retrieval
from polyseek.core.protocols import Store
from polyseek.core.tuning import Calibration, Origin, Tuning
from polyseek.core.types import Embeddings, Floats, Modality, SegmentBatch, Space
from polyseek.testing.store.samples import (
    DIM,
    IMAGE,
    TEXT,
    Row,
    axis,
    batches,
    indexed,
    put,
    row,
    unit,
    uris,
)

CORRECTION = HubCorrection(query=TEXT, strength=0.5, missing=0.25)
TUNING = Tuning(
    calibrations={(TEXT, IMAGE): Calibration(intercept=-2.5, slope=40.0, origin=Origin.COLLECTION)},
    bank=("a red car", "Straße"),
    fitted_assets={IMAGE: 12},
    notes=("text -> image: fine",),
)


class TuningChecks:
    """Checks that need a `store` fixture, and `second` for what other handles see."""

    def test_hub_correction_decides_the_order_and_leaves_the_score(self, store: Store) -> None:
        near, far = unit([1, 0.1, *[0] * (DIM - 2)]), unit([1, 0.5, *[0] * (DIM - 2)])
        _put(store, {row("mem:/near", shared=near): 0.9, row("mem:/far", shared=far): 0.1})
        assert _order(_ask(store, hub=None)) == ["mem:/near", "mem:/far"]
        found = _ask(store)
        assert _order(found) == ["mem:/far", "mem:/near"]
        for hit, vector, bias in zip(found.hits, (far, near), (0.1, 0.9), strict=True):
            assert hit.score == pytest.approx(float(vector[0]), abs=1e-5)
            assert hit.hub_bias == pytest.approx(bias)
        assert [hit.rank for hit in found.hits] == [1, 2]

    def test_corrected_search_is_exact(self, store: Store) -> None:
        rng = np.random.default_rng(11)
        rows = [row(f"mem:/{i}", metadata={"n": i}) for i in range(300)]
        biases = rng.uniform(-1, 1, size=len(rows))
        _put(store, dict(zip(rows, biases.tolist(), strict=True)))
        vector = unit(rng.normal(size=DIM))
        corrected = np.array([each.shared @ vector for each in rows]) - 0.5 * biases
        for limit in (1, 7, 300):
            best = np.argsort(-corrected)[:limit]
            assert _order(_ask(store, vector, limit=limit)) == [f"mem:/{i}" for i in best]

    def test_a_segment_without_a_bias_counts_as_the_missing_value(self, store: Store) -> None:
        same = axis(0)
        _put(
            store,
            {
                row("mem:/low", shared=same): 0.2,
                row("mem:/unknown", shared=same): None,
                row("mem:/high", shared=same): 0.3,
            },
        )
        found = _ask(store)
        assert _order(found) == ["mem:/low", "mem:/unknown", "mem:/high"]
        assert found.hits[1].hub_bias is None

    def test_biases_of_all_segments_are_replaced(self, store: Store) -> None:
        rows = {row(f"mem:/{i}", shared=axis(i)): 0.0 for i in range(DIM)}
        _put(store, rows)
        before = store.version

        def bias(embeddings: Embeddings) -> Floats:
            longest: Floats = embeddings.shared.argmax(axis=1).astype(np.float32)
            return longest

        with store.writing():
            store.set_hub_bias(TEXT, TEXT, bias)
            store.set_hub_bias(IMAGE, TEXT, bias)  # there are none
            store.set_hub_bias(TEXT, IMAGE, lambda embeddings: -bias(embeddings))
        assert store.version > before
        assert _order(_ask(store, unit(np.ones(DIM)))) == [f"mem:/{i}" for i in range(DIM)]
        turned = _ask(store, unit(np.ones(DIM)), hub=replace(CORRECTION, query=IMAGE))
        assert _order(turned) == [f"mem:/{i}" for i in reversed(range(DIM))]
        assert len(list(store.records())) == DIM

    def test_a_new_segment_replaces_the_bias_of_the_old_one(self, store: Store) -> None:
        one = row("mem:/one", shared=axis(0))
        _put(store, {one: 0.9})
        _put(store, {one: 0.1})
        assert _ask(store).hits[0].hub_bias == pytest.approx(0.1)
        put(store, one)
        assert _ask(store).hits[0].hub_bias is None

    def test_a_sample_is_spread_over_all_segments(self, store: Store) -> None:
        assert store.sample(TEXT, 5) is None
        rows = {f"mem:/{i:02}": row(f"mem:/{i:02}") for i in range(40)}
        put(store, *rows.values())
        assert store.sample(IMAGE, 5) is None
        few = store.sample(TEXT, 5)
        assert few is not None
        assert few.modality is TEXT
        assert len(few) == len({segment.asset_uri for segment in few.segments}) == 5
        for segment, shared in zip(few.segments, few.embeddings.shared, strict=True):
            np.testing.assert_allclose(shared, rows[segment.asset_uri].shared, atol=1e-6)
        every = store.sample(TEXT, 1000)
        assert every is not None
        assert {segment.asset_uri for segment in every.segments} == set(rows)

    def test_a_tuning_is_kept(self, store: Store) -> None:
        untuned = store.tuning
        assert untuned is None
        before = store.version
        with store.writing():
            store.save_tuning(TUNING)
        assert store.tuning == TUNING
        assert store.version > before
        with store.writing():
            store.save_tuning(Tuning())
        assert store.tuning == Tuning()

    def test_notes_are_kept_replaced_and_forgotten(self, store: Store) -> None:
        assert dict(store.notes) == {}
        before = store.version
        with store.writing():
            store.save_note("retriever/fast", "[limits]\nhits = 3\n")
            store.save_note("other", "ü")
            store.save_note("other", "ä")
        assert dict(store.notes) == {"retriever/fast": "[limits]\nhits = 3\n", "other": "ä"}
        assert store.version > before
        with store.writing():
            store.save_note("retriever/fast", None)
            store.save_note("never there", None)
            store.save_note("other", None)
        assert dict(store.notes) == {}

    def test_another_handle_sees_tuning_and_biases(self, store: Store, second: Store) -> None:
        _put(store, {row("mem:/one", shared=axis(0)): 0.5})
        untuned = second.tuning
        assert untuned is None
        assert _ask(second).hits[0].hub_bias == pytest.approx(0.5)
        with store.writing():
            store.save_tuning(TUNING)
            store.set_hub_bias(TEXT, TEXT, lambda rows: np.zeros(len(rows), np.float32))
        assert second.tuning == TUNING
        assert _ask(second).hits[0].hub_bias == 0

    def test_attachments_are_kept_by_name(self, store: Store, second: Store) -> None:
        assert store.attachment("adapters") is None
        before = store.version
        with store.writing():
            store.attach("adapters", b"\x00one")
            store.attach("it's", b"")
            store.attach("adapters", b"two")
        assert store.version > before
        for handle in (store, second):
            assert handle.attachment("adapters") == b"two"
            assert handle.attachment("it's") == b""
            assert handle.attachment("other") is None
        with store.writing():
            store.attach("adapters", None)
            store.attach("other", None)
            store.optimize()
        for handle in (store, second):
            assert handle.attachment("adapters") is None
            assert handle.attachment("it's") == b""

    def test_a_bias_that_is_not_finite_is_refused(self, store: Store) -> None:
        from polyseek.core.errors import StoreError

        with pytest.raises(StoreError, match="finite"):
            _put(store, {row("mem:/one"): float("nan")})
        assert not uris(_ask(store))


def _put(store: Store, rows: Mapping[Row, float | None]) -> None:
    """Write text rows with their hub bias for text queries; None for not known."""
    known = [each for each, bias in rows.items() if bias is not None]
    unknown = [each for each, bias in rows.items() if bias is None]
    biases = np.array([rows[each] for each in known], np.float32)
    found: list[SegmentBatch] = [
        replace(batch, hub_bias={TEXT: biases}) for batch in batches(known)
    ]
    with store.writing():
        store.upsert(indexed(known), found)
        if unknown:
            store.upsert(indexed(unknown), batches(unknown))


def _ask(
    store: Store,
    vector: Floats | None = None,
    *,
    hub: HubCorrection | None = CORRECTION,
    limit: int = 1000,
    modality: Modality = TEXT,
) -> Candidates:
    probe = axis(0) if vector is None else vector
    return store.search(
        Retrieval(vector=probe, modality=modality, space=Space.SHARED, limit=limit, hub=hub)
    )


def _order(found: Candidates) -> list[str]:
    return [hit.uri for hit in found.hits]
