"""`polyseek models`: the catalogue, pulling, and where the files are."""

import hashlib
import json

import pytest
from typer.testing import CliRunner

from polyseek.cli import models
from polyseek.core.artifacts import Artifact, location
from polyseek.core.config import Settings
from polyseek.core.errors import ModelLoadError, UnknownPluginError
from polyseek.core.types import Modality
from polyseek.encode import catalogue

CONTENT = b"weights" * 1000


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A catalogue with one encoder whose file comes from this machine, and an empty cache."""
    (tmp_path / "model.onnx").write_bytes(CONTENT)
    tiny = Artifact(
        name="image",
        source=(tmp_path / "model.onnx").as_uri(),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
    )
    entry = catalogue.Entry(
        name="tiny",
        summary="for tests",
        modalities=(Modality.IMAGE,),
        dim=8,
        licence="MIT",
        languages="none",
        artifacts=(tiny,),
    )
    monkeypatch.setattr(catalogue, "ENTRIES", {"tiny": entry})
    monkeypatch.setenv("POLYSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Settings(home=tmp_path / "home")


def run(*arguments):
    result = CliRunner().invoke(models.app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result


def test_the_table_and_the_json_tell_what_is_cached(home):
    assert "tiny" in run().stdout
    [row] = json.loads(run("--json").stdout)
    assert row["cached"] is False
    assert (row["name"], row["modalities"], row["dim"]) == ("tiny", ["image"], 8)
    assert row["size_bytes"] == len(CONTENT)
    run("pull", "tiny")
    assert json.loads(run("--json").stdout)[0]["cached"] is True


def test_pull_prints_paths_alone_and_path_agrees(home):
    pulled = run("pull", "tiny")
    target = location(catalogue.get("tiny").artifact("image"), home)
    assert pulled.stdout.splitlines() == [str(target)]
    assert pulled.stderr == ""  # no progress bar into a pipe
    assert target.read_bytes() == CONTENT
    assert run("path", "tiny").stdout == pulled.stdout


def test_check_repairs_a_file_of_the_right_length_and_wrong_bytes(home):
    run("pull", "tiny")
    target = location(catalogue.get("tiny").artifact("image"), home)
    target.write_bytes(b"\0" * len(CONTENT))
    run("pull", "tiny")
    assert target.read_bytes() != CONTENT
    run("pull", "tiny", "--check")
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("command", ["pull", "path"])
def test_an_unknown_name_lists_the_known_ones(home, command):
    with pytest.raises(UnknownPluginError, match="unknown encoder 'maxi'; known: .*tiny"):
        run(command, "maxi")


def test_a_source_that_is_gone_is_an_error_for_the_top_level(home, tmp_path):
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(ModelLoadError, match="no such file"):
        run("pull", "tiny")


def test_the_shipped_catalogue_is_pinned():
    entry = catalogue.get("mini")
    assert {Modality.IMAGE, Modality.TEXT} <= set(entry.modalities)
    assert len({artifact.name for artifact in entry.artifacts}) == len(entry.artifacts)
    for artifact in entry.artifacts:
        assert len(bytes.fromhex(artifact.sha256)) == 32
        assert "==" in artifact.source or "@" in artifact.source
    assert entry.size_bytes == sum(artifact.size_bytes for artifact in entry.artifacts)
