"""Who may do what: scopes, and the keys that have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request

from polyseek.server.problems import ProblemError


class Scope(StrEnum):
    """What a key allows; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_ORDER = list(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What the sender of a request may do.

    Attributes:
        who: Name of the key; the client's address where none is needed.
        scope: The widest one.
        collections: Which it holds for; empty for all.
    """

    who: str
    scope: Scope
    collections: Sequence[str] = ()

    def reads(self, collection: str) -> bool:
        """Whether it may see a collection."""
        return not self.collections or collection in self.collections


def access_of(request: Request) -> Access:
    """What the guard found out about a request."""
    found: Access = request.scope["polyseek.access"]
    return found


def may(scope: Scope) -> Callable[[Request], Access]:
    """A dependency that refuses requests without a scope for the collection in their path."""

    def check(request: Request) -> Access:
        access = access_of(request)
        name = request.path_params.get("name")
        if name is not None and not access.reads(name):
            # As for one that does not exist: names of collections are nobody else's business.
            raise ProblemError(404, "unknown-collection", "there is no collection of that name")
        if _ORDER.index(access.scope) < _ORDER.index(scope):
            raise ProblemError(403, "forbidden", f"this needs a key with the scope '{scope}'")
        return access

    return check


Reader = Annotated[Access, Depends(may(Scope.READ))]
Writer = Annotated[Access, Depends(may(Scope.WRITE))]
Admin = Annotated[Access, Depends(may(Scope.ADMIN))]
