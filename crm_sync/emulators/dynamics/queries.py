"""Answer GETs of rows: one row, a set or a collection page by page, counts, single properties.

The knob "page_rows" makes pages smaller than clients ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from crm_sync.emulators.dynamics.aggregation import Aggregation
from crm_sync.emulators.dynamics.annotations import CRM, Annotator, context, select, shown
from crm_sync.emulators.dynamics.expanding import Expander, expansions, page_size
from crm_sync.emulators.dynamics.fetching import Fetching
from crm_sync.emulators.dynamics.filters import Condition, filtered, ordering
from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.paging import PAGE_ROWS, Cookie, Order, next_link, read_cookie
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported, includes
from crm_sync.emulators.dynamics.tables import Column, Table, Tables
from crm_sync.emulators.dynamics.tracking import Tracking
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.state import Record, State

KNOWN: Final = frozenset(
    {"$select", "$filter", "$orderby", "$top", "$count", "$expand", "$apply", "$skiptoken", "$deltatoken"}
)
EVERYTHING: Final = Condition("")


class Queries:
    """Reads of one environment."""

    def __init__(self, state: State, tables: Tables, keys: Keys, faults: Faults) -> None:
        self._state = state
        self._tables = tables
        self._keys = keys
        self._faults = faults
        self._annotator = Annotator(state, tables)
        self._expander = Expander(state, tables, self._annotator)
        self._tracking = Tracking(state, keys, faults, self._annotator)
        self._aggregation = Aggregation(state, tables)
        self._fetching = Fetching(state, tables, self._annotator)

    def one(self, call: Call, table: Table, record: Record) -> Answer:
        """Return one row."""
        options = call.options()
        _only(options, {"$select", "$expand"})
        annotations = call.preferences().get("odata.include-annotations")
        etag = f'W/"{record.seq}"'
        if call.header("if-none-match") == etag and annotations is None and "$expand" not in options:
            return Answer(304, b"", {"ETag": etag})
        found = expansions(options.get("$expand"))
        rows = self._annotator.rows(table, select(table, options.get("$select")), [record], annotations)
        self._expander.attach(call, table, [record], rows, found)
        names = [one.text for one in found]
        head = {"@odata.context": context(call.root, table, options.get("$select"), "/$entity", names)}
        return Answer.of({**head, **rows[0]}, 200, ETag=etag, **call.applied())

    def count(self, call: Call, table: Table, within: Condition = EVERYTHING) -> Answer:
        """Return the number of rows as text, with the byte order mark that Dataverse puts there."""
        options = call.options()
        _only(options, {"$filter"})
        number = min(self._counted(table, self._where(table, options, within)), PAGE_ROWS)
        return Answer(200, f"\ufeff{number}".encode(), {"Content-Type": "text/plain"})

    def property(self, call: Call, table: Table, record: Record, column: Column, *, raw: bool) -> Answer:
        """Return the value of one column, wrapped or (with /$value) as it is; 204 for null."""
        value = shown(column)(record)
        if value is None:
            return Answer()
        if raw:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            return Answer(200, text.encode(), {"Content-Type": "text/plain"})
        where = f"{call.root}$metadata#{table.set_name}({record.id})/{column.name}"
        return Answer.of({"@odata.context": where, "value": value})

    def references(self, call: Call, table: Table, within: Condition) -> Answer:
        """Return the addresses of a collection's rows."""
        records = self._state.scan(table.logical, where=within.sql, params=within.params, limit=PAGE_ROWS)
        rows = [{"@odata.id": f"{call.root}{table.set_name}({record.id})"} for record in records]
        return Answer.of({"@odata.context": f"{call.root}$metadata#Collection($ref)", "value": rows})

    def many(self, call: Call, table: Table, within: Condition = EVERYTHING) -> Answer:
        """Return a page of a set, or of what is `within` a collection."""
        options = call.options()
        if "$skip" in options:
            raise ODataError(400, "0x80060888", "Skip Clause is not supported in CRM")
        if "fetchXml" in options and not within.sql:
            _only(options, {"fetchXml"})
            most_rows = int(self._faults.knob("page_rows", PAGE_ROWS))
            return self._fetching.answer(call, table, options["fetchXml"], most_rows)
        _only(options, KNOWN)
        if "$apply" in options:
            return self._aggregation.answer(call, table, self._where(table, options, within))
        preferences = call.preferences()
        size = min(page_size(call), int(self._faults.knob("page_rows", PAGE_ROWS)))
        cookie = read_cookie(options["$skiptoken"]) if "$skiptoken" in options else None
        tracking = cookie.tracking if cookie else "odata.track-changes" in preferences or "$deltatoken" in options
        if tracking and not within.sql:
            return self._tracking.answer(call, table, options, size, cookie)
        return self._page(call, table, options, size, cookie, within)

    def _page(
        self,
        call: Call,
        table: Table,
        options: Mapping[str, str],
        size: int,
        cookie: Cookie | None,
        within: Condition,
    ) -> Answer:
        paged = "odata.maxpagesize" in call.preferences()
        where = self._where(table, options, within)
        chosen = options.get("$orderby")
        order = Order(self._tables, table, ordering(table, chosen, call.aliases()) if chosen else [])
        limit = size
        if "$top" in options:
            top = _whole(options, "$top")
            limit = limit if paged else min(size, top)
        place = cookie.position if cookie else None
        page_where = where if place is None else both(where, order.behind(place))
        skipped = (cookie.number - 1) * size if cookie and place is None else 0
        bounds = {"where": page_where.sql, "params": page_where.params, "order": order.sql}
        records = self._state.scan(table.logical, **bounds, limit=limit + 1, offset=skipped)
        more = len(records) > limit and ("$top" not in options or paged)
        records = records[:limit]
        document = self._document(call, table, options, records, where)
        if more:
            number = cookie.number + 1 if cookie else 2
            document["@odata.nextLink"] = next_link(call, Cookie(number, order.place(self._state, records[-1])))
        return Answer.of(document, 200, **call.applied())

    def _document(
        self, call: Call, table: Table, options: Mapping[str, str], records: Sequence[Record], where: Condition
    ) -> dict[str, Any]:
        found = expansions(options.get("$expand"))
        wanted = call.preferences().get("odata.include-annotations")
        rows = self._annotator.rows(table, select(table, options.get("$select")), records, wanted)
        self._expander.attach(call, table, records, rows, found)
        names = [one.text for one in found]
        return {
            "@odata.context": context(call.root, table, options.get("$select"), "", names),
            **self._totals(table, where, wanted, counted=options.get("$count") == "true"),
            "value": rows,
        }

    def _totals(self, table: Table, where: Condition, wanted: str | None, *, counted: bool) -> dict[str, Any]:
        """Return how many rows there are in all, as far as that is asked for (Web API guide, Count rows)."""
        number = self._counted(table, where) if counted else -1
        out: dict[str, Any] = {"@odata.count": min(number, PAGE_ROWS)} if counted else {}
        asked = {
            f"{CRM}totalrecordcount": min(number, PAGE_ROWS),
            f"{CRM}totalrecordcountlimitexceeded": number > PAGE_ROWS,
            f"{CRM}globalmetadataversion": str(self._keys.last_defined()),
        }
        return out | {f"@{name}": value for name, value in asked.items() if includes(wanted, name)}

    def _where(self, table: Table, options: Mapping[str, str], within: Condition) -> Condition:
        if "$filter" not in options:
            return within
        aliases = {name: value for name, value in options.items() if name.startswith("@")}
        keys = self._keys.active_columns(table.logical)
        found = filtered(self._tables, table, options["$filter"], aliases, keys, self._state.now_us())
        return both(within, found)

    def _counted(self, table: Table, where: Condition) -> int:
        """Return how many rows there are: Dataverse counts one page, and whether there are more."""
        condition = f" AND ({where.sql})" if where.sql else ""
        found = self._state.connection().execute(
            f"SELECT count(*) FROM (SELECT 1 FROM record WHERE object = ? AND NOT deleted{condition} LIMIT ?)",
            (table.logical, *where.params, PAGE_ROWS + 1),
        )
        return int(found.fetchone()[0])


def both(first: Condition, second: Condition) -> Condition:
    """Return two conditions as one."""
    if not first.sql:
        return second
    return Condition(f"({first.sql}) AND ({second.sql})", (*first.params, *second.params))


def _only(options: Mapping[str, str], known: set[str] | frozenset[str]) -> None:
    for name in options:
        if name not in known and not name.startswith("@"):
            raise Unsupported(f"the query option {name} here")


def _whole(options: Mapping[str, str], name: str) -> int:
    text = options[name]
    if not text.isdecimal():
        raise ODataError(
            400, "0x80060888", f"Invalid value '{text}' for {name} query option found. A whole number is needed."
        )
    return int(text)
