"""ONNX Runtime sessions: one place for threads, logging and load errors."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from polyseek.core.errors import ModelLoadError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_ERRORS_ONLY = 3


def available_cores() -> int:
    """Cores this process may use: fewer than the machine has under `taskset` or in a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def session(path: Path, *, threads: int = 0, graph: bytes | None = None) -> InferenceSession:
    """Load an ONNX model for the CPU. Thread-safe to run; load it once and keep it.

    Args:
        path: The model file; its external data, if any, lies beside it.
        threads: Threads that share one operator; 0 for all available cores.
        graph: A model whose external data `path` is.

    Returns:
        An ``onnxruntime.InferenceSession``: ``session.run(output_names, {input_name: array})``.

    Raises:
        ModelLoadError: The file is missing, cut short, or no model this runtime can read.
    """
    if not path.is_file():
        raise ModelLoadError(f"{path}: no such model file")
    onnxruntime = _runtime()
    options = _options(threads or available_cores())
    if graph is not None:
        folder = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(folder, str(path.parent))
    try:
        return onnxruntime.InferenceSession(
            graph or str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    # The runtime's errors share no base class below Exception (NoSuchFile, InvalidProtobuf, ...).
    except Exception as error:
        raise ModelLoadError(
            f"{path}: ONNX Runtime {onnxruntime.__version__} cannot load this model "
            f"({_first_line(error)}); if the file is damaged, delete it and pull it again"
        ) from error


def _runtime() -> ModuleType:
    """ONNX Runtime. Its builds report every model they load to their maker, unless told before."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    module: ModuleType = onnxruntime
    return module


def _options(threads: int) -> Any:
    onnxruntime = _runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    # Waiting inference threads would otherwise spin on cores that the decode workers need:
    # with busy neighbours on 2 cores, ViT-B/16 took 29-48 % longer and 25-33 % more CPU with it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Blocks planned for inputs of one shape: batches of texts differ in length, so most runs gain
    # nothing, and passages of 256 tokens took 1.5 GB with them and 1.0 GB without, as fast.
    options.enable_mem_pattern = False
    return options


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
