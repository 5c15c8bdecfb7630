"""What is fitted to a collection: hub biases of its segments, and its calibrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from polyseek.core.adapting import Adapters
from polyseek.core.artifacts import reporting
from polyseek.core.defaults import Defaults
from polyseek.core.protocols import Encoder, SparseEncoder, Store
from polyseek.core.reports import ProgressCallback
from polyseek.core.tuning import Origin, Tuning, outgrown
from polyseek.core.types import Embeddings, Floats, Modality


class Tuner:
    """Fits a collection's tuning and applies its bank of queries to new segments."""

    def __init__(
        self,
        *,
        store: Store,
        encoder: Encoder,
        defaults: Defaults | None,
        adapters: Callable[[], Adapters],
        sparse: SparseEncoder | None,
    ) -> None:
        self._store, self._encoder, self._defaults = store, encoder, defaults
        self._adapters, self._sparse = adapters, sparse
        self._bank: Embeddings | None = None

    def tune(
        self,
        texts: Sequence[str],
        progress: ProgressCallback | None,
        *,
        pairs: str | Path | None = None,
        queries: str | Path | None = None,
    ) -> Tuning:
        """Fit everything anew, with a bank of these queries or, without any, the usual one.

        With `pairs`, what labelled queries know better is chosen by them.
        """
        from polyseek.learn.tune import tune

        with reporting(progress), self._store.writing():
            bank = self._embedded(texts)
            tuning = tune(
                self._store, bank=bank, texts=texts, defaults=self._defaults,
                adapters=self._adapters(), progress=progress,
            )  # fmt: skip
            if pairs is not None:
                from polyseek.api.labels import LabelledTuner

                labels = LabelledTuner(
                    store=self._store, encoder=self._encoder, defaults=self._defaults,
                    adapters=self._adapters(), sparse=self._sparse, progress=progress,
                )  # fmt: skip
                tuning = labels.tune(tuning, pairs, queries=queries)
            self._store.optimize()
        self._bank = None  # the next segments are compared with this one
        return tuning

    def tune_again(self, progress: ProgressCallback | None) -> Tuning:
        """The same with the bank of the last time; what labels have chosen stays.

        Their calibrations do only where queries lie as they did.
        """
        before = self._store.tuning
        after = self.tune(self._texts(), progress)
        if before is None or not before.fitted_queries:
            return after
        chosen = {
            pair: found
            for pair, found in before.calibrations.items()
            if found.origin is Origin.PAIRS and before.key(pair) == after.key(pair)
        }
        kept = replace(
            after,
            calibrations={**after.calibrations, **chosen},
            words=before.words,
            sparse=before.sparse,
            looked_once=before.looked_once,
            fitted_queries=before.fitted_queries,
        )
        with self._store.writing():
            self._store.save_tuning(kept)
        return kept

    def outdated(self) -> bool:
        """Whether it was tuned when the collection was much smaller, or queries lay elsewhere."""
        tuning = self._store.tuning
        if tuning is None:
            return False
        moved = self._adapters().moved_since(tuning.adapted)
        return bool(moved or outgrown(tuning, self._store.counts()))

    def bank(self, *, brief: bool = False) -> Embeddings:
        """The embedded queries of the bank in use; what must be embedded is a sample if `brief`."""
        return self._embedded(self._texts(), brief=brief)

    def hub_biases(self, modality: Modality, rows: Embeddings) -> Mapping[Modality, Floats]:
        """Hub biases of new segments, by modality of the query; see `core.hits.HubBiases`."""
        from polyseek.learn.hub import hub_bias

        tuning, adapters, pair = self._store.tuning, self._adapters(), (Modality.TEXT, modality)
        fitted = tuning or (self._defaults.tuning if self._defaults else None)
        if fitted is None or adapters.key(pair) != fitted.key(pair):
            return {}  # nothing is corrected until it is tuned again
        if self._bank is None:
            self._bank = self.bank()
        queries = adapters.move(Modality.TEXT, self._bank).compared(pair)
        return {Modality.TEXT: hub_bias(rows.compared(pair), queries)}

    def _texts(self) -> Sequence[str]:
        tuning = self._store.tuning
        return tuning.bank if tuning else ()

    def _embedded(self, texts: Sequence[str], *, brief: bool = False) -> Embeddings:
        """The user's own bank, else the one that ships with the encoder, else the generic one."""
        from polyseek.learn.bank import embed_bank, generic_queries, sample_of

        if not texts and self._defaults:
            return self._defaults.bank
        chosen = texts or generic_queries()
        return embed_bank(sample_of(chosen) if brief else chosen, self._encoder)
