"""What every reranker must do: inherit `RerankerConformance` and say how to make one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import pytest

from polyseek.core.hits import Composition, Hit, Query, Term
from polyseek.core.protocols import Reranker
from polyseek.core.reranking import Candidate, Question
from polyseek.core.types import Embeddings, Floats, Modality

DIM, TOWER_DIM = 8, 12


class RerankerConformance(ABC):
    """Checks of `polyseek.core.protocols.Reranker`; name the subclass ``Test...``."""

    @abstractmethod
    def make_reranker(self) -> Reranker:
        """The reranker, ready to use; called once per test."""

    query = "a red car"
    """A text it can judge hits for."""

    @pytest.fixture
    def reranker(self) -> Reranker:
        """The reranker under test."""
        return self.make_reranker()

    def test_it_gives_one_finite_number_or_none_per_candidate(self, reranker: Reranker) -> None:
        for count in (1, 2, 30):
            found = list(reranker.scores(question(self.query), candidates(count)))
            assert len(found) == count
            assert all(_is_score(score) for score in found)

    def test_no_candidates_need_no_scores(self, reranker: Reranker) -> None:
        assert list(reranker.scores(question(self.query), [])) == []

    def test_the_same_question_has_the_same_answer(self, reranker: Reranker) -> None:
        first, again = (
            list(reranker.scores(question(self.query), candidates(9))) for _ in range(2)
        )
        known = [[score for score in found if score is not None] for found in (first, again)]
        assert known[1] == pytest.approx(known[0])
        assert [score is None for score in again] == [score is None for score in first]

    def test_missing_signals_are_no_trouble(self, reranker: Reranker) -> None:
        bare = [
            replace(one, probability=None, hit=replace(one.hit, text_score=None, text_share=None))
            for one in candidates(4)
        ]
        found = list(reranker.scores(question(self.query), bare))
        assert all(_is_score(score) for score in found)

    def test_candidates_are_left_as_they_are(self, reranker: Reranker) -> None:
        given = candidates(5)
        kept = [(one.hit, one.probability, one.shared.copy(), one.tower.copy()) for one in given]
        list(reranker.scores(question(self.query), given))
        for one, (hit, probability, shared, tower) in zip(given, kept, strict=True):
            assert (one.hit, one.probability) == (hit, probability)
            np.testing.assert_array_equal(one.shared, shared)
            np.testing.assert_array_equal(one.tower, tower)


def question(text: str) -> Question:
    """A text as it reaches a reranker."""
    rng = np.random.default_rng(0)
    term = Term(query=Query(modality=Modality.TEXT, signals=[text], label=text))
    rows = Embeddings(shared=_unit(rng, DIM)[None], tower=_unit(rng, TOWER_DIM)[None])
    return Question(query=Composition(terms=[term]), embeddings=[rows])


def candidates(count: int) -> list[Candidate]:
    """Texts and captioned pictures with all signals, best first."""
    rng = np.random.default_rng(1)
    return [
        Candidate(
            hit=Hit(
                id=f"{i:032x}",
                uri=f"mem:/{i}",
                modality=Modality.TEXT if i % 2 else Modality.IMAGE,
                score=0.9 - 0.01 * i,
                hub_bias=0.1,
                text_score=1.5 if i % 3 else None,
                text_share=0.5 if i % 3 else None,
                text=f"number {i} of many red cars",
                metadata={"year": 2000 + i},
            ),
            probability=0.9 - 0.01 * i,
            shared=_unit(rng, DIM),
            tower=_unit(rng, TOWER_DIM),
            texts=(f"number {i} of many red cars",),
        )
        for i in range(count)
    ]


def _is_score(score: float | None) -> bool:
    return score is None or math.isfinite(float(score))


def _unit(rng: np.random.Generator, dim: int) -> Floats:
    row = rng.normal(size=dim)
    unit: Floats = (row / np.linalg.norm(row)).astype(np.float32)
    return unit
