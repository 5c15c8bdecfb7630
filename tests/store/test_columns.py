"""Columns make the rows that objects make."""

import numpy as np
import pyarrow as pa
import pytest

from polyseek.core.columns import SegmentColumns
from polyseek.core.types import Modality, Segment, Span, SpanUnit
from polyseek.store import columns as made
from polyseek.store.words import stored_words, words_of

URIS = ["a", "b", "c", "d"]
SHARED = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(8, np.float32)), 2)


def columns(**given):
    return SegmentColumns(
        modality=Modality.TEXT, **{"uris": pa.array(URIS), "shared": SHARED, **given}
    )


def test_ids_are_those_of_segments():
    spans = [None, Span(unit=SpanUnit.PAGE, start=3.5, end=4), None,
             Span(unit=SpanUnit.SECONDS, start=0, end=1 / 3)]  # fmt: skip
    parts = [[s and getattr(s, name) for s in spans] for name in ("unit", "start", "end")]
    arrays = (pa.array([u and str(u) for u in parts[0]]), *map(pa.array, parts[1:]))
    uris = ["file:///a.jpg", "file:///a.jpg", "id é 東", "x"]
    found, numbers = made.ids_of(columns(uris=pa.array(uris), spans=arrays))
    expected = [
        Segment(asset_uri=uri, modality=Modality.TEXT, span=span).id
        for uri, span in zip(uris, spans, strict=True)
    ]
    assert found.to_pylist() == expected
    assert made.numbers_of(found).tolist() == numbers.tolist()
    assert numbers[0] == int(expected[0][:16], 16)


@pytest.mark.parametrize("uris", [URIS, ["file:///x/blueCar.jpg", "b", "s3://b/c", "d"]])
@pytest.mark.parametrize("folder", [None, ["trips/oldTown", None, None, "x"]])
def test_words_are_those_of_segments(uris, folder):
    texts = ["A red car, a Red CAR", None, "", "東京 tower"]
    fields = {
        "tags": [["hot dog", ""], None, [], ["", "-", "beach", None]],
        "brand": ["Größe", "x", None, "  "],
        "mime": ["image/png"] * 4,
        "n": [1, 2, 3, 4],
        **({"folder": folder} if folder else {}),
    }
    found = made._words(
        columns(
            uris=pa.array(uris), texts=pa.array(texts),
            metadata={name: pa.array(values) for name, values in fields.items()},
        )
    )  # fmt: skip
    expected = []
    for i, uri in enumerate(uris):
        row = {name: values[i] for name, values in fields.items() if values[i] is not None}
        row = {k: [x for x in v if x is not None] if isinstance(v, list) else v
               for k, v in row.items()}  # fmt: skip
        expected.append(stored_words(words_of(uri if "://" in uri else "", texts[i], row)))
    assert found.to_pylist() == expected


def test_rows_without_anything_to_read_have_no_words():
    assert made._words(columns()).to_pylist() == [" "] * 4


def test_ids_that_came_by_are_remembered():
    rng = np.random.default_rng(0)
    seen, added = made.Seen(), []
    for size in (3, 1000, 1, 500, 7, 0, 2000):
        keys = rng.integers(0, 2**63, size).astype(np.uint64)
        assert not seen.has(keys).any()
        seen.add(keys)
        added.append(keys)
        assert seen.has(np.concatenate(added)).all()
    assert len(seen._runs) < 5
