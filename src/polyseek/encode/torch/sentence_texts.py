"""A sentence-transformers model of texts, as something to export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from polyseek.core.errors import ConfigError
from polyseek.core.model_files import ModelFiles
from polyseek.core.types import Modality, Role
from polyseek.encode.model import Feed, Run, Tokenise
from polyseek.encode.spec import Spec, TextSpec, TowerSpec
from polyseek.encode.torch.device import TorchRun, lazily
from polyseek.encode.torch.texts import BackendTokens

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_DOCUMENT = ("document", "passage", "corpus")  # names of prompts, as the library looks for them
_UNLIMITED = 1_000_000


class LoadedSentences:
    """See `polyseek.encode.torch.loaded.Loaded`: tokens in, the library's own modules, pooled.

    Args:
        files: The model's files.
        load: The ``SentenceTransformer``, on the CPU.
    """

    def __init__(self, files: ModelFiles, load: Callable[[], Any]) -> None:
        self.files, self._load = files, load

    @cached_property
    def model(self) -> Any:
        """The library's model.

        Raises:
            ConfigError: It reads more than texts, or queries another way than documents.
        """
        model = self._load().eval()
        others = {str(each) for each in model.modalities} - {Modality.TEXT}
        if others:
            raise ConfigError(
                f"{self.files.name}: reads {', '.join(sorted(others))} besides texts; of the "
                "sentence_transformers family models of texts alone are exported. Export it in its "
                "transformers form, if there is one"
            )
        kinds = {type(module).__name__ for module in model}
        if "Router" in kinds or not all(getattr(m, "include_prompt", True) for m in model):
            raise ConfigError(
                f"{self.files.name}: treats prompts or queries in a way that a graph cannot"
            )
        return model

    @cached_property
    def texts(self) -> tuple[Tokenise, TextSpec]:
        """What makes token ids, and how."""
        tokenizer, prompts = self.model.tokenizer, self.model.prompts
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ConfigError(
                f"{self.files.name}: its tokenizer runs in Python only, so an ONNX folder cannot "
                "hold it"
            )
        length = self.model.max_seq_length or tokenizer.model_max_length
        spec = TextSpec(
            max_tokens=int(length) if length and length < _UNLIMITED else 512,
            pad_id=int(tokenizer.pad_token_id or 0),
            pad_left=tokenizer.padding_side == "left",
            lowercase=bool(getattr(self.model[0], "do_lower_case", False)),
            query=prompts.get("query") or "",
            document=next((prompts[name] for name in _DOCUMENT if name in prompts), ""),
        )
        return BackendTokens(backend, spec), spec

    def tokenise(self, batch: Sequence[str], role: Role) -> Feed:
        """See `polyseek.encode.model.Tokenise`."""
        return self.texts[0](batch, role)

    def run(self, modality: Modality) -> TorchRun:  # noqa: ARG002 - there is one
        """The network, with pooling and all that comes after it."""
        model = self.model
        known = set(model.tokenizer.model_input_names)
        inputs = tuple(name for name in _INPUTS if name in known or name != _INPUTS[-1])

        def forward(tensors: Mapping[str, Any]) -> Any:
            return model(dict(tensors))["sentence_embedding"]

        return TorchRun(forward, model.device, inputs, module=model)

    def runner(self, modality: Modality) -> Run:
        """The network, loaded when it is first called."""
        return lazily(lambda: self.run(modality))

    def describe(self) -> Spec:
        """How texts are made ready for it."""
        tower = TowerSpec(text=self.texts[1], batch_size=32)
        dim = self.run(Modality.TEXT)(self.tokenise(["a"], Role.QUERY)).shape[-1]
        return Spec(
            dim=int(dim),
            licence=self.files.licence,
            source=self.files.name,
            towers={Modality.TEXT: tower},
        )
