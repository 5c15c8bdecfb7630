"""Cross-encoders of `sentence-transformers`: they read the query and a text together.

For texts: hits without words keep their order below those that have some. Needs torch, and a model
on this machine or from a hub; ``[rerank.cross-encoder] model = "NAME or FOLDER"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from polyseek.core.errors import ConfigError, MissingExtraError, ModelLoadError, QueryError
from polyseek.core.reranking import Candidate, Question, RerankSetup
from polyseek.core.types import Modality

BATCH = 8
"""Texts scored between two looks at the clock."""

MAX_CHARS = 4000


class CrossEncoderReranker:
    """One model, loaded when it is first used.

    Args:
        model: Name on the hub, or a folder.
        offline: Only look at what is on this machine.
    """

    def __init__(self, model: str, *, offline: bool) -> None:
        self._name, self._offline = model, offline

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import CrossEncoder
        except ImportError:
            raise MissingExtraError("the cross-encoder reranker", "rerank") from None
        try:
            return CrossEncoder(self._name, local_files_only=self._offline)
        except Exception as error:  # whatever the hub, torch or the files raise
            raise ModelLoadError(
                f"cross-encoder '{self._name}' cannot be loaded: {error}"
            ) from error

    def scores(self, question: Question, candidates: Sequence[Candidate]) -> Iterator[float]:
        """See `polyseek.core.protocols.Reranker`."""
        spoken = [term.query for term in question.query.terms if term.weight > 0]
        query = " ".join(one.label for one in spoken if one.modality is Modality.TEXT)
        if not query:
            raise QueryError("the query has no words to read")
        for start in range(0, len(candidates), BATCH):
            some = candidates[start : start + BATCH]
            texts = ["\n".join(one.texts)[:MAX_CHARS] for one in some]
            told = [(query, text) for text in texts if text]
            found = iter(self._model.predict(told).tolist() if told else ())
            for place, text in enumerate(texts, start):
                yield float(next(found)) if text else WORDLESS - place


WORDLESS = -1e6
"""Below every score a model gives."""


def load(setup: RerankSetup) -> CrossEncoderReranker:
    """Entry point of the ``polyseek.rerankers`` group.

    Raises:
        ConfigError: No model is named.
        MissingExtraError: `sentence-transformers` is not installed.
    """
    from importlib.util import find_spec

    model = setup.options.get("model")
    if not isinstance(model, str) or not model or set(setup.options) != {"model"}:
        raise ConfigError(
            '[rerank.cross-encoder] needs model = "NAME or FOLDER" of a cross-encoder, and '
            "nothing else"
        )
    try:
        installed = find_spec("sentence_transformers") is not None
    except ValueError:  # somebody has put nothing in its place
        installed = False
    if not installed:
        raise MissingExtraError("the cross-encoder reranker", "rerank")
    return CrossEncoderReranker(model, offline=setup.settings.offline)
