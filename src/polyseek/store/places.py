"""Where a collection's tables lie: a folder, or a prefix of a bucket."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from polyseek.core.errors import ConfigError, StoreError
from polyseek.core.objects import BUCKETS, scheme_of


class Place(Protocol):
    """What differs between a disk and object storage.

    Attributes:
        location: What the user calls it, for messages.
        distant: Whether a read is a request: many small ones cost more than a large one.
    """

    location: str
    distant: bool

    def connect(self) -> Any:
        """A LanceDB connection."""
        ...

    def has_table(self, name: str) -> bool:
        """Whether the table has a version; one whose making was killed has files and none."""
        ...

    def version_of(self, table: Any) -> int:
        """The newest version that readers should see."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """The right to write. Raises `CollectionBusyError` when another process has it."""
        ...

    def renew(self, tables: list[Any]) -> None:
        """Before reading in order to write: nothing that is remembered is good enough."""
        ...

    def check(self) -> None:
        """Raise `StoreError` when the right to write was lost under way."""
        ...

    def wrote(self) -> None:
        """Note that this process has committed something."""
        ...

    def dropped(self, name: str) -> None:
        """Note that this process has removed a table."""
        ...

    def vacate(self) -> None:
        """Remove what is left of a place without tables; called within `writing()`."""
        ...

    def explain(self, error: Exception) -> str:
        """What an error of Lance means here."""
        ...


class _Placed(Protocol):
    place: Place


_Arguments = ParamSpec("_Arguments")
_Store = TypeVar("_Store", bound=_Placed)
_Answer = TypeVar("_Answer")


def place_of(location: str) -> Place:
    """The place of a path or a bucket's URL.

    Raises:
        ConfigError: Collections cannot lie in such a place.
    """
    scheme = scheme_of(location)
    if scheme is None and location.startswith(tuple(f"{name}:/" for name in BUCKETS)):
        raise ConfigError(f"{location}: the URL of a bucket is a text with two slashes, no Path")
    if scheme is None:
        from polyseek.store.lance_files import Folder

        return Folder(location)
    if scheme not in BUCKETS:
        known = ", ".join(f"{name}://" for name in BUCKETS)
        raise ConfigError(f"{location}: a collection lies in a folder or a bucket ({known})")
    from polyseek.store.lance_bucket import Bucket

    return Bucket(location)


def committing(
    write: Callable[Concatenate[_Store, _Arguments], _Answer],
) -> Callable[Concatenate[_Store, _Arguments], _Answer]:
    """A method of a store whose failures are those of its collection, a full disk for example."""

    @wraps(write)
    def checked(store: _Store, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        store.place.check()
        try:
            return write(store, *args, **kwargs)
        except (OSError, RuntimeError) as error:
            told = store.place.explain(error)
            raise StoreError(f"{store.place.location}: writing failed: {told}") from error
        finally:
            store.place.wrote()

    return checked
