"""An encoder from a hub, end to end: pulled, recorded by its commit, opened again without it."""

import pytest

pytest.importorskip("huggingface_hub")

from onnx_folder import make
from PIL import Image
from typer.testing import CliRunner

import polyseek
from hub_fixtures import hub_of_tests
from polyseek.cli import models
from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, IncompatibleCollectionError, ModelLoadError

pytestmark = pytest.mark.slow

server = pytest.fixture(hub_of_tests)
REPO = "someone/colours"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "pictures" / "red.png")
    return Settings(home=tmp_path / "home")


def files_of(tmp_path, name="m"):
    folder = make(tmp_path / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_collection_records_the_commit_and_opens_without_the_hub(server, settings, tmp_path):
    commit = server.commit(REPO, {**files_of(tmp_path), "other.bin": b"x" * 99}, licence="mit")
    made = polyseek.open("c", encoder=f"hf:{REPO}", settings=settings)
    assert made.add("pictures", workers=1).added == 1
    assert made.status().encoder == f"hf:{REPO}@{commit}"
    assert not [path for _, path, _ in server.asked if "other.bin" in path]
    server.commit(REPO, {**files_of(tmp_path), "README.md": b"# newer"})
    server.asked.clear()
    for name in (None, f"hf:{REPO}", f"hf:{REPO}@{commit[:9]}"):
        again = polyseek.open("c", encoder=name, settings=settings)
        assert again.search("a red car", show_all=True)
    assert server.asked == []
    with pytest.raises(IncompatibleCollectionError, match=f"'hf:{REPO}@{commit}', not"):
        polyseek.open("c", encoder=f"hf:{REPO}@{'0' * 40}", settings=settings)


def test_nothing_is_fetched_of_what_must_not_be_used(server, settings, tmp_path):
    server.commit(REPO, files_of(tmp_path), licence="cc-by-nc-4.0")
    with pytest.raises(ConfigError, match=r"\(cc-by-nc-4.0\) forbids commercial use"):
        polyseek.open("c", encoder=f"hf:{REPO}", settings=settings)
    assert not [path for _, path, _ in server.asked if "/resolve/" in path]
    assert not (tmp_path / "c").exists()
    server.commit("someone/bind", {"imagebind_huge.pth": b"x"})  # names no licence: its family's
    with pytest.raises(ConfigError, match=r"\(CC-BY-NC-SA-4.0\) forbids commercial use"):
        polyseek.open("c", encoder="hf:someone/bind", settings=settings)
    assert not [path for _, path, _ in server.asked if "/resolve/" in path]
    server.commit("someone/words", {"readme.txt": b"no model"})
    with pytest.raises(ModelLoadError, match="holds no model that any family reads"):
        polyseek.open("c", encoder="hf:someone/words", settings=settings)


def test_pull_and_path_from_the_shell(server, settings, tmp_path):
    server.commit(REPO, files_of(tmp_path))
    run = CliRunner().invoke(models.app, ["pull", f"hf:{REPO}", "--check"], catch_exceptions=False)
    assert sorted(line.rpartition("/")[2] for line in run.stdout.splitlines()) == [
        "image.onnx", "model.toml", "text.onnx", "tokenizer.json",
    ]  # fmt: skip
    again = CliRunner().invoke(models.app, ["path", f"hf:{REPO}"], catch_exceptions=False)
    assert again.stdout == run.stdout
