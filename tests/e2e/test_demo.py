"""What a new user types, in processes of its own, with the real encoder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from polyseek.core.config import resolve_settings

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


def polyseek(place, *words, **environment):
    program = Path(sys.executable).with_name("polyseek")
    return subprocess.run(
        [program, *map(str, words)],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(place):
    done = polyseek(place, "demo", "--to", "d", PATH="/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(done):
    assert done.returncode == 0, done.stderr
    return [Path(hit["uri"]).name for hit in json.loads(done.stdout)["hits"]]


def test_the_demo_searches_in_every_direction(demo, place):
    for direction in (
        "text -> image",
        "image -> text",
        "text -> text",
        "image -> image",
        "text -> audio",
        "text -> video",
        "image -> video",
        "audio -> text",
    ):
        assert direction in demo
    assert "36 added" in demo
    assert "Your turn" in demo
    assert "public domain" in demo
    page = (place / "d" / "results.html").read_text()
    for kind in ("image/jpeg", "audio/ogg", "video/mp4"):
        assert f"data:{kind};base64," in page
    again = polyseek(place, "demo", "--to", "d")
    assert "36 unchanged" in again.stdout
    assert f"  {Path(sys.executable).with_name('polyseek')} search -c d/" in demo  # not on the PATH


@pytest.mark.parametrize(
    ("words", "best"),
    [
        (("a hot drink in a cup", "--modality", "image"), "coffee.png"),
        (("a cat", "--modality", "image"), "chelsea.png"),
        (("d/corpus/pictures/astronaut.png", "--modality", "text"), "spacewalk.md"),
        (("how do I make espresso?", "--modality", "text"), "espresso.md"),
        (("d/corpus/pictures/gravel.png", "--modality", "image"), "gravel.png"),
        (("an explosion", "--modality", "audio"), "explosion1.wav"),
        (("d/corpus/sounds/laser1.wav", "--modality", "audio"), "laser1.wav"),
        (("d/corpus/sounds/explosion1.wav", "--modality", "text"), "launch.md"),
        (("city lights at night from orbit", "--modality", "video"), "earth.mp4"),
    ],
)
def test_each_direction_finds_what_a_person_would(demo, place, words, best):
    collection = "d/corpus.polyseek"
    assert names(polyseek(place, "search", *words, "-c", collection, "--json"))[0] == best


def test_everything_works_offline_once_the_models_are_there(demo, place):
    done = polyseek(
        place, "search", "a rocket", "-c", "d/corpus.polyseek", "--json", "-k", "3",
        POLYSEEK_OFFLINE="1", PIP_INDEX_URL="http://127.0.0.1:9/simple",
    )  # fmt: skip
    assert "rocket.jpg" in names(done)


def test_offline_without_models_says_how_to_get_them(demo, place):
    done = polyseek(
        place, "search", "a rocket", "-c", "d/corpus.polyseek",
        POLYSEEK_OFFLINE="1", POLYSEEK_HOME=str(place / "no-models"),
    )  # fmt: skip
    assert done.returncode == 41
    assert "polyseek models pull" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_reported_to_anybody(demo, place):
    home = place / "home"
    home.mkdir()
    done = polyseek(
        place, "search", "a rocket", "-c", "d/corpus.polyseek", "--json",
        HOME=str(home), POLYSEEK_HOME=str(resolve_settings().home),
    )  # fmt: skip
    assert names(done)
    assert [path for path in home.rglob("*") if path.is_file()] == []
