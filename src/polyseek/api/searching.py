"""Searching a collection as callers ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from polyseek.api import retrievers
from polyseek.api.asking import ask
from polyseek.api.composing import ComposedQuery, read
from polyseek.api.fusing import DEPTH, Recorder
from polyseek.api.options import group_of, modalities_of, mode_of
from polyseek.core import plugins
from polyseek.core.adapting import Adapters
from polyseek.core.config import Group, SearchOptions, Settings
from polyseek.core.defaults import Defaults
from polyseek.core.errors import ConfigError
from polyseek.core.filters import check, parse
from polyseek.core.glossary import GLOSSARY, Glossary, read_glossary
from polyseek.core.hits import Hit
from polyseek.core.protocols import (
    Encoder,
    Locator,
    PatchEncoder,
    Reranker,
    SparseEncoder,
    StoreReader,
)
from polyseek.core.reranking import Candidate, ReadNotes, RerankSetup
from polyseek.core.retriever import Rerank, RerankOptions, Retriever
from polyseek.core.types import Signal
from polyseek.search.results import Preview, Results

_KNOWN = frozenset(
    "limit modalities filter min_probability show_all mode group explain collapse diverse "
    "moments where".split()
)


PATCHES = "patches"
"""The built-in reranker that knows where in a picture something is."""

_ALL_THE_TIME_MS = 3_600_000


@dataclass(frozen=True, slots=True, eq=False)
class Road:
    """The stages of a search, and the rerankers they name."""

    retriever: Retriever = field(default_factory=Retriever)
    rerankers: Mapping[str, Reranker] = field(default_factory=dict)


class Searcher:
    """Runs searches of one collection; keeps its rerankers loaded."""

    def __init__(
        self,
        *,
        store: StoreReader,
        encoder: Encoder,
        settings: Settings,
        defaults: Defaults | None,
        adapters: Callable[[float | None], Adapters],
        sparse: SparseEncoder | None,
        preview: Preview,
    ) -> None:
        self._store, self._encoder, self._settings = store, encoder, settings
        self._defaults, self._adapters = defaults, adapters
        self._sparse, self._preview = sparse, preview
        self._rerankers: dict[str, _Loaded] = {}

    def search(
        self,
        query: str | Path | ComposedQuery | Any | None,
        *,
        vector: Any = None,
        sparse: Any = None,
        like: Sequence[str | Path] = (),
        unlike: Sequence[str | Path] = (),
        filter: str | None = None,  # noqa: A002 - the name users of search tools expect
        retriever: str | Path | Retriever | None = None,
        strength: float | None = None,
        glossary: str | Path | None = None,
        partial: Callable[[Results], None] | None = None,
        **given: Any,
    ) -> Results:
        """See `polyseek.Collection.search`."""
        from polyseek.search.browse import browse
        from polyseek.search.feedback import with_feedback
        from polyseek.search.pipeline import search

        options = self._options(retriever, {**given, "filter": filter})
        if filter is not None:
            check(parse(filter), self._store.fields())
        asked = ask(
            query, self._store, vector=vector, sparse=sparse, offline=self._settings.offline,
            encoder=self._encoder.info,
        )  # fmt: skip
        if asked is None and not like and not unlike and (filter or options.modalities):
            return browse(self._store, options, preview=self._preview)
        names = [[_example(one) for one in examples] for examples in (like, unlike)]
        return search(
            with_feedback(asked, self._store, like=names[0], unlike=names[1]),
            encoder=self._encoder,
            store=self._store,
            options=options,
            defaults=self._defaults,
            rerankers=self._loaded(options.retriever),
            locator=self._locator() if given.get("where") else None,
            adapters=self._adapters(strength),
            glossary=self._glossary(glossary),
            sparse=self._sparse,
            preview=self._preview,
            partial=partial,
        )

    def road(self, named: str | Path | Retriever | None) -> Road:
        """The stages that a caller means, with their rerankers, as `search` would use them."""
        chosen = retrievers.resolve(named, self._store.notes)
        return Road(chosen, self._loaded(chosen))

    def candidates(self, query: str | Path) -> Sequence[Candidate]:
        """What a reranker sees of a query: the best assets, in order, however improbable."""
        from polyseek.search.pipeline import search

        recorder = Recorder()
        options = self._options(None, {"show_all": True, "collapse": False, "diverse": 0.0})
        rerank = Rerank(depth=DEPTH, budget_ms=_ALL_THE_TIME_MS)
        search(
            read(query, offline=self._settings.offline, encoder=self._encoder.info),
            encoder=self._encoder,
            store=self._store,
            options=replace(options, retriever=replace(options.retriever, rerank=rerank)),
            defaults=self._defaults,
            rerankers={"recorder": recorder},
            adapters=self._adapters(None),
            glossary=self._glossary(None),
            sparse=self._sparse,
        )
        return recorder.seen

    def _options(
        self, named: str | Path | Retriever | None, given: Mapping[str, Any]
    ) -> SearchOptions:
        """What the caller gives, and for what is None what the retriever says."""
        if unknown := set(given) - _KNOWN:
            raise ConfigError(
                f"unknown option '{min(unknown)}'; known: {', '.join(sorted(_KNOWN))}"
            )
        asked = {name: value for name, value in given.items() if value is not None}
        chosen = retrievers.resolve(named, self._store.notes)
        chosen = replace(
            chosen,
            diversify=replace(chosen.diversify, **_only(asked, "collapse", "diverse")),
            group=replace(chosen.group, **_only(asked, "moments")),
        )
        retrievers.check_ranges(chosen)
        return SearchOptions(
            limit=asked.get("limit", chosen.limits.hits),
            modalities=modalities_of(asked.get("modalities", ())),
            filter=asked.get("filter"),
            min_probability=asked.get("min_probability", chosen.thresholds.min_probability),
            show_all=asked.get("show_all", chosen.thresholds.show_all),
            mode=mode_of(asked.get("mode", chosen.signals.mode)),
            group=group_of(asked.get("group", Group.ASSET)),
            explain=asked.get("explain", False),
            retriever=chosen,
        )

    def _glossary(self, given: str | Path | None) -> Glossary | None:
        """The one that is given, else the collection's own."""
        if given is not None:
            return read_glossary(given)
        text = self._store.notes.get(GLOSSARY)
        return Glossary.parse(text, where="the collection's glossary") if text else None

    def _loaded(self, chosen: Retriever) -> dict[str, Reranker]:
        """The rerankers a retriever names, each loaded once as long as nothing about it changes."""
        options = chosen.rerank.options
        return {name: self._reranker(name, options.get(name, {})) for name in chosen.rerank.by}

    def _locator(self) -> Locator | None:
        """The reranker that knows where in pictures things are, if the encoder does."""
        if not isinstance(self._encoder, PatchEncoder):
            return None
        found = self._reranker(PATCHES, {})
        return found if isinstance(found, Locator) else None

    def _reranker(self, name: str, options: RerankOptions) -> Reranker:
        known = self._rerankers.get(name)
        if known is None or known.options != options or known.notes.differ(self._store.notes):
            notes = ReadNotes(self._store.notes)
            load = plugins.load("reranker", name)
            setup = RerankSetup(
                settings=self._settings, options=options, notes=notes, encoder=self._encoder,
                signal_of=_signal_of,
            )  # fmt: skip
            known = self._rerankers[name] = _Loaded(options, notes, load(setup))
        return known.reranker


class _Loaded(NamedTuple):
    """A reranker and what it was made of."""

    options: RerankOptions
    notes: ReadNotes
    reranker: Reranker


def _signal_of(hit: Hit) -> Signal | None:
    from polyseek.ingest.hit_signal import signal_of

    return signal_of(hit)


def _only(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _example(given: str | Path) -> str:
    """The id of a segment as it is, and a path or uri as the uri of an asset."""
    from polyseek.ingest.sources.locate import uri_of
    from polyseek.search.feedback import is_id

    if not isinstance(given, (str, Path)):
        raise ConfigError(f"example {given!r} is no id, path or uri")
    return given if isinstance(given, str) and is_id(given) else uri_of(given)
