"""Adapters: where the queries of one modality should lie among the segments of another.

An adapter moves queries, never segments. A score stays the product of a query with a stored vector,
so an index, a copy in memory and a filter work as before, a new adapter costs no rewriting, and
what is indexed later is served by it at once. A linear map of segments is not lost by this: it
folds into the queries, ``q . (A t) = (A' q) . t``.

The exception is a modality that the encoder lacks: without an adapter it has no place in the shared
space, so its segments are stored where the adapter puts them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zipfile import BadZipFile

import numpy as np

from polyseek.core.joined import JoinedTower
from polyseek.core.maps import QueryMap, unit_or
from polyseek.core.tuning import Calibration, Pair, read_calibration
from polyseek.core.types import Embeddings, Floats, Modality

NOTHING = ""
"""Key of a pair that no adapter changes."""


def features_of(queries: Embeddings) -> Floats:
    """``(n, f)`` what an adapter sees of queries: both of their embeddings side by side."""
    return np.concatenate([queries.shared, queries.tower], axis=1)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Direction:
    """One direction of an adapter: queries of a modality for segments of another.

    Attributes:
        map: Where such queries should lie.
        strength: Share of the adapted vector, 0 to 1, that was best while fitting.
        rung: What was fitted, ``ridge``, ``cca`` or ``residual``.
        calibration: Fitted on the pairs, at that strength and without hub correction; None where
            they say too little.
        start: Key of the shipped adapter that had moved the queries it was fitted on.
    """

    map: QueryMap
    strength: float
    rung: str
    calibration: Calibration | None = None
    start: str = NOTHING


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Adapter:
    """A version of an adapter, as a collection keeps it.

    Attributes:
        name: Unique in its collection.
        encoder: Name and revision of the encoder whose queries it moves.
        directions: By pair; only those that were better on held-out data, unless forced.
        joins: The modality that it joins to the shared space instead; None for none.
        report: What was measured while fitting, JSON-ready.
        queries: Fingerprints of the labelled queries it was fitted on: figures that are measured
            with them flatter.
    """

    name: str
    encoder: str
    directions: Mapping[Pair, Direction] = field(default_factory=dict)
    joins: JoinedTower | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    queries: Sequence[str] = ()

    def key(self, pair: Pair) -> str:
        """What calibrations of this pair must have been fitted to where this alone serves it."""
        found = self.directions.get(pair)
        return Use(adapter=self.name, strength=found.strength).key if found else NOTHING

    def to_bytes(self) -> bytes:
        """What `from_bytes` reads: an ``.npz`` without pickled objects."""
        arrays: dict[str, Any] = {}
        head: dict[str, Any] = {
            "name": self.name, "encoder": self.encoder, "report": self.report,
            "queries": list(self.queries), "directions": [],
        }  # fmt: skip
        for i, ((query, target), found) in enumerate(self.directions.items()):
            head["directions"].append(
                {
                    "pair": [query, target],
                    "keep": found.map.keep,
                    "strength": found.strength,
                    "rung": found.rung,
                    "calibration": found.calibration and found.calibration.to_dict(),
                    "start": found.start,
                }
            )
            for name in _ARRAYS:
                arrays[f"{i}.{name}"] = getattr(found.map, name)
        if self.joins is not None:
            head["joins"] = self.joins.head()
            arrays |= {f"joins.{name}": rows for name, rows in self.joins.arrays().items()}
        arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # maps that ship are mostly zeros
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Adapter:
        """The reverse of `to_bytes`.

        Raises:
            ValueError: The bytes are no adapter.
        """
        try:
            with np.load(io.BytesIO(data)) as arrays:
                head = json.loads(arrays["head"].tobytes())
                joins = {k.removeprefix("joins."): arrays[k] for k in arrays if "joins." in k}
                return cls(
                    name=head["name"],
                    encoder=head["encoder"],
                    report=head["report"],
                    queries=tuple(head.get("queries", ())),
                    joins=JoinedTower.read(head["joins"], joins) if joins else None,
                    directions=dict(
                        _direction(i, each, arrays) for i, each in enumerate(head["directions"])
                    ),
                )
        except (KeyError, OSError, EOFError, TypeError, ValueError, BadZipFile) as error:
            raise ValueError(f"this is no adapter: {error!r}") from error


_ARRAYS = ("mean", "weights", "inner", "offset", "outer")


def _direction(i: int, read: Mapping[str, Any], arrays: Any) -> tuple[Pair, Direction]:
    query, target = map(Modality, read["pair"])
    calibration = read["calibration"]
    return (query, target), Direction(
        map=QueryMap(keep=read["keep"], **{name: arrays[f"{i}.{name}"] for name in _ARRAYS}),
        strength=read["strength"],
        rung=read["rung"],
        calibration=calibration and read_calibration(calibration),
        start=read.get("start", NOTHING),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Which adapter serves a pair, and how strongly.

    Attributes:
        adapter: Its name.
        strength: Share of the adapted vector, above 0 and up to 1.
    """

    adapter: str
    strength: float

    @property
    def key(self) -> str:
        """What a calibration that was fitted to this use is known by."""
        return f"{self.adapter}@{self.strength:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Adapters:
    """The adapters that serve a collection.

    Attributes:
        uses: By pair, of the collection's own.
        by_name: The adapters named in `uses`.
        joined: By modality, what joins it to the encoder's shared space.
        shipped: The encoder's, which moves queries before they do; None for none.
    """

    uses: Mapping[Pair, Use] = field(default_factory=dict)
    by_name: Mapping[str, Adapter] = field(default_factory=dict)
    joined: Mapping[Modality, JoinedTower] = field(default_factory=dict)
    shipped: Adapter | None = None

    @property
    def keys(self) -> Mapping[Pair, str]:
        """What calibrations must have been fitted to, by pair; those of other pairs to nothing."""
        return {pair: self.key(pair) for pair, _, _ in self._serving}

    def moved_since(self, adapted: Mapping[Pair, str]) -> list[Pair]:
        """Pairs whose queries lay elsewhere when something was fitted to these keys."""
        keys = self.keys
        pairs = {*adapted, *keys}
        return sorted(p for p in pairs if adapted.get(p, NOTHING) != keys.get(p, NOTHING))

    @property
    def calibrations(self) -> Mapping[Pair, Calibration]:
        """Of the joined modalities' pairs, as far as no adapter moves the queries."""
        every = (found.calibrations for found in self.joined.values())
        return {pair: one for found in every for pair, one in found.items() if not self.key(pair)}

    def key(self, pair: Pair) -> str:
        """What calibrations of this pair must have been fitted to."""
        use, start = self.uses.get(pair), self.start(pair)
        return " ".join(filter(None, [start, use.key if use else NOTHING]))

    def start(self, pair: Pair) -> str:
        """Key of the shipped adapter where it moves this pair's queries first.

        An adapter that was fitted without it, or on top of another one, serves without it.
        """
        shipped, own = self.shipped.key(pair) if self.shipped else NOTHING, self.direction(pair)
        return shipped if own is None or own.start == shipped else NOTHING

    def direction(self, pair: Pair) -> Direction | None:
        """What of the collection's own serves this pair; None where nothing does."""
        use = self.uses.get(pair)
        return self.by_name[use.adapter].directions[pair] if use else None

    def at(self, strength: float) -> Adapters:
        """The collection's own at another strength; none of them at 0."""
        uses = {pair: replace(use, strength=strength) for pair, use in self.uses.items()}
        return replace(self, uses=uses if strength > 0 else {})

    def move(self, modality: Modality, queries: Embeddings) -> Embeddings:
        """Queries with where they lie among segments of each modality that is adapted for.

        Where they lay before, adapted or not, makes no difference. The collection's own adapters
        start where the shipped one puts a query.
        """
        found = replace(queries, adapted={})
        for pair, direction, strength in self._serving:
            if pair[0] is modality:
                before = found.compared(pair)
                after = direction.map(features_of(queries), before)
                moved = between(before, after, strength)
                found = replace(found, adapted={**found.adapted, pair[1]: moved})
        return found

    @property
    def _serving(self) -> Iterator[tuple[Pair, Direction, float]]:
        """Directions and their strengths, in the order in which they move a query."""
        if self.shipped:
            for pair, found in self.shipped.directions.items():
                if self.start(pair):
                    yield pair, found, found.strength
        for pair, use in self.uses.items():
            yield pair, self.by_name[use.adapter].directions[pair], use.strength


def between(before: Floats, after: Floats, strength: float) -> Floats:
    """Unit vectors at a share of the way from one set of unit vectors to another."""
    return unit_or((1 - strength) * before + strength * after, before)


def dump_uses(uses: Mapping[Pair, Use]) -> str:
    """A text that `read_uses` reads."""
    return json.dumps(
        [[*pair, use.adapter, use.strength] for pair, use in sorted(uses.items())],
    )


def read_uses(text: str) -> dict[Pair, Use]:
    """The reverse of `dump_uses`."""
    rows: Sequence[Any] = json.loads(text)
    return {
        (Modality(query), Modality(target)): Use(adapter=name, strength=strength)
        for query, target, name, strength in rows
    }
