"""Several encoders as one: a TOML file names them, their modalities, and what joins their spaces.

The first encoder's space is the shared one. Every other comes with a linear map into it, an
``.npz`` beside the TOML file with ``matrix (in, out)`` and, optionally, ``mean (in,)``, which is
subtracted first. `polyseek models join` fits one through the texts that both encoders read.
A collection's own towers (`polyseek adapt --tower`) are joined to its encoder in the same way.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, ModelLoadError
from polyseek.core.joined import JoinedTower
from polyseek.core.protocols import Encoder
from polyseek.core.types import (
    Embeddings,
    EncoderInfo,
    Floats,
    Modality,
    Prepared,
    Role,
)
from polyseek.encode.files import FileEncoder
from polyseek.encode.spec import read_table
from polyseek.encode.towers import no_tower, unit

Load = Callable[[str, Settings], Encoder]

JoinedPart: TypeAlias = "tuple[Encoder, Sequence[Modality], Callable[[Floats], Floats] | None]"
"""An encoder, what it embeds, and the map that leads into the shared space."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One ``[[encoders]]`` of the file.

    Attributes:
        name: As in ``--encoder NAME``.
        modalities: Those it embeds here.
        map: The ``.npz`` that leads from its space into the first encoder's.
    """

    name: str
    modalities: tuple[Modality, ...]
    map: str = ""


@dataclass(frozen=True, eq=False)
class LinearMap:
    """From one space into another: ``unit((x - mean) @ matrix)``."""

    matrix: Floats
    mean: Floats

    def __call__(self, rows: Floats) -> Floats:
        """``(n, out)`` float32 unit length from ``(n, in)``."""
        return unit(np.asarray((rows - self.mean) @ self.matrix, np.float32))

    def save(self, path: Path) -> None:
        """Write what `read_map` reads."""
        with path.open("wb") as file:
            np.savez(file, matrix=self.matrix, mean=self.mean)


class JointEncoder:
    """One space for the towers of several encoders.

    Args:
        info: Its name, revision, and the length of an embedding; towers are those of the parts.
        parts: Each encoder with the modalities it embeds and the map of its embeddings into the
            shared space; None for the encoder whose space that is.
    """

    def __init__(self, info: EncoderInfo, parts: Sequence[JoinedPart]) -> None:
        self._by_modality = {
            modality: (encoder, joins)
            for encoder, modalities, joins in parts
            for modality in modalities
        }
        towers = {m: e.info.towers[m] for m, (e, _) in self._by_modality.items()}
        self.info = replace(info, towers=towers)

    def encode(self, modality: Modality, batch: Sequence[Prepared], *, role: Role) -> Embeddings:
        """Embed prepared signals; see `polyseek.core.protocols.Encoder`."""
        if modality not in self._by_modality:
            raise no_tower(self.info.name, modality, self._by_modality)
        encoder, joins = self._by_modality[modality]
        found = encoder.encode(modality, batch, role=role)
        return found if joins is None else replace(found, shared=joins(found.shared))


def with_towers(encoder: Encoder, joined: Iterable[JoinedTower]) -> JointEncoder:
    """An encoder and the towers that adapters join to its space; to its name nothing is added."""
    parts: list[JoinedPart] = [(encoder, list(encoder.info.towers), None)]
    parts += [(FileEncoder(each), [each.modality], each.place) for each in joined]
    return JointEncoder(encoder.info, parts)


def load_joint(path: Path, settings: Settings, load: Load) -> JointEncoder:
    """The encoder that a TOML file describes.

    Raises:
        ConfigError: Two of its encoders share no space and nothing joins them.
        ModelLoadError: The file or a map cannot be read.
        EncoderError: One of the encoders cannot be used.
    """
    declared = _read(path)
    _refuse_strangers(path, declared)
    checksums = {path.name: _sha256(path)}
    parts: list[JoinedPart] = []
    for part in declared:
        name = _beside(part.name, path)
        encoder = load(name, settings)
        missing = [m for m in part.modalities if m not in encoder.info.towers]
        if missing:
            known = ", ".join(sorted(encoder.info.towers))
            raise ConfigError(f"{path}: '{part.name}' has no {missing[0]} tower; it has {known}")
        joins = None
        if part.map:
            joins = read_map(path.parent / part.map)
            checksums[part.map] = _sha256(path.parent / part.map)
            shape = encoder.info.dim, (parts[0][0] if parts else encoder).info.dim
            if joins.matrix.shape != shape:
                raise ConfigError(
                    f"{path.parent / part.map}: is a map of {joins.matrix.shape}, but '{part.name}'"
                    f" to '{declared[0].name}' needs {shape}"
                )
        parts.append((encoder, part.modalities, joins))
    for i, (each, _, _) in enumerate(parts):
        checksums |= {f"{i}:{n}": value for n, value in each.info.checksums.items()}
    text = "\n".join([*(each.info.revision for each, _, _ in parts), *checksums.values()])
    info = EncoderInfo(
        name=f"joint:{path}",
        revision=hashlib.sha256(text.encode()).hexdigest()[:12],
        dim=parts[0][0].info.dim,
        towers={},
        checksums=checksums,
    )
    return JointEncoder(info, parts)


def read_map(path: Path) -> LinearMap:
    """A linear map from an ``.npz``.

    Raises:
        ModelLoadError: It cannot be read as one.
    """
    try:
        with np.load(path) as arrays:
            matrix = arrays["matrix"].astype(np.float32)
            mean = arrays["mean"] if "mean" in arrays else np.zeros(len(matrix))
            return LinearMap(matrix, mean.astype(np.float32))
    except (OSError, ValueError, KeyError) as error:
        raise ModelLoadError(
            f"{path}: cannot be read as a map between spaces: {error}; expected an .npz with "
            "'matrix' and 'mean', as 'polyseek models join' writes it"
        ) from error


def fit_map(rows: Floats, target: Floats, *, ridge: float = 1e-2) -> LinearMap:
    """The map that leads embeddings of texts by one encoder to those by another.

    Args:
        rows: ``(n, in)`` unit length.
        target: ``(n, out)`` unit length, row i of the same text.
        ridge: Share of the mean variance that is added to each direction's.

    Source: ridge regression of centred targets on centred rows; the targets' mean is left out, so
    a mapped embedding is a direction from the centre of the shared space.
    """
    mean = rows.mean(axis=0)
    centred, wanted = rows - mean, target - target.mean(axis=0)
    gram = centred.T.astype(np.float64) @ centred
    gram += ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    matrix = np.linalg.solve(gram, centred.T.astype(np.float64) @ wanted)
    return LinearMap(matrix.astype(np.float32), mean.astype(np.float32))


def _read(path: Path) -> list[Part]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelLoadError(
            f"{path}: no such file; a collection made with it opens only where it is"
        ) from error
    except ValueError as error:
        raise ModelLoadError(f"{path}: cannot be read as TOML: {error}") from error
    encoders: Any = table.get("encoders")
    if not isinstance(encoders, list) or len(encoders) < 2 or set(table) - {"encoders"}:
        raise ModelLoadError(
            f"{path}: expected two or more [[encoders]] tables with name and modalities, and "
            "nothing else"
        )
    return [read_table(Part, each, f"{path}: [[encoders]]") for each in encoders]


def _refuse_strangers(path: Path, parts: Sequence[Part]) -> None:
    """Two models of one size still have nothing in common: their cosines mean nothing."""
    first, *others = parts
    if first.map:
        raise ConfigError(
            f"{path}: '{first.name}' comes first, so its space is the shared one and it needs no "
            "map; take 'map' out"
        )
    seen: dict[Modality, str] = {}
    for part in parts:
        for modality in part.modalities:
            if modality in seen:
                raise ConfigError(
                    f"{path}: {modality} is embedded by '{seen[modality]}' and by '{part.name}'; "
                    "name each modality once"
                )
            seen[modality] = part.name
    for part in others:
        if not part.map and part.name != first.name:
            raise ConfigError(
                f"{path}: '{first.name}' and '{part.name}' share no space: they were trained "
                "apart, so a cosine between their embeddings means nothing. Join them through the "
                f"texts that both read with 'polyseek models join {part.name} {first.name} --to "
                'MAP.npz\' and name it as map = "MAP.npz", or index with one of them and fit '
                "your own pairs with 'polyseek adapt'"
            )


def _beside(name: str, path: Path) -> str:
    """A relative path is one from the TOML file."""
    relative = name.startswith(("./", "../"))
    return str(path.parent / name) if relative else name


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelLoadError(f"{path}: cannot be read ({error.strerror})") from error
