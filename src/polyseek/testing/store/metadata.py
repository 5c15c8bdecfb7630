"""What becomes of metadata, texts and spans on the way through a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from polyseek.core.filters import And, Comparison, FieldType, Literal, Operator
from polyseek.core.protocols import Store
from polyseek.core.types import MetadataValue, Span, SpanUnit
from polyseek.testing.store.samples import IMAGE, look, only, put, row, stored, typed, uris

VALUES: dict[FieldType, list[MetadataValue]] = {
    FieldType.TEXT: ["", 'it\'s "quoted"\nand % _ \\ lines', "Größe 東京 🎈", "true", "1"],
    FieldType.INTEGER: [0, -7, 2**63 - 1, -(2**63)],
    FieldType.NUMBER: [0.1, -1e300, 5.0],
    FieldType.BOOLEAN: [True, False],
    FieldType.TIME: [
        datetime(2024, 2, 29, 23, 59, 59, 123456, UTC),
        datetime(1969, 7, 20, 0, 0, 0, 0, UTC),
    ],
    FieldType.LIST: [[], ["one"], ["b", "a", "it's", ""]],
}
ODD_NAMES = [
    *("plain", "UPPER", "upper", "Upper", "a.b", "a b", " a", "a_b", "a-b", "a'b", 'a"b', "a`b"),
    *("größe", "東京", "🎈", "1st", "", "_", "%", "\\", "a\nb", "select", "null", "m_plain"),
    *("id", "uri", "text", "asset_uri", "vector", "embedding", "tower", "score", "_distance"),
]


class MetadataChecks:
    """Checks that need a `store` fixture."""

    def test_values_come_back_as_they_went_in(self, store: Store) -> None:
        rows = [
            row(f"mem:/{kind}-{i}", metadata={kind: value})
            for kind, values in VALUES.items()
            for i, value in enumerate(values)
        ]
        put(store, *rows)
        assert store.fields() == {kind.value: kind for kind in FieldType}
        given = {each.segment.id: typed(each.segment.metadata) for each in rows}
        assert {hit.id: typed(hit.metadata) for hit in look(store).hits} == given
        fetched = stored(store, *(each.segment.asset_uri for each in rows))
        assert {id_: typed(each.segment.metadata) for id_, each in fetched.items()} == given

    def test_every_value_can_be_filtered_for(self, store: Store) -> None:
        given = [
            (f"mem:/{kind}-{i}", kind.value, value)
            for kind, values in VALUES.items()
            for i, value in enumerate(values)
            if not isinstance(value, list)
        ]
        put(store, *(row(uri, metadata={name: value}) for uri, name, value in given))
        found = {uri: uris(look(store, where=_equals(name, value))) for uri, name, value in given}
        assert found == {uri: {uri} for uri, _, _ in given}

    def test_times_come_back_in_utc(self, store: Store) -> None:
        naive = datetime(2024, 5, 31, 12, 0)
        zoned = datetime(2024, 5, 31, 14, 0, tzinfo=timezone(timedelta(hours=2)))
        put(store, row("mem:/a", metadata={"naive": naive, "zoned": zoned}))
        metadata = only(look(store)).metadata
        noon = naive.replace(tzinfo=UTC)
        for value in (metadata["naive"], metadata["zoned"]):
            assert isinstance(value, datetime)
            assert (value, value.utcoffset()) == (noon, timedelta(0))
        assert uris(look(store, where="zoned = '2024-05-31T12:00:00'")) == {"mem:/a"}

    def test_any_field_name_works(self, store: Store) -> None:
        metadata = {name: i for i, name in enumerate(ODD_NAMES)}
        put(store, row("mem:/odd", metadata=metadata), row("mem:/other", metadata={"plain": -1}))
        assert set(store.fields()) == set(ODD_NAMES)
        shown = {hit.uri: dict(hit.metadata) for hit in look(store).hits}
        assert shown == {"mem:/odd": metadata, "mem:/other": {"plain": -1}}
        # The values differ, so no name can stand in for another.
        all_match = And(tuple(_equals(name, i) for name, i in metadata.items()))
        assert uris(look(store, where=all_match)) == {"mem:/odd"}

    def test_later_batches_may_bring_new_fields(self, store: Store) -> None:
        put(store, row("mem:/1", metadata={"a": 1}))
        put(store, row("mem:/2", metadata={"b": "x"}), row("mem:/3", modality=IMAGE))
        put(store, row("mem:/4", modality=IMAGE, metadata={"c": True}))
        assert store.fields() == {
            "a": FieldType.INTEGER,
            "b": FieldType.TEXT,
            "c": FieldType.BOOLEAN,
        }
        assert uris(look(store, where="b = 'x'")) == {"mem:/2"}
        assert uris(look(store, where="b IS NULL")) == {"mem:/1"}
        assert uris(look(store, where="c IS NULL")) == {"mem:/1", "mem:/2"}
        assert uris(look(store, modality=IMAGE, where="c IS NULL")) == {"mem:/3"}
        shown = {hit.uri: dict(hit.metadata) for hit in look(store).hits}
        assert shown == {"mem:/1": {"a": 1}, "mem:/2": {"b": "x"}}

    def test_integers_widen_when_a_fraction_arrives(self, store: Store) -> None:
        put(
            store,
            row("mem:/1", metadata={"n": 1}),
            row("mem:/i", modality=IMAGE, metadata={"n": 2}),
        )
        assert uris(look(store, where="n = 1")) == {"mem:/1"}
        put(store, row("mem:/2", metadata={"n": 2.5}))
        put(store, row("mem:/3", metadata={"n": 3}))
        assert store.fields() == {"n": FieldType.NUMBER}
        assert uris(look(store, where="n = 1")) == {"mem:/1"}
        assert uris(look(store, where="n > 1.5")) == {"mem:/2", "mem:/3"}
        assert uris(look(store, modality=IMAGE, where="n < 2.5")) == {"mem:/i"}
        shown = {hit.uri: typed(hit.metadata)["n"] for hit in look(store).hits}
        assert shown == {"mem:/1": (float, 1.0), "mem:/2": (float, 2.5), "mem:/3": (float, 3.0)}

    def test_a_clashing_value_is_shown_but_missing_in_filters(self, store: Store) -> None:
        clashing: list[MetadataValue] = ["many", True, ["x"], datetime(2024, 1, 2, tzinfo=UTC)]
        put(store, row("mem:/1", metadata={"n": 1}))
        put(store, *(row(f"mem:/clash{i}", metadata={"n": v}) for i, v in enumerate(clashing)))
        assert store.fields() == {"n": FieldType.INTEGER}
        shown = {hit.uri: typed(hit.metadata)["n"] for hit in look(store).hits}
        clashes = {f"mem:/clash{i}": (type(value), value) for i, value in enumerate(clashing)}
        assert shown == {"mem:/1": (int, 1), **clashes}
        assert uris(look(store, where="n = 1 OR n != 1")) == {"mem:/1"}
        assert uris(look(store, where="n IS NULL")) == clashes.keys()
        fetched = stored(store, *clashes).values()
        assert {e.segment.asset_uri: typed(e.segment.metadata)["n"] for e in fetched} == clashes

    def test_a_text_field_takes_any_value_as_text(self, store: Store) -> None:
        put(store, row("mem:/1", metadata={"t": "x"}))
        put(store, row("mem:/2", metadata={"t": 5}), row("mem:/3", metadata={"t": True}))
        shown = {hit.uri: hit.metadata["t"] for hit in look(store).hits}
        assert shown == {"mem:/1": "x", "mem:/2": "5", "mem:/3": "true"}
        assert uris(look(store, where="t = '5'")) == {"mem:/2"}

    def test_texts_and_spans_come_back_as_they_went_in(self, store: Store) -> None:
        texts = [None, "", 'it\'s "quoted"\n\tGröße 東京 🎈']
        spans = [None, *(Span(unit=unit, start=1.25, end=2e9) for unit in SpanUnit)]
        rows = [
            row(f"mem:/{i}", text=text, span=span) for i, text in enumerate(texts) for span in spans
        ]
        put(store, *rows)
        given = {each.segment.id: (each.segment.text, each.segment.span) for each in rows}
        assert {hit.id: (hit.text, hit.span) for hit in look(store).hits} == given
        fetched = stored(store, *{each.segment.asset_uri for each in rows})
        assert {i: (e.segment.text, e.segment.span) for i, e in fetched.items()} == given


def _equals(name: str, value: Literal) -> Comparison:
    return Comparison(name, Operator.EQ, value)
