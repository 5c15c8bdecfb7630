"""Retriever files: what is left out is as usual, what is wrong is named."""

import pytest

from polyseek.api.retrievers import shipped
from polyseek.core.errors import ConfigError
from polyseek.core.retriever import Refine, Retriever, SearchMode, check_ranges, parse_retriever


def test_the_shipped_file_says_what_the_code_does_without_one():
    assert parse_retriever(shipped(), name="default") == Retriever()


def test_an_empty_file_is_the_default():
    assert parse_retriever("", name="mine") == Retriever(name="mine")


def test_only_a_section_of_its_own_says_how_to_look_twice():
    assert Retriever().refine is None
    assert parse_retriever("[refine]", name="mine").refine == Refine()
    assert parse_retriever("[refine]\ndepth = 9", name="mine").refine == Refine(depth=9)
    with pytest.raises(ConfigError, match=r"refine.shared is 2.0"):
        check_ranges(Retriever(refine=Refine(shared=2.0)))


def test_every_section_is_read():
    found = parse_retriever(
        """
        [signals]
        mode = "dense"
        candidates = 200
        [rerank]
        by = ["http"]
        budget_ms = 50
        [rerank.http]
        url = "http://127.0.0.1:1/"
        [diversify]
        collapse = true
        diverse = 0.5
        [group]
        moments = 7
        [thresholds]
        min_probability = 1
        [limits]
        hits = 3
        """,
        name="x",
    )
    assert found.signals.mode is SearchMode.DENSE
    assert found.signals.candidates == 200
    assert found.rerank.by == ("http",)
    assert found.rerank.budget_ms == 50.0
    assert found.rerank.options == {"http": {"url": "http://127.0.0.1:1/"}}
    assert (found.diversify.collapse, found.diversify.diverse) == (True, 0.5)
    assert (found.group.moments, found.limits.hits) == (7, 3)
    assert found.thresholds.min_probability == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sginals]", r"mine: unknown section \[sginals\]; known: signals, refine"),
        ("limits = 3", r"'limits' is 3; expected a section \[limits\]"),
        ("[limits]\nhit = 3", r"\[limits\] has an unknown key 'hit'; known: hits"),
        ("[limits]\nhits = 0", "hits is 0; expected a whole number from 1 to"),
        ("[limits]\nhits = 2.5", "hits is 2.5; expected a whole number"),
        ("[limits]\nhits = true", "hits is True; expected a whole number"),
        ("[limits]\nhits = 'ten'", "hits is 'ten'; expected a whole number"),
        ("[diversify]\ndiverse = 1.0", "diverse is 1.0; expected a number from 0 to 0.9"),
        ("[diversify]\ndiverse = nan", "diverse is nan; expected a number"),
        ("[diversify]\ncollapse = 1", "collapse is 1; expected true or false"),
        ("[signals]\nmode = 'vectors'", "mode is 'vectors'; expected one of hybrid, dense, text"),
        ("[rerank]\nby = 'http'", "by is 'http'; expected a list of names"),
        ("[rerank]\noptions = 1", "unknown key 'options'"),
        ("[rerank.http]\nurl = 'x'", r"\[rerank.http\] is of a reranker that is not used"),
        ("[limits\n", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_retriever(text, name="mine")


def test_values_that_come_from_elsewhere_are_checked_too():
    from polyseek.core.retriever import Diversify, Group

    check_ranges(Retriever())
    with pytest.raises(ConfigError, match="diversify.diverse is 2.0"):
        check_ranges(Retriever(diversify=Diversify(diverse=2.0)))
    with pytest.raises(ConfigError, match="group.moments is -1"):
        check_ranges(Retriever(group=Group(moments=-1)))
