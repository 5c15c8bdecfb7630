"""Score -> probability of relevance, so that hits of all modalities share one scale."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from polyseek.core.adapting import Adapters
from polyseek.core.defaults import Defaults
from polyseek.core.hits import Candidates, HubCorrection
from polyseek.core.retriever import LOOK_ONCE, Refine
from polyseek.core.tuning import (
    Calibration,
    Numbers,
    Pair,
    SparseEvidence,
    Tuning,
    WordEvidence,
    cohort_match,
)
from polyseek.core.types import Floats, Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """What was fitted to the collection, on top of what ships with its encoder.

    Attributes:
        defaults: Of the encoder; None when nothing ships with it.
        tuning: Of the collection; None when it was never tuned.
        adapters: That move the queries.
    """

    defaults: Defaults | None = None
    tuning: Tuning | None = None
    adapters: Adapters = field(default_factory=Adapters)

    @property
    def words(self) -> WordEvidence:
        """How much the words of a query add."""
        return self.tuning.words if self.tuning else WordEvidence()

    @property
    def sparse(self) -> SparseEvidence | None:
        """How much its sparse vector adds; None where that is not known."""
        return self.tuning.sparse if self.tuning else None

    def refine(self, kind: Modality) -> Refine:
        """How the best of a kind are looked at twice where the retriever does not say it."""
        return LOOK_ONCE if self.tuning and kind in self.tuning.looked_once else Refine()

    def calibration(self, pair: Pair) -> Calibration | None:
        """The collection's own, else that of a joined modality, else the shipped one, else None.

        None of them says anything about queries that an adapter moves in another way than it was
        fitted to; nor do the stored hub biases, so there is no correction either.
        """
        key, shipped = self.adapters.key(pair), self.defaults.tuning if self.defaults else Tuning()
        current = self.tuning is None or self.tuning.key(pair) == key
        own = self.tuning.calibrations.get(pair) if self.tuning and current else None
        if own is not None:
            return own
        joined = self.adapters.calibrations.get(pair)
        if joined is not None:
            return joined
        found = shipped.calibrations.get(pair) if shipped.key(pair) == key else None
        return found if current or (found and not found.hub_strength) else None

    def hub(self, pair: Pair) -> HubCorrection | None:
        """How a store has to correct this pair's cosines."""
        found = self.calibration(pair)
        if found is None or not found.hub_strength:
            return None
        return HubCorrection(query=pair[0], strength=found.hub_strength, missing=found.hub_mean)

    def probabilities(self, pair: Pair, vector: Floats, candidates: Candidates) -> Numbers | None:
        """``(n,)`` probability of relevance of each candidate; None without a calibration.

        Args:
            pair: Modalities of the query and of the candidates.
            vector: ``(dim,)`` the query, in the space the candidates were compared in.
            candidates: As a store ranked them.
        """
        found = self.calibration(pair)
        if found is None or not candidates.hits:
            return None
        corrected = np.array(
            [
                hit.score
                - found.hub_strength * (found.hub_mean if hit.hub_bias is None else hit.hub_bias)
                for hit in candidates.hits
            ]
        )
        cohort = self.defaults.cohort(pair) if self.defaults else None
        match = 0.0 if cohort is None else float(cohort_match(vector[None], cohort)[0])
        return found.probability(corrected, cohort=match, rows=max(candidates.rows, 1))
