"""ONNX Runtime sessions: load errors name the file, and a real graph runs."""

import os

import numpy as np
import pytest

from polyseek.core import runtime
from polyseek.core.errors import ModelLoadError


def field(number, value):
    """One protobuf field: a varint below 128, a string, or a nested message."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(data)]) + data


def identity_model():
    """The bytes of an ONNX model with the one operator ``y = Identity(x)``, x of shape (2,)."""
    shape = field(1, field(1, 2))
    tensor = field(1, field(1, 1) + field(2, shape))
    node = field(1, "x") + field(2, "y") + field(4, "Identity")
    ends = [field(1, name) + field(2, tensor) for name in ("x", "y")]
    graph = field(1, node) + field(2, "g") + field(11, ends[0]) + field(12, ends[1])
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def test_a_graph_runs_with_the_threads_it_was_given(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(identity_model())
    session = runtime.session(path, threads=1)
    assert session.get_session_options().intra_op_num_threads == 1
    x = np.array([1, 2], np.float32)
    assert session.run(["y"], {"x": x})[0].tolist() == [1, 2]


def test_no_memory_is_planned_for_shapes_that_hardly_come_again(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(identity_model())
    assert not runtime.session(path).get_session_options().enable_mem_pattern


def test_zero_threads_means_the_cores_this_process_may_use(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(identity_model())
    monkeypatch.setattr(runtime, "available_cores", lambda: 3)
    assert runtime.session(path).get_session_options().intra_op_num_threads == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is a Linux notion")
def test_cores_are_counted_by_affinity():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert runtime.available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelLoadError, match=r"gone\.onnx: no such model file"):
        runtime.session(tmp_path / "gone.onnx")


@pytest.mark.parametrize("content", [b"", b"no model", identity_model()[:-20]])
def test_a_damaged_file_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"model\.onnx: ONNX Runtime") as caught:
        runtime.session(path)
    assert "\n" not in str(caught.value)
    assert "pull it again" in str(caught.value)
