"""What was learned about a model by loading it: so that the next process need not.

A status or a search for words must not wait for PyTorch.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from polyseek.core.config import Settings
from polyseek.core.errors import ModelLoadError
from polyseek.core.model_files import ModelFiles
from polyseek.encode.model import ModelEncoder
from polyseek.encode.spec import Spec, read_table, write_spec
from polyseek.encode.torch.loaded import Loaded


def encoder_of(model: Loaded, settings: Settings) -> ModelEncoder:
    """The encoder of a model; where it was described before, nothing of it is loaded yet."""
    spec = remembered(model.files, settings, model.describe)
    runs = {modality: model.runner(modality) for modality in spec.towers}
    return ModelEncoder(model.files, spec, runs, tokenise=model.tokenise)


def remembered(files: ModelFiles, settings: Settings, describe: Callable[[], Spec]) -> Spec:
    """The description of exactly these files by this polyseek, made where there is none yet."""
    path = _path(files, settings)
    with suppress(OSError, ValueError, ModelLoadError):
        found = read_table(Spec, tomllib.loads(path.read_text(encoding="utf-8")), str(path))
        return replace(found, source=files.name)
    spec = describe()
    with suppress(OSError):  # only a memo
        path.parent.mkdir(parents=True, exist_ok=True)
        write_spec(spec, path)
    return spec


def _path(files: ModelFiles, settings: Settings) -> Path:
    told = [version("polyseek"), files.name, files.revision, *sorted(files.checksums.values())]
    name = hashlib.sha256("\n".join(told).encode()).hexdigest()[:24]
    return settings.models / "described" / f"{name}.toml"
