"""Whatever a person or a machine does to a running `polyseek index`, nothing done is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from polyseek.cli import exits
from polyseek.store.lance import LanceStore

pytestmark = pytest.mark.slow

FILES = 60
DRIVER = Path(__file__).with_name("fake_cli.py")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "notes"
    root.mkdir()
    for i in range(FILES):
        (root / f"{i:03}.txt").write_text(f"Note number {i} is about {i % 7} apples.")
    return root


def start(folder, *flags, seconds_each=0.0, commit_every=512):
    environment = {
        **os.environ,
        "FAKE_ENCODER_SECONDS": str(seconds_each),
    }
    code = (
        # A shell runs what is in its background, these tests perhaps, deaf to Ctrl-C.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import sys; from polyseek.ingest import pipeline; "
        f"pipeline.COMMIT_SEGMENTS = {commit_every}; "
        f"import runpy; sys.argv[0] = 'polyseek'; runpy.run_path({str(DRIVER)!r}, "
        "run_name='__main__')"
    )
    words = [
        "index",
        str(folder),
        "-c",
        str(folder.parent / "c"),
        "--workers",
        "1",
        "--json",
        *flags,
    ]
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def rows(folder):
    store = LanceStore.open(str(folder.parent / "c"))
    uris = [record.uri for record in store.records()]
    statuses = Counter(str(record.status) for record in store.records())
    segments = [s.asset_uri for batch in store.fetch(uris) for s in batch.segments]
    return statuses, segments


def wait_for_a_commit(folder, process):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, finish(process)
        if (folder.parent / "c" / "segments_text.lance").is_dir() and rows(folder)[1]:
            return
        time.sleep(0.02)
    pytest.fail("nothing was committed in time")


@pytest.mark.parametrize("delay_s", [0.0, 0.15, 0.4])
def test_kill_9_and_again_is_complete_without_duplicates(folder, delay_s):
    process = start(folder, seconds_each=0.05, commit_every=4)
    wait_for_a_commit(folder, process)
    time.sleep(delay_s)
    process.kill()
    finish(process)
    statuses, segments = rows(folder)
    assert segments  # perhaps not recorded yet: records follow segments
    assert statuses["indexed"] < FILES
    assert len(segments) == len(set(segments))

    code, out, err = finish(start(folder))
    assert code == exits.OK, err
    report = json.loads(out)
    assert report["skipped"] >= statuses["indexed"]
    statuses, segments = rows(folder)
    assert statuses == {"indexed": FILES}
    assert sorted(segments) == sorted(path.as_uri() for path in folder.iterdir())


def test_ctrl_c_finishes_the_batch_and_says_how_to_go_on(folder):
    process = start(folder, seconds_each=0.05, commit_every=4)
    wait_for_a_commit(folder, process)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == exits.INTERRUPTED
    assert "Traceback" not in err
    report = json.loads(out)
    assert report["interrupted"]
    statuses, segments = rows(folder)
    assert report["added"] == statuses["indexed"] == len(segments)

    code, out, _ = finish(start(folder))
    assert code == exits.OK
    assert json.loads(out)["skipped"] == statuses["indexed"]
    assert rows(folder)[0] == {"indexed": FILES}


def test_a_second_writer_is_refused_and_a_reader_is_not(folder):
    first = start(folder, seconds_each=0.1, commit_every=4)
    wait_for_a_commit(folder, first)
    code, _, err = finish(start(folder))
    assert code == 52
    assert err.count("\n") == 1
    assert "another process is writing" in err
    first.kill()
    finish(first)


def test_a_reader_sees_what_a_writer_commits(folder):
    finish(start(folder))
    store = LanceStore.open(str(folder.parent / "c"), resident=True)
    before = store.version
    (folder / "new.txt").write_text("One more.")
    finish(start(folder))
    assert store.version > before
    assert sum(store.counts().values()) == FILES + 1


def test_ctrl_c_ends_the_watching_of_a_folder(folder):
    process = start(folder, "--watch")
    assert json.loads(process.stdout.readline())["added"] == FILES
    (folder / "new.txt").write_text("One more.")
    assert json.loads(process.stdout.readline())["added"] == 1
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert (code, out, err) == (exits.OK, "", "")
    assert rows(folder)[0] == {"indexed": FILES + 1}
