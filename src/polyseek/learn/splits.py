"""Parts of labelled queries that share nothing: what is learned on one is measured on another."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import ConfigError

FIT, CHOOSE, HELD_OUT = 0, 1, 2
SHARES = (0.4, 0.3, 0.3)
"""Of the queries: to fit with, to choose with, and to report on."""

GIVEN: Mapping[str, int] = {
    "train": FIT, "training": FIT, "fit": FIT,
    "val": CHOOSE, "valid": CHOOSE, "validation": CHOOSE, "dev": CHOOSE,
    "test": HELD_OUT, "held-out": HELD_OUT, "heldout": HELD_OUT,
}  # fmt: skip
"""Names of parts that a file may give in its column ``split``."""

LARGEST = 0.5
"""Share of the queries that may hang together; beyond it no split keeps them apart."""

_SEED = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Split:
    """Which part each query is in.

    Attributes:
        part: ``(q,)`` `FIT`, `CHOOSE` or `HELD_OUT`; -1 for none of them.
        note: What was found wrong with a given split; empty for nothing.
    """

    part: NDArray[np.int64]
    note: str = ""

    def rows(self, part: int) -> NDArray[np.int64]:
        """Numbers of the queries of a part."""
        return np.flatnonzero(self.part == part)


def components(members: Sequence[Iterable[Hashable]]) -> NDArray[np.int64]:
    """``(q,)`` number of the group each query belongs to: those that share a member, however far.

    Args:
        members: Of each query what it must not share with another part: the assets that answer
            it, their near-duplicates, its words.
    """
    parent = list(range(len(members)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[Hashable, int] = {}
    for i, own in enumerate(members):
        for member in own:
            j = first.setdefault(member, i)
            parent[root(i)] = root(j)
    return np.array([root(i) for i in range(len(members))], np.int64)


def split(groups: NDArray[np.int64]) -> Split | None:
    """Whole groups at random, the same every time; None where one of them is most of all.

    Args:
        groups: ``(q,)`` as `components` gives them.
    """
    names, counts = np.unique(groups, return_counts=True)
    if counts.max(initial=0) > LARGEST * len(groups):
        return None
    order = np.random.default_rng(_SEED).permutation(len(names))
    before = np.cumsum(counts[order]) - counts[order]
    edges = np.cumsum(SHARES[:-1]) * len(groups)
    part_of = dict(
        zip(
            names[order].tolist(),
            np.searchsorted(edges, before, side="right").tolist(),
            strict=True,
        )
    )
    return Split(part=np.array([part_of[group] for group in groups.tolist()], np.int64))


def part_of(name: str) -> int:
    """The part that a name in a file's column ``split`` means.

    Raises:
        ConfigError: It means none.
    """
    found = GIVEN.get(name.strip().lower())
    if found is None:
        raise ConfigError(f"column 'split' has {name!r}; expected one of {', '.join(GIVEN)}")
    return found


def given_split(names: Sequence[str], groups: NDArray[np.int64]) -> Split:
    """The split that a file gives, without what leaks from one part to another.

    A query that hangs together with one of an earlier part is in no later one.

    Args:
        names: ``(q,)`` the part each query is said to be in.
        groups: ``(q,)`` as `components` gives them.

    Raises:
        ConfigError: A name is unknown, or a part is empty.
    """
    said = np.array([part_of(name) for name in names], np.int64)
    earliest = np.full(int(groups.max(initial=0)) + 1, HELD_OUT + 1)
    np.minimum.at(earliest, groups, said)
    leaking = said > earliest[groups]
    part = np.where(leaking, -1, said)
    empty = [name for name, n in (("train", FIT), ("validation", CHOOSE), ("test", HELD_OUT))
             if not (part == n).any()]  # fmt: skip
    if empty:
        raise ConfigError(
            f"column 'split' leaves no query for {', '.join(empty)}"
            f"{f' ({int(leaking.sum()):,} leak from another part)' if leaking.any() else ''}; "
            "leave the column out to have the queries split"
        )
    note = (
        f"the given split leaks: {int(leaking.sum()):,} queries share an asset, a near-duplicate "
        "or their words with an earlier part; they are left out"
        if leaking.any()
        else ""
    )
    return Split(part=part, note=note)
