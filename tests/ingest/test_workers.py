import io
import os
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import misbehaving
import numpy as np
import pytest

from polyseek.core.config import IndexOptions
from polyseek.core.errors import (
    AssetError,
    ConfigError,
    DecodeError,
    PolyseekError,
    UnsupportedMediaError,
)
from polyseek.core.types import Media, Modality, Segment, Sound, Span, SpanUnit
from polyseek.ingest import decode as decode_module
from polyseek.ingest.decode import Toolbox, toolbox
from polyseek.ingest.sources.files import FileSource
from polyseek.ingest.workers import Workers
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow


def run(folder, *, count=2, timeout_s=20.0):
    options = IndexOptions()
    source = FileSource(folder, options)
    real = toolbox(source, FakeEncoder().info, options)
    decoder = misbehaving.MisbehavingDecoder()
    tools = Toolbox(
        source=source,
        decoders={**real.decoders, ".bad": decoder},
        segmenters=real.segmenters,
        prepare={**real.prepare, Modality.AUDIO: misbehaving.samples_of},
    )
    with Workers(tools, count=count, timeout_s=timeout_s) as workers:
        answers = list(workers.decode(source.list()))
    return {
        (a.uri if isinstance(a, AssetError) else a.asset.uri).rsplit("/", 1)[1]: a for a in answers
    }


def test_a_crash_an_exit_and_a_bug_cost_one_asset_each(tmp_path):
    for word in ("crash", "exit", "bug", "print", "fine"):
        (tmp_path / f"{word}.bad").write_text(word)
    found = run(tmp_path)
    assert found["crash.bad"].reason == "the decoder crashed"
    assert found["exit.bad"].reason == "the decoder crashed"
    assert "KeyError" in found["bug.bad"].reason
    assert found["print.bad"].segments[0].text == "the word is print"
    assert found["fine.bad"].segments[0].text == "the word is fine"


def test_a_hang_is_killed_and_the_rest_goes_on(tmp_path):
    (tmp_path / "a.bad").write_text("hang")
    for i in range(5):
        (tmp_path / f"b{i}.txt").write_text(f"text {i}")
    found = run(tmp_path, count=1, timeout_s=1.5)
    assert found["a.bad"].reason == "took longer than 1.5 s"
    assert sum(not isinstance(a, AssetError) for a in found.values()) == 5


def test_a_long_silence_is_no_hang(tmp_path):
    (tmp_path / "a.bad").write_text("silence")
    decoded = run(tmp_path, count=1, timeout_s=2)["a.bad"]
    assert decoded.reason is None
    assert [segment.text for segment in decoded.segments] == ["the word is silence"]


class SlowSource(FileSource):
    """Reads as over a slow network."""

    def open(self, asset):
        return SlowFile(asset.size_bytes)


class SlowFile(io.BytesIO):
    def __init__(self, size):
        super().__init__(b"a" * size)

    def read(self, count=-1):
        time.sleep(0.2 * (count > 0))
        return super().read(count)


def test_hashing_a_large_file_is_no_hang(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a" * 12 * 1024**2)
    steps = []
    tools = toolbox(SlowSource(tmp_path), FakeEncoder().info, IndexOptions())
    (asset,) = tools.source.list()
    next(decode_module.decode(asset, tools, lambda: steps.append(time.monotonic())))
    assert len(steps) > 12
    assert max(late - early for early, late in pairwise(steps[:12])) < 1


def test_the_error_of_a_plug_in_comes_as_ours(tmp_path):
    (tmp_path / "a.bad").write_text("own")
    error = run(tmp_path, count=1)["a.bad"]
    assert type(error) is DecodeError
    assert error.reason == "is not to its taste"


def test_an_answer_that_cannot_be_read_costs_its_asset(tmp_path):
    for word in ("bomb", "fine"):
        (tmp_path / f"{word}.bad").write_text(word)
    found = run(tmp_path, count=1)
    assert found["bomb.bad"].reason.startswith("what the decoder gave cannot be read: ValueError")
    assert found["fine.bad"].segments


def test_two_segments_without_a_span_are_an_error(tmp_path):
    (tmp_path / "a.bad").write_text("twice")
    decoded = run(tmp_path, count=1)["a.bad"]
    assert "two image segments no span" in decoded.reason
    assert len({segment.id for segment in decoded.segments}) == len(decoded.segments) == 2


def test_whose_fault_a_failure_is(tmp_path):
    for word in ("crash", "bug", "half", "own"):
        (tmp_path / f"{word}.bad").write_text(word)
    found = run(tmp_path)
    assert not found["crash.bad"].final
    assert not found["bug.bad"].final
    assert found["own.bad"].final
    assert not found["half.bad"].retry


def test_whatever_stops_a_thread_reaches_the_caller(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("x")

    def refuse(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(PolyseekError, match=r"cannot be started: Too many open files.*--workers"):
        run(tmp_path)

    def bug(*_):
        raise LookupError("surprise")

    monkeypatch.setattr(Workers, "_start", bug)
    with pytest.raises(PolyseekError, match="LookupError: surprise"):
        run(tmp_path)


def test_a_toolbox_that_cannot_be_pickled_is_named():
    tools = Toolbox(source=lambda: None, decoders={}, segmenters={}, prepare={})
    with pytest.raises(ConfigError, match="must be picklable"):
        Workers(tools, count=1, timeout_s=1)


def test_modules_in_the_working_folder_are_not_run(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("from pathlib import Path; Path('ran').touch()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", ".", *sys.path])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("hello")
    assert run(tmp_path / "in", count=1)["a.txt"].segments
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_worker_ends_with_its_parent_also_while_it_decodes(tmp_path):
    (tmp_path / "a.bad").write_text("hang")
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_workers; "
    code += f"test_workers.run(test_workers.Path({str(tmp_path)!r}), count=1)"
    parent = subprocess.Popen([sys.executable, "-c", code])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    found = wait_for(lambda: [p for p in Path("/proc").glob("[0-9]*") if started_by(p, parent)])
    assert found, children
    time.sleep(1)
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not any(started_by(p, parent) for p in found))


def started_by(process, parent):
    with suppress(OSError):
        words = (process / "cmdline").read_text().split("\0")
        return words[3:5] == ["polyseek.ingest.worker", str(parent.pid)]
    return False


def wait_for(condition):
    until = time.monotonic() + 15
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def test_what_decodes_before_an_error_is_kept(tmp_path):
    (tmp_path / "a.bad").write_text("half")
    decoded = run(tmp_path, count=1)["a.bad"]
    assert decoded.reason == "the second half is broken"
    assert len(decoded.segments) == 1


def test_parts_of_a_long_asset_come_before_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(decode_module, "PART_BYTES", 3 * 1024)
    (tmp_path / "a.txt").write_text("word " * 2000)
    options = IndexOptions(passage_chars=100)
    tools = toolbox(FileSource(tmp_path, options), FakeEncoder().info, options)
    (asset,) = FileSource(tmp_path, options).list()
    parts = list(decode_module.decode(asset, tools))
    assert len(parts) > 5
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len({part.content_hash for part in parts}) == 1
    ids = [segment.id for part in parts for segment in part.segments]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("span", "duration_s", "share", "told"),
    [
        (Span(unit=SpanUnit.SECONDS, start=5, end=15), 60, None, 0.25),
        (Span(unit=SpanUnit.SECONDS, start=55, end=65), 60, None, 1.0),
        (Span(unit=SpanUnit.SECONDS, start=5, end=15), None, None, None),
        (Span(unit=SpanUnit.PAGE, start=3, end=4), None, 0.75, 0.75),
        (None, None, None, None),
    ],
)
def test_how_far_an_asset_is_decoded(span, duration_s, share, told):
    segment = Segment(asset_uri="mem:/a", modality=Modality.TEXT, span=span)
    media = Media(modality=Modality.TEXT, signal="", duration_s=duration_s, share=share)
    assert decode_module._share(segment, media) == told


def test_equal_times_are_told_apart():
    """As of subtitles in two languages."""
    same = Span(unit=SpanUnit.SECONDS, start=1, end=2)
    run = decode_module._Run(None, None, "", print)
    for _ in range(3):
        run._add(Segment(asset_uri="mem:/a", modality=Modality.TEXT, span=same))
    assert [s.span.end for s in run._waiting] == [2, 2.001, 2.002]


def test_unsupported_and_empty_files_are_errors_of_their_own(tmp_path):
    (tmp_path / "a.xyz").write_text("x")
    (tmp_path / "noending").write_text("x")
    (tmp_path / "b.txt").write_bytes(b"")
    found = run(tmp_path, count=1)
    assert isinstance(found["a.xyz"], UnsupportedMediaError)
    assert found["a.xyz"].reason == "'.xyz' files are not supported"
    assert found["noending"].reason == "files without an ending are not supported"
    assert found["b.txt"].reason == "is empty"


def test_a_script_without_a_main_guard_is_not_run_again(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("hello")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from polyseek.core.config import IndexOptions
            from polyseek.ingest.decode import toolbox
            from polyseek.ingest.sources.files import FileSource
            from polyseek.ingest.workers import Workers
            from polyseek.testing import FakeEncoder
            print("started")
            source = FileSource({str(tmp_path / "in")!r}, IndexOptions())
            tools = toolbox(source, FakeEncoder().info, IndexOptions())
            with Workers(tools, count=2, timeout_s=20) as workers:
                print([a.segments[0].text for a in workers.decode(source.list())])
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n")[:2] == ["started", "['hello']"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_no_worker_is_left_behind(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    run(tmp_path)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
    assert not [command for command in commands if "polyseek.ingest.worker" in command]


class TextAndSilence:
    """Decodes to a text and a silent sound, or to the sound alone."""

    suffixes = frozenset({".both", ".silent"})

    def open(self, asset, stream):
        if asset.path.endswith(".both"):
            yield Media(modality=Modality.TEXT, signal="a title")
        silence = Sound(samples=np.zeros(16_000, np.float32), sample_rate_hz=16_000)
        yield Media(modality=Modality.AUDIO, signal=iter([silence]))


def decoded_parts(tmp_path, name):
    (tmp_path / name).write_text("x")
    source = FileSource(tmp_path / name)
    options = IndexOptions()
    tools = Toolbox(
        source=source,
        decoders=dict.fromkeys(TextAndSilence.suffixes, TextAndSilence()),
        segmenters=decode_module.segmenters(options),
        prepare={Modality.TEXT: str, Modality.AUDIO: lambda sound: sound.samples},
    )
    (asset,) = source.list()
    return list(decode_module.decode(asset, tools))


def test_a_silent_track_is_no_fault_of_a_file_that_holds_more(tmp_path):
    (part,) = decoded_parts(tmp_path, "a.both")
    assert part.reason is None
    assert [segment.text for segment in part.segments] == ["a title"]


def test_nothing_but_silence_is_a_fault(tmp_path):
    with pytest.raises(DecodeError, match="holds only silence"):
        decoded_parts(tmp_path, "a.silent")
