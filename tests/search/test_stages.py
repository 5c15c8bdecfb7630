"""Feedback, a second look, nothing twice, moments, and the account of it all."""

from dataclasses import replace

import numpy as np
import pytest
from watched import (
    IMAGE,
    TEXT,
    WatchedEncoder,
    add,
    colour,
    names,
    picture,
    record,
    words,
)

from polyseek.core.config import SearchOptions
from polyseek.core.errors import QueryError
from polyseek.core.hits import Composition, Hit, Term
from polyseek.core.retriever import Diversify, Group, Refine, Retriever
from polyseek.core.tuning import Calibration, Origin, Tuning
from polyseek.core.types import (
    Embeddings,
    Modality,
    Segment,
    SegmentBatch,
    Span,
    SpanUnit,
)
from polyseek.search.feedback import UNLIKE_WEIGHT, with_feedback
from polyseek.search.listing import Listing
from polyseek.search.moments import pool_moments
from polyseek.search.pipeline import search
from polyseek.search.refine import shared_neighbours


@pytest.fixture
def colours(store):
    add(store, IMAGE, car=colour("red"), sea=colour("blue"), lawn=colour("green"))
    add(store, TEXT, roses="red roses bloom", waves="blue waves roll", receipt="two eggs and milk")
    return store


def ask(query, store, encoder, *, like=(), unlike=(), retriever=None, **options):
    return search(
        with_feedback(query, store, like=like, unlike=unlike),
        encoder=encoder,
        store=store,
        options=SearchOptions(retriever=retriever or Retriever(), **options),
    )


def id_of(name, modality=IMAGE):
    return Segment(asset_uri=f"file:///{name}", modality=modality).id


def tuned(store, slope=8.0, intercept=-4.0):
    fitted = Calibration(intercept=intercept, slope=slope, origin=Origin.PAIRS)
    pairs = [(q, t) for q in (TEXT, IMAGE) for t in (TEXT, IMAGE)]
    store.save_tuning(Tuning(calibrations=dict.fromkeys(pairs, fitted)))


def test_more_like_this_is_a_query_of_its_own(colours, encoder):
    add(colours, IMAGE, rose=colour("red"))
    found = ask(None, colours, encoder, like=[id_of("car")], limit=1, modalities=[IMAGE])
    assert names(found) == ["rose"]
    assert encoder.calls == 0
    assert found.query == f"like {id_of('car')[:8]}"


def test_an_example_is_never_shown_again(colours, encoder):
    by_id = ask(words("red"), colours, encoder, like=[id_of("car")], show_all=True)
    by_uri = ask(words("red"), colours, encoder, unlike=["file:///car"], show_all=True)
    assert "car" not in names(by_id)
    assert "car" not in names(by_uri)
    assert len(by_id) == len(by_uri) == 5


@pytest.mark.parametrize("calibrated", [False, True])
def test_liked_examples_pull_and_unliked_ones_push(colours, encoder, calibrated):
    if calibrated:
        tuned(colours)
    add(colours, IMAGE, rose=colour("red"), sky=colour("blue"), sun=colour("yellow"))
    query, only = words("red blue"), {"modalities": [IMAGE], "show_all": True}
    liked = ask(query, colours, encoder, like=[id_of("sea")], **only)
    assert names(liked)[0] == "sky"
    pushed = ask(query, colours, encoder, unlike=["file:///sea"], **only)
    assert names(pushed)[0] in {"car", "rose"}
    assert names(pushed).index("sky") > names(pushed).index("rose")


def test_examples_of_one_kind_are_one_term(colours):
    query = with_feedback(words("x"), colours, like=[id_of("car"), id_of("sea"), "file:///roses"])
    assert [term.weight for term in query.terms] == [1, 1, 1]
    assert [term.query.modality for term in query.terms] == [TEXT, IMAGE, TEXT]
    assert len(query.terms[1].query.embeddings) == 2
    assert query.judged == {id_of("car"), id_of("sea"), "file:///roses"}


def test_a_composed_query_keeps_its_terms(colours):
    composed = Composition(terms=[Term(query=words("a")), Term(query=words("b"))], any=True)
    found = with_feedback(composed, colours, unlike=[id_of("car")])
    assert found.any
    assert [term.weight for term in found.terms] == [1, 1, -UNLIKE_WEIGHT]


@pytest.mark.parametrize(
    ("like", "unlike", "message"),
    [
        ([], [], "nothing to look for"),
        ([], ["file:///car"], "every example is unwanted"),
        (["f" * 32], [], "f{32}: the collection has no such asset or segment"),
        (["file:///gone"], [], "file:///gone: the collection has no such"),
        (["file:///car"], ["file:///car"], "both liked and unliked"),
    ],
)
def test_wrong_examples_are_refused(colours, like, unlike, message):
    with pytest.raises(QueryError, match=message):
        with_feedback(None, colours, like=like, unlike=unlike)


def test_too_many_examples_are_refused(store):
    pictures = {f"p{i}": colour((i, 0, 0)) for i in range(20)}
    add(store, IMAGE, **pictures)
    with pytest.raises(QueryError, match="17 terms; a query has at most 16"):
        with_feedback(words("x"), store, unlike=[id_of(f"p{i}") for i in range(16)])
    many = with_feedback(words("x"), store, like=[id_of(f"p{i}") for i in range(20)])
    assert len(many.terms) == 2


def collapsed(**more):
    return Retriever(diversify=Diversify(collapse=True, **more))


def test_near_duplicates_are_listed_with_the_better_hit(colours, encoder):
    add(colours, IMAGE, copy1=colour((255, 2, 0)), copy2=colour((250, 0, 0)))
    add(colours, TEXT, again="Red  roses bloom", other="red roses boom")
    found = ask(words("red roses"), colours, encoder, retriever=collapsed(), show_all=True)
    shown = {hit.uri: [d.uri for d in hit.duplicates] for hit in found}
    pictures = [uri for uri in shown if uri in {"file:///car", "file:///copy1", "file:///copy2"}]
    assert len(pictures) == 1
    assert len(shown[pictures[0]]) == 2
    assert shown["file:///roses"] == ["file:///again"] or shown["file:///again"] == [
        "file:///roses"
    ]
    assert "file:///other" in shown
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    similarity = next(hit for hit in found if hit.uri == pictures[0]).duplicates[0].similarity
    assert 0.97 <= similarity <= 1
    whole = ask(words("red roses"), colours, encoder, show_all=True)
    assert len(whole) == len(found) + 3
    assert not any(hit.duplicates for hit in whole)


def test_diverse_hits_differ_from_those_above(store, encoder):
    tuned(store)
    reds = {f"red{i}": colour((255 - i, 0, 0)) for i in range(5)}
    add(store, IMAGE, **reds, orange=colour((255, 60, 20)))
    plain = ask(words("red"), store, encoder, show_all=True)
    diverse = ask(
        words("red"), store, encoder, show_all=True,
        retriever=Retriever(diversify=Diversify(diverse=0.5)),
    )  # fmt: skip
    assert names(plain)[-1] == "orange"
    assert names(diverse)[0] == names(plain)[0]
    assert names(diverse).index("orange") < 3
    assert set(names(diverse)) == set(names(plain))


def test_one_hit_is_diverse_enough(store, encoder):
    add(store, IMAGE, car=colour("red"))
    retriever = Retriever(diversify=Diversify(diverse=0.5, collapse=True))
    assert names(ask(words("red"), store, encoder, retriever=retriever)) == ["car"]
    assert names(ask(words("red"), store, encoder, retriever=retriever, modalities=[TEXT])) == []


def test_neighbours_in_common_bring_a_row_forward():
    def unit(*row):
        return np.array(row, np.float32) / np.linalg.norm(row)

    query, friend, friends_friend, stranger = (
        unit(1, 0, 0), unit(1, 0.1, 0), unit(1, 0.3, 0), unit(1, 0, 3),
    )  # fmt: skip
    found = shared_neighbours(np.stack([query, friend, friends_friend, stranger]), 2)
    assert found[0] > found[2]
    assert found[1] > found[2]
    assert ((found >= 0) & (found <= 1)).all()


def test_a_second_look_uses_the_shared_space_and_deals_probabilities_out_anew(store, encoder):
    tuned(store)
    half = colour("red")
    half.paste((0, 128, 0), (0, 0, 4, 9))
    add(store, IMAGE, half=half, dark=colour((140, 0, 0)), sea=colour("blue"))
    query, only = picture("red"), {"modalities": [IMAGE], "show_all": True}
    plain = ask(query, store, encoder, **only)
    looked = ask(query, store, encoder, retriever=Retriever(refine=Refine(shared=1)), **only)
    assert [hit.probability for hit in looked] == [hit.probability for hit in plain]
    assert sorted(names(looked)) == sorted(names(plain))
    assert [stage for stage, _ in looked[0].ranks] == ["retrieve", "fuse"]
    assert "refine" in looked.timings_ms
    # Texts, queries of another kind and of several terms are left alone.
    other = ask(words("red"), store, encoder, retriever=Retriever(refine=Refine(shared=1)), **only)
    assert names(other) == names(ask(words("red"), store, encoder, **only))


def moment(uri, start, probability=None, modality=Modality.AUDIO):
    span = Span(unit=SpanUnit.SECONDS, start=start, end=start + 10)
    id_ = f"{uri}{start}"
    return Hit(id=id_, uri=uri, modality=modality, score=0.5, span=span, probability=probability)


def test_several_good_moments_beat_one():
    hits = [moment("a", 0), moment("b", 0), moment("b", 20), moment("b", 22), moment("b", 40)]
    listing = Listing(hits=hits, probabilities=[0.6, 0.5, 0.5, 0.5, 0.4], matched=True)
    pooled = pool_moments(listing, count=3)
    assert [hit.uri for hit in pooled.hits][:2] == ["b", "a"]
    odds = 1 + 1 + 0.4 / 0.6  # the one from 22 s on overlaps
    assert pooled.probabilities[0] == pytest.approx(odds / (1 + odds))
    assert pool_moments(listing, count=1) is listing
    unknown = replace(listing, probabilities=None)
    assert pool_moments(unknown, count=3) is unknown


def test_pictures_are_not_pooled():
    flat = [
        Hit(id=str(i), uri="a", modality=IMAGE, score=0.5, span=span)
        for i, span in enumerate([None, Span(unit=SpanUnit.PAGE, start=1, end=2)])
    ]
    listing = Listing(hits=flat, probabilities=[0.5, 0.5], matched=True)
    assert pool_moments(listing, count=3).probabilities == pytest.approx([0.5, 0.5])


def recording(store, name, *rows):
    """A text asset whose parts have seconds: what a transcript is."""
    segments = [
        Segment(
            asset_uri=f"file:///{name}", modality=TEXT, text=text,
            span=Span(unit=SpanUnit.SECONDS, start=10.0 * i, end=10.0 * i + 10),
        )
        for i, text in enumerate(rows)
    ]  # fmt: skip
    encoded = WatchedEncoder().encode(TEXT, list(rows), role="document")
    store.upsert(
        [record(name, modalities=(TEXT,))],
        [SegmentBatch(TEXT, segments, Embeddings(encoded.shared, encoded.tower))],
    )


def test_the_number_of_moments_is_asked_for(store, encoder):
    recording(store, "talk", *[f"red {word}" for word in ("a", "b", "c", "d", "e", "f")])
    for count in (0, 2, 5):
        retriever = Retriever(group=Group(moments=count))
        [hit] = ask(words("red"), store, encoder, retriever=retriever, show_all=True)
        assert len(hit.moments) == count


def test_an_account_says_why(store, encoder):
    tuned(store)
    recording(store, "talk", "blue. A red car came by. Then nothing.", "green", "red red car")
    add(store, IMAGE, red_car=colour("red"), sea=colour("blue"))
    query = Composition(
        terms=[Term(query=words("red car")), Term(query=words("blue"), weight=-1.0)]
    )
    found = ask(query, store, encoder, explain=True, show_all=True)
    talk = next(hit for hit in found if hit.uri == "file:///talk")
    assert [(start, end) for start, end, _ in talk.account.curve] == [(0, 10), (10, 20), (20, 30)]
    assert talk.account.curve[2][2] > talk.account.curve[1][2]
    assert talk.account.words == ("red", "car")
    assert [label for label, _ in talk.account.without] == ["blue"]
    picture_hit = next(hit for hit in found if hit.uri == "file:///red_car")
    assert picture_hit.account.words == ("red", "car")
    assert picture_hit.account.curve == ()
    alone = ask(
        words("car came by"), store, encoder, explain=True, show_all=True, modalities=[TEXT]
    )
    assert alone[0].account.sentence == "A red car came by."
    assert all(hit.account is None for hit in ask(words("red"), store, encoder))


def test_the_drop_one_test_ranks_without_each_term(store, encoder):
    tuned(store)
    add(store, IMAGE, rose=colour("red"), sea=colour("blue"))
    query = Composition(terms=[Term(query=words("red"), weight=3), Term(query=words("blue"))])
    found = ask(query, store, encoder, explain=True, show_all=True, modalities=[IMAGE])
    first = found[0]
    assert first.uri == "file:///rose"
    assert dict(first.account.without) == {"red": 2, "blue": 1}


def test_a_reranker_that_knows_where_draws_the_map(colours, encoder):
    class Knows:
        def scores(self, question, candidates):
            return [0.0] * len(candidates)

        def where(self, question, hit):
            assert question.words == "red"
            return np.array([[0.25, 0.5]], np.float32) if hit.uri == "file:///car" else None

    def maps(**options):
        found = search(
            words("red"), encoder=encoder, store=colours, rerankers={"knows": Knows()},
            options=SearchOptions(modalities=[IMAGE], show_all=True, **options),
        )  # fmt: skip
        return {hit.uri: hit.account and hit.account.where for hit in found}

    assert maps(explain=True) == {
        "file:///car": ((0.25, 0.5),), "file:///sea": (), "file:///lawn": ()
    }  # fmt: skip
    assert set(maps().values()) == {None}
