"""$expand: rows of other tables inside a row, one (a lookup) or many (a collection), with options of their own.

A collection always brings its nextLink, even when it is complete (Web API guide, Join tables); at most 15 expansions
are allowed in a request. Several N:N collections, or one beside others, are refused as Dataverse does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from crm_sync.emulators.dynamics.annotations import Annotator, select
from crm_sync.emulators.dynamics.expressions import bad_syntax, parse, split_outside
from crm_sync.emulators.dynamics.filters import Compiler, Condition, ordering
from crm_sync.emulators.dynamics.paging import PAGE_ROWS, Order
from crm_sync.emulators.dynamics.protocol import Call, ODataError, Unsupported
from crm_sync.emulators.dynamics.tables import Collection, Column, ManyToMany, OneToMany, Table, Tables
from crm_sync.emulators.state import Record, State

MOST: Final = 15
KNOWN: Final = frozenset({"$select", "$filter", "$orderby", "$top", "$expand"})


@dataclass(frozen=True, slots=True)
class Expansion:
    """One term of an $expand; `text` is what @odata.context shows of it."""

    name: str
    options: dict[str, str]
    nested: tuple[Expansion, ...] = ()
    reference: bool = False

    @property
    def text(self) -> str:
        """Return the property with its columns, as @odata.context has it."""
        if self.reference:
            return f"{self.name},{self.name}/$ref()"
        inner = [self.options["$select"]] if "$select" in self.options else []
        inner += [one.text for one in self.nested]
        return f"{self.name}({','.join(inner)})"


def expansions(text: str | None, depth: int = 0) -> tuple[Expansion, ...]:
    """Parse an $expand, which stands in `depth` others. Raises ODataError 400."""
    found = () if depth > MOST else tuple(_expansion(one, depth) for one in split_outside(text or "", ","))
    if depth > MOST or sum(1 for _ in _all(found)) > MOST:
        raise ODataError(400, "0x80060888", f"The number of $expand options exceeds the maximum of {MOST}.")
    return found


def _all(found: Sequence[Expansion]) -> Iterator[Expansion]:
    for one in found:
        yield one
        yield from _all(one.nested)


def _expansion(text: str, depth: int) -> Expansion:
    name, bracket, rest = text.partition("(")
    name = name.strip()
    if not bracket:
        if name.endswith("/$ref"):
            return Expansion(name.removesuffix("/$ref"), {}, reference=True)
        return Expansion(name, {})
    if not rest.rstrip().endswith(")"):
        raise bad_syntax(f"'{text}' is not an $expand term")
    options: dict[str, str] = {}
    for pair in split_outside(rest.rstrip()[:-1], ";"):
        option, equals, value = pair.partition("=")
        if option not in KNOWN or not equals:
            raise ODataError(400, "0x80060888", f"The query option '{option}' is not supported in $expand.")
        options[option] = value
    return Expansion(name, options, expansions(options.get("$expand"), depth + 1))


class Expander:
    """Puts the rows of other tables into rows."""

    def __init__(self, state: State, tables: Tables, annotator: Annotator) -> None:
        self._state = state
        self._tables = tables
        self._annotator = annotator

    def attach(
        self,
        call: Call,
        table: Table,
        records: Sequence[Record],
        rows: Sequence[dict[str, Any]],
        found: Sequence[Expansion],
        *,
        paged: int | None = None,
    ) -> None:
        """Add what the expansions bring to each row; `paged` is the page size where collections are nested."""
        collections = self._tables.collections(table.logical)
        many = [one for one in found if one.name in collections]
        links = [one for one in many if isinstance(collections[one.name], ManyToMany)]
        if links and len(many) > len(links):
            raise ODataError(400, "0x80060888", "Expanding N:N relationships beside others is not supported.")
        if any(one.nested for one in many):
            paged = page_size(call)
        for one in found:
            if one.name in table.navigation:
                self._single(call, table, records, rows, one)
            elif one.name in collections:
                self._collection(call, table, records, rows, one, collections[one.name], paged)
            else:
                raise ODataError(
                    400,
                    "0x80060888",
                    f"Could not find a property named '{one.name}' on type 'Microsoft.Dynamics.CRM.{table.logical}'.",
                )

    def _single(
        self,
        call: Call,
        table: Table,
        records: Sequence[Record],
        rows: Sequence[dict[str, Any]],
        one: Expansion,
    ) -> None:
        column, target = table.navigation[one.name]
        for option in one.options:
            if option not in ("$select", "$expand"):
                raise ODataError(400, "0x80060888", f"{option} is only supported on collection-valued properties.")
        other = self._tables.table(target)
        pointed = {
            record.id: value
            for record in records
            if (value := column.read(record)) is not None and self._tables.target(record, column) == target
        }
        present = self._state.get_many(target, list(set(pointed.values())))
        live = [record for record in present.values() if not record.deleted]
        if one.reference:
            shown = {record.id: {"@odata.id": f"{call.root}{other.set_name}({record.id})"} for record in live}
        else:
            rows_of_live = self._inner(call, other, live, one)
            for row in rows_of_live:
                del row["@odata.etag"]
            shown = {record.id: row for record, row in zip(live, rows_of_live, strict=True)}
        for record, row in zip(records, rows, strict=True):
            if one.reference:
                row.setdefault(column.name, column.read(record))
            row[one.name] = shown.get(pointed.get(record.id, ""))

    def _inner(
        self, call: Call, table: Table, records: Sequence[Record], one: Expansion, beside: Column | None = None
    ) -> list[dict[str, Any]]:
        """Return rows to put into rows; `beside` is a column to show with those that are chosen."""
        columns = select(table, one.options.get("$select"))
        if beside is not None and beside not in columns:
            columns.append(beside)
        wanted = call.preferences().get("odata.include-annotations")
        rows = self._annotator.rows(table, columns, records, wanted)
        if one.nested:
            self.attach(call, table, records, rows, one.nested, paged=page_size(call))
        return rows

    def _collection(
        self,
        call: Call,
        table: Table,
        records: Sequence[Record],
        rows: Sequence[dict[str, Any]],
        one: Expansion,
        link: Collection,
        paged: int | None,
    ) -> None:
        if one.reference:
            message = "Expand with $ref is only supported on lookup type navigation property."
            raise ODataError(400, "0x80060888", message)
        nested = paged is not None
        for option in ("$top", "$orderby"):
            if nested and option in one.options:
                raise ODataError(400, "0x80060888", f"{option} is not supported with nested $expand.")
        if isinstance(link, ManyToMany) and one.nested:
            raise Unsupported("a nested $expand in an N:N relationship")
        other = self._tables.table(link.referencing if isinstance(link, OneToMany) else link.other(table.logical))
        chosen = one.options.get("$orderby")
        order = Order(self._tables, other, ordering(other, chosen) if chosen else [])
        size = min(paged or PAGE_ROWS, PAGE_ROWS) if nested else PAGE_ROWS
        limit = min(size, int(one.options["$top"])) if one.options.get("$top", "").isdecimal() else size
        filter = one.options.get("$filter")
        narrowed = Compiler(self._tables, (), self._state.now_us()).where(other, parse(filter)) if filter else None
        following = [f"{name}={quote(text, safe=_PLAIN)}" for name, text in one.options.items() if name != "$top"]
        for record, row in zip(records, rows, strict=True):
            where = members(table, link, record.id)
            if narrowed is not None:
                where = Condition(f"({where.sql}) AND ({narrowed.sql})", (*where.params, *narrowed.params))
            children = self._state.scan(
                other.logical, where=where.sql, params=where.params, order=order.sql, limit=limit + 1
            )
            more = len(children) > limit
            lookup = link.column if isinstance(link, OneToMany) and not nested else None
            row[one.name] = self._inner(call, other, children[:limit], one, lookup)
            if nested:
                for child in row[one.name]:
                    del child["@odata.etag"]
            if not nested or more:
                query = f"?{'&'.join(following)}" if following else ""
                row[f"{one.name}@odata.nextLink"] = f"{call.root}{table.set_name}({record.id})/{one.name}{query}"


_PLAIN: Final = "(),'$:@/=*-;"


def members(table: Table, link: Collection, id: str) -> Condition:
    """Return the condition that a row belongs to a collection of a row."""
    if isinstance(link, OneToMany):
        kind = link.column.points_to("record", table.logical)
        return Condition(f"record.object = '{link.referencing}' AND {link.column.at()} = ? AND {kind}", (id,))
    return Condition(
        "record.id IN (SELECT a.to_id FROM association a"
        " WHERE a.from_object = ? AND a.to_object = ? AND a.from_id = ?)",
        (table.logical, link.other(table.logical), id),
    )


def page_size(call: Call) -> int:
    """Return the page size that a client prefers, at most Dataverse's own."""
    text = call.preferences().get("odata.maxpagesize", "")
    return min(int(text), PAGE_ROWS) if text.isdecimal() and int(text) > 0 else PAGE_ROWS
