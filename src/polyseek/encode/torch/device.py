"""PyTorch: whether it is there, where it runs, and what calls it."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, EncoderError, MissingExtraError
from polyseek.core.runtime import available_cores
from polyseek.core.types import Floats
from polyseek.encode.model import Feed, Run

EXTRA = "torch"

Forward: TypeAlias = "Callable[[Mapping[str, Any]], Any]"
"""Named tensors -> ``(n, dim)`` or ``(n, tokens, dim)`` tensor."""


def require(package: str, what: str) -> ModuleType:
    """A package of the ``torch`` extra.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise MissingExtraError(what, EXTRA) from None


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
        told = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"device '{wanted}' cannot be used here ({told}); set POLYSEEK_DEVICE=cpu, or auto"
        ) from error
    return device


class TorchRun:
    """A tower's network on a device.

    Args:
        forward: The network.
        device: Where it lies.
        inputs: Names of the arrays it takes; others are left out.
        module: What has its weights.
    """

    def __init__(
        self, forward: Forward, device: Any, inputs: tuple[str, ...], *, module: Any
    ) -> None:
        self.forward, self._device, self.inputs, self.module = forward, device, inputs, module

    def __call__(self, feed: Feed) -> Floats:
        """See `polyseek.encode.model.Run`."""
        import torch

        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(feed[name])).to(self._device)
            for name in self.inputs
        }
        try:
            with torch.inference_mode():
                found = self.forward(tensors)
        except torch.OutOfMemoryError as error:
            raise EncoderError(
                f"the {self._device} has not enough memory for this model: {_first(error)}; set "
                "POLYSEEK_DEVICE=cpu, or choose a smaller one with 'polyseek models'"
            ) from error
        rows: Floats = found.float().cpu().numpy()
        return rows


def lazily(make: Callable[[], Run]) -> Run:
    """A tower's network that is made when it is first called."""
    made: list[Run] = []

    def run(feed: Feed) -> Floats:
        if not made:
            made.append(make())
        return made[0](feed)

    return run


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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
