"""The adapters that a collection keeps: versions on a shelf, some of them in use."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from polyseek.api import versions
from polyseek.api.towers import forget, place, require_same
from polyseek.api.tuner import Tuner
from polyseek.core.adapting import Adapter, Adapters, Use, dump_uses, read_uses
from polyseek.core.errors import ConfigError, StoreError
from polyseek.core.protocols import Store
from polyseek.core.reports import ProgressCallback
from polyseek.core.tuning import Pair
from polyseek.core.types import Modality

SHELF = "adapters"
"""Note that names all versions and says which serve; each version is an attachment."""


class Shelf:
    """A collection's adapters. What changes them must be within the store's `writing()`.

    Args:
        store: Where they are kept.
        shipped: What serves without them.
    """

    def __init__(self, store: Store, shipped: Adapters) -> None:
        self._store, self._shipped = store, shipped
        self._read: tuple[str | None, Adapters] = None, shipped
        self._adapters: dict[str, Adapter] = {}

    def active(self) -> Adapters:
        """Those that serve the collection's queries; cheap where nothing changed."""
        data = self._store.notes.get(SHELF)
        if data != self._read[0]:
            self._adapters.clear()  # a name may mean another version by now
            uses = self._uses(data)
            by_name = {use.adapter: self.get(use.adapter) for use in uses.values()}
            joined = {m: joins for m, name in self._joins(data).items()
                      if (joins := self.get(name).joins)}  # fmt: skip
            found = replace(self._shipped, uses=uses, by_name=by_name, joined=joined)
            self._read = data, found
        return self._read[1]

    def at(self, strength: float | None) -> Adapters:
        """The same at another strength.

        Raises:
            ConfigError: The strength is not between 0 and 1.
        """
        if strength is None:
            return self.active()
        return self.active().at(checked(strength))

    def names(self) -> Sequence[str]:
        """Of all versions, the oldest first."""
        data = self._store.notes.get(SHELF)
        return json.loads(data)["names"] if data else []

    def get(self, name: str) -> Adapter:
        """The version of that name.

        Raises:
            ConfigError: There is none.
            StoreError: It cannot be read.
        """
        if name not in self.names():
            known = ", ".join(self.names()) or "none"
            raise ConfigError(f"no adapter '{name}' in this collection; it has {known}")
        if name not in self._adapters:
            data = self._store.attachment(_place(name))
            try:
                self._adapters[name] = Adapter.from_bytes(data or b"")
            except ValueError as error:
                raise StoreError(f"adapter '{name}' cannot be read: {error}") from error
        return self._adapters[name]

    def free_name(self, stem: str) -> str:
        """The stem with the next number."""
        numbers = [
            int(name.rsplit("-", 1)[1]) for name in self.names() if name.rsplit("-", 1)[0] == stem
        ]
        return f"{stem}-{max(numbers, default=0) + 1}"

    def put(self, adapter: Adapter) -> None:
        """Keep a version; it does not serve yet."""
        self._store.attach(_place(adapter.name), adapter.to_bytes())
        self._save(names=[*self.names(), adapter.name])

    def use(self, name: str, strength: float | None = None) -> None:
        """Let a version serve its pairs of modalities, at the strength it was fitted for.

        One that joins a modality serves files to come; `place` sees to those that are stored.

        Args:
            name: Of the version.
            strength: Another strength, 0 to 1; 0 lets nothing serve these pairs.

        Raises:
            ConfigError: There is no such version, or the strength is out of range.
        """
        chosen = None if strength is None else checked(strength)
        uses, found = dict(self.active().uses), self.get(name)
        if found.joins is not None:
            if chosen not in (None, 1):
                raise ConfigError(
                    f"adapter '{name}' joins {found.joins.modality} files to the collection's "
                    "space and has no strength; leave --strength out"
                )
            modality = found.joins.modality
            self._save(
                joins={**self.joins(), modality: name}, unplaced=[*self.unplaced(), modality]
            )
            return
        for pair, direction in found.directions.items():
            share = direction.strength if chosen is None else chosen
            uses.pop(pair, None)
            if share > 0:
                uses[pair] = Use(adapter=name, strength=share)
        self._save(uses=uses)

    def place(self) -> None:
        """Put stored segments where the versions say that join their modalities since then."""
        unplaced = self.unplaced()
        for name in unplaced.values():
            joins = self.get(name).joins
            assert joins is not None  # noqa: S101 - `use` has seen it
            place(self._store, joins)
        if unplaced:
            self._save(unplaced=())

    def finish(self) -> bool:
        """Do what a process was killed over between `use` and the end of `place`.

        Not to be called within the store's `writing()`.

        Returns:
            Whether there was anything.
        """
        if not self.unplaced():
            return False
        with self._store.writing():
            self.place()
        return True

    def remove(self, name: str) -> bool:
        """Forget a version, the files that only it joins, and whether it was serving."""
        joined = self.get(name).joins
        if joined is not None and self.joins().get(joined.modality) == name:
            forget(self._store, joined.modality)  # first: killed in between, it can be removed anew
        uses = self.active().uses
        kept = {pair: use for pair, use in uses.items() if use.adapter != name}
        joins = {modality: by for modality, by in self.joins().items() if by != name}
        served = len(kept) < len(uses) or len(joins) < len(self.joins())
        self._save(names=[n for n in self.names() if n != name], uses=kept, joins=joins)
        self._store.attach(_place(name), None)
        self._adapters.pop(name, None)
        return served

    def off(self) -> None:
        """Let none move queries; joined modalities stay, because nothing else places them."""
        self._save(uses={})

    def joins(self) -> Mapping[Modality, str]:
        """The version that joins each modality that the encoder lacks."""
        return self._joins(self._store.notes.get(SHELF))

    def unplaced(self) -> Mapping[Modality, str]:
        """`joins`, where stored segments may still lie as an earlier version put them."""
        data = self._store.notes.get(SHELF)
        named = json.loads(data).get("unplaced", ()) if data else ()
        return {modality: name for modality, name in self.joins().items() if modality in named}

    def _save(
        self,
        *,
        names: Sequence[str] | None = None,
        uses: Mapping[Pair, Use] | None = None,
        joins: Mapping[Modality, str] | None = None,
        unplaced: Iterable[Modality] | None = None,
    ) -> None:
        """Write what is given; the rest stays."""
        data = self._store.notes.get(SHELF)
        text = json.dumps(
            {
                "names": list(self.names() if names is None else names),
                "uses": dump_uses(self._uses(data) if uses is None else uses),
                "joins": dict(self._joins(data) if joins is None else joins),
                "unplaced": list(self.unplaced() if unplaced is None else unplaced),
                # A version that took the name of a removed one must not pass for it elsewhere.
                "state": secrets.token_hex(4),
            }
        )
        self._store.save_note(SHELF, text)

    def _uses(self, data: str | None) -> Mapping[Pair, Use]:
        return read_uses(json.loads(data)["uses"]) if data else {}

    def _joins(self, data: str | None) -> Mapping[Modality, str]:
        found = json.loads(data).get("joins", {}) if data else {}
        return {Modality(modality): name for modality, name in found.items()}


class AdapterVersions:
    """What `Collection.adapters` gives."""

    def __init__(self, store: Store, shelf: Shelf, tuner: Tuner) -> None:
        self._store, self._shelf, self._tuner = store, shelf, tuner

    def __iter__(self) -> Iterator[Adapter]:
        """All versions, the oldest first."""
        return (self._shelf.get(name) for name in self._shelf.names())

    def __len__(self) -> int:
        return len(self._shelf.names())

    @property
    def in_use(self) -> Mapping[Pair, Use]:
        """Which version serves which pair of modalities, and how strongly."""
        return self._shelf.active().uses

    @property
    def joined(self) -> Mapping[Modality, str]:
        """Which version joins which modality that the encoder lacks."""
        return self._shelf.joins()

    def use(
        self,
        name: str,
        *,
        strength: float | None = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        """Let a version serve, and tune the collection to it.

        Args:
            name: Of the version.
            strength: 0 (as if not adapted) to 1; by default what was best while fitting.
            progress: Called with every pair that is tuned.

        Raises:
            ConfigError: There is no such version, or the strength is out of range.
            CollectionBusyError: Another process is writing to the collection.
        """
        with self._store.writing():
            joins = self._shelf.get(name).joins
            if joins is not None:
                serving = self._shelf.active().joined.get(joins.modality)
                if serving is not None:
                    require_same(joins.tower, joins.revision, serving)
            self._shelf.use(name, strength)
            self._shelf.place()
        self._tuner.tune_again(progress)
        versions.record(self._store, "adapters", {"use": name})

    def off(self, *, progress: ProgressCallback | None = None) -> None:
        """Let none serve, and tune the collection to that."""
        with self._store.writing():
            self._shelf.off()
        self._tuner.tune_again(progress)
        versions.record(self._store, "adapters", {"use": "none"})

    def remove(self, name: str, *, progress: ProgressCallback | None = None) -> None:
        """Forget a version; if it was serving, the collection is tuned again.

        The files of a modality that only this version joins are forgotten, too.

        Raises:
            ConfigError: There is no such version.
            CollectionBusyError: Another process is writing to the collection.
        """
        with self._store.writing():
            served = self._shelf.remove(name)
        if served:
            self._tuner.tune_again(progress)
        versions.record(self._store, "adapters", {"remove": name})


def checked(strength: float) -> float:
    """A strength.

    Raises:
        ConfigError: It is not between 0 and 1.
    """
    if not 0 <= strength <= 1:
        raise ConfigError(f"strength is {strength:g}; expected 0 (as if not adapted) to 1")
    return strength


def _place(name: str) -> str:
    return f"{SHELF}/{name}"
