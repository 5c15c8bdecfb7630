"""Finding segments by their words."""

from __future__ import annotations

from math import isclose, log

import numpy as np
import pytest

from polyseek.core.errors import DimensionError, InvalidFilterError
from polyseek.core.filters import And, Filter, Not, Words, parse
from polyseek.core.hits import Candidates, Retrieval, Terms
from polyseek.core.protocols import Store
from polyseek.core.types import Modality, Space
from polyseek.core.words import words
from polyseek.testing.store.samples import DIM, IMAGE, TEXT, axis, look, put, row, unit, uris


class WordChecks:
    """Checks that need a `store` fixture."""

    def test_a_text_is_found_by_its_words(self, store: Store) -> None:
        put(
            store,
            row("mem:/a", text="Two dogs are running"),
            row("mem:/b", text="a cat sleeps"),
            row("mem:/c", text="the dog chases a running dog"),
        )
        found = ask(store, "dog run")
        assert [hit.uri for hit in found.hits] == ["mem:/c", "mem:/a"]
        assert [hit.rank for hit in found.hits] == [1, 2]
        assert [hit.text_share for hit in found.hits] == [1, 1]
        assert [hit.text_share for hit in ask(store, "dog zebra").hits] == [0.5, 0.5]
        assert found.rows == 3
        assert uris(ask(store, "cats")) == {"mem:/b"}
        assert not ask(store, "zebra").hits
        assert not ask(store, "").hits
        assert not ask(store, "dog", modality=IMAGE).hits

    def test_a_picture_is_found_by_its_fields_and_names(self, store: Store) -> None:
        put(
            store,
            row("mem:/x/redCar_2019.jpg", modality=IMAGE, metadata={"folder": "trips/lisbon"}),
            row("mem:/1.jpg", modality=IMAGE, metadata={"tags": ["harbour", "boats"], "year": 7}),
            row("mem:/2.jpg", modality=IMAGE, metadata={"caption": "Größe 東京タワー"}),
        )
        for query, uri in {
            "red": "mem:/x/redCar_2019.jpg",
            "2019": "mem:/x/redCar_2019.jpg",
            "Lisbon": "mem:/x/redCar_2019.jpg",
            "boat": "mem:/1.jpg",
            "東京": "mem:/2.jpg",
            "grosse": "mem:/2.jpg",
        }.items():
            assert uris(ask(store, query, modality=IMAGE)) == {uri}, query

    def test_without_a_direction_cosines_are_0(self, store: Store) -> None:
        put(store, row("mem:/a", text="dog run"), row("mem:/b", text="dog dog"))
        blank = Retrieval(vector=np.zeros(DIM, np.float32), modality=TEXT, limit=10)
        found = store.search_text(Terms(exact=["dog"]), blank)
        assert [hit.score for hit in found.hits] == [0, 0]
        plain = ask(store, "dog")
        assert [(h.id, h.text_score) for h in found.hits] == [
            (h.id, h.text_score) for h in plain.hits
        ]
        assert found.rows == plain.rows
        assert not store.search_text(Terms(exact=["zebra"]), blank).hits

    def test_scores_are_those_of_bm25(self, store: Store) -> None:
        texts = {"mem:/a.t": "dog red", "mem:/b.t": "dog dog run", "mem:/c.t": "cat sun sea"}
        put(store, *(row(uri, text=text) for uri, text in texts.items()))
        with store.writing():
            store.optimize()
        lengths = [1 + len(text.split()) for text in texts.values()]  # and the file's name
        mean, rarity = sum(lengths) / 3, log(1 + 1.5 / 2.5)
        best, second = ask(store, "dog").hits
        assert (best.uri, second.uri) == ("mem:/b.t", "mem:/a.t")
        for hit, often, length in ((best, 2, 4), (second, 1, 3)):
            share = often * 2.2 / (often + 1.2 * (0.25 + 0.75 * length / mean))
            assert hit.text_score is not None
            assert isclose(hit.text_score, rarity * share, rel_tol=1e-4)

    def test_hits_by_words_have_their_cosine(self, store: Store) -> None:
        a, b = unit(np.arange(1.0, DIM + 1)), axis(2)
        put(store, row("mem:/a", text="sun", shared=a), row("mem:/b", text="sun sun", shared=b))
        scores = {hit.uri: hit.score for hit in ask(store, "sun").hits}
        assert scores == pytest.approx({"mem:/a": float(a[0]), "mem:/b": 0.0}, abs=1e-5)
        assert all(hit.text_score is None for hit in look(store).hits)

    def test_equal_scores_come_in_the_order_of_ids(self, store: Store) -> None:
        put(store, *(row(f"mem:/{i:03}.x", text="same words") for i in range(40)))
        found = [hit.id for hit in ask(store, "same", limit=5).hits]
        assert found == sorted(hit.id for hit in ask(store, "same").hits)[:5]

    def test_filters_and_phrases_come_before_the_search(self, store: Store) -> None:
        put(
            store,
            row("mem:/a", text="a hot dog stand", metadata={"n": 1}),
            row("mem:/b", text="a dog, hot in the sun", metadata={"n": 2}),
            row("mem:/c", text="hot dogs", metadata={"n": 2}),
            row("mem:/d"),
        )
        phrase, dog = Words("hot dog"), "dog"
        assert uris(ask(store, dog, where=parse("n = 2"))) == {"mem:/b", "mem:/c"}
        assert ask(store, dog, where=parse("n = 2")).rows == 2
        assert uris(ask(store, dog, where=phrase)) == {"mem:/a", "mem:/c"}
        assert uris(ask(store, dog, where=Not(phrase))) == {"mem:/b"}
        assert uris(ask(store, dog, where=And((phrase, parse("n = 2"))))) == {"mem:/c"}
        assert uris(look(store, where=phrase)) == {"mem:/a", "mem:/c"}
        assert uris(look(store, where=Not(phrase))) == {"mem:/b", "mem:/d"}
        with pytest.raises(InvalidFilterError):
            ask(store, dog, where=parse("nowhere = 1"))
        with pytest.raises(DimensionError):
            store.search_text(Terms(exact=["dog"]), Retrieval(vector=axis(0, 3), modality=TEXT))

    def test_fuzzy_words_may_be_misspelt(self, store: Store) -> None:
        put(store, row("mem:/a", text="strawberry cake"), row("mem:/b", text="blueberry pie"))
        with store.writing():
            store.optimize()
        assert uris(ask(store, fuzzy="strawbery")) == {"mem:/a"}
        assert uris(ask(store, "pie", fuzzy="cakes")) == {"mem:/a", "mem:/b"}
        assert [h.text_share for h in ask(store, "blue", fuzzy="strawbery cake").hits] == [2 / 3]
        assert not ask(store, "strawbery").hits

    def test_words_follow_every_write(self, store: Store) -> None:
        put(store, row("mem:/a", text="old words"), row("mem:/b", text="old stone"))
        with store.writing():
            store.optimize()
        put(store, row("mem:/a", text="new words"))
        assert uris(ask(store, "old")) == {"mem:/b"}
        assert uris(ask(store, "new")) == {"mem:/a"}
        with store.writing():
            store.delete(["mem:/b"])
        assert not ask(store, "old").hits


def ask(
    store: Store,
    text: str = "",
    *,
    fuzzy: str = "",
    modality: Modality = TEXT,
    where: Filter | None = None,
    limit: int = 100,
) -> Candidates:
    """A search for words, with a vector along the first axis."""
    terms = Terms(exact=words(text), fuzzy=words(fuzzy))
    return store.search_text(
        terms,
        Retrieval(vector=axis(0), modality=modality, space=Space.SHARED, limit=limit, filter=where),
    )
