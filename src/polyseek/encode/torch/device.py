"""A tower's network on PyTorch's device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from polyseek.core.errors import EncoderError
from polyseek.core.torch_runtime import first_line
from polyseek.core.types import Floats
from polyseek.encode.model import Feed, Run

Forward: TypeAlias = "Callable[[Mapping[str, Any]], Any]"
"""Named tensors -> ``(n, dim)`` or ``(n, tokens, dim)`` tensor."""


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
                f"the {self._device} has not enough memory for this model: {first_line(error)}; "
                "set POLYSEEK_DEVICE=cpu, or choose a smaller one with 'polyseek models'"
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
