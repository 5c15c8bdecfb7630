"""What an encoder's name stands for.

A registered name (``mini``), a name of the catalogue, ``hf:owner/repository[@revision]``, or a path
of a folder or of a TOML file that joins encoders. ``FAMILY:`` before one of the last two says which
family reads it, where its files fit more than one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from polyseek.core import hub, plugins
from polyseek.core.artifacts import reported
from polyseek.core.config import Settings
from polyseek.core.errors import ModelLoadError, UnknownPluginError
from polyseek.core.model_files import ModelFiles, check_licence, is_noncommercial, local_files
from polyseek.core.protocols import Encoder, EncoderFamily, LicensedFamily
from polyseek.core.reports import ProgressCallback
from polyseek.encode import catalogue

ORDER = ("onnx", "sentence_transformers", "transformers", "open_clip", "imagebind")
"""Families whose files may lie in one folder, first choice first; others come after."""


def load(name: str, settings: Settings) -> Encoder:
    """The encoder of that name, its files fetched where they are missing.

    Raises:
        UnknownPluginError: The name stands for nothing.
        ConfigError: Its licence forbids a use that the settings do not allow.
        MissingExtraError: What runs it is not installed.
        EncoderError: It cannot be fetched or used.
    """
    if name in plugins.names("encoder"):
        encoder: Encoder = plugins.load("encoder", name)(settings)
        return encoder
    if _joins(name):
        from polyseek.encode.joint import load_joint

        return load_joint(_local(name)[1], settings, load)
    family, files = find(name, settings)
    return family.load(files, settings)


def find(
    name: str,
    settings: Settings,
    *,
    progress: ProgressCallback | None = None,
    verify: bool = False,
) -> tuple[EncoderFamily, ModelFiles]:
    """The family that reads a model, and the model's files, fetched where they are missing.

    Raises:
        As `load` does.
    """
    source = source_of(name, settings)
    prefix, location = _split(source)
    if location.startswith(hub.PREFIX):
        return _from_hub(prefix, location, settings, progress=progress, verify=verify)
    return _from_folder(prefix, location, settings)


def source_of(name: str, settings: Settings) -> str:
    """``hf:...`` or a path: a catalogue name's source, another name itself.

    Raises:
        UnknownPluginError: The name stands for nothing.
        ConfigError: Its licence forbids a use that the settings do not allow.
    """
    entry = catalogue.ENTRIES.get(name)
    if entry is not None and entry.source:
        check_licence(name, entry.licence, settings, noncommercial=entry.noncommercial)
        if entry.family not in catalogue.READABLE:
            raise ModelLoadError(
                f"{name}: is listed for comparison; polyseek does not read the files of its family "
                f"({entry.family}) yet. Those it reads: 'polyseek models'"
            )
        return f"{entry.family}:{entry.source}" if entry.family else entry.source
    _, location = _split(name)
    if location.startswith(hub.PREFIX) or _is_path(location) or _is_path(name):
        return name
    known = [*plugins.names("encoder"), *catalogue.ENTRIES]
    raise UnknownPluginError(
        "encoder", name, {*known, "hf:owner/repository", "./folder (of a model)"}
    )


def same(given: str, recorded: str) -> bool:
    """Whether a name that a person gives is that of a collection's manifest.

    A repository without a revision is the collection's own revision of it.
    """
    entry = catalogue.ENTRIES.get(given)
    if entry and entry.source:
        given = f"{entry.family}:{entry.source}" if entry.family else entry.source
    if given == recorded:
        return True
    if _split(given)[1].startswith(hub.PREFIX):
        where, _, revision = given.partition("@")
        made, _, commit = recorded.partition("@")
        return where == made and bool(commit) and commit.startswith(revision)
    return _is_path(_split(given)[1]) and str(_absolute(_split(given)[1])) == _split(recorded)[1]


def is_path(name: str) -> bool:
    """Whether a name is that of a folder or file."""
    return _is_path(_split(name)[1])


def _from_hub(
    prefix: str,
    location: str,
    settings: Settings,
    *,
    progress: ProgressCallback | None,
    verify: bool,
) -> tuple[EncoderFamily, ModelFiles]:
    found = hub.listing(location, settings)
    check_licence(found.name, found.licence, settings, noncommercial=found.noncommercial)
    family = _family(prefix, location, list(found.sizes))
    if not found.licence and isinstance(family, LicensedFamily):
        assumed = is_noncommercial(family.licence)
        check_licence(found.name, family.licence, settings, noncommercial=assumed)
    files = hub.pull(
        found,
        family.wanted,
        family.look,
        settings,
        progress=progress or reported(),
        verify=verify,
    )
    name = f"{prefix}:{found.name}" if prefix else found.name
    return family, replace(files, name=name)


def _from_folder(
    prefix: str, location: str, settings: Settings
) -> tuple[EncoderFamily, ModelFiles]:
    folder = _absolute(location)
    if folder.is_file() and folder.name == "model.toml":
        folder = folder.parent
    if not folder.is_dir():
        raise ModelLoadError(
            f"{location}: no such model folder; give a model's folder or, for a collection made "
            "with it, copy or link the model to this path"
        )
    names = sorted(_listed(folder))
    family = _family(prefix, location, names)
    chosen = family.wanted(names)
    files = local_files(f"{family.name}:{folder}", folder, chosen, settings)
    check_licence(location, files.licence, settings, noncommercial=is_noncommercial(files.licence))
    return family, files


def _listed(folder: Path) -> Iterable[str]:
    """Files of a folder and of the folders in it, two levels deep."""
    for pattern in ("*", "*/*", "*/*/*"):
        for path in folder.glob(pattern):
            if path.is_file():
                yield path.relative_to(folder).as_posix()


def _family(prefix: str, location: str, names: Sequence[str]) -> EncoderFamily:
    registered = plugins.names("family")
    tried = [prefix] if prefix else sorted(registered, key=_place)
    for each in tried:
        family: EncoderFamily = plugins.load("family", each)()
        if family.wanted(names):
            return family
    what = f"the {prefix} family" if prefix else "any family"
    raise ModelLoadError(
        f"{location}: holds no model that {what} reads (known: {', '.join(registered)}); expected "
        "model.toml, or config.json with its weights"
    )


def _place(family: str) -> int:
    return ORDER.index(family) if family in ORDER else len(ORDER)


def _split(name: str) -> tuple[str, str]:
    """Family and location; an empty family where none is named."""
    prefix, colon, rest = name.partition(":")
    return (prefix, rest) if colon and prefix in plugins.names("family") else ("", name)


def _joins(name: str) -> bool:
    path = _local(name)[1]
    return name.startswith("joint:") or (
        path.suffix == ".toml" and path.name != "model.toml" and path.is_file()
    )


def _local(name: str) -> tuple[str, Path]:
    prefix, location = _split(name)
    return prefix, _absolute(location.removeprefix("joint:"))


def _is_path(text: str) -> bool:
    if text.startswith(hub.PREFIX):
        return False
    separators = {"/", os.sep}
    return text.startswith((".", "~")) or any(s in text for s in separators)


def _absolute(location: str) -> Path:
    return Path(os.path.abspath(Path(location).expanduser()))  # noqa: PTH100 - links stay links
