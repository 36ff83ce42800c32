"""Answer GETs of rows: one row, a set page by page, counts, change tracking.

A delta link stands for the moment of the last page of a first tracked read, not of its first page: Dataverse promises
no more, so clients must look for themselves at what changed meanwhile. It dies after seven days (knob "delta_seconds"),
and when the table's definition changes. The knob "page_rows" makes pages smaller than clients ask for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson

from crm_sync.emulators.dynamics.annotations import Annotator, context
from crm_sync.emulators.dynamics.filters import Condition, condition, ordering, sort_key
from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.protocol import SERVICE_PATH, Answer, Call, ODataError, Unsupported, no_row
from crm_sync.emulators.dynamics.tables import EPOCH, Column, Table, Tables
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.state import Between, Record, State

PAGE_ROWS: Final = 5000
DELTA_SECONDS: Final = 7 * 86400.0
KNOWN: Final = frozenset({"$select", "$filter", "$orderby", "$top", "$count", "$skiptoken", "$deltatoken"})
COOKIE: Final = re.compile(r'<cookie pagenumber="(\d+)" pagingcookie="([^"]*)" istracking="(True|False)" />')


class Queries:
    """Reads of one environment."""

    def __init__(self, state: State, tables: Tables, keys: Keys, faults: Faults, url: str) -> None:
        self._state = state
        self._tables = tables
        self._keys = keys
        self._faults = faults
        self._root = url + SERVICE_PATH
        self._annotator = Annotator(state, tables)

    def one(self, call: Call, table: Table, record: Record) -> Answer:
        """Return one row."""
        options = call.options()
        _only(call, options, {"$select"})
        annotations = call.preferences().get("odata.include-annotations")
        etag = f'W/"{record.seq}"'
        if call.header("if-none-match") == etag and annotations is None:
            return Answer(304, b"", {"ETag": etag})
        columns = select(table, options.get("$select"))
        row = self._annotator.rows(table, columns, [record], annotations)[0]
        head = {"@odata.context": context(self._root, table, options.get("$select"), "/$entity")}
        return Answer.of({**head, **row}, 200, ETag=etag, **_applied(call))

    def count(self, call: Call, table: Table) -> Answer:
        """Return the number of rows as text, with the byte order mark that Dataverse puts there."""
        options = call.options()
        _only(call, options, {"$filter"})
        where = self._where(table, options)
        number = min(self._state.count(table.logical, where=where.sql, params=where.params), PAGE_ROWS)
        return Answer(200, f"\ufeff{number}".encode(), {"Content-Type": "text/plain"})

    def many(self, call: Call, table: Table) -> Answer:
        """Return a page of a set."""
        options = call.options()
        if "$skip" in options:
            raise ODataError(400, "0x80060888", "Skip Clause is not supported in CRM")
        _only(call, options, KNOWN)
        preferences = call.preferences()
        size = min(_page_size(preferences), int(self._faults.knob("page_rows", PAGE_ROWS)))
        cookie = _cookie(options["$skiptoken"]) if "$skiptoken" in options else None
        tracking = cookie.tracking if cookie else "odata.track-changes" in preferences or "$deltatoken" in options
        if tracking:
            return self._tracked(call, table, options, size, cookie)
        return self._page(call, table, options, size, cookie, paged="odata.maxpagesize" in preferences)

    def _page(
        self, call: Call, table: Table, options: Mapping[str, str], size: int, cookie: Cookie | None, *, paged: bool
    ) -> Answer:
        where = self._where(table, options)
        order = ordering(table, options["$orderby"]) if "$orderby" in options else []
        keyed = [(sort_key(column), descending) for column, descending in order]
        keyed.append(("id", False))
        limit = size
        if "$top" in options and not paged:
            limit = min(size, _whole(options, "$top"))
        page_where = where
        if cookie is not None:
            after = _after(keyed, cookie.position)
            page_where = Condition(_both(where.sql, after.sql), (*where.params, *after.params))
        records = self._state.scan(
            table.logical,
            where=page_where.sql,
            params=page_where.params,
            order=", ".join(f"{sql} {'DESC' if descending else 'ASC'}" for sql, descending in keyed),
            limit=limit + 1,
        )
        more = len(records) > limit and ("$top" not in options or paged)
        records = records[:limit]
        document = self._head(table, options, "")
        if options.get("$count") == "true":
            number = self._state.count(table.logical, where=where.sql, params=where.params)
            document["@odata.count"] = min(number, PAGE_ROWS)
        document["value"] = self._rows(call, table, options, records)
        if more:
            last = [self._sort_value(records[-1], column) for column, _ in order] + [records[-1].id]
            number = cookie.number + 1 if cookie else 2
            document["@odata.nextLink"] = self._next(table, call, Cookie(number, last, tracking=False))
        return Answer.of(document, 200, **_applied(call))

    def _tracked(
        self, call: Call, table: Table, options: Mapping[str, str], size: int, cookie: Cookie | None
    ) -> Answer:
        for name in options:
            if name not in ("$select", "$skiptoken", "$deltatoken"):
                raise ODataError(400, "0x80060888", f"The query option {name} is not supported with change tracking.")
        if not self._keys.tracked(table.logical):
            raise ODataError(400, "0x80072491", f"Entity {table.logical} does not have change tracking enabled.")
        since = self._token(table, options["$deltatoken"]) if "$deltatoken" in options else None
        until = self._state.last_seq()
        if since is None:
            after = Between(gt=cookie.position[0]) if cookie else None
            records = self._state.scan(table.logical, id=after, limit=size + 1)
        else:
            low = cookie.position[0] if cookie else since
            records = self._state.scan(
                table.logical, deleted=None, seq=Between(gt=low, le=until), order="seq", limit=size + 1
            )
        more = len(records) > size
        records = records[:size]
        document = self._head(table, options, "" if since is None else "/$delta")
        if not more:
            document["@odata.deltaLink"] = self._delta(table, options, until)
        live = self._rows(call, table, options, [one for one in records if not one.deleted])
        gone = {one.id for one in records if one.deleted}
        rows = iter(live)
        deleted = f"{self._root}$metadata#{table.set_name}/$deletedEntity"
        document["value"] = [
            {"@odata.context": deleted, "id": one.id, "reason": "deleted"} if one.id in gone else next(rows)
            for one in records
        ]
        if more:
            last = records[-1].id if since is None else records[-1].seq
            number = cookie.number + 1 if cookie else 2
            document["@odata.nextLink"] = self._next(table, call, Cookie(number, [last], tracking=True))
        return Answer.of(document, 200, **_applied(call))

    def _rows(
        self, call: Call, table: Table, options: Mapping[str, str], records: Sequence[Record]
    ) -> list[dict[str, Any]]:
        columns = select(table, options.get("$select"))
        return self._annotator.rows(table, columns, records, call.preferences().get("odata.include-annotations"))

    def _head(self, table: Table, options: Mapping[str, str], suffix: str) -> dict[str, Any]:
        return {"@odata.context": context(self._root, table, options.get("$select"), suffix)}

    def _where(self, table: Table, options: Mapping[str, str]) -> Condition:
        if "$filter" not in options:
            return Condition("")
        return condition(table, options["$filter"], self._keys.active_columns(table.logical))

    def _sort_value(self, record: Record, column: Column) -> Any:
        """Return a row's place in an order, as SQL sees it."""
        if column.logical == "createdon":
            return record.created_us
        if column.logical == "modifiedon":
            return record.modified_us
        value = self._tables.value(record, column)
        if isinstance(value, bool):
            return int(value)
        return value.casefold() if column.textual and value is not None else value

    def _next(self, table: Table, call: Call, cookie: Cookie) -> str:
        kept = [
            pair for pair in call.query.split("&") if pair and not pair.startswith(("$skiptoken=", "%24skiptoken="))
        ]
        return f"{self._root}{table.set_name}?{'&'.join([*kept, '$skiptoken=' + quote(cookie.text(), safe='')])}"

    # -- delta tokens

    def _delta(self, table: Table, options: Mapping[str, str], seq: int) -> str:
        moment = datetime.fromtimestamp(self._state.now_us() // 1_000_000, EPOCH.tzinfo)
        token = quote(f"{seq}!{moment:%m/%d/%Y %H:%M:%S}", safe="")
        chosen = f"$select={quote(options['$select'], safe=',')}&" if "$select" in options else ""
        return f"{self._root}{table.set_name}?{chosen}$deltatoken={token}"

    def _token(self, table: Table, text: str) -> int:
        """Return the position of a delta token. Raises ODataError where it has expired."""
        seq_text, _, moment_text = text.partition("!")
        try:
            seq = int(seq_text)
            moment = datetime.strptime(moment_text, "%m/%d/%Y %H:%M:%S").replace(tzinfo=EPOCH.tzinfo)
        except ValueError:
            raise ODataError(400, "0x80060888", f"Invalid value '{text}' of the option $deltatoken.") from None
        age = self._state.now_us() / 1_000_000 - moment.timestamp()
        if age > float(self._faults.knob("delta_seconds", DELTA_SECONDS)) or seq < self._keys.defined_at(table.logical):
            raise ODataError(400, "0x80044352", "The token is expired or invalid. A full synchronization is needed.")
        return seq


class Cookie:
    """Where a page starts: behind `position`."""

    def __init__(self, number: int, position: list[Any], *, tracking: bool) -> None:
        self.number, self.position, self.tracking = number, position, tracking

    def text(self) -> str:
        """Return the paging cookie in Dataverse's outer form."""
        inner = quote(quote(orjson.dumps(self.position).decode(), safe=""), safe="")
        return f'<cookie pagenumber="{self.number}" pagingcookie="{inner}" istracking="{self.tracking}" />'


def _cookie(text: str) -> Cookie:
    match = COOKIE.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        position = orjson.loads(unquote(unquote(match.group(2))))
    except ValueError:
        raise ODataError(400, "0x80060888", "Malformed XML in the Paging Cookie") from None
    return Cookie(int(match.group(1)), position, tracking=match.group(3) == "True")


def _after(order: Sequence[tuple[str, bool]], position: Sequence[Any]) -> Condition:
    """Return what comes behind a position in an order; SQLite sorts null below everything."""
    branches: list[str] = []
    params: list[Any] = []
    for depth, (sql, descending) in enumerate(order):
        value = position[depth]
        if value is None:
            beyond, bound = ("0" if descending else f"{sql} IS NOT NULL"), []
        else:
            beyond, bound = (f"({sql} < ? OR {sql} IS NULL)" if descending else f"{sql} > ?"), [value]
        equal = [f"{earlier} IS ?" for earlier, _ in order[:depth]]
        branches.append("(" + " AND ".join([*equal, beyond]) + ")")
        params += [*position[:depth], *bound]
    return Condition("(" + " OR ".join(branches) + ")", tuple(params))


def _both(first: str, second: str) -> str:
    return f"({first}) AND {second}" if first else second


def select(table: Table, text: str | None) -> list[Column]:
    """Return the columns of a $select (all without one), the primary key always among them."""
    if text is None:
        return list(table.columns.values())
    names = dict.fromkeys(name.strip() for name in text.split(","))
    return [table.column(name) for name in names] + ([] if table.id in names else [table.column(table.id)])


def _only(call: Call, options: Mapping[str, str], known: set[str] | frozenset[str]) -> None:
    for name in options:
        if name not in known:
            raise Unsupported(f"the query option {name} here")


def _page_size(preferences: Mapping[str, str]) -> int:
    text = preferences.get("odata.maxpagesize", "")
    return min(int(text), PAGE_ROWS) if text.isdigit() and int(text) > 0 else PAGE_ROWS


def _whole(options: Mapping[str, str], name: str) -> int:
    text = options[name]
    if not text.isdigit():
        raise ODataError(
            400, "0x80060888", f"Invalid value '{text}' for {name} query option found. A whole number is needed."
        )
    return int(text)


def _applied(call: Call) -> dict[str, str]:
    applied = [
        f'{name}="{value}"' if name == "odata.include-annotations" else f"{name}={value}" if value else name
        for name, value in call.preferences().items()
        if name in ("odata.maxpagesize", "odata.track-changes", "odata.include-annotations")
    ]
    return {"Preference_Applied": ",".join(applied)} if applied else {}


def existing(state: State, table: Table, id: str) -> Record:
    """Return a live row. Raises ODataError 404."""
    record = state.get(table.logical, id)
    if record is None or record.deleted:
        raise no_row(table.logical, id)
    return record
