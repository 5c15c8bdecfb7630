"""A reranker's model: a folder, or a repository of a hub; the same rules as for encoders."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from polyseek.core import hub
from polyseek.core.errors import ConfigError, MissingExtraError, ModelLoadError
from polyseek.core.model_files import (
    ModelFiles,
    check_licence,
    is_noncommercial,
    local_files,
)
from polyseek.core.reranking import RerankSetup
from polyseek.core.torch_runtime import refuse_code, torch_files
from polyseek.core.types import Modality

EXTRA = "rerank"

SHOWING = frozenset({Modality.IMAGE, Modality.VIDEO})
"""Modalities that a model of pictures can look at."""


def model_of(setup: RerankSetup, *, name: str, package: str) -> ModelFiles:
    """The files of the model that a reranker's section names, fetched where they are missing.

    Args:
        setup: With ``model = "NAME or FOLDER"`` and nothing else in the section.
        name: Of the reranker.
        package: What runs it.

    Raises:
        ConfigError: No model is named, or its licence forbids a use that is not allowed here.
        MissingExtraError: The package is not installed.
        ModelLoadError: The model cannot be fetched, or is known only by code that comes with it.
    """
    model = setup.options.get("model")
    if not isinstance(model, str) or not model or set(setup.options) != {"model"}:
        raise ConfigError(
            f'[rerank.{name}] needs model = "FOLDER or hf:owner/repository", and nothing else'
        )
    if not _installed(package):
        raise MissingExtraError(f"the reranker '{name}'", EXTRA)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _local(model, folder.absolute(), setup)
    if model.startswith((".", "~", "/")):
        raise ModelLoadError(f"[rerank.{name}] model: {folder}: no such folder")
    source = model if model.startswith(hub.PREFIX) else hub.PREFIX + model
    found = hub.listing(source, setup.settings)
    check_licence(found.name, found.licence, setup.settings, noncommercial=found.noncommercial)
    return hub.pull(found, torch_files, refuse_code, setup.settings)


def _local(model: str, folder: Path, setup: RerankSetup) -> ModelFiles:
    listed = [path for pattern in ("*", "*/*") for path in folder.glob(pattern)]
    names = [path.relative_to(folder).as_posix() for path in listed if path.is_file()]
    files = local_files(str(folder), folder, torch_files(names), setup.settings)
    check_licence(
        model, files.licence, setup.settings, noncommercial=is_noncommercial(files.licence)
    )
    refuse_code(folder)
    return files


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # somebody has put nothing in its place
        return False
