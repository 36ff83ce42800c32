"""FetchXML: rows of a table joined with others, as ?fetchXml= asks (FetchXml reference).

Linked columns are called <alias>.<column>. Pages are found by number; a paging cookie is issued, and not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from crm_sync.emulators.dynamics.annotations import CRM, FORMATTED, Annotator, context
from crm_sync.emulators.dynamics.conditions import condition
from crm_sync.emulators.dynamics.expressions import MOST_CONDITIONS, too_many_conditions
from crm_sync.emulators.dynamics.fetch_aggregates import aggregated
from crm_sync.emulators.dynamics.filters import Condition, Place, fold
from crm_sync.emulators.dynamics.paging import PAGE_ROWS
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported, includes
from crm_sync.emulators.dynamics.tables import Column, Table, Tables
from crm_sync.emulators.state import Record, State

MOST_LINKS: Final = 15
MOST_DIGITS: Final = 9
Element = ET.Element


@dataclass(slots=True)
class Node:
    """The root entity, or a linked one: its SQL alias, the name of its columns' prefix, what is asked of it."""

    table: Table
    sql: str
    alias: str
    element: Element
    columns: list[tuple[str, Column]] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """A fetch as SQL."""

    nodes: list[Node]
    joins: list[Condition]
    where: list[Condition]
    orders: list[str]

    @property
    def source(self) -> Condition:
        """Return FROM and WHERE."""
        root = self.nodes[0].table.logical
        conditions = [f"record.object = '{root}'", "record.deleted = 0", *(one.sql for one in self.where)]
        sql = f"FROM record {' '.join(one.sql for one in self.joins)} WHERE {' AND '.join(conditions)}"
        return Condition(sql, tuple(p for one in (*self.joins, *self.where) for p in one.params))


class Fetching:
    """FetchXML reads of one environment."""

    def __init__(self, state: State, tables: Tables, annotator: Annotator) -> None:
        self._state = state
        self._tables = tables
        self._annotator = annotator

    def answer(self, call: Call, table: Table, text: str, most_rows: int) -> Answer:
        """Return the rows of a fetch. Raises ODataError, Unsupported."""
        fetch = _parsed(text)
        entity = fetch.find("entity")
        if fetch.tag != "fetch" or entity is None or entity.get("name") != table.logical:
            raise _bad(f"the entity of the fetch must be {table.logical}")
        plan = self._plan(table, entity)
        wanted = call.preferences().get("odata.include-annotations") or ""
        document: dict[str, Any] = {"@odata.context": context(call.root, table, None, "")}
        if fetch.get("aggregate") == "true":
            document["value"] = aggregated(self._state, plan.nodes, plan.source, formatted=includes(wanted, FORMATTED))
            return Answer.of(document, 200, **call.applied())
        size = min(_whole(fetch, "top", _whole(fetch, "count", PAGE_ROWS)), PAGE_ROWS, most_rows)
        page = 1 if fetch.get("top") else _whole(fetch, "page", 1)
        found = self._found(plan, size, page, distinct=fetch.get("distinct") == "true")
        more = len(found) > size and not fetch.get("top")
        rows = self._rows(plan, found[:size], wanted)
        document |= self._paging(fetch, plan, found[:size], page, wanted, more=more)
        document["value"] = rows
        return Answer.of(document, 200, **call.applied())

    # -- the plan

    def _plan(self, table: Table, entity: Element) -> Plan:
        if len(entity.findall(".//condition")) + len(entity.findall(".//link-entity")) > MOST_CONDITIONS:
            raise too_many_conditions()
        plan = Plan([Node(table, "record", "", entity)], [], [], [])
        self._link(plan, plan.nodes[0])
        if len(plan.nodes) > MOST_LINKS + 1:
            raise ODataError(
                400, "0x8004430d", f"Number of link entities in query exceeded maximum limit of {MOST_LINKS}."
            )
        named = {node.alias: node for node in plan.nodes if node.alias}
        now = self._state.now_us()
        for filter in entity.findall("filter"):
            plan.where.append(condition(filter, plan.nodes[0], named, self._tables, now))
        for node in plan.nodes:
            node.columns = _columns(node)
            for order in node.element.findall("order"):
                if order.get("alias"):
                    continue
                column = _column(node.table, order.get("attribute"))
                sql = fold(Place(column, column.at(node.sql)))
                plan.orders.append(f"{sql} {'DESC' if order.get('descending') == 'true' else 'ASC'}")
        return plan

    def _link(self, plan: Plan, parent: Node) -> None:
        for element in parent.element.findall("link-entity"):
            kind = element.get("link-type", "inner")
            if kind not in ("inner", "outer"):
                raise Unsupported(f"the link type {kind} in a fetch")
            name = element.get("name", "")
            if name not in self._tables.names:
                raise _bad(f"the linked entity {name} is not there")
            table, sql = self._tables.table(name), f"l{len(plan.nodes)}"
            node = Node(table, sql, element.get("alias") or f"{name}{len(plan.nodes)}", element)
            mine = _column(table, element.get("from")).at(sql)
            theirs = _column(parent.table, element.get("to")).at(parent.sql)
            on = [Condition(f"{sql}.object = '{name}' AND {sql}.deleted = 0 AND {mine} = {theirs}")]
            on += [
                condition(filter, node, {node.alias: node}, self._tables, self._state.now_us())
                for filter in element.findall("filter")
            ]
            join = "JOIN" if kind == "inner" else "LEFT JOIN"
            text = f"{join} record {sql} ON {' AND '.join(one.sql for one in on)}"
            plan.joins.append(Condition(text, tuple(p for one in on for p in one.params)))
            plan.nodes.append(node)
            self._link(plan, node)

    def _found(self, plan: Plan, size: int, page: int, *, distinct: bool) -> list[tuple[str | None, ...]]:
        """Return the ids of each row: the root's and those of the linked rows."""
        shown = [node for node in plan.nodes if node.columns or node.sql == "record"] if distinct else plan.nodes
        ids = [f"{node.sql}.id" if node in shown else "NULL" for node in plan.nodes]
        source, orders = plan.source, ", ".join([*plan.orders, "record.id", *(i for i in ids[1:] if i != "NULL")])
        grouped = f" GROUP BY {', '.join(i for i in ids if i != 'NULL')}" if distinct else ""
        rows = self._state.connection().execute(
            f"SELECT {', '.join(ids)} {source.sql}{grouped} ORDER BY {orders} LIMIT ? OFFSET ?",
            (*source.params, size + 1, (page - 1) * size),
        )
        return list(rows)

    # -- the rows

    def _rows(self, plan: Plan, found: Sequence[tuple[str | None, ...]], wanted: str) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = [{} for _ in found]
        for at, node in enumerate(plan.nodes):
            if not node.columns:
                continue
            ids = [row[at] for row in found]
            records = self._state.get_many(node.table.logical, [id for id in dict.fromkeys(ids) if id is not None])
            columns = [column for _, column in node.columns]
            present: list[Record] = list(records.values())
            shown = self._annotator.rows(node.table, columns, present, wanted)
            by_id = {record.id: row for record, row in zip(present, shown, strict=True)}
            for row, id in zip(out, ids, strict=True):
                if id is not None:
                    row.update(_named(node, by_id[id]))
        return out

    def _paging(
        self, fetch: Element, plan: Plan, found: Sequence[tuple[str | None, ...]], page: int, wanted: str, *, more: bool
    ) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if fetch.get("returntotalrecordcount") == "true" and includes(wanted, f"{CRM}totalrecordcount"):
            source = plan.source
            counted = self._state.connection().execute(
                f"SELECT count(*) FROM (SELECT 1 {source.sql} LIMIT ?)", (*source.params, PAGE_ROWS + 1)
            )
            number = int(counted.fetchone()[0])
            out[f"@{CRM}totalrecordcount"] = min(number, PAGE_ROWS)
            out[f"@{CRM}totalrecordcountlimitexceeded"] = number > PAGE_ROWS
        if more and includes(wanted, f"{CRM}fetchxmlpagingcookie"):
            id = plan.nodes[0].table.id
            inner = f'<cookie page="{page}"><{id} last="{{{found[-1][0]}}}" first="{{{found[0][0]}}}" /></cookie>'
            twice = quote(quote(inner, safe=""), safe="")
            cookie = f'<cookie pagenumber="{page + 1}" pagingcookie="{twice}" istracking="False" />'
            out[f"@{CRM}fetchxmlpagingcookie"] = cookie
        if includes(wanted, f"{CRM}morerecords"):
            out[f"@{CRM}morerecords"] = more
        return out


def _parsed(text: str) -> Element:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise _bad("a document type is not allowed")
    try:
        return ET.fromstring(text)  # noqa: S314 (no document type gets here)
    except ET.ParseError as error:
        raise _bad(str(error)) from None


def _columns(node: Node) -> list[tuple[str, Column]]:
    """Return what is shown of an entity as (name, column); the root always shows its key."""
    root = node.sql == "record"
    attributes = node.element.findall("attribute")
    if node.element.find("all-attributes") is not None or (root and not attributes):
        return [(column.name, column) for column in node.table.columns.values()]
    out = []
    for one in attributes:
        column = _column(node.table, one.get("name"))
        out.append((one.get("alias") or (column.name if root else column.logical), column))
    if root and all(column.name != node.table.id for _, column in out):
        out.append((node.table.id, node.table.column(node.table.id)))
    return out


def _named(node: Node, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row under the names that it has in the result."""
    names = {column.name: name for name, column in node.columns}
    root = node.sql == "record"
    out: dict[str, Any] = {}
    for key, value in row.items():
        name, at, annotation = key.partition("@")
        if not name:
            if root:
                out[key] = value
        elif value is not None or root:
            prefix = "" if root or "." in names[name] else f"{node.alias}."
            out[f"{prefix}{names[name]}{at}{annotation}"] = value
    return out


def _column(table: Table, name: str | None) -> Column:
    found = table.logical_column(name or "")
    if found is None:
        raise ODataError(400, "0x80041103", f"'{table.logical}' entity doesn't contain attribute with Name = '{name}'.")
    return found


def _whole(element: Element, name: str, default: int) -> int:
    text = element.get(name, str(default))
    if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < 1:
        raise _bad(f"{name} is '{text}'; a whole number is needed")
    return int(text)


def _bad(detail: str) -> ODataError:
    return ODataError(400, "0x80040201", f"Invalid XML in a fetch: {detail}.")
