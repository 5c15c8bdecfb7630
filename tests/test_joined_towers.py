"""`polyseek adapt --tower`: temperatures of 4 x 4 points join a collection of colours and words."""

import csv
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from polyseek.api import opening
from polyseek.cli import exits
from polyseek.cli.app import app
from polyseek.core.errors import ConfigError, UnsupportedMediaError
from polyseek.core.types import AssetStatus, Modality
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow

THERMAL, TEXT, IMAGE = Modality.THERMAL, Modality.TEXT, Modality.IMAGE
COLOURS = ("red", "green", "blue", "yellow", "white", "black")  # those the encoder knows
COUNT = 60

TOWER = """
import numpy as np

files = "*.heat"

def embed(file):
    rows = [line.split() for line in file.read().decode().splitlines()]
    return np.array(rows, float).ravel() + 280

embed.files = files
"""


def heat(folder, name, main, second, rng):
    """Each colour has a pattern of its own, which nothing but pairs can tell."""
    patterns = np.random.default_rng(5).normal(0, 10, (len(COLOURS), 16))
    seen = patterns[main] + 0.5 * patterns[second] + rng.normal(0, 1, 16)
    path = folder / name
    path.write_text("\n".join(" ".join(f"{t:.2f}" for t in row) for row in seen.reshape(4, 4)))
    return path


def scenes(count=COUNT):
    for i in range(count):
        yield i, i % 6, (i % 6 + 1 + i // 6 % 5) % 6


@pytest.fixture
def tower(tmp_path):
    path = tmp_path / "thermal_tower.py"
    path.write_text(TOWER)
    return f"{path}:embed"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    media = tmp_path / "media"
    media.mkdir()
    for i, main, second in scenes():
        heat(media, f"h{i:02}.heat", main, second, rng)
    for colour in COLOURS:
        Image.new("RGB", (16, 16), colour).save(media / f"{colour}.png")
    return media


@pytest.fixture
def pairs(folder):
    rows = [
        (f"media/h{i:02}.heat", f"{COLOURS[a]} {COLOURS[a]} with some {COLOURS[b]}, number {i}")
        for i, a, b in scenes()
    ]
    return table(folder.parent / "pairs.csv", rows)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def table(path, rows, names=("path", "caption")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def opened(where, settings, **options):
    return opening.open(
        where / "c", encoder="fake", settings=settings, loader=lambda *_: FakeEncoder(), **options
    )


@pytest.fixture
def collection(folder, settings):
    made = opened(folder.parent, settings)
    made.add(folder, workers=1)
    return made


def main_colours(results):
    return [int(hit.uri[-7:-5]) % 6 for hit in results.hits]


def test_files_of_a_joined_modality_are_indexed_found_and_find(collection, folder, pairs, tower):
    assert collection.status().assets[AssetStatus.UNSUPPORTED] == COUNT
    report = collection.adapt(pairs, tower=tower, modality="thermal")
    assert report.name == "thermal-1"
    assert {trial.pair for trial in report.trials} == {(THERMAL, TEXT), (TEXT, THERMAL)}
    assert all(trial.verdict.better and trial.installed for trial in report.trials)
    json.dumps(report.to_dict())
    added = collection.add(folder, workers=1)
    assert added.updated == COUNT
    assert not added.failures
    assert collection.modalities()[THERMAL] == COUNT
    found = collection.search("a blue thing", modalities=["thermal"], limit=5)
    assert main_colours(found) == [2] * 5
    assert found.hits[0].probability is not None
    # A file that the collection has never seen, as the query.
    new = heat(folder.parent, "new.heat", 2, 5, np.random.default_rng(9))
    like = collection.search(new, limit=5, modalities=["thermal"], show_all=True)
    assert main_colours(like) == [2] * 5
    assert (
        collection.search(new, modalities=["image"], show_all=True).hits[0].uri.endswith("blue.png")
    )
    assert collection.add(folder, workers=1).skipped == COUNT + len(COLOURS)


def test_files_that_failed_as_something_else_are_read_again(folder, pairs, tower, settings):
    path = folder.parent / "thermal_tower.py"
    path.write_text(TOWER.replace('"*.heat"', '("*.heat", "flir/*.png")'))
    (folder / "flir").mkdir()
    no_picture = heat(folder / "flir", "cam 1.png", 2, 5, np.random.default_rng(9))
    made = opened(folder.parent, settings)
    assert [
        failure.uri for failure in made.add(folder, workers=1).failures if "flir" in failure.uri
    ]
    assert made.add(folder, workers=1).updated == 0
    made.adapt(pairs, tower=tower, modality="thermal")
    assert not made.add(folder, workers=1).failures
    assert (
        made.search(no_picture, limit=1, modalities=["thermal"]).hits[0].uri == no_picture.as_uri()
    )


def test_it_stays_with_the_collection_and_goes_with_the_version(
    collection, folder, pairs, tower, settings
):
    collection.adapt(pairs, tower=tower, modality="thermal")
    collection.add(folder, workers=1)
    again = opened(folder.parent, settings)
    assert again.adapters.joined == {THERMAL: "thermal-1"}
    assert main_colours(again.search("red", modalities=["thermal"], limit=3)) == [0] * 3
    assert again.doctor().verdict != "failure"
    again.adapters.off()
    assert main_colours(again.search("red", modalities=["thermal"], limit=3)) == [0] * 3
    again.adapters.remove("thermal-1")
    # Another process that had it open sees it, too.
    assert THERMAL not in collection.encoder.towers
    assert THERMAL not in again.modalities()
    with pytest.raises(UnsupportedMediaError, match="not supported"):
        again.search(folder / "h00.heat")
    report = again.add(folder, workers=1)
    assert {failure.status for failure in report.failures} == {AssetStatus.UNSUPPORTED}


def test_files_of_a_joined_tower_are_questions_of_an_evaluation(collection, folder, pairs, tower):
    asked = [(f"media/h{i:02}.heat", f"media/{COLOURS[main]}.png") for i, main, _ in scenes()]
    labels = table(folder.parent / "labels.csv", asked, ("query_path", "path"))
    with pytest.raises(ConfigError, match=r"60 queries cannot be read: .*not supported"):
        collection.evaluate(labels)
    collection.adapt(pairs, tower=tower, modality="thermal")
    run = collection.evaluate(labels)
    assert "thermal -> image" in {one.name for one in run.directions}
    assert not any("cannot be read" in note for note in run.notes)


def test_another_version_moves_what_is_indexed_and_reads_nothing(collection, folder, pairs, tower):
    collection.adapt(pairs, tower=tower, modality="thermal")
    collection.add(folder, workers=1)
    uris = [hit.uri for hit in collection.search("red", modalities=["thermal"], limit=60).hits]
    few = table(folder.parent / "few.csv", rows_of(pairs)[:30])
    second = collection.adapt(few, tower=tower, modality="thermal", force=True)
    assert second.name == "thermal-2"
    before = vectors(collection, uris)
    for file in folder.glob("*.heat"):
        file.unlink()
    collection.adapters.use("thermal-1")
    moved = vectors(collection, uris)
    assert not np.allclose(before.shared, moved.shared, atol=1e-3)
    np.testing.assert_allclose(before.tower, moved.tower, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(moved.shared, axis=1), 1, atol=1e-4)
    with pytest.raises(ConfigError, match="has no strength"):
        collection.adapters.use("thermal-2", strength=0.5)


def test_subtitles_of_what_another_version_moves_stay(folder, pairs, tower, settings):
    path = folder.parent / "thermal_tower.py"
    path.write_text(TOWER.replace('"*.heat"', '("*.heat", "*.heat.mp4")'))
    (folder / "h00.heat").rename(folder / "film.heat.mp4")
    (folder / "film.heat.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\na red car\n")
    few = table(folder.parent / "few.csv", rows_of(pairs)[1:31])
    collection = opened(folder.parent, settings)
    for one in (table(pairs, rows_of(pairs)[1:]), few):
        collection.adapt(one, tower=tower, modality="thermal", force=True)
        collection.add(folder, workers=1)
    uris = [(folder / "film.heat.mp4").as_uri()]
    before = {batch.modality: batch for batch in collection.store.fetch(uris)}
    collection.adapters.use("thermal-1")
    after = {batch.modality: batch for batch in collection.store.fetch(uris)}
    assert set(after) == {THERMAL, TEXT}
    assert after[TEXT].segments == before[TEXT].segments
    assert not np.allclose(after[THERMAL].embeddings.shared, before[THERMAL].embeddings.shared)
    assert collection.status().notes == []


KILLED = """
import os, signal, sys
from polyseek.api import opening, towers
from polyseek.testing import FakeEncoder

where, change, step, calls = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
towers._FETCH = 20
opened = opening.open(where, loader=lambda *_: FakeEncoder())
real = getattr(opened.store, step)

def counted(*given, **named):
    global calls
    calls -= 1
    if calls < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)

setattr(opened.store, step, counted)
getattr(opened.adapters, change)("thermal-1")
"""


def killed(collection, change, step, calls):
    """A change of the first version in a process that is killed where it makes a step."""
    given = [collection.location, change, step, str(calls)]
    done = subprocess.run([sys.executable, "-c", KILLED, *given], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("finish", ["add", "use"])
def test_what_a_killed_run_has_not_moved_is_told_and_moved_by_the_next(
    collection, folder, pairs, tower, settings, finish
):
    collection.adapt(pairs, tower=tower, modality="thermal")
    collection.add(folder, workers=1)
    uris = [file.as_uri() for file in folder.glob("*.heat")]
    first = vectors(collection, uris).shared
    few = table(folder.parent / "few.csv", rows_of(pairs)[:30])
    collection.adapt(few, tower=tower, modality="thermal", force=True)
    status = collection.status()
    assert (status.joined, status.notes) == ({THERMAL: "thermal-2"}, [])
    killed(collection, "use", "upsert", 1)
    moved = np.isclose(vectors(collection, uris).shared, first, atol=1e-3).all(axis=1)
    assert moved.sum() == 20
    status = collection.status()
    assert status.joined == {THERMAL: "thermal-1"}
    assert "'polyseek adapters use thermal-1' or the next 'polyseek index'" in status.notes[0]
    again, steps = opened(folder.parent, settings), []
    if finish == "use":
        again.adapters.use("thermal-1", progress=steps.append)
    else:
        assert again.add(folder, workers=1, progress=steps.append).updated == 0
    np.testing.assert_allclose(vectors(collection, uris).shared, first, atol=1e-3)
    assert again.status().notes == collection.status().notes == []
    assert "tune" in {step.stage for step in steps}


@pytest.mark.parametrize("step", ["delete", "save_note"])
def test_a_version_whose_removal_was_killed_can_be_removed(collection, folder, pairs, tower, step):
    collection.adapt(pairs, tower=tower, modality="thermal")
    collection.add(folder, workers=1)
    killed(collection, "remove", step, 0)
    if collection.status().joined:
        collection.adapters.remove("thermal-1")
    assert (collection.status().joined, collection.modalities()) == ({}, {IMAGE: len(COLOURS)})


def test_another_encoder_leaves_them_out_and_says_so(collection, folder, pairs, tower, monkeypatch):
    from polyseek.api import reindex

    class Other(FakeEncoder):
        def __init__(self):
            super().__init__(revision="2")

    collection.adapt(pairs, tower=tower, modality="thermal")
    collection.add(folder, workers=1)
    monkeypatch.setattr(opening, "load_encoder", lambda *_: Other())
    report, shadow = reindex.build(collection, "other", sources=[folder])
    assert len(report.lost) == COUNT
    assert "thermal was joined to the old encoder by 'thermal-1'" in report.lost[0].reason
    assert not shadow.adapters.joined


def vectors(collection, uris):
    (batch,) = collection.store.fetch(uris)
    order = np.argsort([segment.asset_uri for segment in batch.segments])
    return batch.embeddings.take(order)


def test_the_other_of_a_pair_may_be_an_asset_of_the_collection(collection, folder, tower):
    rng = np.random.default_rng(8)
    for i, main, second in scenes():
        pixels = np.array(
            [Image.new("RGB", (1, 1), COLOURS[c]).getpixel((0, 0)) for c in (main, second)], float
        )
        picture = pixels[rng.choice(2, (8, 8), p=(0.75, 0.25))] + rng.uniform(-40, 40, (8, 8, 3))
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"i{i:02}.png")
    collection.add(folder, workers=1)
    rows = [(f"media/h{i:02}.heat", f"media/i{i:02}.png") for i, *_ in scenes()]
    both = table(folder.parent / "both.csv", rows, ("query", "path"))
    report = collection.adapt(both, tower=tower, modality="thermal")
    assert {trial.pair for trial in report.trials} == {(THERMAL, IMAGE), (IMAGE, THERMAL)}
    assert report.name == "thermal-1"
    collection.add(folder, workers=1)
    assert main_colours(collection.search("red", modalities=["thermal"], limit=3)) == [0] * 3


def test_shuffled_pairs_are_refused(collection, pairs, tower, folder):
    rows = rows_of(pairs)
    names = np.random.default_rng(3).permutation([name for name, _ in rows])
    shuffled = table(
        folder.parent / "s.csv", [(n, text) for n, (_, text) in zip(names, rows, strict=True)]
    )
    report = collection.adapt(shuffled, tower=tower, modality="thermal")
    assert report.name is None
    assert not any(trial.verdict.better for trial in report.trials)
    assert not collection.adapters.joined
    assert collection.add(folder, workers=1).skipped == COUNT + len(COLOURS)


def test_pairs_that_a_file_holds_out_are_set_aside(collection, pairs, tower, folder):
    parts = [(*row, "test" if i % 6 == 0 else "train") for i, row in enumerate(rows_of(pairs))]
    split = table(folder.parent / "split.csv", parts, ("path", "caption", "split"))
    report = collection.adapt(split, tower=tower, modality="thermal", install=False)
    assert {trial.verdict.to_dict()["queries"] for trial in report.trials} == {50}
    assert any("10 pairs that the column 'split' holds out" in note for note in report.notes)


def test_a_broken_file_costs_itself(collection, pairs, tower, folder):
    (folder / "h07.heat").write_text("cold\n")
    (folder / "h08.heat").write_text("nan " * 16)
    (folder / "h09.heat").write_text("1 2 3")
    report = collection.adapt(pairs, tower=tower, modality="thermal")
    assert report.name == "thermal-1"
    assert any("3 of 60 files cannot be embedded" in note for note in report.notes)
    added = collection.add(folder, workers=1)
    told = {failure.uri[-8:-5]: failure.reason for failure in added.failures}
    assert "ValueError" in told["h07"]
    assert "not finite" in told["h08"]
    assert "expected (16,)" in told["h09"]
    assert added.updated == COUNT - 3


def test_a_missing_or_changed_tower_is_named_before_anything_is_done(
    collection, pairs, tower, folder
):
    collection.adapt(pairs, tower=tower, modality="thermal")
    collection.add(folder, workers=1)
    from polyseek.encode import files

    path = folder.parent / "thermal_tower.py"
    path.write_text(TOWER.replace("280", "281"))
    forget_module(files)
    with pytest.raises(ConfigError, match=r"revision '\w+'.*do not mix"):
        collection.add(folder, workers=1)
    path.unlink()
    forget_module(files)
    with pytest.raises(ConfigError, match=r"thermal_tower.py:embed' cannot be imported"):
        collection.add(folder, workers=1)
    with pytest.raises(ConfigError, match=r"thermal_tower.py:embed' cannot be imported"):
        collection.search(folder / "h00.heat")
    (check,) = [check for check in collection.doctor().checks if check.name == "towers"]
    assert check.verdict == "failure"
    assert "thermal_tower.py:embed" in check.notes[0]
    # What is indexed is found all the same, and the version can be removed.
    assert main_colours(collection.search("red", modalities=["thermal"], limit=3)) == [0] * 3
    collection.adapters.remove("thermal-1")
    assert THERMAL not in collection.modalities()


def forget_module(files):
    """As another process would see the file."""
    import sys

    files.load.cache_clear()
    files.revision.cache_clear()
    for name in [name for name in sys.modules if name.startswith("polyseek_tower_")]:
        del sys.modules[name]


def test_a_tower_claims_files_that_another_decoder_reads(
    collection, pairs, folder, tower, tmp_path
):
    path = tmp_path / "grey.py"
    path.write_text(
        "import numpy as np\nfrom PIL import Image\n\n\ndef embed(file):\n"
        "    return np.asarray(Image.open(file).convert('L').resize((4, 4)), float).ravel()\n"
        "\n\nembed.files = ('*.Glow.png',)\n"
    )
    rng = np.random.default_rng(4)
    patterns = np.random.default_rng(5).uniform(0, 255, (6, 4, 4))
    rows = []
    for i, a, b in scenes():
        pixels = 0.7 * patterns[a] + 0.3 * patterns[b] + rng.normal(0, 5, (4, 4))
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        picture.save(folder / f"t{i:02}.glow.png")
        rows.append((f"media/t{i:02}.glow.png", f"{COLOURS[a]} {COLOURS[a]} {COLOURS[b]} {i}"))
    collection.add(folder, workers=1)
    assert collection.modalities()[IMAGE] == COUNT + len(COLOURS)
    given = table(folder.parent / "t.csv", rows)
    collection.adapt(given, tower=f"{path}:embed", modality="thermal")
    collection.add(folder, workers=1)
    assert collection.modalities()[IMAGE] == len(COLOURS)
    assert collection.modalities()[THERMAL] == COUNT
    with pytest.raises(ConfigError, match=r"joined by tower .*grey.*remove that version"):
        collection.adapt(pairs, tower=tower, modality="thermal")


def test_pictures_with_a_special_ending_are_pictures_until_a_tower_claims_them(
    collection, folder, pairs, tower, tmp_path
):
    yard = folder / "yard.thermal.jpg"
    Image.new("RGB", (16, 16), "green").save(yard)
    np.save(folder / "yard.thermal.npy", np.ones((4, 4), np.float32))
    collection.add(folder, workers=1)
    assert collection.modalities()[IMAGE] == len(COLOURS) + 1
    collection.adapt(pairs, tower=tower, modality="thermal")
    Image.new("RGB", (16, 16), "red").save(folder / "late.thermal.jpg")
    assert not collection.add(folder, workers=1).failures
    assert collection.modalities() == {IMAGE: len(COLOURS) + 2, THERMAL: COUNT}
    found = collection.search(yard, modalities=["image"], limit=2)
    assert {hit.uri.rsplit("/", 1)[1] for hit in found.hits} == {yard.name, "green.png"}
    # Another tower, which claims them.
    collection.adapters.remove("thermal-1")
    path = tmp_path / "both.py"
    claims = TOWER.replace('"*.heat"', '("*.heat", "*.thermal.jpg")')
    path.write_text(
        claims.replace(
            "    rows", "    if file.name.endswith('g'):\n        return np.ones(16)\n    rows"
        )
    )
    collection.adapt(pairs, tower=f"{path}:embed", modality="thermal")
    collection.add(folder, workers=1)
    assert collection.modalities() == {IMAGE: len(COLOURS), THERMAL: COUNT + 2}
    collection.adapters.remove("thermal-1")
    collection.add(folder, workers=1)
    assert collection.modalities() == {IMAGE: len(COLOURS) + 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modality": "image"}, "encoder 'fake' embeds it itself.*depth, thermal, imu"),
        ({"modality": "smell"}, "unknown modality 'smell'"),
        ({"modality": "thermal", "tower": "no_such:embed"}, "'no_such:embed' cannot be imported"),
        ({"modality": "thermal", "tower": "no_such"}, "unknown tower 'no_such'"),
        ({"modality": "thermal", "tower": "math:pi"}, "is a float; expected a function"),
        ({"modality": "thermal", "tower": "pickle:load"}, "does not say which files it reads"),
        ({"modality": "thermal", "tower": "other"}, "0 pairs with files that the tower reads"),
    ],
)
def test_what_cannot_be_joined_is_an_error_that_says_why(
    collection, pairs, tower, options, message
):
    if options.get("tower") == "other":
        path = pairs.parent / "other.py"
        path.write_text(TOWER.replace("*.heat", "*.png"))
        options = {**options, "tower": f"{path}:embed"}
    with pytest.raises(ConfigError, match=message):
        collection.adapt(pairs, **{"tower": tower, **options})
    assert not len(collection.adapters)


def test_the_shell_joins_lists_and_refuses(folder, pairs, tower, monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda *_: FakeEncoder())
    monkeypatch.chdir(folder.parent)
    run = CliRunner().invoke
    assert run(app, ["index", str(folder), "-c", "c"]).exit_code in (exits.OK, exits.WARNINGS)
    done = run(app, ["adapt", "--tower", "./thermal_tower.py:embed", "--modality", "thermal",
                     "--pairs", str(pairs), "-c", "c"])  # fmt: skip
    assert done.exit_code == exits.OK, done.output
    assert "by chance" in done.output
    assert "joined" in done.output
    listed = run(app, ["adapters", "-c", "c", "--json"])
    assert {row["in_use"] for row in json.loads(listed.output)} == {1.0}
    assert "thermal is joined by thermal-1" in run(app, ["status", "-c", "c"]).output
    held = json.loads(run(app, ["status", "-c", "c", "--json"]).output)
    assert (held["joined"], held["notes"]) == ({"thermal": "thermal-1"}, [])
    run(app, ["index", str(folder), "-c", "c"])
    found = run(app, ["search", "red", "--modality", "thermal", "-c", "c", "--json"])
    assert json.loads(found.output)["hits"][0]["uri"].endswith(".heat")
    wrong = run(app, ["adapt", "--modality", "thermal", "--pairs", str(pairs), "-c", "c"])
    assert isinstance(wrong.exception, ConfigError)
