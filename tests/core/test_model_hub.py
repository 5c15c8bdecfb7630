"""The hub's real client against a small local hub."""

import pytest

huggingface_hub = pytest.importorskip("huggingface_hub")

from hub_fixtures import hub_of_tests
from hub_server import TOKEN
from polyseek.core import hub
from polyseek.core.config import Settings
from polyseek.core.errors import ChecksumError, ModelLoadError

REPO = "someone/tiny"
NAME = f"hf:{REPO}"
WEIGHTS = bytes(range(256)) * 12_000  # 3 MB
FILES = {
    "config.json": b'{"a": 1}',
    "model.safetensors": WEIGHTS,
    "README.md": b"# hi",
    "x.msgpack": b"no",
}


server = pytest.fixture(hub_of_tests)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


def pull(settings, name=NAME, **more):
    def chosen(names):
        return [n for n in names if n.endswith((".json", ".safetensors"))]

    looked = more.pop("look", lambda folder: None)
    return hub.pull(hub.listing(name, settings), chosen, looked, settings, **more)


@pytest.mark.slow
def test_pull_takes_what_is_needed_and_records_it(server, settings):
    commit = server.commit(REPO, FILES, licence="mit")
    seen = []
    files = pull(settings, progress=seen.append)
    assert files.name == f"{NAME}@{commit}"
    assert (files.revision, files.licence) == (commit, "mit")
    assert sorted(files.checksums) == ["config.json", "model.safetensors"]
    assert files.path("model.safetensors").read_bytes() == WEIGHTS
    assert not (files.folder / "x.msgpack").exists()
    assert seen[-1].done == seen[-1].total == len(WEIGHTS) + 8


def test_a_recorded_commit_opens_without_the_network(server, settings, published):
    first = pull(settings)
    server.asked.clear()
    assert pull(settings, first.name) == first
    assert server.asked == []


@pytest.fixture
def published(server):
    return server.commit(REPO, FILES)


def test_a_branch_that_moved_changes_nothing_for_those_who_have_the_commit(
    server, settings, published
):
    old = pull(settings)
    server.commit(REPO, {**FILES, "config.json": b'{"a": 2}'})
    assert pull(settings, old.name).path("config.json").read_bytes() == b'{"a": 1}'
    new = pull(settings)
    assert new.path("config.json").read_bytes() == b'{"a": 2}'
    assert new.checksums["model.safetensors"] == old.checksums["model.safetensors"]
    assert new.revision != old.revision


def test_a_revision_is_pinned(server, settings, published):
    server.commit(REPO, {**FILES, "config.json": b'{"a": 2}'})
    assert pull(settings, f"{NAME}@{published}").revision == published
    server.commit(REPO, FILES, branch="v1")
    assert pull(settings, f"{NAME}@v1").revision == published
    with pytest.raises(ModelLoadError, match="no such revision"):
        pull(settings, f"{NAME}@v9")


@pytest.mark.slow
def test_a_broken_download_goes_on_where_it_broke_off(server, settings, published):
    server.cut = 1_000_000
    files = pull(settings)
    assert files.path("model.safetensors").read_bytes() == WEIGHTS
    ranges = [asked for command, path, asked in server.asked if "safetensors" in path and asked]
    assert ranges, "the client began anew"


def test_what_arrives_with_other_bytes_is_not_kept(server, settings, published):
    server.tampered.add("model.safetensors")
    with pytest.raises(ChecksumError, match="'model.safetensors' has other bytes"):
        pull(settings)
    server.tampered.clear()
    assert pull(settings).path("model.safetensors").read_bytes() == WEIGHTS


def test_a_file_damaged_in_the_cache_is_noticed(server, settings, published):
    path = pull(settings).path("model.safetensors").resolve()
    path.write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(ChecksumError, match="removed, pull it again"):
        pull(settings, verify=True)
    path = pull(settings).path("model.safetensors").resolve()
    path.write_bytes(WEIGHTS[:100])
    with pytest.raises(ModelLoadError, match="100 bytes, expected 3,072,000"):
        pull(settings)


def test_a_model_is_refused_before_its_weights_are_fetched(server, settings, published):
    def refuse(folder):
        assert (folder / "config.json").exists()
        raise ModelLoadError("unknown architecture")

    with pytest.raises(ModelLoadError, match="unknown architecture"):
        pull(settings, look=refuse)
    assert not [path for command, path, _ in server.asked if "safetensors" in path]


def test_repositories_that_are_missing_private_or_gated(server, settings, published, monkeypatch):
    with pytest.raises(ModelLoadError, match="hf:no/where: no such repository, or a private one"):
        pull(settings, "hf:no/where")
    with pytest.raises(ModelLoadError, match=r"expected hf:owner/repository"):
        pull(settings, "hf:nowhere")
    server.private.add(REPO)
    with pytest.raises(ModelLoadError, match="HF_TOKEN"):
        pull(settings)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert pull(settings).revision == published
    monkeypatch.delenv("HF_TOKEN")
    server.private.clear()
    server.gated.add("someone/terms")
    server.commit("someone/terms", FILES)
    with pytest.raises(ModelLoadError, match="accept its terms"):
        pull(settings, "hf:someone/terms")


def test_offline_uses_what_was_pulled_before(server, settings, published, tmp_path):
    offline = Settings(home=settings.home, offline=True)
    with pytest.raises(ModelLoadError, match="set to offline; fetch it once"):
        pull(offline)
    assert not hub.pulled(NAME, settings)
    online = pull(settings)
    server.asked.clear()
    assert pull(offline) == pull(offline, online.name) == online
    assert pull(offline, f"{NAME}@{published[:8]}") == online
    assert hub.pulled(NAME, settings)
    with pytest.raises(ModelLoadError, match="offline"):
        pull(offline, f"{NAME}@{'0' * 40}")
    assert server.asked == []


@pytest.mark.slow
def test_a_hub_that_does_not_answer(settings, server, published):
    server.stop()
    try:
        with pytest.raises(ModelLoadError, match="POLYSEEK_OFFLINE=1 uses what was pulled before"):
            pull(settings)
    finally:
        server.stop = lambda: None
