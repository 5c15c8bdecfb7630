"""Retrievers and examples from the command line, on a fake encoder and a real store."""

import json
import shutil

import pytest
from test_cli import cli, indexed, make_photos, shared  # noqa: F401 - fixtures

from polyseek.cli import exits
from polyseek.core import errors

pytestmark = pytest.mark.slow

MINE = """
[diversify]
collapse = true
[limits]
hits = 2
"""


@pytest.fixture
def own(cli, shared, tmp_path):  # noqa: F811 - a fixture
    """A copy of the indexed folder that may be written to."""
    shutil.copytree(shared / ".polyseek", tmp_path / ".polyseek")
    return tmp_path


def hits_of(cli, *words):  # noqa: F811
    code, out, err = cli("search", *words, "--json", "--explain")
    assert code == 0, err
    return json.loads(out)


def test_a_retriever_is_shown_saved_used_and_removed(cli, own):  # noqa: F811
    _, text, _ = cli("retrievers", "show")
    assert "[rerank]" in text
    (own / "mine.toml").write_text(MINE)
    assert hits_of(cli, "red", "--retriever", "mine.toml")["retriever"] == "mine.toml"
    assert cli("retrievers", "save", "mine.toml")[1] == "saved; search with --retriever mine\n"
    found = hits_of(cli, "red", "--retriever", "mine")
    assert (found["retriever"], len(found["hits"])) == ("mine", 2)
    assert len(hits_of(cli, "red", "--retriever", "mine", "-k", "3")["hits"]) == 3
    assert cli("retrievers", "list")[1] == "default\nmine\n"
    assert json.loads(cli("retrievers", "list", "--json")[1])["mine"] == MINE
    assert cli("retrievers", "show", "mine")[1] == MINE
    cli("retrievers", "save", "mine.toml", "--name", "default")
    assert len(hits_of(cli, "red")["hits"]) == 2
    cli("retrievers", "remove", "default")
    assert len(hits_of(cli, "red")["hits"]) == 4
    assert cli("retrievers", "remove", "mine")[1] == "mine: removed\n"
    assert cli("retrievers", "list")[1] == "default\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("search", "red", "--retriever", "fast"), "no retriever 'fast'; saved: default; or give"),
        (("search", "red", "--retriever", "gone.toml"), "gone.toml: no such retriever file"),
        (("search", "red", "--retriever", "bad.toml"), r"[limits] has an unknown key 'hit'"),
        (("search", "red", "--retriever", "who.toml"), "unknown reranker 'nobody'; known: "),
        (("search", "red", "--retriever", "fusion.toml"), "'fusion' has learned nothing here"),
        (("search", "red", "--retriever", "patches.toml"), "'fake' does not"),
        (("retrievers", "save", "bad.toml"), "unknown key 'hit'"),
        (("retrievers", "save", "gone.toml"), "no such retriever file"),
        (("retrievers", "save", "good.toml", "--name", "../x"), "cannot be a retriever's name"),
        (("retrievers", "remove", "mine"), "no retriever 'mine' is saved in this collection"),
        (("retrievers", "show", "mine"), "no retriever 'mine'; saved: default"),
        (("retrievers", "learn", "gone.csv"), "gone.csv"),
    ],
)
def test_wrong_retrievers_are_named(cli, own, words, says):  # noqa: F811
    (own / "bad.toml").write_text("[limits]\nhit = 3")
    (own / "good.toml").write_text("")
    for name, reranker in (("who", "nobody"), ("fusion", "fusion"), ("patches", "patches")):
        (own / f"{name}.toml").write_text(f'[rerank]\nby = ["{reranker}"]')
    code, _, err = cli(*words)
    known = (errors.ConfigError, errors.UnknownPluginError)
    assert code in {exits.TABLE[kind] for kind in known}
    assert says in err


def test_a_saved_retriever_does_not_tune_the_collection(cli, own):  # noqa: F811
    (own / "mine.toml").write_text(MINE)
    cli("retrievers", "save", "mine.toml")
    photos = make_photos(own / "more")
    assert cli("index", photos)[0] == 0
    assert "not calibrated" in cli("search", "red", "--explain")[1]


def test_examples_by_id_and_by_path(cli, indexed):  # noqa: F811
    first = hits_of(cli, "red", "-k", "1", "--modality", "image")["hits"][0]
    alike = hits_of(cli, "--like", first["id"], "--modality", "image")
    assert first["uri"] not in [hit["uri"] for hit in alike["hits"]]
    by_path = hits_of(cli, "red", "--unlike", "photos/red.png", "--modality", "image")
    assert not any(hit["uri"].endswith("red.png") for hit in by_path["hits"])
    code, _, err = cli("search", "--unlike", "photos/red.png")
    assert code == 60
    assert "every example is unwanted" in err
    code, _, err = cli("search")
    assert code == 60
    assert "nothing to look for" in err


def test_notes_of_a_reranker_are_printed(cli, own):  # noqa: F811
    (own / "x.toml").write_text(
        '[rerank]\nby = ["http"]\nbudget_ms = 20000\n[rerank.http]\nurl = "http://127.0.0.1:9/"\n'
    )
    code, out, _ = cli("search", "red car", "--retriever", "x.toml")
    assert code == 0
    assert "Note: reranker 'http' was not used: QueryError: http://127.0.0.1:9/" in out
    assert "red.png" in out


def test_moments_and_variety_have_limits(cli, indexed):  # noqa: F811
    assert cli("search", "red", "--moments", "-1")[0] == exits.USAGE
    assert cli("search", "red", "--diverse", "1")[0] == exits.USAGE
    assert cli("search", "red", "--diverse", "0.5", "--collapse", "--moments", "0")[0] == 0
