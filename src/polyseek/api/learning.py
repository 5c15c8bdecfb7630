"""What a collection learns of its owner's queries, and how well it answers them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polyseek.api import versions
from polyseek.api.adapting import AdapterVersions, Shelf
from polyseek.api.composing import read_file
from polyseek.api.evaluations import Evaluations
from polyseek.api.options import modalities_of, mode_of
from polyseek.api.retrievers import SavedRetrievers
from polyseek.api.searching import Searcher
from polyseek.api.towers import CollectionEncoder
from polyseek.api.tuner import Tuner
from polyseek.core.artifacts import reporting
from polyseek.core.defaults import Defaults
from polyseek.core.errors import ConfigError
from polyseek.core.protocols import SparseEncoder, Store
from polyseek.core.reports import ProgressCallback
from polyseek.core.retriever import Retriever
from polyseek.core.tuning import Tuning
from polyseek.core.types import Modality
from polyseek.evaluate.diagnosis import Diagnosis
from polyseek.evaluate.runs import Run
from polyseek.learn.fusion import Fitted

if TYPE_CHECKING:
    from polyseek.api.adapt import AdaptReport


class Learning:
    """The half of `polyseek.Collection` that fits and measures."""

    location: str
    _store: Store
    _encoder: CollectionEncoder
    _defaults: Defaults | None
    _sparse: SparseEncoder | None
    _shelf: Shelf
    _tuner: Tuner
    _searcher: Searcher

    def learn_fusion(
        self, pairs: str | Path, *, progress: ProgressCallback | None = None
    ) -> Fitted:
        """Learn the reranker ``fusion`` from pairs of queries and assets; refused when not better.

        Args:
            pairs: A table of queries and assets, TREC qrels or a folder in BEIR's layout.
            progress: Called with every query.

        Raises:
            ConfigError: The pairs cannot be read, or too few of them can be used.
            CollectionBusyError: Another process is writing to the collection.
        """
        from polyseek.api.fusing import learn

        return learn(pairs, self._store, self._searcher.candidates, progress=progress)

    @property
    def retrievers(self) -> SavedRetrievers:
        """Retrievers saved in the collection: `list`, `save` and `remove`."""
        return SavedRetrievers(self._store)

    def tune(
        self,
        *,
        bank: str | Path | None = None,
        pairs: str | Path | None = None,
        queries: str | Path | None = None,
        progress: ProgressCallback | None = None,
    ) -> Tuning:
        """Fit hub corrections and calibrations to this collection; no labels are needed.

        Args:
            bank: A text file with one query per line, like those people ask here; the shipped one
                of 3,000 generic English queries when left out. Never take the queries that quality
                is measured with.
            pairs: Labelled queries, as for `evaluate`: what they know better is chosen by them,
                and kept only where it is no worse than what ships on those that were held out.
            queries: As for `evaluate`.
            progress: Called with every pair of modalities.

        Raises:
            ConfigError: The bank cannot be read or is too small, or the pairs cannot be read.
            CollectionBusyError: Another process is writing to the collection.
        """
        from polyseek.learn.bank import read_bank

        texts = read_bank(bank) if bank is not None else ()
        return self.tune_with(texts, pairs=pairs, queries=queries, progress=progress)

    def tune_with(
        self,
        bank: Sequence[str],
        *,
        pairs: str | Path | None = None,
        queries: str | Path | None = None,
        progress: ProgressCallback | None = None,
    ) -> Tuning:
        """As `tune`, with the queries of this bank; the usual one where it is empty."""
        before = self._store.tuning
        found = self._tuner.tune(bank, progress, pairs=pairs, queries=queries)
        if found != before:
            versions.record(self._store, "tune", {"pairs": len(found.calibrations)})
        return found

    def adapt(
        self,
        pairs: str | Path = "auto",
        *,
        queries: str | Path | None = None,
        force: bool = False,
        install: bool = True,
        tower: str | None = None,
        modality: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> AdaptReport:
        """Learn from pairs of queries and assets; install what held-out pairs show to be better.

        Only texts are encoded: media are known by their stored embeddings. With a tower, what is
        learned is where its vectors lie in the shared space: from then on its files can be indexed
        and searched, and searched with.

        Args:
            pairs: As for `evaluate`. With a tower: a file of pairs, one of each a file that the
                tower reads, the other a text or an asset of the collection.
            queries: A file with the queries that ids in `pairs` stand for.
            force: Install what is no better, too.
            install: False only measures.
            tower: A function from a file to a vector: ``module:function``, ``./file.py:function``
                or the name of an entry point of the group ``polyseek.towers``.
            modality: What the tower embeds, one that the encoder lacks.
            progress: Called with every step.

        Raises:
            ConfigError: The pairs cannot be read, are too few, or their assets are not indexed;
                the tower cannot be imported, or another one embeds its modality.
            CollectionBusyError: Another process is writing to the collection.
        """
        from polyseek.api.adapt_tower import Request, TowerAdapting

        run = TowerAdapting(
            store=self._store, encoder=self._encoder, defaults=self._defaults, shelf=self._shelf,
            tuner=self._tuner, progress=progress,
        )  # fmt: skip
        if tower is None and modality:
            raise ConfigError("--modality says what a tower embeds; give --tower NAME, too")
        if tower is None:
            report = run.run(pairs, queries=queries, force=force, install=install)
        else:
            (named,) = modalities_of([modality or ""])
            request = Request(tower=tower, modality=named)
            report = run.join(request, pairs, queries=queries, force=force, install=install)
        if report.name is not None:
            versions.record(self._store, "adapt", {"adapter": report.name})
        return report

    @property
    def glossary(self) -> str | None:
        """The lines of the collection's glossary; None without one."""
        return self._store.notes.get("glossary")

    def keep_glossary(self, file: str | Path | None) -> int:
        """Read text queries with a glossary from now on, or without one.

        Args:
            file: A UTF-8 text with a line ``term: expansion, expansion`` for each term; None
                forgets the glossary.

        Returns:
            The number of its terms.

        Raises:
            ConfigError: It cannot be read, or a line is none of these.
            CollectionBusyError: Another process is writing to the collection.
        """
        from polyseek.core.glossary import GLOSSARY, read_glossary

        found = None if file is None else read_glossary(file)
        with self._store.writing():
            self._store.save_note(GLOSSARY, found.text() if found else None)
        return len(found.terms) if found else 0

    @property
    def adapters(self) -> AdapterVersions:
        """The versions that `adapt` has made: list, use and remove them."""
        return AdapterVersions(self._store, self._shelf, self._tuner)

    def evaluate(
        self,
        pairs: str | Path = "auto",
        *,
        queries: str | Path | None = None,
        slice_by: str | None = None,
        limit: int = 1_000,
        mode: str | None = None,
        retriever: str | Path | Retriever | None = None,
        progress: ProgressCallback | None = None,
    ) -> Run:
        """Measure how well the collection answers queries whose answers are known.

        Args:
            pairs: ``"auto"`` for what the collection itself says of its assets, ``"field:NAME"``
                for one of its metadata fields, or a file or folder with labels.
            queries: A file with the queries that ids in `pairs` stand for.
            slice_by: A field by whose values quality is shown as well.
            limit: Questions per direction; 0 for all.
            mode: As for `search`; by default ``"hybrid"``, but ``"dense"`` where the queries stand
                in what answers them.
            retriever: As for `search`; by default the collection's.
            progress: Called with every step.

        Raises:
            ConfigError: The pairs cannot be read, nothing in the collection answers them, or there
                is no such retriever.
        """
        from polyseek.api.evaluation import evaluate

        with reporting(progress):
            return evaluate(
                self._store,
                location=self.location,
                encoder=self._encoder,
                defaults=self._defaults,
                adapters=self._shelf.active(),
                sparse=self._sparse,
                pairs=pairs,
                queries=queries,
                slice_by=slice_by,
                limit=limit,
                mode=None if mode is None else mode_of(mode),
                road=self._searcher.road(retriever),
                progress=progress,
            )

    @property
    def evaluations(self) -> Evaluations:
        """The last ones that were kept: `keep` and `run`; the newest first."""
        return Evaluations(self._store)

    def doctor(self, *, progress: ProgressCallback | None = None) -> Diagnosis:
        """Check the encoder, the stored vectors and what a search makes of them; changes nothing.

        Args:
            progress: Called with every check, also while model files are fetched.

        Returns:
            Checks with a verdict, figures and advice each; `verdict` is the worst of them.
        """
        from polyseek.evaluate.doctor import diagnose
        from polyseek.search.calibrate import Calibrator

        adapters = self._shelf.active()
        scale = Calibrator(defaults=self._defaults, tuning=self._store.tuning, adapters=adapters)
        reads = Modality.TEXT in self._encoder.info.towers
        with reporting(progress):
            return diagnose(
                self._store,
                location=self.location,
                encoder=self._encoder,
                scale=scale,
                bank=self._tuner.bank(brief=True) if reads else None,
                adapters=adapters,
                read=lambda uri: read_file(uri, self._encoder.info),
                progress=progress,
            )
