"""`polyseek eval` and `polyseek tune --pairs` as typed."""

import json

import pytest
from PIL import Image
from test_cli import cli  # noqa: F401 - the fixture

from polyseek.api import opening
from polyseek.cli import exits
from polyseek.testing import FakeEncoder

COLOURS = ("red", "green", "blue", "yellow", "white", "black")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """An indexed folder whose file names say what is in them."""
    root = tmp_path_factory.mktemp("photos")
    folder = root / "photos"
    folder.mkdir()
    for colour in COLOURS:
        Image.new("RGB", (16, 16), colour).save(folder / f"{colour} wall.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
        opening.open(root / ".polyseek", resident=False).add(folder, workers=1)
    return root


@pytest.fixture
def run(cli, photos):  # noqa: F811
    return lambda command, *words: cli(command, "-c", photos / ".polyseek", *words)


def test_a_table_for_people(run):
    code, out, _ = run("eval")
    assert code == 0
    assert "text -> image" in out
    assert "image -> text" in out
    assert "100.0 (" in out
    assert "embeddings alone count" in out


def test_a_run_a_gate_and_a_report(run, tmp_path):
    code, out, _ = run("eval", "--json")
    assert code == 0
    good = json.loads(out)
    assert good["directions"][0]["figures"]["R@1"]["value"] == 1
    base = tmp_path / "base.json"
    base.write_text(out)
    report = tmp_path / "report.html"
    code, out, _ = run("eval", "--gate", base, "--html", report)
    assert code == 0
    assert "no figure dropped by more than chance" in out
    html = report.read_text()
    assert html.startswith("<!doctype html>")
    assert "Against the base" in html


@pytest.mark.slow
def test_the_gate_fails_and_says_which_figure(run, tmp_path):
    _, out, _ = run("eval", "--json")
    better = json.loads(out)
    direction = better["directions"][0]
    # The base asked forty more questions about each thing and found them all first.
    outcomes = direction["outcomes"]
    worse = tmp_path / "pairs.csv"
    lines = [f"{c}{' wall' * n},{'red' if c != 'red' else 'blue'} wall.png"
             for c in COLOURS for n in range(4)]  # fmt: skip
    worse.write_text("query,path\n" + "\n".join(lines))
    _, out, _ = run("eval", "--json", "--pairs", worse)
    base = json.loads(out)
    for direction in base["directions"]:
        for outcome in direction["outcomes"]:
            outcome.update(rank=1, ndcg=1, precision=1, group=outcome["id"])
    assert outcomes
    saved = tmp_path / "base.json"
    saved.write_text(json.dumps(base))
    code, out, _ = run("eval", "--pairs", worse, "--gate", saved)
    assert code == exits.REGRESSION == 5
    assert "dropped: text -> image R@1" in out
    code, out, _ = run("eval", "--pairs", worse, "--compare", saved)
    assert code == 0
    assert "worse" in out
    code, out, _ = run("eval", "--pairs", worse, "--gate", saved, "--json")
    assert code == 5
    assert json.loads(out)["comparison"]["passed"] is False


def test_trec_files(run, tmp_path):
    (tmp_path / "q.tsv").write_text("1\tsomething red\n2\tsomething blue\n")
    (tmp_path / "r.qrels").write_text("1 0 red_wall.png 1\n2 0 blue wall.png 1\n")
    code, _, err = run("eval", "--qrels", tmp_path / "r.qrels", "--queries", tmp_path / "q.tsv")
    assert code == 10
    assert "line 2: expected 'query-id 0 asset relevance'" in err
    (tmp_path / "r.qrels").write_text("1 0 nobody.png 1\n2 0 blue%20wall 1\n")
    code, out, _ = run("eval", "--qrels", tmp_path / "r.qrels", "--queries", tmp_path / "q.tsv")
    assert code == 0
    assert "1 about 1" in out
    assert "not in the collection (e.g. nobody.png)" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--pairs", "auto", "--qrels", "x"], 10, "--pairs and --qrels exclude each other"),
        (["--gate", "a", "--compare", "b"], 10, "--gate and --compare exclude each other"),
        (["--gate", "missing.json"], 10, "--gate missing.json: is no run"),
        (["--slice", "nope"], 10, "--slice nope: no such field"),
        (["--mode", "fast"], 10, "unknown mode 'fast'"),
        (["--limit", "-1"], 2, "limit"),
        (["--html", "/nowhere/x.html"], 10, "--html /nowhere/x.html: cannot be written"),
    ],
)
def test_wrong_usage(run, words, code, message):
    found, _, err = run("eval", *words)
    assert found == code
    assert message in err


def test_no_collection(cli):  # noqa: F811
    code, _, err = cli("eval", "-c", "nowhere")
    assert code == 51
    assert "no collection here" in err


def test_tune_says_when_labels_are_too_few(run):
    code, out, err = run("tune", "--pairs", "auto")
    assert (code, err) == (0, "")
    assert "6 labelled queries, at least 200" in " ".join(out.split())


def test_an_evaluation_is_kept_or_it_is_said_why_not(run, photos):
    def numbers():
        return [one.number for one in opening.open(photos / ".polyseek").evaluations]

    number = max(numbers(), default=0) + 1
    code, _, err = run("eval")
    assert (code, err) == (0, f"kept as evaluation {number} (polyseek serve shows it)\n")
    with opening.open(photos / ".polyseek").store.writing():
        code, out, err = run("eval", "--json")
    assert (code, json.loads(out)["polyseek_run"]) == (0, 1)
    assert err.startswith("this evaluation was not kept: ")
    assert err.count("\n") == 1
    assert numbers()[0] == number
