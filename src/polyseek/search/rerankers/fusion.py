"""The learned fusion model of a collection as a reranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polyseek.core.errors import ConfigError
from polyseek.core.fusion import NOTE, FusionModel, features
from polyseek.core.reranking import Candidate, Question, RerankSetup


@dataclass(frozen=True, slots=True)
class FusionReranker:
    """Scores by `FusionModel`."""

    model: FusionModel

    def scores(
        self,
        question: Question,  # noqa: ARG002 - what the hits say of it is enough
        candidates: Sequence[Candidate],
    ) -> list[float]:
        """See `polyseek.core.protocols.Reranker`."""
        found: list[float] = self.model.score(features(candidates)).tolist()
        return found


def load(setup: RerankSetup) -> FusionReranker:
    """Entry point of the ``polyseek.rerankers`` group.

    Raises:
        ConfigError: Nothing was learned for this collection yet, or by another polyseek.
    """
    kept = setup.notes.get(NOTE)
    if kept is None:
        raise ConfigError(
            "reranker 'fusion' has learned nothing here yet; run 'polyseek retrievers learn PAIRS'"
        )
    try:
        return FusionReranker(FusionModel.from_json(kept))
    except ValueError as error:
        raise ConfigError(f"{error}; run 'polyseek retrievers learn PAIRS' again") from error
