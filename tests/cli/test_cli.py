"""The command line in this process, on a fake encoder and a real store."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polyseek.api import opening
from polyseek.cli import diagnosis, entry, exits, render
from polyseek.cli.app import windows
from polyseek.core import errors
from polyseek.core.reports import IngestReport
from polyseek.core.tuning import Calibration, Origin, Tuning
from polyseek.core.types import Embeddings, Modality
from polyseek.encode import names
from polyseek.evaluate.diagnosis import Diagnosis
from polyseek.store.lance import LanceStore
from polyseek.testing import FakeEncoder


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Runs a command in a folder of its own; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["polyseek", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            entry.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


def make_photos(root):
    folder = root / "photos"
    (folder / "trip").mkdir(parents=True)
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (32, 24), colour).save(folder / f"{colour}.png")
    (folder / "trip" / "note.txt").write_text("A red car on the road.")
    return folder


@pytest.fixture
def photos(tmp_path):
    return make_photos(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """An indexed folder that tests only read; one of its files is broken."""
    root = tmp_path_factory.mktemp("shared")
    folder = make_photos(root)
    (folder / "bad.png").write_bytes(b"x")
    (folder / "tool.exe").write_bytes(b"x")
    (root / "empty").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
        opening.open(root / ".polyseek", resident=False).add(folder)
    return root


@pytest.fixture
def indexed(cli, shared, monkeypatch):
    monkeypatch.chdir(shared)
    return shared / "photos"


def test_a_filter_alone_lists_by_path(cli, shared):
    where = ("-c", shared / ".polyseek")
    code, out, _ = cli("search", *where, "--filter", "width = 32", "--json", "--explain")
    found = json.loads(out)
    names = [hit["metadata"]["path"] for hit in found["hits"]]
    assert (code, names) == (0, ["blue.png", "green.png", "red.png"])
    assert {hit["probability"] for hit in found["hits"]} == {None}
    assert [(step["space"], step["rows"]) for step in found["plan"]] == [(None, 3), (None, 0)]
    _, out, _ = cli("search", *where, "--modality", "text", "--paths")
    assert out.splitlines() == [str(shared / "photos" / "trip" / "note.txt")]
    _, out, _ = cli("search", *where, "--filter", "width = 32", "--explain", "-k", 1)
    assert "image" in out
    assert "3 segments pass" in out
    assert "1.000" not in out
    code, out, _ = cli("search", *where, "--filter", "width > 32")
    assert "nothing in the collection passes" in out
    code, _, err = cli("search", *where, "--filter", "colour = 1")
    assert (code, "colour" in err) == (61, True)


@pytest.mark.slow
def test_index_says_what_it_did(cli, photos):
    code, out, _ = cli("index", photos)
    assert code == 0
    assert ".polyseek: 4 added" in out
    code, out, _ = cli("index", photos)
    assert "4 unchanged" in out
    code, out, _ = cli("index", photos, "--json")
    assert json.loads(out)["skipped"] == 4


@pytest.mark.slow
def test_index_without_model_files_leaves_no_empty_collection(cli, photos, monkeypatch, tmp_path):
    monkeypatch.setattr(opening, "load_encoder", names.load)
    monkeypatch.setenv("POLYSEEK_OFFLINE", "1")
    monkeypatch.setenv("POLYSEEK_HOME", str(tmp_path / "home"))
    code, _, err = cli("index", photos, "-c", tmp_path / "c")
    assert code == 41
    assert "offline" in err.lower()
    assert not (tmp_path / "c").exists()
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    assert cli("index", photos, "-c", tmp_path / "c")[0] == 0
    assert (tmp_path / "c").exists()


def test_search_in_all_four_directions(cli, indexed):
    def best(*words):
        code, out, err = cli("search", *words, "--json")
        assert code == 0, err
        return [hit["uri"].rsplit("/", 1)[1] for hit in json.loads(out)["hits"]]

    assert best("something blue", "--modality", "image")[0] == "blue.png"
    assert best(indexed / "red.png", "--modality", "text") == ["note.txt"]
    assert best(indexed / "green.png", "--modality", "image")[0] == "green.png"
    assert best("a car on a road", "--modality", "text") == ["note.txt"]
    assert set(best("red")) == {"red.png", "green.png", "blue.png", "note.txt"}


def test_terms_are_joined_weighted_and_subtracted(cli, indexed):
    words = "red", "+", "0.5:./photos/blue.png", "-", "green", "--modality", "image"
    code, out, err = cli("search", *words, "--json", "--explain")
    assert code == 0, err
    found = json.loads(out)
    assert found["query"] == "red + 0.5:photos/blue.png - green"
    assert [term["weight"] for term in found["hits"][0]["terms"]] == [1, 0.5, -1]
    assert found["hits"][-1]["uri"].endswith("green.png")
    code, out, _ = cli("search", "red", "+", "blue", "--any", "--explain")
    assert code == 0
    assert "+1 blue: cosine" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("red", "car"), "join them by + and -"),
        (("red", "+"), "join them by + and -"),
        (("+", "-", "red"), "join them by + and -"),
        (("-", "red"), "every term is unwanted"),
        (("red", "-", "red"), "both wanted and unwanted"),
        (("0:red", "+", "blue"), "weight 0"),
    ],
)
def test_terms_that_cannot_be_read(cli, indexed, words, says):
    code, _, err = cli("search", *words)
    assert code != 0
    assert says in err


def test_json_has_what_programs_need(cli, indexed):
    _, out, _ = cli("search", "red", "-k", "2", "--json", "--explain")
    found = json.loads(out)
    assert found["query"] == "red"
    assert found["coverage"] == {"searched": 4, "failed": 2, "pending": 0}
    assert [hit["rank"] for hit in found["hits"]] == [1, 2]
    assert set(found["hits"][0]) == {
        "rank", "id", "uri", "modality", "probability", "score", "hub_bias", "text_score",
        "text_share", "sparse_score", "span", "text", "moments", "metadata", "duplicates",
        "ranks", "words", "sentence", "rank_without", "curve", "where",
    }  # fmt: skip
    assert {step["modality"] for step in found["plan"]} == {"image", "text"}
    assert all(step["recall"] == 1.0 for step in found["plan"])
    assert set(found["timings_ms"]) == {"encode", "retrieve", "fuse", "explain", "total"}


def test_paths_and_filter_and_table(cli, indexed):
    code, out, _ = cli("search", "red", "--paths", "--filter", "folder = 'trip'")
    assert out == f"{indexed / 'trip' / 'note.txt'}\n"
    code, out, _ = cli("search", "red", "--filter", "width = 32 AND name LIKE 'r%'")
    assert "photos/red.png" in out
    assert "note.txt" not in out
    code, out, _ = cli("search", "red", "--filter", "width > 99")
    assert code == 0
    assert "Nothing found" in out


def test_grid_is_self_contained(cli, indexed, tmp_path):
    cli("search", "red <car>", "--grid", tmp_path / "sheet.html")
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    assert "red &lt;car&gt;" in page
    assert not re.search(r"https?://", page)
    code, _, err = cli("search", "red", "--grid", tmp_path / "no" / "sheet.html")
    assert code == 10
    assert "cannot be written" in err


def test_an_explained_grid_shows_where_in_pictures(cli, indexed, tmp_path, monkeypatch):
    class Parts(FakeEncoder):
        def patches(self, picture):
            return np.eye(4, dtype=np.float32)

        def words(self, text):
            return np.eye(1, 4, dtype=np.float32), np.ones(1, np.float32)

    sheet = tmp_path / "sheet.html"
    cli("search", "red", "--grid", sheet, "--explain")
    assert 'class="where"' not in sheet.read_text()  # this encoder does not know
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: Parts())
    cli("search", "red", "--grid", sheet)
    assert 'class="where"' not in sheet.read_text()  # nobody asked
    cli("search", "red", "--grid", sheet, "--explain")
    page = sheet.read_text()
    assert page.count('class="where"') == 3
    assert page.count("<rect") == 3 * 4


@pytest.mark.slow
def test_failures_are_counted_and_listed_with_reasons(cli, photos):
    (photos / "bad.png").write_bytes(b"x")
    _, out, _ = cli("index", photos)
    assert "1 could not be (fully) read" in out
    assert "photos/bad.png: is no picture" in out


def test_a_new_collection_is_made_only_when_something_will_be_in_it(cli, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "m.csv").write_text("path,year\nnope.png,2020\n")
    for words, expected in (
        (["empty"], 22),
        (["photos", "--include", "*.mp4"], 22),
        (["photos", "--metadata", "none.csv"], 21),
        (["photos", "--metadata", "m.csv"], 10),
    ):
        assert cli("index", *words)[0] == expected
        assert not (tmp_path / ".polyseek").exists()


@pytest.mark.slow
def test_a_source_that_is_gone_is_refused_and_then_removed(cli, photos):
    cli("index", photos)
    for path in photos.rglob("*"):
        path.is_file() and path.unlink()
    code, _, err = cli("index", photos)
    assert code == 22
    assert "4 assets" in err
    assert "polyseek remove" in err
    assert cli("remove", "photos/trip") == (0, ".polyseek: 1 removed\n", "")
    code, _, err = cli("remove", "photos/trip")
    assert code == 21
    assert "nothing at or below" in err
    assert json.loads(cli("remove", "photos", "--json")[1]) == {"removed": 3}


@pytest.mark.slow
def test_lines_for_pipes_are_not_wrapped(cli, photos):
    deep = photos / ("folder with a long name " * 5).strip() / ("another " * 10).strip()
    deep.mkdir(parents=True)
    (deep / "bad.png").write_bytes(b"x")
    Image.new("RGB", (8, 8), "red").save(deep / "good.png")
    where = deep.relative_to(photos.parent)
    assert f"  {where}/bad.png: is no picture" in cli("index", photos)[1]
    assert f"{where}/bad.png: is no picture" in cli("status")[1]
    assert f"{where}/good.png" in cli("search", "red")[1]


def test_status(cli, indexed):
    _, out, _ = cli("status")
    assert "3 image" in out
    assert "photos/bad.png: is no picture" in out
    _, out, _ = cli("status", "--json")
    found = json.loads(out)
    assert found["assets"] == {
        "indexed": 4, "partial": 0, "pending": 0, "failed": 1, "unsupported": 1,
    }  # fmt: skip
    assert found["modalities"] == {"image": 3, "text": 1}
    assert len(found["failures"]) == 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["index"], 2, "Missing argument"),
        (["index", "nope"], 21, "no such file or folder"),
        (["index", "empty"], 22, "nothing to index"),
        (["index", "photos", "--metadata", "none.csv"], 21, "no such file"),
        (["index", "photos", "--encoder", "huge"], 53, "made with encoder 'fake'"),
        (["index", "photos", "--window", "0"], 10, "window_s is 0.0; expected a number above 0"),
        (["index", "photos", "--window", "4", "--hop", "5"], 10, "got hop_s 5 and window_s 4"),
        (["index", "photos", "--hop", "11"], 10, "got hop_s 11 and window_s 10"),
        (["search", "red", "-c", "elsewhere"], 51, "elsewhere"),
        (["search", "red", "--modality", "smell"], 10, "unknown modality 'smell'"),
        (["search", "red", "--filter", "colour = 1"], 61, "colour"),
        (["search", "red", "--filter", "width >"], 61, "filter"),
        (["search", "./nope.jpg"], 60, "no such file"),
        (["search", "photos/bad.png"], 30, "bad.png"),
        (["search", " "], 60, "empty"),
        (["search", "red", "-k", "0"], 2, "limit"),
        (["serch"], 2, "No such command"),
        (["search", "red", "--xyzzy"], 2, "--xyzzy; see 'polyseek search --help'"),
        (["models", "pull", "nope"], 11, "unknown encoder 'nope'; known: "),
    ],
)
@pytest.mark.slow
def test_bad_input_is_one_line_with_its_own_exit_code(cli, indexed, words, code, says):
    got, _, err = cli(*words)
    assert got == code, err
    assert says in err
    assert err.startswith("polyseek: ")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_folder_that_may_not_be_read_is_one_line(photos, tmp_path):
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    photos.chmod(0)
    program = [Path(sys.executable).with_name("polyseek"), "index", "photos"]
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*drop, *program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    photos.chmod(0o755)
    assert done.returncode == 20
    assert done.stderr == f"polyseek: {photos}: cannot be read: Permission denied\n"
    assert not (tmp_path / ".polyseek").exists()


def test_an_unknown_encoder_lists_the_known_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    monkeypatch.setattr(sys, "argv", ["polyseek", "index", ".", "--encoder", "huge"])
    with pytest.raises(SystemExit) as stop:
        entry.main()
    assert stop.value.code == 11
    assert "unknown encoder 'huge'; known: " in capsys.readouterr().err


def test_every_error_has_an_exit_code_and_the_page_lists_it():
    page = (Path(__file__).parents[2] / "docs/reference/exit-codes.md").read_text()
    kinds = [k for k in vars(errors).values() if isinstance(k, type)]
    for kind in kinds:
        if issubclass(kind, errors.PolyseekError):
            made = kind.__new__(kind)
            assert exits.code_of(made) > 0
    for kind, code in exits.TABLE.items():
        assert f"| {code} | `{kind.__name__}` |" in page


def test_a_reader_that_goes_away_is_no_error(cli, indexed, monkeypatch):
    def gone(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("polyseek.cli.render.results", gone)
    monkeypatch.setattr(entry, "_close_stdout", lambda: None)
    assert cli("search", "red")[0] == 0


@pytest.mark.parametrize(("flag", "module"), [("ocr", "rapid"), ("asr", "whisper")])
def test_a_flag_without_its_extra_says_how_to_install_it(cli, tmp_path, monkeypatch, flag, module):
    monkeypatch.setattr(f"polyseek.ingest.recognisers.{module}.find_spec", lambda name: None)
    code, _, err = cli("index", make_photos(tmp_path), f"--{flag}")
    assert code == exits.TABLE[errors.MissingExtraError]
    assert f"pip install 'polyseek[{flag}]'" in err
    assert not (tmp_path / "polyseek").exists()


@pytest.mark.slow
def test_doctor_says_what_it_found_with_an_exit_code_and_a_report(cli, indexed, tmp_path):
    code, out, _ = cli("doctor", "--html", tmp_path / "report.html")
    assert code == exits.WARNINGS == 3
    assert "coverage" in out
    assert "bad.png: is no picture" in out
    assert "warnings" in out
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page
    assert not re.search(r"https?://", page)
    code, out, _ = cli("doctor", "--json")
    found = json.loads(out)
    assert code == 3
    assert found["verdict"] == "warning"
    assert {check["name"] for check in found["checks"]} >= {"towers", "gap", "hubness", "recall"}


@pytest.mark.slow
def test_doctor_exits_with_4_when_towers_share_no_space(cli, indexed, monkeypatch):
    class Mismatched(FakeEncoder):
        def encode(self, modality, batch, *, role):
            rows = super().encode(modality, batch, role=role)
            if modality == "image":
                return rows
            return Embeddings(shared=rows.shared[:, ::-1].copy(), tower=rows.tower)

    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: Mismatched())
    code, out, _ = cli("doctor")
    assert code == exits.UNHEALTHY == 4
    assert "towers share no space" in out


@pytest.mark.slow
def test_doctor_exits_with_0_when_healthy_and_names_a_file_it_cannot_write(cli, indexed):
    ok = Diagnosis(location="x", encoder="fake@1", checks=(), elapsed_s=0.1)
    assert diagnosis.exit_code(ok) == 0
    code, _, err = cli("doctor", "--html", "no/such/report.html")
    assert code == 10
    assert "--html" in err


@pytest.mark.slow
def test_tune_says_what_it_found(cli, photos):
    cli("index", photos)
    code, out, _ = cli("tune")
    assert code == 0
    assert "text -> image: 3 different segments are too few" in re.sub(r"\s+", " ", out)
    _, out, _ = cli("tune", "--json")
    assert json.loads(out)["fitted_assets"] == {"image": 3, "text": 1}


@pytest.mark.slow
def test_tune_refuses_a_bank_that_is_too_small(cli, photos, tmp_path):
    cli("index", photos)
    (tmp_path / "bank.txt").write_text("only one\n")
    code, _, err = cli("tune", "--bank", "bank.txt")
    assert code == exits.TABLE[errors.ConfigError]
    assert "--bank bank.txt: 1 distinct queries" in err


def test_a_least_probability_needs_a_calibration(cli, indexed):
    code, _, err = cli("search", "red", "--min-probability", "0.5")
    assert code == exits.TABLE[errors.QueryError]
    assert "polyseek tune" in err
    assert cli("search", "red", "--min-probability", "1.5")[0] == exits.USAGE


@pytest.mark.slow
def test_probabilities_and_their_reasons_are_shown(cli, indexed, monkeypatch):
    tuning = Tuning(
        calibrations={
            (Modality.TEXT, target): Calibration(
                intercept=intercept, slope=1, match_probability=0.5, origin=Origin.SHIPPED
            )
            for target, intercept in ((Modality.IMAGE, 2), (Modality.TEXT, -9))
        }
    )
    monkeypatch.setattr(LanceStore, "tuning", tuning)
    _, out, _ = cli("search", "red", "--explain")
    assert re.search(r"1\s+9\d%\s+image", out)
    assert "shipped calibration, a match from 50%" in re.sub(r"\s+", " ", out)
    _, out, _ = cli("search", "red", "--dense", "--modality", "text")
    assert "Nothing found" in out
    assert "note.txt" not in out
    _, out, _ = cli("search", "red", "--dense", "--modality", "text", "--all")
    assert "Nothing found" in out
    assert "note.txt" in out
    _, out, _ = cli("search", "red", "--dense", "--modality", "text", "--json")
    assert (json.loads(out)["no_match"], json.loads(out)["hits"]) == (True, [])


def test_fields_are_listed(cli, indexed):
    _, out, _ = cli("fields")
    assert "folder" in out
    _, out, _ = cli("fields", "--json")
    found = {field["name"]: field for field in json.loads(out)}
    assert found["size_bytes"]["type"] == "integer"
    assert found["size_bytes"]["segments"] >= 1
    assert found["modified"]["examples"]


def test_words_and_vectors_can_be_searched_alone(cli, indexed):
    _, out, _ = cli("search", "road", "--text", "--json", "--explain")
    found = json.loads(out)
    assert [hit["uri"].rpartition("/")[2] for hit in found["hits"]] == ["note.txt"]
    assert found["hits"][0]["text_share"] == 1
    _, out, _ = cli("search", "road", "--dense", "--json", "--explain")
    assert {step["words"] for step in json.loads(out)["plan"]} == {None}
    _, out, _ = cli("search", "red road", "--explain")
    assert re.search(r"words \d+\.\d\d \(\d+%\)", out)
    code, _, err = cli("search", "road", "--dense", "--text")
    assert code == exits.TABLE[errors.ConfigError]
    assert "exclude each other" in err


def test_a_run_that_was_stopped_early_had_something_to_do(capsys):
    render.report(IngestReport(interrupted=True, elapsed_s=30.0), location="c")
    assert capsys.readouterr().out.splitlines() == [
        "c: nothing finished (30.0 s)",
        "Stopped early. Run the same command again to go on from here.",
    ]
    render.report(IngestReport(elapsed_s=1.0), location="c")
    assert capsys.readouterr().out.splitlines() == ["c: nothing to do (1.0 s)"]


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ((None, None), {}),
        ((4.0, None), {"window_s": 4, "hop_s": 2}),
        ((4.0, 1.0), {"window_s": 4, "hop_s": 1}),
        ((None, 2.0), {"hop_s": 2}),
    ],
)
def test_windows_follow_each_other_by_half(given, options):
    assert windows(*given) == options
