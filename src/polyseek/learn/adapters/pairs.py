"""Pairs to learn from: two sides, who belongs to whom, and what must never be split apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import ConfigError
from polyseek.core.tuning import Pair
from polyseek.core.types import Embeddings, Floats, Modality

Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

MIN_GROUPS = 20
"""Fewer independent groups of pairs cannot show that anything became better."""

MAX_SHARE = 0.5
"""Of the pairs in one group: more, and what is left is too little to learn or to judge by."""

NEAR_DUPLICATE = 0.95
"""Cosine in a tower's own space, centred on the items' mean, from which two are the same twice."""

_BLOCK = 2048


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Side:
    """One side of the pairs, every item once.

    Attributes:
        modality: Of its items.
        keys: What names each item: its text, or the uri of its asset.
        embeddings: n rows, as queries.
        documents: n rows, as what is found; None where the encoder treats both alike.
    """

    modality: Modality
    keys: Sequence[str]
    embeddings: Embeddings
    documents: Embeddings | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> Side:
        """Some of the items."""
        return replace(
            self,
            keys=[self.keys[row] for row in rows.tolist()],
            embeddings=self.embeddings.take(rows),
            documents=None if self.documents is None else self.documents.take(rows),
        )

    @property
    def found(self) -> Embeddings:
        """As what is found."""
        return self.embeddings if self.documents is None else self.documents


@dataclass(frozen=True, eq=False, kw_only=True)
class Linked:
    """Items of two sides that belong together.

    Attributes:
        first: Usually texts.
        second: Usually media.
        links: ``(m, 2)`` rows of both sides that belong together, every pair once.

    Raises:
        ConfigError: An embedding is not finite, all items of a side are alike, or the pairs make
            too few independent groups.
    """

    first: Side
    second: Side
    links: Rows

    def __post_init__(self) -> None:
        for side in (self.first, self.second):
            _require_usable(side)
        sizes = np.bincount(self.groups)
        if len(sizes) < MIN_GROUPS:
            raise ConfigError(
                f"{len(self.links):,} pairs in {len(sizes)} independent groups (pairs that share "
                f"an item, or a copy of one, are one group); at least {MIN_GROUPS} are needed, "
                "and some hundred make a difference"
            )
        if sizes.max() > MAX_SHARE * len(self.links):
            raise ConfigError(
                f"{sizes.max() / len(self.links):.0%} of the pairs hang together through shared "
                "texts, assets or copies, so nothing can be held out to judge by; give texts that "
                "are about one asset each"
            )

    @property
    def pair(self) -> Pair:
        """Modalities of the first and of the second side."""
        return self.first.modality, self.second.modality

    @cached_property
    def groups(self) -> Rows:
        """``(m,)`` number of the group of each link.

        Links that share an item, a near-duplicate of one or the same words are one group.
        """
        count = len(self.first)
        edges = [self.links + np.array([0, count])]
        for side, offset in ((self.first, 0), (self.second, count)):
            edges.append(same(side) + offset)
        roots = _components(np.concatenate(edges), count + len(self.second))
        numbers: Rows = np.unique(roots[self.links[:, 0]], return_inverse=True)[1].reshape(-1)
        return numbers

    @cached_property
    def relevant(self) -> Flags:
        """``(first, second)`` what belongs together; a near-duplicate of a right item is right."""
        found = np.zeros((len(self.first), len(self.second)), bool)
        found[self.links[:, 0], self.links[:, 1]] = True
        for a, b in same(self.second).tolist():
            found[:, a] = found[:, b] = found[:, a] | found[:, b]
        return found

    def reversed(self) -> Linked:
        """The same pairs from the other side."""
        return self._again(first=self.second, second=self.first, links=self.links[:, ::-1])

    def with_first(self, side: Side) -> Linked:
        """The same pairs, with the same items of the first side embedded in another way."""
        return self._again(first=side, second=self.second, links=self.links)

    def _again(self, **parts: Side | Rows) -> Linked:
        """The same pairs, which have been checked."""
        made = object.__new__(Linked)
        made.__dict__.update(parts, groups=self.groups)
        return made

    def only(self, links: Flags) -> Linked:
        """The pairs of these links, without the items of the others.

        Raises:
            ConfigError: They are too few.
        """
        first, a = np.unique(self.links[links, 0], return_inverse=True)
        second, b = np.unique(self.links[links, 1], return_inverse=True)
        return Linked(
            first=self.first.take(first),
            second=self.second.take(second),
            links=np.stack([a.reshape(-1), b.reshape(-1)], axis=1),
        )

    def leaks(self, held_out: Flags) -> list[str]:
        """What a given split leaks: items of held-out links that are also, or nearly, in the rest.

        Args:
            held_out: ``(m,)`` whether each link is held out.
        """
        shared = np.intersect1d(self.groups[held_out], self.groups[~held_out])
        rows = self.links[held_out & np.isin(self.groups, shared)]
        return [f"{self.first.keys[a]} | {self.second.keys[b]}" for a, b in rows.tolist()]


def same(side: Side) -> Rows:
    """``(k, 2)`` pairs of rows of a side that are the same thing twice.

    Texts are, when they differ in case, blanks and punctuation alone; media, when their embeddings
    are as good as equal.
    """
    if side.modality is Modality.TEXT:
        first: dict[str, int] = {}
        edges = [
            (first.setdefault(" ".join(re.findall(r"\w+", key.casefold())) or key, row), row)
            for row, key in enumerate(side.keys)
        ]
        return np.array([e for e in edges if e[0] != e[1]], np.int64).reshape(-1, 2)
    rows = side.embeddings.tower - side.embeddings.tower.mean(axis=0)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    found = []
    for start in range(0, len(rows), _BLOCK):
        left, right = np.nonzero(rows[start : start + _BLOCK] @ rows.T >= NEAR_DUPLICATE)
        keep = left + start < right
        found.append(np.stack([left[keep] + start, right[keep]], axis=1))
    return np.concatenate(found).astype(np.int64)


def folds_of(groups: Rows, count: int, seed: int = 0) -> Rows:
    """``(m,)`` fold of each link, 0 to `count` - 1; a group is never split, folds are even."""
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of, load = np.zeros(len(sizes), np.int64), np.zeros(count, np.int64)
    for group in order.tolist():
        fold_of[group] = load.argmin()
        load[fold_of[group]] += sizes[group]
    folds: Rows = fold_of[groups]
    return folds


def _require_usable(side: Side) -> None:
    rows: Floats
    for rows in (side.embeddings.shared, side.embeddings.tower):
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise ConfigError(
                f"{int(bad.sum())} of {len(side)} {side.modality} embeddings hold values that are "
                f"not numbers, for example of {side.keys[int(bad.argmax())]}; run 'polyseek doctor'"
            )
    spread = side.embeddings.tower.std(axis=0)
    if len(side) > 1 and float(np.abs(spread).max()) < 1e-6:
        raise ConfigError(
            f"all {len(side)} {side.modality} embeddings are equal, so there is nothing to learn "
            "from them; run 'polyseek doctor'"
        )


def _components(edges: Rows, count: int) -> Rows:
    """``(count,)`` the smallest node that each node is connected with."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in edges.tolist():
        left, right = root(a), root(b)
        parent[max(left, right)] = min(left, right)
    return np.array([root(node) for node in range(count)], np.int64)
