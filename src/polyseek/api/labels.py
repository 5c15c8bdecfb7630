"""Tuning with labelled queries: what `learn.labelled` chooses from, read from a collection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from polyseek.api.pairs import Labelled, labelled
from polyseek.core.adapting import Adapters
from polyseek.core.config import SearchOptions
from polyseek.core.defaults import Defaults
from polyseek.core.hits import Candidates, Item, Query, item_of
from polyseek.core.inventory import Inventory
from polyseek.core.judged import Judged, twins
from polyseek.core.protocols import Encoder, SparseEncoder, Store
from polyseek.core.reports import Progress, ProgressCallback
from polyseek.core.retriever import LOOK_ONCE, Refine, Retriever
from polyseek.core.tuning import Pair, Tuning, cohort_match
from polyseek.core.types import Embeddings, Floats, Modality
from polyseek.evaluate.outcomes import score
from polyseek.evaluate.plan import Planner, Question, quoted, some
from polyseek.learn.labelled import (
    Answers,
    LabelledPair,
    choose_words,
    fit_with_labels,
    in_proportion,
)
from polyseek.learn.second_look import Looked, judge
from polyseek.learn.sparse import choose_sparse
from polyseek.learn.splits import CHOOSE, FIT, HELD_OUT, Split, components, given_split, split
from polyseek.learn.tune import QUERIES, SAMPLE
from polyseek.search.calibrate import Calibrator
from polyseek.search.embed import embed_all
from polyseek.search.hybrid import products_of
from polyseek.search.pipeline import search
from polyseek.search.refine import MEASURED
from polyseek.search.results import Results

DEPTH = 300
"""Hits by embeddings and words of which the best are chosen."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Asked:
    """A labelled query with its embedding and the part it is in."""

    judged: Judged
    question: Question
    modality: Modality
    vectors: Embeddings
    part: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LabelledTuner:
    """Improves a tuning that was fitted without labels; the store is within its `writing()`."""

    store: Store
    encoder: Encoder
    defaults: Defaults | None
    adapters: Adapters = field(default_factory=Adapters)
    sparse: SparseEncoder | None = None
    progress: ProgressCallback | None = None

    def tune(
        self, tuning: Tuning, pairs: str | Path, *, queries: str | Path | None = None
    ) -> Tuning:
        """What labelled queries make of a tuning whose hub biases are stored; it is saved.

        Args:
            tuning: Fitted without labels.
            pairs: As for `api.pairs.labelled`.
            queries: As for `api.pairs.labelled`.

        Raises:
            ConfigError: The pairs cannot be read, or nothing in the collection answers them.
        """
        inventory = Inventory.of(self.store)
        given = labelled(pairs, inventory, encoder=self.encoder.info, queries=queries)
        asked, problem = self._ask(given, inventory)
        notes = [*tuning.notes, *given.notes, *([problem] if problem else [])]
        if not asked:
            return self._saved(replace(tuning, notes=notes))
        shipped = self.defaults.tuning.calibrations if self.defaults else {}
        calibrations = dict(tuning.calibrations)
        for pair in sorted(_pairs_of(asked, inventory)):
            data = self._data(pair, asked, inventory)
            fitted = fit_with_labels(
                data, shipped=shipped.get(pair), unlabelled=calibrations.get(pair)
            )
            notes.append(f"{pair[0]} -> {pair[1]}, with labels: {fitted.note}")
            calibrations.pop(pair, None)
            if fitted.calibration is not None:
                calibrations[pair] = fitted.calibration
        tuned = self._saved(
            replace(
                tuning,
                calibrations=calibrations,
                words=in_proportion(calibrations, shipped),
            )
        )
        scale = Calibrator(defaults=self.defaults, tuning=tuned, adapters=self.adapters)
        answers = self._answers(asked, inventory, scale)
        words, note = choose_words(answers, now=tuned.words)
        notes.append(note)
        sparse = None
        if self.sparse is not None:
            sparse, words, note = choose_sparse(answers, words=words)
            notes.append(note)
        looked_once = []
        for kind in sorted(MEASURED):
            better_once, note = judge(kind, self._looks(kind, asked, inventory))
            notes += [note] if note else []
            looked_once += [kind] if better_once else []
        used = [one.judged.query.fingerprint for one in asked if one.part in (FIT, CHOOSE)]
        return self._saved(
            replace(
                tuned,
                words=words,
                sparse=sparse,
                looked_once=tuple(looked_once),
                notes=tuple(notes),
                fitted_queries=tuple(used),
            )
        )

    def _saved(self, tuning: Tuning) -> Tuning:
        self.store.save_tuning(tuning)
        return tuning

    def _ask(self, given: Labelled, inventory: Inventory) -> tuple[list[Asked], str]:
        """Up to `QUERIES` queries, embedded and split, and what is wrong with the split."""
        every = given.every()
        judged = [every[i] for i in some(len(every), QUERIES)]
        planner = Planner(inventory=inventory, twins=partial(twins, self.store, inventory))
        questions = planner.questions(judged)
        groups = components(
            [[*q.answers, one.query.key] for q, one in zip(questions, judged, strict=True)]
        )
        named = [one.query.fields.get("split", "") for one in judged]
        parts = given_split(named, groups) if all(named) else split(groups)
        if parts is None:
            return [], (
                "most labelled queries hang together through their answers, so none can be held "
                "out: nothing was fitted to them"
            )
        asked = [given.queries[one.query.id] for one in judged]
        vectors = embed_all(
            asked, self.encoder, progress=lambda done: self._tell("encode", done, len(asked))
        )
        found = [
            Asked(
                judged=one,
                question=q,
                modality=query.modality,
                vectors=self.adapters.move(query.modality, rows),
                part=part,
            )
            for one, q, query, rows, part in zip(
                judged, questions, asked, vectors, parts.part.tolist(), strict=True
            )
            if part >= 0
        ]
        return found, parts.note

    def _data(self, pair: Pair, asked: Sequence[Asked], inventory: Inventory) -> LabelledPair:
        """The labelled queries of one pair, and segments with all that answers them."""
        chosen, answers = [], []
        for one in asked:
            own = _answers_in(one, pair[1], inventory)
            if one.modality is pair[0] and own:
                chosen.append(one)
                answers.append(own)
        items, rows, bias = self._segments(pair, {uri for own in answers for uri, _ in own})
        place: dict[Item, list[int]] = defaultdict(list)
        for column, item in enumerate(items):
            place[item].append(column)
        relevant = np.zeros((len(chosen), len(items)), bool)
        for row, own in enumerate(answers):
            relevant[row, [column for item in own for column in place[item]]] = True
        vectors = np.concatenate([one.vectors.compared(pair) for one in chosen])
        cohort = self.defaults.cohort(pair) if self.defaults else None
        return LabelledPair(
            pair=pair,
            queries=vectors,
            rows=rows,
            relevant=relevant,
            bias=bias,
            cohort=None if cohort is None else cohort_match(vectors, cohort),
            split=Split(part=np.array([one.part for one in chosen])),
        )

    def _segments(self, pair: Pair, uris: set[str]) -> tuple[Sequence[Item], Floats, Floats | None]:
        """Segments of the target, a sample and all of these assets, with their hub biases."""
        query, target = pair
        found: dict[str, tuple[Item, Floats, float]] = {}
        for batch in (self.store.sample(target, SAMPLE), *self.store.fetch(sorted(uris))):
            if batch is None or batch.modality is not target:
                continue
            biases = batch.hub_bias.get(query, np.full(len(batch), np.nan, np.float32))
            rows = batch.embeddings.compared(pair)
            for segment, row, bias in zip(batch.segments, rows, biases.tolist(), strict=True):
                found[segment.id] = item_of(segment.asset_uri, segment.span), row, bias
        items, vectors, known = zip(*found.values(), strict=True)
        bias_of = np.array(known, np.float32)
        return items, np.stack(vectors), None if np.isnan(bias_of).any() else bias_of

    def _answers(
        self, asked: Sequence[Asked], inventory: Inventory, calibrator: Calibrator
    ) -> Mapping[int, Sequence[Answers]]:
        """What texts find by all signals, if they do not stand in what answers them."""
        trivial = {q.id for q in quoted([one.question for one in asked], inventory)}
        found: dict[int, list[Answers]] = {CHOOSE: [], HELD_OUT: []}
        for done, one in enumerate(asked, 1):
            self._tell("words", done, len(asked))
            typed = one.modality is Modality.TEXT and not one.judged.query.is_file
            if one.part not in found or not typed or one.question.id in trivial:
                continue
            for target in {inventory.entries[item].modality for item in one.question.answers}:
                own = _answers_in(one, target, inventory)
                answers = self._by_words(one, target, own, calibrator)
                if answers is not None:
                    found[one.part].append(answers)
        return found

    def _by_words(
        self, one: Asked, target: Modality, own: Mapping[Item, float], calibrator: Calibrator
    ) -> Answers | None:
        pair = one.modality, target
        found = self._search(one, SearchOptions(limit=DEPTH, modalities=(target,), show_all=True))
        candidates = Candidates(hits=found.hits, tier="", rows=sum(s.rows for s in found.plan))
        vector = one.vectors.compared(pair)[0]
        probabilities = calibrator.probabilities(pair, vector, candidates)
        if probabilities is None:
            return None
        return Answers(
            probabilities=probabilities,
            scores=np.array([hit.text_score or 0.0 for hit in found.hits]),
            shares=np.array([hit.text_share or 0.0 for hit in found.hits]),
            products=products_of(found.hits),
            gains=np.array([own.get(hit.item, 0.0) for hit in found.hits]),
            ideal=np.array(list(own.values())),
        )

    def _looks(
        self, kind: Modality, asked: Sequence[Asked], inventory: Inventory
    ) -> Mapping[int, Sequence[Looked]]:
        """What queries of a kind find among their own, looking once and looking twice."""
        found: dict[int, list[Looked]] = {CHOOSE: [], HELD_OUT: []}
        for done, one in enumerate(asked, 1):
            own = _answers_in(one, kind, inventory)
            if one.part not in found or one.modality is not kind or not own:
                continue
            self._tell("second look", done, len(asked))
            question = replace(one.question, answers=own)
            ndcg = []
            for refine in (LOOK_ONCE, Refine()):
                options = SearchOptions(
                    limit=11,  # one more, for the query that finds itself
                    modalities=(kind,), show_all=True, retriever=Retriever(refine=refine),
                )  # fmt: skip
                hits = self._search(one, options).hits
                ndcg.append(score(question, hits, (), answered=True).ndcg)
            found[one.part].append(Looked(once=ndcg[0], twice=ndcg[1], group=question.group))
        return found

    def _search(self, one: Asked, options: SearchOptions) -> Results:
        text = one.judged.query.query
        words = [text] if one.modality is Modality.TEXT else ()
        return search(
            Query(modality=one.modality, signals=words, label=text),
            encoder=self.encoder,
            store=self.store,
            options=options,
            defaults=self.defaults,
            adapters=self.adapters,
            sparse=self.sparse,
            embeddings=[one.vectors],
        )

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self.progress:
            self.progress(Progress(stage=stage, done=done, total=total, label="labelled queries"))


def _answers_in(one: Asked, target: Modality, inventory: Inventory) -> dict[Item, float]:
    """What answers a query, of one modality."""
    answers = one.question.answers
    return {i: gain for i, gain in answers.items() if inventory.entries[i].modality is target}


def _pairs_of(asked: Sequence[Asked], inventory: Inventory) -> set[Pair]:
    return {
        (one.modality, inventory.entries[item].modality)
        for one in asked
        for item in one.question.answers
    }
