"""Old states of a collection: listed, looked into, gone back to, forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from polyseek.core.columns import Version, VersionName
from polyseek.core.errors import CollectionBusyError, ConfigError, StoreError
from polyseek.core.protocols import Store, VersionedStore

MADE_OF = "made_of"
"""In a version's detail: options by source, carried on from version to version."""


def versioned(store: Store, location: str) -> VersionedStore:
    """The store, if it keeps versions.

    Raises:
        StoreError: It does not.
    """
    if not isinstance(store, VersionedStore):
        raise StoreError(f"{location}: its store keeps no versions")
    return store


def find(versions: Sequence[Version], wanted: VersionName, *, location: str) -> Version:
    """The version of a number, or the last one at or before a time.

    Args:
        versions: Oldest first.
        wanted: A number, a time, or either as a text; a time without a zone is local.
        location: For messages.

    Raises:
        ConfigError: There is none, or it is neither a number nor a time.
    """
    if not versions:
        raise ConfigError(f"{location}: has no versions yet; index or import something first")
    kept = f"it keeps {versions[0].number} to {versions[-1].number} ('polyseek versions')"
    if isinstance(wanted, int) or (isinstance(wanted, str) and wanted.strip().isdecimal()):
        found = [v for v in versions if v.number == int(wanted)]
    else:
        time = _time(wanted)
        # As times are shown: a whole second means all of it.
        found = [v for v in versions if _rounded(v.time, time) <= time]
        kept = f"the oldest it keeps is of {versions[0].time.isoformat(timespec='seconds')}"
    if not found:
        raise ConfigError(f"{location}: there is no version {wanted}; {kept}")
    return found[-1]


def record(store: Store, action: str, detail: Mapping[str, Any]) -> None:
    """Keep what a run has made as a version.

    Another process that writes by now records it with its own.
    """
    if isinstance(store, VersionedStore):
        with suppress(CollectionBusyError), store.writing():
            carried = made_of(store.versions()) | dict(detail.get(MADE_OF, {}))
            store.record_version(action, {**detail, MADE_OF: carried} if carried else detail)


def made_of(versions: Sequence[Version]) -> dict[str, Any]:
    """The sources of the last version, each with the options it was indexed with."""
    return dict(versions[-1].detail.get(MADE_OF, {})) if versions else {}


def rollback(store: Store, wanted: VersionName, *, location: str) -> Version:
    """Make a version current again; itself a new version."""
    chosen = versioned(store, location)
    with chosen.writing():
        known = chosen.versions()
        version = find(known, wanted, location=location)
        # Evaluations, glossaries and retrievers make no version; forward must lead back to them.
        now = {MADE_OF: made_of(known)} if made_of(known) else {}
        chosen.record_version("before rollback", now)
        chosen.restore(version)
        origin = {MADE_OF: made_of([version])} if made_of([version]) else {}
        chosen.record_version("rollback", {"version": version.number, **origin})
        return chosen.versions()[-1]


def compact(store: Store, keep: int, *, location: str) -> Sequence[Version]:
    """Forget all but the last versions and reclaim their space; those that are left."""
    if keep < 1:
        raise ConfigError(f"--keep {keep}: expected 1 or more; the newest is always kept")
    chosen = versioned(store, location)
    with chosen.writing():
        chosen.compact(keep)
    return chosen.versions()


def _rounded(time: datetime, like: datetime) -> datetime:
    return time if like.microsecond else time.replace(microsecond=0)


def _time(wanted: str | datetime) -> datetime:
    try:
        time = wanted if isinstance(wanted, datetime) else datetime.fromisoformat(wanted.strip())
    except ValueError:
        raise ConfigError(
            f"'{wanted}' is no version; expected a number or a time such as 2026-03-01 or "
            "2026-03-01T18:30"
        ) from None
    return time.astimezone(UTC)
