"""Who may do what, and from where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response

from polyseek.server.keys import KeyFile, Scope
from polyseek.server.problems import ProblemError
from polyseek.server.schemas import SessionRequest
from polyseek.server.settings import ServerSettings, is_loopback

COOKIE = "polyseek_key"
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/v1/session", "/login"})
OPEN_FOLDER = "/static/"
"""What is served without a key: nothing in there tells of any collection."""

_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What the sender of a request may do.

    Attributes:
        who: Id of the key; the client's address where none is needed.
        scope: The widest one.
        collections: Which it holds for; empty for all.
    """

    who: str
    scope: Scope
    collections: Sequence[str] = ()

    def reads(self, collection: str) -> bool:
        """Whether it may see a collection."""
        return not self.collections or collection in self.collections


class Gatekeeper:
    """Decides from a request's head alone."""

    def __init__(self, server: ServerSettings) -> None:
        self._server = server
        self._keys = KeyFile(server.keys) if server.keys else None

    def admit(self, method: str, path: str, headers: Headers, *, client: str) -> Access:
        """What the sender may do.

        Args:
            method: Of the request.
            path: Of the request.
            headers: Of the request, by lower-case names.
            client: Address of the sender.

        Raises:
            ProblemError: The request is for another host, comes from another site's page, or
                has no valid key.
        """
        self._check_host(headers)
        if method not in _HARMLESS:
            _check_origin(headers)
        if self._keys is None:
            return Access(who=client, scope=Scope.ADMIN)
        sent = _sent_key(headers)
        if sent is None:
            if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
                return Access(who=client, scope=Scope.READ, collections=("",))
            raise _unknown("this needs an API key: 'Authorization: Bearer KEY'")
        return self.access(sent)

    def access(self, sent: str) -> Access:
        """What a key allows.

        Raises:
            ProblemError: It is not valid.
        """
        key = self._keys.check(sent) if self._keys else None
        if key is None:
            raise _unknown("the API key is not valid, or was revoked")
        return Access(who=key.id, scope=key.scope, collections=key.collections)

    def _check_host(self, headers: Headers) -> None:
        """A page elsewhere may point its own name at this machine (DNS rebinding)."""
        named = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        known = named in self._server.hosts or named == self._server.host
        checked = self._server.hosts or not self._server.exposed
        if checked and not (known or is_loopback(named)):
            raise ProblemError(
                421, "unknown-host", "this server does not answer to that host (--allow-host)"
            )


def _check_origin(headers: Headers) -> None:
    """A browser must not be made to write here by a page of another site."""
    origin = headers.get("origin")
    foreign = headers.get("sec-fetch-site") == "cross-site"
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        foreign = True
    if foreign:
        raise ProblemError(403, "cross-site", "pages of other sites may not send this")


def _sent_key(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if "x-api-key" in headers:
        return headers["x-api-key"]
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and value:
            return value
    return None


def _unknown(detail: str) -> ProblemError:
    return ProblemError(401, "unauthorised", detail, {"WWW-Authenticate": "Bearer"})


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
        if not access.scope.includes(scope):
            raise ProblemError(403, "forbidden", f"this needs a key with the scope '{scope}'")
        return access

    return check


Reader = Annotated[Access, Depends(may(Scope.READ))]
Writer = Annotated[Access, Depends(may(Scope.WRITE))]
Admin = Annotated[Access, Depends(may(Scope.ADMIN))]

router = APIRouter(prefix="/v1/session", tags=["session"])


@router.post("", status_code=204)
async def begin(asked: SessionRequest, request: Request, response: Response) -> None:
    """Keep a key in a cookie that scripts cannot read, for pages and their pictures."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    gatekeeper.access(asked.key)
    response.set_cookie(
        COOKIE, asked.key, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


@router.delete("", status_code=204)
async def end(response: Response) -> None:
    """Forget the cookie."""
    response.delete_cookie(COOKIE)
