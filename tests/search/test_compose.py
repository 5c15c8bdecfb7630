"""Several terms, one ranking."""

import numpy as np
import pytest
from watched import (
    IMAGE,
    TEXT,
    add,
    ask,
    colour,
    names,
    picture,
    words,
)

from polyseek.core.errors import QueryError
from polyseek.core.hits import MAX_TERMS, Composition, Query, Term
from polyseek.core.retriever import SearchMode
from polyseek.core.tuning import Calibration, Origin, Tuning
from polyseek.search.compose import pooled


def terms(*weighted, any_of=False):
    return Composition(terms=[Term(query=q, weight=w) for q, w in weighted], any=any_of)


@pytest.fixture
def store(store):
    add(
        store,
        TEXT,
        both="red blue",
        red="red red red red blue",
        blue="blue blue blue blue red",
        green="green",
    )
    add(store, IMAGE, sea=colour("blue"), rose=colour("red"), lawn=colour("green"))
    return store


def tune(store, slope=8.0, intercept=-4.0):
    fitted = Calibration(intercept=intercept, slope=slope, origin=Origin.PAIRS)
    pairs = [(q, t) for q in (TEXT, IMAGE) for t in (TEXT, IMAGE)]
    store.save_tuning(Tuning(calibrations=dict.fromkeys(pairs, fitted)))


@pytest.mark.parametrize("tuned", [False, True])
def test_all_terms_count_and_any_of_them_is_enough(store, encoder, tuned):
    if tuned:
        tune(store)
    both = terms((picture("red"), 1), (picture("blue"), 1))
    found = names(ask(both, store, encoder, modalities=[TEXT], show_all=True))
    assert found[0] == "both"
    either = terms((picture("red"), 1), (picture("blue"), 1), any_of=True)
    found = names(ask(either, store, encoder, modalities=[TEXT], show_all=True))
    assert set(found[:2]) == {"red", "blue"}


@pytest.mark.parametrize("tuned", [False, True])
def test_what_is_not_wanted_goes_down(store, encoder, tuned):
    if tuned:
        tune(store)
    add(store, IMAGE, night=colour("black"), snow=colour("white"), sun=colour("yellow"))
    wanted = words("red blue green")
    alone = names(ask(wanted, store, encoder, modalities=[IMAGE], show_all=True))
    assert "sea" in alone[:3]
    query = terms((wanted, 1), (words("blue"), -2))
    found = names(ask(query, store, encoder, modalities=[IMAGE], show_all=True))
    assert set(found[:2]) == {"rose", "lawn"}


def test_unwanted_terms_ask_for_no_candidates(store, encoder):
    ask(terms((words("red"), 1), (words("blue"), -1)), store, encoder, modalities=[IMAGE])
    assert len(store.requests) == 1


def test_weights_decide_between_terms(store, encoder):
    for weights, first in (((5, 1), "red"), ((1, 5), "blue")):
        query = terms(*zip((picture("red"), picture("blue")), weights, strict=True))
        assert names(ask(query, store, encoder, modalities=[TEXT]))[0] == first


def test_terms_of_two_modalities_each_in_their_own_space(store, encoder):
    results = ask(terms((words("red"), 1), (picture("red"), 1)), store, encoder, modalities=[IMAGE])
    assert names(results)[0] == "rose"
    said, alike = results[0].evidence
    assert said.term == "red"
    assert alike.score == pytest.approx(1.0, abs=1e-5)  # the very same pixels, in the tower
    assert results[0].score == said.score


def test_a_composition_of_one_term_is_that_term(store, encoder):
    tune(store)
    alone = ask(words("red"), store, encoder)
    assert ask(terms((words("red"), 3)), store, encoder).hits == alone.hits


def test_the_same_term_twice_has_the_probability_of_one(store, encoder):
    tune(store)
    alone = ask(words("red"), store, encoder, show_all=True)
    twice = ask(terms((words("red"), 1), (words("red"), 1)), store, encoder, show_all=True)
    assert [h.probability for h in twice] == pytest.approx([h.probability for h in alone])
    assert twice.no_match == alone.no_match


def test_nothing_is_found_where_nothing_matches_all_terms(store, encoder):
    tune(store, slope=8.0, intercept=-9.0)
    query = terms((words("red"), 1), (words("blue"), 1))
    results = ask(query, store, encoder, modalities=[IMAGE])
    assert results.no_match
    assert not results.hits


def test_words_of_each_term_are_evidence_for_that_term_alone(store, encoder):
    tune(store, slope=8.0, intercept=-9.0)
    query = terms((words("red"), 1), (words("green"), 1))
    hits = ask(query, store, encoder, modalities=[TEXT], show_all=True)
    of = {hit.uri.rsplit("/", 1)[-1]: [e.probability for e in hit.evidence] for hit in hits}
    assert of["red"][0] > 0.5 > of["red"][1]
    assert of["green"][1] > 0.5 > of["green"][0]


def test_what_one_term_demands_holds_for_all(store, encoder):
    query = terms((words("red"), 1), (words("blue -green"), 1))
    assert "green" not in names(ask(query, store, encoder, modalities=[TEXT], show_all=True))
    phrase = terms((picture("red"), 1), (words('"red blue"'), 1))
    assert names(ask(phrase, store, encoder, modalities=[TEXT], show_all=True))[0] == "both"


def test_several_terms_are_not_searched_by_words_alone(store, encoder):
    with pytest.raises(QueryError, match="--text"):
        ask(terms((words("red"), 1), (words("blue"), 1)), store, encoder, mode=SearchMode.TEXT)


def test_a_filter_holds_for_every_term(store, encoder):
    query = terms((words("red"), 1), (words("blue"), 1))
    assert names(ask(query, store, encoder, filter="name = 'sea'")) == ["sea"]


def test_an_unwanted_term_counts_against_what_stands_out():
    query = terms((words("a"), 1), (words("b"), -1))
    evidence = np.array([[2.0, 1.0, 0.0], [-9.0, -9.0, -3.0]])  # all far from a match
    mean, deviation = -7.0, 8**0.5
    found = pooled(query, evidence, np.array([0.0, 1.0]))
    assert found.tolist() == [2.0, 1.0, pytest.approx(-(-3 - mean - 0.5 * deviation))]


def test_an_unwanted_term_that_tells_candidates_apart_by_nothing_changes_nothing():
    query = terms((words("a"), 1), (words("b"), -1))
    alike = np.array([[2.0, 1.0, 0.0], [-9.0, -9.0, -9.0]])
    assert pooled(query, alike, np.array([0.0, 1.0])).tolist() == [2.0, 1.0, 0.0]
    assert pooled(query, alike[:, :1], np.array([0.0, 1.0])).tolist() == [2.0]


def test_an_unwanted_term_below_its_threshold_changes_nothing():
    query = terms((words("a"), 1), (words("b"), -1))
    evidence = np.array([[2.0, 1.0, 0.0], [0.9, 1.0, 3.0]])
    assert pooled(query, evidence, np.array([0.0, 1.0])).tolist() == [2.0, 1.0, -2.0]


def test_the_label_reads_like_the_command(store, encoder):
    query = terms((words("a dog"), 2), (picture("red"), 1), (words("rain"), -1))
    assert ask(query, store, encoder).query == "2:a dog + red.jpg - rain"


@pytest.mark.parametrize(
    ("weighted", "says"),
    [
        ([("rain", -1)], "at least one"),
        ([("rain", 0.0)], "weight 0"),
        ([("rain", float("nan"))], "weight nan"),
        ([("rain", 1), ("rain", -1)], "both wanted and unwanted"),
        ([(f"term {i}", 1) for i in range(MAX_TERMS + 1)], f"at most {MAX_TERMS}"),
    ],
)
def test_terms_that_make_no_query(weighted, says):
    with pytest.raises(QueryError, match=says):
        terms(*((words(text), weight) for text, weight in weighted))


def test_a_term_the_encoder_cannot_read(store, encoder):
    from polyseek.core.types import Modality

    sound = Query(modality=Modality.AUDIO, signals=["x"], label="dog.wav")
    with pytest.raises(QueryError, match="cannot read audio"):
        ask(terms((words("red"), 1), (sound, 1)), store, encoder)
