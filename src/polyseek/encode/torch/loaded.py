"""What families that run on PyTorch hand to an export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from polyseek.core.config import Settings
from polyseek.core.model_files import ModelFiles
from polyseek.core.protocols import EncoderFamily
from polyseek.core.types import Modality, Role
from polyseek.encode.model import Feed, Run, Tokenise
from polyseek.encode.spec import Spec, TextSpec
from polyseek.encode.torch.device import TorchRun


class Loaded(Protocol):
    """A model whose weights are read when they are first needed."""

    @property
    def files(self) -> ModelFiles:
        """The model's files."""
        ...

    @property
    def texts(self) -> tuple[Tokenise, TextSpec]:
        """What makes token ids, and how."""
        ...

    def tokenise(self, batch: Sequence[str], role: Role) -> Feed:
        """See `polyseek.encode.model.Tokenise`."""
        ...

    def describe(self) -> Spec:
        """How signals are made ready for it."""
        ...

    def run(self, modality: Modality) -> TorchRun:
        """A tower's network."""
        ...

    def runner(self, modality: Modality) -> Run:
        """A tower's network, loaded when it is first called."""
        ...


@runtime_checkable
class LoadedFamily(EncoderFamily, Protocol):
    """A family whose models can be exported."""

    def loaded(self, files: ModelFiles, settings: Settings) -> Loaded:
        """The model. Raises as `EncoderFamily.load` does."""
        ...
