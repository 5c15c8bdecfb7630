"""What makes the scores of `mini` and `mini-multilingual` comparable.

Fitted by ``tools/fit_mini_tuning.py``.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from polyseek.core.adapting import Adapter
from polyseek.core.defaults import Defaults
from polyseek.core.tuning import Tuning
from polyseek.core.types import Embeddings, Floats, Modality
from polyseek.encode.towers import unit

FILE = "mini_tuning.npz"
MULTILINGUAL_FILE = "mini_multilingual_tuning.npz"


@cache
def defaults() -> Defaults:
    """Entry point of the ``polyseek.defaults`` group, for `mini`."""
    return _shipped(FILE)


@cache
def multilingual_defaults() -> Defaults:
    """The same for `mini-multilingual`."""
    return _shipped(MULTILINGUAL_FILE)


def _shipped(name: str) -> Defaults:
    with (files("polyseek.encode") / "data" / name).open("rb") as file:
        return read_defaults(cast("BinaryIO", file))


def save_defaults(file: BinaryIO, value: Defaults) -> None:
    """Write an ``.npz`` that is the same, byte for byte, for the same values."""
    arrays: dict[str, Any] = {
        "tuning": np.frombuffer(value.tuning.to_json().encode(), dtype=np.uint8)
    }
    if value.adapter is not None:
        arrays["adapter"] = np.frombuffer(value.adapter.to_bytes(), dtype=np.uint8)
    named: list[tuple[str, Embeddings]] = [("bank", value.bank), *value.cohorts.items()]
    for name, embeddings in named:
        arrays[f"{name}.shared"] = _quantised(embeddings.shared)
        arrays[f"{name}.tower"] = _quantised(embeddings.tower)
    np.savez(file, **arrays)


def read_defaults(file: BinaryIO) -> Defaults:
    """Read what `save_defaults` wrote."""
    with np.load(file) as arrays:
        names = {key.split(".")[0] for key in arrays.files} - {"tuning", "bank", "adapter"}
        adapter = arrays.get("adapter")
        return Defaults(
            tuning=Tuning.from_json(arrays["tuning"].tobytes().decode()),
            bank=_embeddings(arrays, "bank"),
            cohorts={Modality(name): _embeddings(arrays, name) for name in names},
            adapter=None if adapter is None else Adapter.from_bytes(adapter.tobytes()),
        )


def _quantised(rows: Floats) -> NDArray[np.int8]:
    """Direction only, as int8."""
    scale = np.abs(rows).max(axis=1, keepdims=True, initial=1e-12) / 127
    codes: NDArray[np.int8] = np.round(rows / scale).astype(np.int8)
    return codes


def _embeddings(arrays: np.lib.npyio.NpzFile, name: str) -> Embeddings:
    shared, tower = (
        unit(arrays[f"{name}.{space}"].astype(np.float32)) for space in ("shared", "tower")
    )
    return Embeddings(shared=shared, tower=tower)
