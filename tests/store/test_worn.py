"""When tables are rewritten, and that searches do not notice when they are not."""

import numpy as np
import pytest

from polyseek.core.hits import Retrieval, Terms
from polyseek.core.words import words
from polyseek.store import lance_index, layout
from polyseek.store.lance import LanceStore
from polyseek.testing.store.samples import MANIFEST, TEXT, axis, look, put, row

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(lance_index, "SMALL_BYTES", 0)
    return LanceStore.create(str(tmp_path / "c"), MANIFEST)


def pieces(store):
    table = store._table(layout.segments_table(TEXT))
    return table.stats()["fragment_stats"]["num_fragments"]


def add(store, name, count=1, text="a ferry"):
    put(store, *(row(f"mem:/{name}{i}", text=text) for i in range(count)))
    with store.writing():
        store.optimize()


def found(store, terms):
    request = Retrieval(vector=axis(0), modality=TEXT, limit=100)
    return {hit.uri for hit in store.search_text(terms, request).hits}


def test_a_few_new_rows_rewrite_nothing_and_are_found(store):
    add(store, "old", 50)
    assert pieces(store) == 1
    add(store, "new", text="a strawberry")
    add(store, "newer", text="a strawberry")
    assert pieces(store) == 3
    (word,) = words("strawbery")
    assert found(store, Terms(fuzzy=[word])) == {"mem:/new0", "mem:/newer0"}
    assert found(store, Terms(exact=words("strawberry"))) == {"mem:/new0", "mem:/newer0"}
    assert look(store).rows == 52
    put(store, row("mem:/new0", text="a plum"))
    with store.writing():
        store.optimize()
    assert found(store, Terms(exact=words("strawberry"))) == {"mem:/newer0"}


def test_many_pieces_or_much_that_is_new_are_rewritten(store, monkeypatch):
    monkeypatch.setattr(lance_index, "MAX_PIECES", 3)
    add(store, "old", 100)
    for i in range(3):
        add(store, f"new{i}-")
    # Lance never joins what an index covers and what it does not, so the newest piece may be left.
    assert pieces(store) <= 2
    add(store, "many", 40)
    add(store, "last")
    assert pieces(store) <= 2
    assert look(store).rows == 144


def test_small_tables_are_always_rewritten(tmp_path):
    store = LanceStore.create(str(tmp_path / "c"), MANIFEST)
    add(store, "old", 50)
    for i in range(3):
        add(store, f"new{i}-")
    assert pieces(store) <= 2
    assert np.isfinite([hit.score for hit in look(store).hits]).all()
