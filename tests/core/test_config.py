"""Settings: defaults < TOML < environment, and a wrong one names where it stands."""

from pathlib import Path

import pytest

from polyseek.core.config import IndexOptions, Settings, resolve_settings
from polyseek.core.errors import ConfigError


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "polyseek.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_environment_over_toml_over_defaults(toml):
    path = toml('threads = 2\ncollection = "from-toml"\n')
    found = resolve_settings({"POLYSEEK_THREADS": "3"}, config=path)
    assert (found.threads, found.collection, found.offline) == (3, "from-toml", False)


def test_the_working_folder_has_the_default_file(toml, tmp_path, monkeypatch):
    toml("threads = 5\n")
    monkeypatch.chdir(tmp_path)
    assert resolve_settings({}).threads == 5


def test_no_file_is_fine_unless_it_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_settings({}) == Settings()
    with pytest.raises(ConfigError, match="no such configuration file"):
        resolve_settings({}, config=tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("yes", True), ("ON", True), ("0", False), ("", False)]
)
def test_spellings_of_yes_and_no(text, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_settings({"POLYSEEK_OFFLINE": text}).offline is value


def test_home_is_expanded_and_holds_the_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = resolve_settings({"POLYSEEK_HOME": "~/cache"})
    assert found.models == Path.home() / "cache" / "models"


def test_an_unknown_key_lists_the_known_ones(toml):
    with pytest.raises(ConfigError, match=r"polyseek\.toml: unknown setting 'thread'.*threads"):
        resolve_settings({}, config=toml("thread = 2\n"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("THREADS", "many"), ("THREADS", "-1"), ("OFFLINE", "perhaps"), ("HOME", " ")],
)
def test_a_value_of_the_wrong_type_names_its_variable(name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"POLYSEEK_{name}: '{value}' is no "):
        resolve_settings({f"POLYSEEK_{name}": value})


@pytest.mark.parametrize("text", ["threads = ", "\udce4".encode(errors="surrogateescape")])
def test_a_file_that_is_no_toml_is_named(text, tmp_path):
    path = tmp_path / "polyseek.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=r"polyseek\.toml: cannot be read as TOML"):
        resolve_settings({}, config=path)


@pytest.mark.parametrize(
    "given",
    [{"workers": -1}, {"workers": "two"}, {"timeout_s": 0}, {"window_s": float("nan")},
     {"hop_s": -1}, {"passage_chars": 0}],
)  # fmt: skip
def test_a_number_out_of_range_is_named(given):
    (name,) = given
    with pytest.raises(ConfigError, match=f"{name} is .*; expected"):
        IndexOptions(**given)
