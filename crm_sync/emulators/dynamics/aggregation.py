"""$apply: filter, groupby and aggregate over at most 50,000 rows (Web API guide, Aggregate data).

Grouped texts ignore case; what is null is left out of a result; a column of a lookup's row is called <table>_<column>.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from crm_sync.emulators.dynamics.annotations import FORMATTED, Wanted, context, decimal
from crm_sync.emulators.dynamics.annotations import formatted as formatted_value
from crm_sync.emulators.dynamics.expressions import bad_syntax, parse, split_outside
from crm_sync.emulators.dynamics.filters import Compiler, Condition, Place, fold
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported
from crm_sync.emulators.dynamics.tables import Column, Table, Tables
from crm_sync.emulators.dynamics.values import stamp
from crm_sync.emulators.state import State

MOST_ROWS: Final = 50_000
STEP: Final = re.compile(r"(filter|groupby|aggregate)\((.*)\)", re.DOTALL)
COUNT: Final = re.compile(r"\$count\s+as\s+(\w+)")
VALUE: Final = re.compile(r"([\w/]+)\s+with\s+(\w+)\s+as\s+(\w+)")
GROUPS: Final = re.compile(r"\(([^()]*)\)\s*(?:,\s*aggregate\((.*)\))?", re.DOTALL)
METHODS: Final = {"sum": "sum({})", "average": "avg({})", "min": "min({})", "max": "max({})"}
METHODS_DISTINCT: Final = {"countdistinct": "count(DISTINCT {})"}
DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Output:
    """One property of a result: its SQL and, unless it is a number of rows, the column that it comes from."""

    name: str
    sql: str
    column: Column | None
    computed: bool = False


class Aggregation:
    """Aggregated reads of one environment."""

    def __init__(self, state: State, tables: Tables) -> None:
        self._state = state
        self._tables = tables

    def answer(self, call: Call, table: Table, where: Condition) -> Answer:
        """Return the result of a $apply; `where` is the $filter beside it."""
        options = call.options()
        for name in options:
            if name not in ("$apply", "$filter", "$top", "$orderby") and not name.startswith("@"):
                raise Unsupported(f"the query option {name} beside $apply")
        groups, outputs, where = self._steps(table, options["$apply"], call.aliases(), where)
        self._limit(table, where)
        rows = self._rows(table, groups, outputs, where, self._order(options.get("$orderby"), groups, outputs))
        if options.get("$top", "").isdecimal():
            rows = rows[: int(options["$top"])]
        wanted = Wanted(call.preferences().get("odata.include-annotations"))
        shown = [result_row([*groups, *outputs], row, formatted=wanted.formatted) for row in rows]
        return Answer.of({"@odata.context": context(call.root, table, None, ""), "value": shown}, 200, **call.applied())

    def _steps(
        self, table: Table, text: str, aliases: dict[str, str], where: Condition
    ) -> tuple[list[Output], list[Output], Condition]:
        compiler = Compiler(self._tables, (), self._state.now_us())
        groups: list[Output] = []
        outputs: list[Output] = []
        for step in split_outside(text, "/"):
            match = STEP.fullmatch(step)
            if match is None:
                raise Unsupported(f"the transformation {step.split('(')[0]} in $apply")
            if groups or outputs:
                raise Unsupported("a transformation behind groupby or aggregate")
            kind, inner = match.groups()
            if kind == "filter":
                more = compiler.where(table, parse(inner, aliases))
                where = Condition(
                    f"({where.sql}) AND ({more.sql})" if where.sql else more.sql, (*where.params, *more.params)
                )
            elif kind == "aggregate":
                outputs = [self._output(compiler, table, one) for one in split_outside(inner, ",")]
            else:
                parts = GROUPS.fullmatch(inner.strip())
                if parts is None:
                    raise bad_syntax(f"'{step}' is not a groupby")
                groups = [self._group(compiler, table, one.strip()) for one in parts.group(1).split(",")]
                outputs = [self._output(compiler, table, one) for one in split_outside(parts.group(2) or "", ",")]
        return groups, outputs, where

    def _group(self, compiler: Compiler, table: Table, path: str) -> Output:
        parts = path.split("/")
        place = compiler.reach(table, "record", parts)
        if place.column.kind == "DateTime":
            raise ODataError(400, "0x80060888", "groupby with datetime values is not supported.")
        name = path if len(parts) == 1 else f"{self._end(table, parts[:-1]).logical}_{parts[-1]}"
        return Output(name, place.sql, place.column)

    def _end(self, table: Table, navigation: list[str]) -> Table:
        for name in navigation:
            table = self._tables.table(table.navigation[name][1])
        return table

    def _output(self, compiler: Compiler, table: Table, text: str) -> Output:
        count = COUNT.fullmatch(text)
        if count is not None:
            return Output(count.group(1), "count(*)", None)
        match = VALUE.fullmatch(text)
        if match is None:
            raise bad_syntax(f"'{text}' is not an aggregate")
        path, method, alias = match.groups()
        place = compiler.reach(table, "record", path.split("/"))
        if method in METHODS_DISTINCT:
            return Output(alias, METHODS_DISTINCT[method].format(fold(place)), None)
        if method not in METHODS:
            raise bad_syntax(f"the aggregate method '{method}' is not known")
        if method in ("sum", "average") and place.column.kind not in (
            "Integer",
            "BigInt",
            "Decimal",
            "Double",
            "Money",
        ):
            raise ODataError(400, "0x80060888", f"The column {path} cannot be aggregated by {method}.")
        return Output(alias, METHODS[method].format(place.sql), place.column, computed=True)

    def _limit(self, table: Table, where: Condition) -> None:
        condition = f" AND ({where.sql})" if where.sql else ""
        found = self._state.connection().execute(
            f"SELECT count(*) FROM (SELECT 1 FROM record WHERE object = ? AND NOT deleted{condition} LIMIT ?)",
            (table.logical, *where.params, MOST_ROWS + 1),
        )
        if int(found.fetchone()[0]) > MOST_ROWS:
            raise ODataError(
                400,
                "0x8004E023",
                f"AggregateQueryRecordLimit exceeded. Cannot perform this operation: the limit is {MOST_ROWS} rows.",
            )

    def _rows(
        self, table: Table, groups: list[Output], outputs: list[Output], where: Condition, order: str
    ) -> list[tuple[Any, ...]]:
        names = [f"min({one.sql})" for one in groups] + [one.sql for one in outputs]
        if not names:
            raise bad_syntax("$apply has no groupby and no aggregate")
        condition = f" AND ({where.sql})" if where.sql else ""
        grouping = ""
        if groups:
            keys = ", ".join(fold(Place(one.column, one.sql)) for one in groups if one.column is not None)
            grouping = f" GROUP BY {keys} ORDER BY {order or keys}"
        found = self._state.connection().execute(
            f"SELECT {', '.join(names)} FROM record WHERE object = ? AND NOT deleted{condition}{grouping}",
            (table.logical, *where.params),
        )
        return list(found)

    @staticmethod
    def _order(text: str | None, groups: list[Output], outputs: list[Output]) -> str:
        terms: list[str] = []
        for term in (text or "").split(","):
            words = term.split()
            if not words:
                continue
            if any(one.name == words[0] for one in outputs):
                raise ODataError(400, "0x80060888", "The query node SingleValueOpenPropertyAccess is not supported.")
            position = next((at for at, one in enumerate(groups, 1) if one.name == words[0]), None)
            if position is None:
                raise bad_syntax(f"'{words[0]}' is not grouped by")
            terms.append(f"{position} {'DESC' if words[-1] == 'desc' else 'ASC'}")
        return ", ".join(terms)


def result_row(outputs: Sequence[Output], values: Sequence[Any], *, formatted: bool) -> dict[str, Any]:
    """Return one row of a result; what is null is left out."""
    row: dict[str, Any] = {}
    for one, raw in zip(outputs, values, strict=True):
        if raw is None:
            continue
        value = _value(one.column, raw)
        text = f"{raw:,}" if one.column is None else formatted_value(one.column, value)
        if formatted and text is not None:
            row[f"{one.name}@{FORMATTED}"] = text
        money = one.column is not None and one.column.kind in ("Money", "Decimal")
        row[one.name] = decimal(Decimal(str(value)), DIGITS if one.computed else 4) if money else value
    return row


def _value(column: Column | None, raw: Any) -> Any:
    if column is None:
        return raw
    if column.kind == "Boolean":
        return bool(raw)
    return stamp(int(raw)) if column.moment else raw
