"""PyTorch: whether it is there, where it runs, and a library's model with all of its weights."""

from __future__ import annotations

import importlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, MissingExtraError, ModelLoadError
from polyseek.core.model_files import ModelFiles, read_json
from polyseek.core.runtime import available_cores

EXTRA = "torch"

_USEFUL = re.compile(r".*\.(json|jinja|txt|model|spm|safetensors|bin)$")
_OTHER_RUNTIMES = re.compile(r"(^|/)(onnx|openvino|coreml|tf|flax)[/_]|rust_model|training_args")


def require(package: str, what: str, *, extra: str = EXTRA) -> ModuleType:
    """A package that an extra brings.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise MissingExtraError(what, extra) from None


def device_of(settings: Settings) -> Any:
    """The ``torch.device`` that the settings ask for; threads are set on the way.

    Raises:
        ConfigError: There is no such device here.
    """
    torch = require("torch", "a model that runs on PyTorch")
    torch.set_num_threads(settings.threads or available_cores())
    wanted = settings.device
    if wanted == "auto":
        mps = getattr(torch.backends, "mps", None)
        wanted = (
            "cuda" if torch.cuda.is_available() else "mps" if mps and mps.is_available() else "cpu"
        )
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    # An unknown name, a build without it, a driver that is missing: each has its own class.
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"device '{wanted}' cannot be used here ({first_line(error)}); set "
            "POLYSEEK_DEVICE=cpu, or auto"
        ) from error
    return device


def torch_files(names: Sequence[str]) -> list[str]:
    """PyTorch's files of a model and what makes its inputs; of a folder's weights the safe ones."""
    useful = [n for n in names if _USEFUL.match(n) and not _OTHER_RUNTIMES.search(n)]
    safe = {n.rpartition("/")[0] for n in useful if n.endswith(".safetensors")}
    return [n for n in useful if not n.endswith(".bin") or n.rpartition("/")[0] not in safe]


def refuse_code(folder: Path) -> None:
    """Refuse a model that the libraries know only by code that comes with it.

    Raises:
        ModelLoadError: It is one.
    """
    places = [folder, *(each for each in folder.iterdir() if each.is_dir())]
    if any(read_json(place / "config.json").get("auto_map") for place in places):
        raise ModelLoadError(
            f"{folder}: its architecture comes as code with the model, which is never run; "
            "export it to an ONNX folder where you trust it"
        )


def with_weights(kind: type[Any], files: ModelFiles, config: Any) -> Any:
    """A model of the ``transformers`` library in float32, ready to run.

    Raises:
        ModelLoadError: A weight is missing, of another shape, or the file is damaged.
    """
    try:
        with quiet():
            model, told = kind.from_pretrained(
                files.folder,
                config=config,
                dtype="float32",
                local_files_only=True,
                output_loading_info=True,
            )
    # safetensors, pickle and the library each have errors of their own.
    except Exception as error:
        raise ModelLoadError(
            f"{files.folder}: the weights cannot be loaded ({first_line(error)}); if a file is "
            f"damaged, run 'polyseek models pull {files.name} --check'"
        ) from error
    # The library fills what is missing with random numbers, and goes on.
    missing = [*told["missing_keys"], *(str(each) for each in told.get("mismatched_keys", ()))]
    if missing:
        raise ModelLoadError(
            f"{files.folder}: {len(missing)} weights of a {config.model_type} model are missing or "
            f"of another shape, '{sorted(missing)[0]}' for example: no {config.model_type} weights"
        )
    return model.eval()


def first_line(error: Exception) -> str:
    """What a library says went wrong, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextmanager
def quiet() -> Iterator[None]:
    """Without the notices that libraries write while they load a model."""
    from transformers.utils import logging as notices

    bars = notices.is_progress_bar_enabled()
    notices.disable_progress_bar()
    names = ("transformers", "sentence_transformers", "open_clip")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            notices.enable_progress_bar()
