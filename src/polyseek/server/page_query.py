"""What the page's form asks for: its fields as one value, as a search request, and as a URL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlencode

from pydantic import ValidationError

from polyseek.core.errors import InvalidFilterError, QueryError
from polyseek.core.types import Modality
from polyseek.search.feedback import UNLIKE_WEIGHT
from polyseek.server.problems import ProblemError
from polyseek.server.schemas import AssetTerm, FileTerm, SearchRequest, SearchTerm, TextTerm

PAGE_SIZE, MAX_SHOWN = 24, 480
FILTER_PREFIX = "f:"
_SIGN = re.compile(r"(?:^|\s)([+-])\s+")


class Fields(Protocol):
    """A form's or a URL's fields, of which several may have one name."""

    def getlist(self, key: Any, /) -> list[Any]:
        """All values of a field."""
        ...

    def keys(self) -> Any:
        """Names of the fields."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is looked for, besides uploaded files.

    Attributes:
        text: As typed; ``a red car - rain`` has two terms.
        like: Assets, or ``asset.segment``, that hits shall be like.
        unlike: The same, that they shall not be like.
        modalities: To search; empty for all.
        conditions: On metadata: values by ``(field, operator)``.
        condition: The same, as typed by somebody who knows how.
        show_all: Show the nearest, however improbable.
        limit: How many hits.
    """

    text: str = ""
    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    modalities: Sequence[str] = ()
    conditions: Mapping[tuple[str, str], str] = field(default_factory=dict)
    condition: str = ""
    show_all: bool = False
    limit: int = PAGE_SIZE

    @property
    def terms(self) -> bool:
        """Whether anything is looked for."""
        return bool(self.text or self.like or self.unlike)

    @property
    def narrowed(self) -> bool:
        """Whether only some of the collection is wanted."""
        return bool(self.modalities or self.conditions or self.condition)

    def url(self, path: str) -> str:
        """The address of this search, for the history and for friends."""
        pairs = [("q", self.text)] if self.text else []
        pairs += [("like", one) for one in self.like] + [("unlike", one) for one in self.unlike]
        pairs += [("modality", one) for one in self.modalities]
        pairs += [(f"{FILTER_PREFIX}{n}:{op}", value) for (n, op), value in self.conditions.items()]
        pairs += [("filter", self.condition)] if self.condition else []
        if self.show_all or self.limit != PAGE_SIZE:
            pairs.append(("all" if self.show_all else "limit", str(self.limit)))
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def request(self, files: Sequence[str]) -> SearchRequest:
        """As the API takes it.

        Args:
            files: Names of uploaded parts, which are wanted.

        Raises:
            QueryError: A term is too long or no term.
            InvalidFilterError: A value of a filter is none.
        """
        terms: list[SearchTerm] = list(_texts(self.text))
        terms += [FileTerm(file=name) for name in files]
        terms += [_asset(one, 1.0) for one in self.like]
        terms += [_asset(one, -UNLIKE_WEIGHT) for one in self.unlike]
        try:
            return SearchRequest(
                terms=terms,
                modalities=[Modality(one) for one in self.modalities],
                filter=self.filter() or None,
                limit=self.limit,
                show_all=self.show_all,
                explain=True,
            )
        except ValidationError as error:
            raise QueryError(error.errors()[0]["msg"]) from error

    def filter(self) -> str:
        """All conditions as one."""
        parts = [_condition(name, op, value) for (name, op), value in self.conditions.items()]
        parts += [f"({self.condition})"] if self.condition else []
        return " AND ".join(parts)


def read_fields(fields: Fields) -> Asked:
    """The fields of the form, with what the pressed button changes in them."""
    conditions = {}
    for key in fields.keys():  # noqa: SIM118 - not a mapping
        if key.startswith(FILTER_PREFIX) and (value := _last(fields, key)):
            name, _, operator = key.removeprefix(FILTER_PREFIX).rpartition(":")
            conditions[name, operator] = value
    known = {str(modality) for modality in Modality}
    limit = _last(fields, "all") or _last(fields, "limit")
    asked = Asked(
        text=_last(fields, "q"),
        like=_all(fields, "like"),
        unlike=_all(fields, "unlike"),
        modalities=[one for one in _all(fields, "modality") if one in known],
        conditions=conditions,
        condition=_last(fields, "filter"),
        show_all=bool(_last(fields, "all")),
        limit=min(int(limit), MAX_SHOWN) if limit.isdecimal() and int(limit) else PAGE_SIZE,
    )
    return _pressed(asked, fields)


def _pressed(asked: Asked, fields: Fields) -> Asked:
    """More like this starts anew; the others change what is there."""
    if more := _last(fields, "more"):
        return replace(asked, text="", like=[more], unlike=[])
    plus, less, gone = (_all(fields, key) for key in ("plus", "less", "drop"))
    return replace(
        asked,
        like=_without([*asked.like, *plus], [*less, *gone]),
        unlike=_without([*asked.unlike, *less], [*plus, *gone]),
    )


def _without(keys: Sequence[str], gone: Sequence[str]) -> list[str]:
    """Each once, in order."""
    return [key for key in dict.fromkeys(keys) if key not in gone]


def _all(fields: Fields, key: str) -> list[str]:
    values = (one.strip() for one in fields.getlist(key) if isinstance(one, str))
    return list(dict.fromkeys(one for one in values if one))


def _last(fields: Fields, key: str) -> str:
    return (_all(fields, key) or [""])[-1]


def _texts(text: str) -> list[TextTerm]:
    """``a red car - rain``: signs that stand alone, as on the command line."""
    first, *rest = _SIGN.split(text)
    signed = [("+", first), *zip(rest[::2], rest[1::2], strict=True)]
    found = [(sign, term.strip()) for sign, term in signed if term.strip()]
    try:
        return [TextTerm(text=term, weight=-1.0 if sign == "-" else 1.0) for sign, term in found]
    except ValidationError as error:
        raise QueryError(f"the text is too long ({len(text):,} characters)") from error


def _asset(named: str, weight: float) -> AssetTerm:
    asset, _, segment = named.partition(".")
    try:
        return AssetTerm(asset=asset, segment=segment or None, weight=weight)
    except ValidationError as error:
        raise ProblemError(404, "unknown-asset", "there is no such asset") from error


def _condition(name: str, operator: str, value: str) -> str:
    field_ = '"' + name.replace('"', '""') + '"'
    quoted = _quoted(value)
    match operator:
        case "is":
            return f"{field_} ILIKE '%{quoted[1:-1]}%'"
        case "has":
            return f"{field_} HAS {quoted}"
        case "true":
            return f"{field_} = {'true' if value == 'yes' else 'false'}"
        case "min" | "max":
            return f"{field_} {'>=' if operator == 'min' else '<='} {_number(name, value)}"
        case "from":
            return f"{field_} >= {quoted}"
        case "to":
            day = f"{value}T23:59:59" if len(value) == len("2020-12-31") else value
            return f"{field_} <= {_quoted(day)}"
        case _:
            raise InvalidFilterError(f"'{operator}' is no way to filter by {name}")


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _number(name: str, value: str) -> str:
    try:
        return f"{float(value):.15g}"
    except ValueError as error:
        raise InvalidFilterError(f"{name}: expected a number, got '{value}'") from error
