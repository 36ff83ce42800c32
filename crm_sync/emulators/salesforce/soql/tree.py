"""The parts of a parsed query, and the tokens that they keep for error messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from crm_sync.emulators.salesforce.failures import Failure, Problem

TOKEN = re.compile(
    r"""\s*(?:
      (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<operator><=|>=|!=|<>|=|<|>)
    | (?P<mark>[(),:])
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value: kind is text, number, date, datetime, boolean, null or days.

    A datetime is microseconds since 1970 UTC; `days` is a date literal such as ("LAST_N_DAYS", 3) or ("TODAY", None).
    """

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Function:
    """name(inner): an aggregate, a date function, toLabel; `inner` is None in COUNT()."""

    name: str
    inner: Token | Function | None
    at: int
    text: str


Operand = Token | Function


@dataclass(frozen=True, slots=True)
class Compare:
    """left operator value; for IN, INCLUDES and their opposites the value is a tuple of literals or a query."""

    left: Operand
    operator: str
    value: Literal | tuple[Literal, ...] | Query


@dataclass(frozen=True, slots=True)
class Not:
    inner: Node


@dataclass(frozen=True, slots=True)
class Join:
    """Several conditions, all AND or all OR."""

    word: str
    parts: tuple[Node, ...]


Node = Compare | Not | Join


@dataclass(frozen=True, slots=True)
class Order:
    key: Operand
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Selected:
    """One thing that a query shows: a path, a function, or a child subquery; aliases stand in aggregates alone."""

    what: Token | Function | Query
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; in a child subquery `source` is the name of a relationship."""

    text: str
    source: Token
    alias: str | None
    selected: tuple[Selected, ...]
    where: Node | None = None
    group: tuple[Operand, ...] = ()
    having: Node | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0

    @property
    def plain_count(self) -> bool:
        """Tell whether it is SELECT COUNT()."""
        return len(self.selected) == 1 and is_plain_count(self.selected[0].what)

    @property
    def aggregated(self) -> bool:
        """Tell whether its rows are aggregates."""
        return bool(self.group) or any(is_aggregate(one.what) for one in self.selected)


AGGREGATES = frozenset(("count", "count_distinct", "sum", "avg", "min", "max"))


def is_aggregate(what: Operand | Query) -> bool:
    """Tell whether something selected is an aggregate function."""
    return isinstance(what, Function) and what.name in AGGREGATES


def is_plain_count(what: Operand | Query) -> bool:
    """Tell whether something selected is COUNT()."""
    return isinstance(what, Function) and what.name == "count" and what.inner is None


def malformed(text: str, at: int, message: str, code: str = "MALFORMED_QUERY") -> Failure:
    """Return the failure that points at a place in the query, as the API words it."""
    window = text[max(0, at - 40) : at + 40]
    caret = " " * (at - max(0, at - 40)) + "^"
    return Failure(400, Problem(code, f"\n{window}\n{caret}\nERROR at Row:1:Column:{at + 1}\n{message}"))
