"""What ships with an encoder, fitted to it once and for all collections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from polyseek.core import plugins
from polyseek.core.adapting import Adapter, Adapters
from polyseek.core.tuning import Pair, Tuning
from polyseek.core.types import Embeddings, Floats, Modality


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Defaults:
    """What ships with an encoder.

    Attributes:
        tuning: Fitted on permissively licensed pairs.
        bank: Generic text queries, embedded; their texts are `learn.bank.generic_queries()`.
        cohorts: By target modality: ``(n, dim)`` embeddings of segments that belong to no
            collection, in the shared space and in the tower's own; an empty array for none.
        adapter: Moves queries of pairs of modalities that the shared space alone serves less
            well, before any adapter of the collection; None for none.
    """

    tuning: Tuning
    bank: Embeddings
    cohorts: Mapping[Modality, Embeddings]
    adapter: Adapter | None = None

    def cohort(self, pair: Pair) -> Floats | None:
        """The cohort a query of this pair is compared with, in the space they are compared in."""
        found = self.cohorts.get(pair[1])
        if found is None:
            return None
        rows = found.compared(pair)
        return rows if len(rows) else None


def defaults_of(encoder: str) -> Defaults | None:
    """What ships with the encoder of this name, from the group ``polyseek.defaults``."""
    make = plugins.find("default", encoder)
    found: Defaults | None = make() if make else None
    return found


def shipped_adapters(defaults: Defaults | None) -> Adapters:
    """What moves queries where a collection has no adapters of its own."""
    return Adapters(shipped=defaults.adapter if defaults else None)
