"""The index of words: what older collections lack, and who answers."""

import pytest

from polyseek.core.filters import Not, Words
from polyseek.evaluate.diagnosis import Verdict
from polyseek.evaluate.state import check_age
from polyseek.store import layout
from polyseek.store.lance import LanceStore
from polyseek.testing.store.samples import IMAGE, MANIFEST, look, put, row, uris
from polyseek.testing.store.words import ask


@pytest.fixture(params=[True, False], ids=["resident", "one-shot"])
def old(tmp_path, request):
    """A collection that an older polyseek wrote: without words."""
    store = LanceStore.create(str(tmp_path / "c"), MANIFEST, resident=request.param)
    put(store, row("mem:/a", text="red roses"), row("mem:/b.jpg", modality=IMAGE))
    for _, table in store._segment_tables():
        table.drop_columns(["words"])
    return LanceStore.open(store.location, resident=request.param)


def test_without_words_nothing_breaks(old):
    assert not ask(old, "red").hits
    assert not look(old, where=Words("red")).hits
    assert uris(look(old, where=Not(Words("red")))) == {"mem:/a"}


def test_words_come_with_the_next_run_though_nothing_changed(old):
    with old.writing():
        pass
    assert uris(ask(old, "red")) == {"mem:/a"}
    assert uris(ask(old, "b", modality=IMAGE)) == {"mem:/b.jpg"}


def test_the_doctor_tells_what_an_old_collection_lacks_and_what_adds_it(old, monkeypatch):
    found = check_age(old)
    assert found.verdict is Verdict.WARNING
    assert found.figures == {"lacks": ["words", "versions"]}
    assert "polyseek index SOURCE" in found.advice
    with old.writing():
        old.record_version("index", {})
    assert check_age(old).verdict is Verdict.OK
    assert old.lacks() == []
    with monkeypatch.context() as patch:
        patch.setattr(layout, "_PRIMARY_KEY", {})
        keyless = LanceStore.create(f"{old.location}-keyless", MANIFEST)
    assert [told.partition(":")[0] for told in keyless.lacks()] == ["primary keys"]
    with keyless.writing():
        pass
    assert keyless.lacks() == []


@pytest.mark.slow
def test_words_of_new_and_old_segments(old):
    put(old, row("mem:/c", text="red cars"))
    with old.writing():
        old.optimize()
    assert uris(ask(old, "red")) == {"mem:/a", "mem:/c"}
    assert uris(ask(old, "b", modality=IMAGE)) == {"mem:/b.jpg"}
    assert uris(look(old, where=Words("red rose"))) == {"mem:/a"}


def test_a_run_that_was_killed_between_column_and_words_is_finished(old):
    import pyarrow as pa

    for _, table in old._segment_tables():
        table.add_columns([pa.field("words", pa.string())])
    assert not ask(old, "red").hits
    with old.writing():
        old.optimize()
    assert uris(ask(old, "red")) == {"mem:/a"}


def test_the_index_answers_after_optimize(old):
    with old.writing():
        old.optimize()
    for _, table in old._segment_tables():
        assert [index.columns for index in table.list_indices()] == [["words"]]
