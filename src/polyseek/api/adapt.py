"""Adapt a collection to its owner's pairs: read them, fit, judge, and install what is better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polyseek.api.adapting import Shelf
from polyseek.api.pairs import Labelled, labelled
from polyseek.api.tuner import Tuner
from polyseek.core.adapting import Adapter, Adapters, Direction, features_of
from polyseek.core.artifacts import reporting
from polyseek.core.defaults import Defaults, shipped_adapters
from polyseek.core.errors import ConfigError
from polyseek.core.hits import Item, Query, item_of
from polyseek.core.inventory import Inventory
from polyseek.core.pairs import LabelledQuery
from polyseek.core.protocols import Encoder, Store
from polyseek.core.reports import Progress, ProgressCallback
from polyseek.core.tuning import Pair
from polyseek.core.types import Embeddings, Floats, Modality, Role
from polyseek.learn.adapters.general import DEPTH, kept
from polyseek.learn.adapters.ladder import Fitted, Task
from polyseek.learn.adapters.pairs import MIN_GROUPS, Linked, Side
from polyseek.learn.adapters.trial import Verdict, calibrate, climb
from polyseek.learn.splits import HELD_OUT, part_of
from polyseek.search.embed import embed_all

DISTRACTORS = 2_000
"""Further segments of the collection that queries compete with while they are judged."""

MAX_PAIRS = 20_000
"""More teach a map of this size nothing and fill memory; a random part is used."""

_FETCH = 500


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Trial:
    """What was measured for one direction.

    Attributes:
        pair: Modalities of queries and of what they find.
        verdict: Before and after on held-out pairs.
        kept: Share of what generic queries find that they still find, adapted; None where there
            was nothing generic to ask or to find.
        installed: Whether it serves now.
    """

    pair: Pair
    verdict: Verdict
    kept: float | None
    installed: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "query": self.pair[0],
            "target": self.pair[1],
            "installed": self.installed,
            "generic_results_kept": self.kept,
            **self.verdict.to_dict(),
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AdaptReport:
    """What came of adapting.

    Attributes:
        name: Of the new version; None where nothing was installed.
        trials: One per direction.
        notes: What was left out and why, for people.
    """

    name: str | None
    trials: Sequence[Trial]
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "adapter": self.name,
            "directions": [trial.to_dict() for trial in self.trials],
            "notes": list(self.notes),
        }


@dataclass(eq=False, kw_only=True)
class Adapting:
    """One run of `polyseek adapt`."""

    store: Store
    encoder: Encoder
    defaults: Defaults | None
    shelf: Shelf
    tuner: Tuner
    progress: ProgressCallback | None = None
    notes: list[str] = field(default_factory=list)
    _aside: set[tuple[str | Item, str | Item]] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)

    def run(
        self,
        pairs: str | Path,
        *,
        queries: str | Path | None = None,
        force: bool = False,
        install: bool = True,
    ) -> AdaptReport:
        """Fit and judge every kind of pair; install what is better.

        Args:
            pairs: As `api.pairs.labelled` takes them.
            queries: What ids in them stand for.
            force: Install what is no better, too.
            install: Whether to install anything.

        Raises:
            ConfigError: The pairs cannot be read, are too few, or their assets are not indexed.
        """
        with reporting(self.progress), self.store.writing():
            inventory = Inventory.of(self.store)
            given = labelled(pairs, inventory, encoder=self.encoder.info, queries=queries)
            self.notes.extend(given.notes)
            kinds = self._kinds(given, inventory, str(pairs))
            name = self.shelf.free_name("-".join(dict.fromkeys(m for kind in kinds for m in kind)))
            directions: dict[Pair, Direction] = {}
            trials = []
            for linked in kinds.values():
                for one in (linked, linked.reversed()):
                    trial, direction = self._direction(one, keep=install, force=force)
                    trials.append(trial)
                    if trial.installed:
                        directions[trial.pair] = direction
            if directions:
                self._install(name, directions, trials)
        if directions:
            self.tuner.tune_again(self.progress)
        return AdaptReport(name=name if directions else None, trials=trials, notes=self.notes)

    def _install(
        self, name: str, directions: Mapping[Pair, Direction], trials: Sequence[Trial]
    ) -> None:
        info = self.encoder.info
        report = {"directions": [trial.to_dict() for trial in trials if trial.installed]}
        encoder = f"{info.name}@{info.revision}"
        self.shelf.put(
            Adapter(
                name=name, encoder=encoder, directions=directions, report=report,
                queries=sorted(self._asked),
            )
        )  # fmt: skip
        self.shelf.use(name)

    def _direction(self, linked: Linked, *, keep: bool, force: bool) -> tuple[Trial, Direction]:
        query, target = linked.pair
        self._say(f"{query} -> {target}")
        task = Task(pairs=linked, distractors=self._distractors(linked))
        verdict = climb(task, tried=lambda rung: self._say(f"{query} -> {target}: {rung}"))
        fitted = verdict.after.fitted
        assert fitted is not None  # noqa: S101 - `climb` fits what it returns
        direction = Direction(
            map=fitted.map,
            strength=fitted.strength,
            rung=verdict.after.rung,
            calibration=calibrate(task, verdict.after, self.defaults),
            start=self._shipped.key(linked.pair),
        )
        trial = Trial(
            pair=linked.pair,
            verdict=verdict,
            kept=self._kept(task, fitted),
            installed=keep and (verdict.better or force),
        )
        return trial, direction

    def _kept(self, task: Task, fitted: Fitted) -> float | None:
        """See `Trial.kept`."""
        pair = task.pairs.pair
        queries, items = (self._generic(modality) for modality in pair)
        found = task.distractors if items is None else items.compared(pair)
        if queries is None or len(found) <= DEPTH:
            return None
        if len(queries.tower) != len(queries.shared):
            return None  # items that ship without their towers' embeddings cannot be moved
        before = queries.compared(pair)
        return kept(before, fitted.place(features_of(queries), before), found)

    def _generic(self, modality: Modality) -> Embeddings | None:
        """Texts or items that belong to no collection."""
        if modality is Modality.TEXT:
            reads = Modality.TEXT in self.encoder.info.towers
            return self._shipped.move(modality, self.tuner.bank(brief=True)) if reads else None
        return self.defaults.cohorts.get(modality) if self.defaults else None

    @property
    def _shipped(self) -> Adapters:
        """Where queries lie without an adapter of the collection."""
        return shipped_adapters(self.defaults)

    def _kinds(self, given: Labelled, inventory: Inventory, source: str) -> dict[Pair, Linked]:
        """Pairs by modalities; those of too few are left out with a note.

        Raises:
            ConfigError: None of them are enough.
        """
        links: dict[Pair, list[tuple[str | Item, Item]]] = defaultdict(list)
        unknown: list[str] = []
        for judged in given.every():
            asked: str | Item = judged.query.query
            first = Modality.TEXT
            if judged.query.is_file:
                items = inventory.find(judged.query.query)
                if len(items) != 1:
                    unknown.append(judged.query.query)
                    continue
                asked = items[0]
                first = inventory.entries[asked].modality
            for item in judged.answers:
                if item != asked:
                    links[first, inventory.entries[item].modality].append((asked, item))
                    self._note_split(judged.query, (asked, item))
        if unknown:
            self.notes.append(
                f"{len(unknown):,} queries are files that are not in the collection and were left "
                f"out (e.g. {unknown[0]}); index them, too"
            )
        enough = {pair: rows for pair, rows in links.items() if len(rows) >= MIN_GROUPS}
        if not enough:
            notes = "; ".join(self.notes)
            raise ConfigError(
                f"--pairs {source}: {sum(map(len, links.values()))} pairs of indexed assets; at "
                f"least {MIN_GROUPS} of one kind are needed, and some hundred make a difference"
                + (f" ({notes})" if notes else "")
            )
        for pair in links.keys() - enough.keys():
            few = len(links[pair])
            self.notes.append(f"{pair[0]} - {pair[1]}: {few} pairs are too few and were left out")
        return {pair: self._linked(pair, rows) for pair, rows in enough.items()}

    def _linked(self, pair: Pair, links: Sequence[tuple[str | Item, Item]]) -> Linked:
        if len(links) > MAX_PAIRS:
            self.notes.append(f"{pair[0]} - {pair[1]}: {MAX_PAIRS:,} of {len(links):,} pairs used")
            chosen = np.random.default_rng(0).permutation(len(links))[:MAX_PAIRS]
            links = [links[i] for i in np.sort(chosen).tolist()]
        first = list(dict.fromkeys(a for a, _ in links))
        second = list(dict.fromkeys(b for _, b in links))
        place_a = {key: i for i, key in enumerate(first)}
        place_b = {key: i for i, key in enumerate(second)}
        rows = np.array([(place_a[a], place_b[b]) for a, b in links], np.int64)
        texts = [key for key in first if isinstance(key, str)]
        items = [key for key in first if not isinstance(key, str)]
        linked = Linked(
            first=self._texts(texts) if texts else self._media(pair[0], items),
            second=self._media(pair[1], second),
            links=np.unique(rows, axis=0),
        )
        return self._kept_pairs(linked, first, second)

    def _note_split(self, query: LabelledQuery, pair: tuple[str | Item, str | Item]) -> None:
        """Remember a pair that its file holds out, and by which queries figures will flatter."""
        part = query.fields.get("split", "")
        if part and part_of(part) == HELD_OUT:
            self._aside.add(pair)
        else:
            self._asked.add(query.fingerprint)

    def _kept_pairs(
        self, linked: Linked, first: Sequence[str | Item], second: Sequence[str | Item]
    ) -> Linked:
        """The pairs that a file does not keep to be measured by; tells what its split leaks."""
        aside = np.array([(first[a], second[b]) in self._aside for a, b in linked.links.tolist()])
        if not aside.any():
            return linked
        name = f"{linked.pair[0]} - {linked.pair[1]}"
        self.notes.append(
            f"{name}: {int(aside.sum()):,} pairs that the column 'split' holds out were set aside: "
            "nothing is fitted on them or judged by them"
        )
        leaking = linked.leaks(aside)
        if leaking:
            self.notes.append(
                f"{name}: the given split leaks: {len(leaking):,} of them share an asset, a "
                f"near-duplicate or their words with the others (e.g. {leaking[0]}), so figures on "
                "them will be too good; split by asset, or leave the column out"
            )
        return linked.only(~aside)

    def _texts(self, texts: Sequence[str]) -> Side:
        """Texts as queries and, where the encoder makes a difference, as what is found."""
        few = texts[:4]
        alike = all(
            np.allclose(a, b, atol=1e-4)
            for a, b in zip(
                *(
                    (rows.shared, rows.tower)
                    for rows in (self._embed(few, Role.QUERY), self._embed(few, Role.DOCUMENT))
                ),
                strict=True,
            )
        )
        return Side(
            modality=Modality.TEXT,
            keys=texts,
            embeddings=self._shipped.move(Modality.TEXT, self._embed(texts, Role.QUERY)),
            documents=None if alike else self._embed(texts, Role.DOCUMENT),
        )

    def _embed(self, texts: Sequence[str], role: Role) -> Embeddings:
        tower = self.encoder.info.towers.get(Modality.TEXT)
        if tower is None:
            name = self.encoder.info.name
            raise ConfigError(f"encoder '{name}' reads no text; give pairs of files instead")
        asked = [Query(modality=Modality.TEXT, signals=[text], label=text) for text in texts]
        rows = embed_all(asked, self.encoder, role=role, progress=lambda done: self._say(
            "encoding the texts", done=done, total=len(texts)
        ))  # fmt: skip
        return Embeddings.concat(rows)

    def _media(self, modality: Modality, items: Sequence[Item]) -> Side:
        """Items as the store has them: the mean direction of their segments of a modality."""
        sums: dict[Item, tuple[Floats, Floats]] = {}
        uris = list(dict.fromkeys(uri for uri, _ in items))
        for start in range(0, len(uris), _FETCH):
            for batch in self.store.fetch(uris[start : start + _FETCH]):
                if batch.modality is not modality:
                    continue
                for i, segment in enumerate(batch.segments):
                    item = item_of(segment.asset_uri, segment.span)
                    shared, tower = batch.embeddings.shared[i], batch.embeddings.tower[i]
                    known = sums.get(item)
                    sums[item] = (known[0] + shared, known[1] + tower) if known else (shared, tower)
        rows = [sums[item] for item in items]
        means = Embeddings(
            shared=_unit(np.stack([shared for shared, _ in rows])),
            tower=_unit(np.stack([tower for _, tower in rows])),
        )
        return Side(
            modality=modality,
            keys=[" ".join(item).strip() for item in items],
            embeddings=self._shipped.move(modality, means),
        )

    def _distractors(self, linked: Linked) -> Floats:
        """Segments of the collection that are in no pair."""
        batch = self.store.sample(linked.pair[1], DISTRACTORS)
        if batch is None:
            return np.zeros((0, linked.second.found.compared(linked.pair).shape[1]), np.float32)
        inside = {key.split(" ")[0] for side in (linked.first, linked.second) for key in side.keys}
        free = [i for i, segment in enumerate(batch.segments) if segment.asset_uri not in inside]
        return batch.embeddings.take(np.array(free, np.intp)).compared(linked.pair)

    def _say(self, label: str, *, done: int = 0, total: int | None = None) -> None:
        if self.progress:
            self.progress(Progress(stage="adapt", done=done, total=total, label=label))


def _unit(rows: Floats) -> Floats:
    scaled: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return scaled
