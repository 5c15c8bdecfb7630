"""A collection in a bucket, written by real processes: killed, and two at once."""

import itertools
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from polyseek.cli import exits
from polyseek.store.lance import LanceStore
from s3_fixtures import put

pytestmark = [pytest.mark.s3, pytest.mark.slow]

FILES = 24
DRIVER = Path(__file__).with_name("fake_cli.py")
WITHOUT_A_LEASE = (
    "from contextlib import nullcontext; from polyseek.store.lease import Lease; "
    "Lease.held = lambda self: nullcontext(); Lease.check = lambda self: None; "
)


@pytest.fixture
def notes(proxy, bucket):
    for i in range(FILES):
        put(f"{bucket}/notes/{i:03}.txt", f"Note number {i} is about {i % 7} apples.".encode())
    return bucket


def start(bucket, *words, seconds_each=0.0, commit_every=4, before=""):
    code = (
        f"import sys; from polyseek.ingest import pipeline; {before}"
        f"pipeline.COMMIT_SEGMENTS = {commit_every}; "
        f"import runpy; sys.argv[0] = 'polyseek'; runpy.run_path({str(DRIVER)!r}, "
        "run_name='__main__')"
    )
    words = words or ("index", f"{bucket}/notes", "--workers", "1")
    return subprocess.Popen(
        [sys.executable, "-c", code, *words, "-c", f"{bucket}/c", "--json"],
        env={**os.environ, "FAKE_ENCODER_SECONDS": str(seconds_each)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def told(bucket, *words):
    """What a command says that succeeds."""
    code, out, err = finish(start(bucket, *words))
    assert code == exits.OK, err
    return json.loads(out)


def rows(bucket, below="c"):
    store = LanceStore.open(f"{bucket}/{below}")
    records = list(store.records())
    segments = [s.asset_uri for b in store.fetch([r.uri for r in records]) for s in b.segments]
    return Counter(str(record.status) for record in records), segments


def test_killed_in_the_middle_of_a_commit_and_run_again(notes, proxy):
    """Data is written, and the commit that makes it count hangs when the process dies."""
    commits, reached, dead = itertools.count(), threading.Event(), threading.Event()

    def hang(method, path):
        if method == "PUT" and "segments_text.lance/_versions/" in path and next(commits) == 4:
            reached.set()
            dead.wait(120)
            return 500, ""
        return None

    proxy.fail = hang
    process = start(notes)
    assert reached.wait(120)
    code, _, err = finish(start(notes))
    assert code == 52
    assert err.count("\n") == 1
    assert f"process {process.pid} on " in err
    process.kill()
    finish(process)
    dead.set()
    statuses, segments = rows(notes)
    assert segments
    assert statuses["indexed"] < FILES
    assert len(segments) == len(set(segments))

    code, out, err = finish(start(notes))  # the lease of the dead process is no obstacle
    assert code == exits.OK, err
    assert json.loads(out)["skipped"] >= statuses["indexed"]
    statuses, segments = rows(notes)
    assert statuses == {"indexed": FILES}
    assert sorted(segments) == [f"{notes}/notes/{i:03}.txt" for i in range(FILES)]


def test_two_processes_that_write_at_once_lose_and_double_nothing(notes):
    """Even without the lease that keeps them apart: Lance's commits conflict and are repeated."""
    finish(start(notes))
    for i in range(FILES):  # all of it is work again, and some is new
        put(f"{notes}/notes/{i:03}.txt", f"Note {i} is about {i % 5} pears.".encode())
        put(f"{notes}/notes/new-{i:03}.txt", f"A new note: {i}.".encode())
    both = [start(notes, seconds_each=0.01, before=WITHOUT_A_LEASE) for _ in range(2)]
    ends = [finish(process) for process in both]
    assert exits.OK in [code for code, _, _ in ends], ends
    assert all(code == exits.OK or "writing failed" in err for code, _, err in ends), ends
    code, _out, err = finish(start(notes))
    assert code == exits.OK, err
    statuses, segments = rows(notes)
    assert statuses == {"indexed": 2 * FILES}
    assert len(segments) == len(set(segments)) == 2 * FILES
    store = LanceStore.open(f"{notes}/c")
    texts = {s.text for b in store.fetch(segments) for s in b.segments}
    assert not [text for text in texts if "apples" in text]


def test_versions_by_commands(notes):
    told(notes)
    put(f"{notes}/notes/new.txt", b"A note about seven pears.")
    told(notes)
    listed = told(notes, "versions")
    assert [(v["version"], v["action"]) for v in listed] == [(1, "index"), (2, "index")]
    pears = "search", "pears", "--text"
    assert [hit["uri"] for hit in told(notes, *pears)["hits"]] == [f"{notes}/notes/new.txt"]
    for at in ("1", listed[0]["time"]):
        assert told(notes, *pears, "--at", at)["hits"] == []
        assert told(notes, "status", "--at", at)["assets"]["indexed"] == FILES
    assert told(notes, "rollback", "1")["version"] == 3
    assert told(notes, "status")["assets"]["indexed"] == FILES
    assert [v["version"] for v in told(notes, "compact", "--keep", "2")] == [2, 3]
    assert told(notes, "status", "--at", "2")["assets"]["indexed"] == FILES + 1
    assert told(notes)["added"] == 1


def test_a_reindex_that_was_killed_goes_on_and_is_switched_and_undone(notes, proxy):
    told(notes)
    reached, dead, commits = threading.Event(), threading.Event(), itertools.count()

    def hang(method, path):
        shadow = "generations/other-" in path and "segments_text.lance/_versions/" in path
        if method == "PUT" and shadow and next(commits) == 3:
            reached.set()
            dead.wait(120)
            return 500, ""
        return None

    proxy.fail = hang
    process = start(notes, "reindex", "--encoder", "other")
    assert reached.wait(120)
    assert told(notes, "status")["encoder"].startswith("fake@")
    assert told(notes, "search", "apples")["hits"]  # the old index answers meanwhile
    process.kill()
    finish(process)
    dead.set()
    below = "c/generations/other-1"
    statuses, segments = rows(notes, below)
    assert 0 < statuses["indexed"] < FILES
    assert len(segments) == len(set(segments))

    report = told(notes, "reindex", "--encoder", "other", "--switch")
    assert report["ingest"]["skipped"] >= statuses["indexed"]
    assert report["assets"] == FILES
    statuses, segments = rows(notes, below)
    assert statuses == {"indexed": FILES}
    assert sorted(segments) == [f"{notes}/notes/{i:03}.txt" for i in range(FILES)]
    assert told(notes, "status")["encoder"].startswith("other@")
    told(notes, "reindex", "--undo")
    assert told(notes, "status")["encoder"].startswith("fake@")
    assert told(notes, "reindex", "--drop") == {"dropped": ["other-1"]}
