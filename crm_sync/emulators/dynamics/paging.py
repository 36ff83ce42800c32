"""Pages by key: the paging cookie in Dataverse's outer form, and the SQL of what comes behind a row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson

from crm_sync.emulators.dynamics.filters import Condition, sort_key
from crm_sync.emulators.dynamics.protocol import Call, ODataError
from crm_sync.emulators.dynamics.tables import LOOKUPS, Column, Table, Tables
from crm_sync.emulators.state import Record, State

PAGE_ROWS: Final = 5000
COOKIE: Final = re.compile(
    r'<cookie pagenumber="(\d{1,9})"(?: pagingcookie="([^"]*)")?(?: istracking="(True|False)")?\s*/>', re.IGNORECASE
)
NEVER_NULL: Final = frozenset({"createdon", "modifiedon", "versionnumber"})


@dataclass(frozen=True, slots=True)
class Cookie:
    """Where a page starts: behind `position`, or without one by its number alone (the first is 1)."""

    number: int
    position: list[Any] | None
    tracking: bool = False

    def text(self) -> str:
        """Return the paging cookie in Dataverse's outer form."""
        inner = quote(quote(orjson.dumps(self.position).decode(), safe=""), safe="")
        return f'<cookie pagenumber="{self.number}" pagingcookie="{inner}" istracking="{self.tracking}" />'


def read_cookie(text: str) -> Cookie:
    """Read a $skiptoken. Raises ODataError 400."""
    match = COOKIE.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        tracking = (match.group(3) or "").lower() == "true"
        if not match.group(2) and not tracking:
            return Cookie(max(1, int(match.group(1))), None)
        position = orjson.loads(unquote(unquote(match.group(2) or "")))
        if not isinstance(position, list) or any(isinstance(one, list | dict) for one in position) or not position:
            raise ValueError
    except ValueError:
        raise ODataError(400, "0x80060888", "Malformed XML in the Paging Cookie") from None
    return Cookie(int(match.group(1)), position, tracking)


def next_link(call: Call, cookie: Cookie) -> str:
    """Return the link to the next page: the request itself with all its options, and where to go on."""
    kept = [pair for pair in call.query.split("&") if pair and not pair.startswith(("$skiptoken=", "%24skiptoken="))]
    return f"{call.root}{call.path}?{'&'.join([*kept, '$skiptoken=' + quote(cookie.text(), safe='')])}"


@dataclass(frozen=True, slots=True)
class Term:
    """One term of an order."""

    sql: str
    descending: bool
    nullable: bool


class Order:
    """The order of a set; the primary key always comes last, so that every row has its own place."""

    def __init__(self, tables: Tables, table: Table, chosen: Sequence[tuple[Column, bool]]) -> None:
        self._table = table
        self.terms = [
            Term(_sql(tables, column), descending, column.name not in NEVER_NULL and column.name != table.id)
            for column, descending in chosen
        ]
        if not chosen or chosen[-1][0].name != table.id:
            self.terms.append(Term("record.id", descending=False, nullable=False))

    @property
    def sql(self) -> str:
        """Return it for ORDER BY."""
        return ", ".join(f"{one.sql} {'DESC' if one.descending else 'ASC'}" for one in self.terms)

    def place(self, state: State, record: Record) -> list[Any]:
        """Return where a row stands in the order, as SQL sees it."""
        names = ", ".join(one.sql for one in self.terms)
        found = state.connection().execute(
            f"SELECT {names} FROM record WHERE object = ? AND id = ?", (self._table.logical, record.id)
        )
        return list(found.fetchone())

    def behind(self, position: Sequence[Any]) -> Condition:
        """Return what comes behind a place; SQLite sorts null below everything. Raises ODataError 400."""
        if len(position) != len(self.terms):
            raise ODataError(400, "0x80060888", "Malformed XML in the Paging Cookie")
        if not any(one.descending or one.nullable for one in self.terms):
            # the form that an index can follow
            names = ", ".join(one.sql for one in self.terms)
            return Condition(f"({names}) > ({', '.join('?' * len(self.terms))})", tuple(position))
        branches: list[str] = []
        params: list[Any] = []
        for depth, term in enumerate(self.terms):
            value = position[depth]
            if value is None:
                beyond, bound = ("0" if term.descending else f"{term.sql} IS NOT NULL"), []
            else:
                beyond, bound = (
                    (f"({term.sql} < ? OR {term.sql} IS NULL)" if term.descending else f"{term.sql} > ?"),
                    [value],
                )
            equal = [f"{earlier.sql} IS ?" for earlier in self.terms[:depth]]
            branches.append("(" + " AND ".join([*equal, beyond]) + ")")
            params += [*position[:depth], *bound]
        return Condition("(" + " OR ".join(branches) + ")", tuple(params))


def _sql(tables: Tables, column: Column) -> str:
    """Return what a column sorts by: a lookup by the name of its row, as on Dataverse's screen."""
    if column.kind not in LOOKUPS:
        return sort_key(column)
    names = [
        f"WHEN o.object = '{target}' THEN fold({table.column(table.primary_name).at('o')})"
        for target in dict.fromkeys(column.targets.values())
        for table in [tables.table(target)]
    ]
    objects = ", ".join(f"'{target}'" for target in dict.fromkeys(column.targets.values()))
    return (
        f"(SELECT CASE {' '.join(names)} END FROM record o"
        f" WHERE o.object IN ({objects}) AND o.id = {column.at()} AND NOT o.deleted)"
    )
