"""Cross-encoders of `sentence-transformers`: they look at the query and a hit together.

What a hit shows where the model reads pictures (the middle of a video's moment), else its words;
other hits keep their places. Vision-language models are among them. Needs torch, and a model on
this machine or from a hub; ``[rerank.cross-encoder] model = "FOLDER or hf:owner/repository"``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from polyseek.core.errors import ModelLoadError, QueryError
from polyseek.core.hits import Hit
from polyseek.core.reranking import Candidate, Question, RerankSetup
from polyseek.core.torch_runtime import device_of, first_line, quiet, require
from polyseek.core.types import Signal
from polyseek.search.rerankers.models import EXTRA, SHOWING, model_of

BATCH = 8
"""Hits scored between two looks at the clock."""

MAX_CHARS = 4000


class CrossEncoderReranker:
    """One model.

    Args:
        model: The ``CrossEncoder``; it gives one score.
        signal_of: What a hit holds, as in `RerankSetup`.
    """

    def __init__(self, model: Any, signal_of: Callable[[Hit], Signal | None]) -> None:
        self._model, self._signal_of = model, signal_of
        self._sees = SHOWING if model.supports(("image", "text")) else frozenset()

    def scores(self, question: Question, candidates: Sequence[Candidate]) -> Iterator[float | None]:
        """See `polyseek.core.protocols.Reranker`."""
        if not question.words:
            raise QueryError("the query has no words to read")
        for start in range(0, len(candidates), BATCH):
            sides = [self._side(one) for one in candidates[start : start + BATCH]]
            pairs = [(question.words, side) for side in sides if side is not None]
            found = iter(self._predict(pairs) if pairs else ())
            for side in sides:
                yield None if side is None else next(found)

    def _predict(self, pairs: Sequence[tuple[str, Any]]) -> list[float]:
        found: list[float] = self._model.predict(pairs, show_progress_bar=False).tolist()
        return found

    def _side(self, one: Candidate) -> Any | None:
        """A picture, or a text; None where there is nothing to read."""
        if one.hit.modality in self._sees:
            picture = self._signal_of(one.hit)
            if picture is not None:
                return picture
        return "\n".join(one.texts)[:MAX_CHARS] or None


def load(setup: RerankSetup) -> CrossEncoderReranker:
    """Entry point of the ``polyseek.rerankers`` group.

    Raises:
        As `model_of` does.
        ModelLoadError: The model cannot be loaded, or gives more than one score.
    """
    files = model_of(setup, name="cross-encoder", package="sentence_transformers")
    library = require("sentence_transformers", "the reranker 'cross-encoder'", extra=EXTRA)
    device = device_of(setup.settings)
    try:
        with quiet():
            model = library.CrossEncoder(
                str(files.folder), device=str(device), local_files_only=True
            )
    # The library and those below it raise what they meet.
    except Exception as error:
        raise ModelLoadError(
            f"{files.folder}: sentence-transformers cannot load this cross-encoder "
            f"({first_line(error)})"
        ) from error
    if model.num_labels != 1:
        raise ModelLoadError(
            f"{files.folder}: gives {model.num_labels} scores per pair; expected a cross-encoder "
            "with one, which says how relevant a hit is"
        )
    return CrossEncoderReranker(model, setup.signal_of)
