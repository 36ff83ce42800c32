"""Aggregates of FetchXML: groups, parts of dates, counts and sums, named by their aliases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from crm_sync.emulators.dynamics.aggregation import MOST_ROWS, Output, result_row
from crm_sync.emulators.dynamics.filters import Condition, Place, fold
from crm_sync.emulators.dynamics.protocol import ODataError, Unsupported
from crm_sync.emulators.dynamics.tables import Column
from crm_sync.emulators.state import State

if TYPE_CHECKING:
    from crm_sync.emulators.dynamics.fetching import Node

METHODS: Final = {"sum": "sum({})", "avg": "avg({})", "min": "min({})", "max": "max({})"}
PARTS: Final = {"year": (1, 4), "month": (6, 2), "day": (9, 2)}


def aggregated(state: State, nodes: Sequence[Node], source: Condition, *, formatted: bool) -> list[dict[str, Any]]:
    """Return the rows of an aggregate fetch. Raises ODataError, Unsupported."""
    groups: list[Output] = []
    outputs: list[Output] = []
    for node in nodes:
        for one in node.element.findall("attribute"):
            column = node.table.logical_column(one.get("name", ""))
            alias = one.get("alias")
            if column is None or alias is None:
                raise ODataError(400, "0x80041103", f"The attribute {one.get('name')} is not there or has no alias.")
            sql = column.at(node.sql)
            if one.get("groupby") == "true":
                groups.append(_group(alias, column, sql, one.get("dategrouping")))
            else:
                outputs.append(
                    _output(alias, column, sql, one.get("aggregate"), distinct=one.get("distinct") == "true")
                )
    connection = state.connection()
    counted = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 {source.sql} LIMIT ?)", (*source.params, MOST_ROWS + 1)
    )
    if int(counted.fetchone()[0]) > MOST_ROWS:
        raise ODataError(400, "0x8004E023", "AggregateQueryRecordLimit exceeded. Cannot perform this operation.")
    names = [f"min({one.sql})" for one in groups] + [one.sql for one in outputs]
    keys = ", ".join(one.sql if one.column is None else fold(Place(one.column, one.sql)) for one in groups)
    grouping = f" GROUP BY {keys}" if groups else ""
    order = _order(nodes, [*groups, *outputs])
    rows = connection.execute(f"SELECT {', '.join(names)} {source.sql}{grouping}{order}", source.params)
    return [result_row([*groups, *outputs], row, formatted=formatted) for row in rows]


def _group(alias: str, column: Column, sql: str, part: str | None) -> Output:
    if part is None:
        return Output(alias, sql, column)
    if part not in PARTS or column.kind != "DateTime":
        raise Unsupported(f"dategrouping={part} in a fetch")
    start, length = PARTS[part]
    text = f"strftime('%Y-%m-%d', {sql} / 1000000, 'unixepoch')" if column.moment else sql
    return Output(alias, f"CAST(substr({text}, {start}, {length}) AS INTEGER)", None)


def _output(alias: str, column: Column, sql: str, method: str | None, *, distinct: bool) -> Output:
    if method == "count":
        return Output(alias, "count(*)", None)
    if method == "countcolumn":
        return Output(alias, f"count({'DISTINCT ' if distinct else ''}{fold(Place(column, sql))})", None)
    if method not in METHODS:
        raise ODataError(400, "0x80040203", f"The aggregate '{method}' is not known.")
    return Output(alias, METHODS[method].format(sql), column, computed=True)


def _order(nodes: Sequence[Node], outputs: Sequence[Output]) -> str:
    places = {one.name: at for at, one in enumerate(outputs, 1)}
    terms = [
        f"{places[order.get('alias', '')]} {'DESC' if order.get('descending') == 'true' else 'ASC'}"
        for node in nodes
        for order in node.element.findall("order")
        if order.get("alias") in places
    ]
    return f" ORDER BY {', '.join(terms)}" if terms else ""
