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


def start(bucket, *, seconds_each=0.0, commit_every=4, before=""):
    code = (
        f"import sys; from polyseek.ingest import pipeline; {before}"
        f"pipeline.COMMIT_SEGMENTS = {commit_every}; "
        f"import runpy; sys.argv[0] = 'polyseek'; runpy.run_path({str(DRIVER)!r}, "
        "run_name='__main__')"
    )
    words = ["index", f"{bucket}/notes", "-c", f"{bucket}/c", "--workers", "1", "--json"]
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "FAKE_ENCODER_SECONDS": str(seconds_each)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def rows(bucket):
    store = LanceStore.open(f"{bucket}/c")
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
