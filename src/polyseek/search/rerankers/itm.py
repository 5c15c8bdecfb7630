"""Image-text matching heads of `transformers`: whether a text belongs to a picture.

BLIP, BLIP-2, BridgeTower and ViLT. For what shows something: pictures, pages and the middle of a
video's moment; other hits keep their places. The score is the logarithm of the odds that the head
gives. Needs torch, and a model on this machine or from a hub;
``[rerank.itm] model = "FOLDER or hf:owner/repository"``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polyseek.core.errors import ModelLoadError, QueryError
from polyseek.core.hits import Hit
from polyseek.core.model_files import ModelFiles
from polyseek.core.reranking import Candidate, Question, RerankSetup
from polyseek.core.torch_runtime import device_of, first_line, quiet, require, with_weights
from polyseek.core.types import Signal
from polyseek.search.rerankers.models import EXTRA, SHOWING, model_of

BATCH = 4
"""Pictures scored between two looks at the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the library keeps the head of an architecture.

    Attributes:
        model: Its class.
        output: Name of the head's ``(n, 2)`` logits of no match and match, or ``(n, 1)`` of match.
        asked: What else the model must be told, so that the head is used.
    """

    model: str
    output: str
    asked: Mapping[str, bool] = field(default_factory=dict)


HEADS: Mapping[str, Head] = {
    "blip": Head(model="BlipForImageTextRetrieval", output="itm_score"),
    "blip-2": Head(
        model="Blip2ForImageTextRetrieval",
        output="logits_per_image",
        asked={"use_image_text_matching_head": True},
    ),
    "bridgetower": Head(model="BridgeTowerForImageAndTextRetrieval", output="logits"),
    "vilt": Head(model="ViltForImageAndTextRetrieval", output="logits"),
}


class ItmReranker:
    """One model.

    Args:
        model: The library's, with its head.
        processor: What makes its inputs.
        head: Where the head is.
        device: Where the weights lie.
        signal_of: What a hit holds, as in `RerankSetup`.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        head: Head,
        device: Any,
        signal_of: Callable[[Hit], Signal | None],
    ) -> None:
        self._model, self._processor, self._head = model, processor, head
        self._device, self._signal_of = device, signal_of
        tokenizer = processor.tokenizer
        tokenizer.model_max_length = min(tokenizer.model_max_length, _positions(model.config))

    def scores(self, question: Question, candidates: Sequence[Candidate]) -> Iterator[float | None]:
        """See `polyseek.core.protocols.Reranker`."""
        if not question.words:
            raise QueryError("the query has no words to look for in pictures")
        for start in range(0, len(candidates), BATCH):
            shown = [self._picture(one.hit) for one in candidates[start : start + BATCH]]
            pictures = [one.convert("RGB") for one in shown if one is not None]
            found = iter(self._log_odds(question.words, pictures) if pictures else ())
            for one in shown:
                yield None if one is None else next(found)

    def _picture(self, hit: Hit) -> Any | None:
        return self._signal_of(hit) if hit.modality in SHOWING else None

    def _log_odds(self, text: str, pictures: Sequence[Any]) -> list[float]:
        import torch

        with torch.inference_mode():
            inputs = self._processor(
                images=list(pictures),
                text=[text] * len(pictures),
                padding=True,
                truncation=True,
                return_tensors="pt",
            ).to(self._device)
            logits = self._model(**inputs, **self._head.asked)[self._head.output].float()
        odds = logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]
        scores: list[float] = odds.cpu().tolist()
        return scores


def _positions(config: Any) -> int:
    """Tokens that a text may have."""
    parts = [config, *(getattr(config, f"{name}_config", None) for name in ("text", "qformer"))]
    sizes = [getattr(part, "max_position_embeddings", None) for part in parts]
    return min(size for size in (*sizes, 512) if size)


def load(setup: RerankSetup) -> ItmReranker:
    """Entry point of the ``polyseek.rerankers`` group.

    Raises:
        As `model_of` does.
        ModelLoadError: The model has no such head, lacks weights, or cannot be loaded.
    """
    files = model_of(setup, name="itm", package="transformers")
    library = require("transformers", "the reranker 'itm'", extra=EXTRA)
    kind = str(files.json("config.json").get("model_type"))
    if kind not in HEADS:
        raise ModelLoadError(
            f"{files.folder}: '{kind}' models have no image-text matching head that polyseek "
            f"reads; known: {', '.join(HEADS)}"
        )
    device, head = device_of(setup.settings), HEADS[kind]
    config, processor = _read(library, files)
    model = with_weights(getattr(library, head.model), files, config).to(device)
    return ItmReranker(model, processor, head, device, setup.signal_of)


def _read(library: Any, files: ModelFiles) -> tuple[Any, Any]:
    """The library's configuration and processor."""
    try:
        with quiet():
            return tuple(
                each.from_pretrained(files.folder, local_files_only=True)
                for each in (library.AutoConfig, library.AutoProcessor)
            )
    # The library raises what it meets: KeyError, ValueError, errors of strict dataclasses.
    except Exception as error:
        raise ModelLoadError(
            f"{files.folder}: transformers {library.__version__} cannot read this model "
            f"({first_line(error)})"
        ) from error
