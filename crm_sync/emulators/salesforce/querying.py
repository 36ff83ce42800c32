"""Answer query, queryAll and their further pages.

A query of more than one page keeps the ids that it matched, not the records: later pages show these as they are
then. Cursors live in memory for two days; a restart loses them, and the client gets INVALID_QUERY_LOCATOR.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.compiling import Compiled, Compiler
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.schema import STANDARD_ELSEWHERE, Org
from crm_sync.emulators.salesforce.soql import Query, Token, parse
from crm_sync.emulators.state import Record

DEFAULT_BATCH, SMALLEST_BATCH, LARGEST_BATCH = 2000, 200, 2000
MAX_OFFSET = 2000
CURSOR_US = 2 * 24 * 3600 * 1_000_000
CURSORS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a query matched: 18 characters an id, in order."""

    compiled: Compiled
    deleted: bool
    ids: bytes
    total: int
    made_us: int


class Querying:
    """Queries of one org and their cursors."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self._cursors: OrderedDict[str, Cursor] = OrderedDict()
        self._lock = threading.Lock()

    def query(self, call: Call, *, deleted: bool) -> Answer:
        """Answer a new query; `deleted` includes the recycle bin."""
        text = call.query.get("q")
        if text is None:
            raise Failure(400, Problem("MALFORMED_QUERY", "A query string has to be specified"))
        query = parse(text)
        sobject = self.sobject(query)
        compiled = Compiler(self.org, query, sobject).compile()
        if query.offset > MAX_OFFSET:
            raise Failure(400, Problem("NUMBER_OUTSIDE_VALID_RANGE", "SOQL OFFSET exceeds maximum allowed: 2000"))
        if query.count is not None:
            return self.counted(query, compiled, deleted)
        size = batch_size(call)
        state, live = self.org.state, None if deleted else False
        limit = size + 1 if query.limit is None else min(query.limit, size + 1)
        records = state.scan(
            sobject, deleted=live, where=compiled.where, params=compiled.params, order=compiled.order,
            limit=limit, offset=query.offset,
        )  # fmt: skip
        if len(records) <= size:
            shown = self.shown(compiled, records, call)
            return Answer(body={"totalSize": len(records), "done": True, "records": shown})
        locator, cursor = self.open(query, compiled, deleted)
        return Answer(body=self.page(call, locator, cursor, 0, size))

    def more(self, call: Call, locator: str) -> Answer:
        """Answer a further page; the locator alone decides of the mode, whichever path it comes by."""
        name, _, offset = locator.rpartition("-")
        with self._lock:
            cursor = self._cursors.get(name)
        fresh = cursor is not None and cursor.made_us > self.org.state.now_us() - CURSOR_US
        if cursor is None or not fresh or not re.fullmatch(r"\d{1,9}", offset) or int(offset) > cursor.total:
            raise Failure(400, Problem("INVALID_QUERY_LOCATOR", "invalid query locator"))
        return Answer(body=self.page(call, name, cursor, int(offset), batch_size(call)))

    def sobject(self, query: Query) -> str:
        """Return the object that a query is about."""
        name = query.sobject.text
        found = self.org.object(name)
        if found is not None:
            return found
        if name.casefold() in STANDARD_ELSEWHERE:
            raise Unsupported(f"queries of {name}: {query.text}")
        text = (
            f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append "
            "the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate "
            "names."
        )
        raise Failure(400, Problem("INVALID_TYPE", text))

    def counted(self, query: Query, compiled: Compiled, deleted: bool) -> Answer:
        """Answer COUNT() by totalSize, COUNT(field) by an aggregate row."""
        where, params = compiled.where, list(compiled.params)
        if query.count:
            counting = Query(query.text, query.sobject, (), None, None, (), None, 0)
            token = Token("name", query.count, 0)
            column = Compiler(self.org, counting, compiled.sobject).column(token)
            where = f"({where}) AND {column.sql} IS NOT NULL" if where else f"{column.sql} IS NOT NULL"
        number = self.org.state.count(compiled.sobject, deleted=None if deleted else False, where=where, params=params)
        if not query.count:
            return Answer(body={"totalSize": number, "done": True, "records": []})
        row = {"attributes": {"type": "AggregateResult"}, "expr0": number}
        return Answer(body={"totalSize": 1, "done": True, "records": [row]})

    def open(self, query: Query, compiled: Compiled, deleted: bool) -> tuple[str, Cursor]:
        """Keep the ids that a query matches now."""
        state = self.org.state
        conditions = ["object = ?"] if deleted else ["object = ?", "NOT deleted"]
        if compiled.where:
            conditions.append(f"({compiled.where})")
        sql = f"SELECT id FROM record WHERE {' AND '.join(conditions)} ORDER BY {compiled.order} LIMIT ? OFFSET ?"
        limit = -1 if query.limit is None else query.limit
        with state.transaction() as db:
            rows = db.execute(sql, (compiled.sobject, *compiled.params, limit, query.offset))
            found = b"".join(row[0].encode() for row in rows)
        cursor = Cursor(compiled, deleted, found, len(found) // 18, state.now_us())
        locator = ids.make("0r8", state.next_number("cursor"))
        with self._lock:
            self._cursors[locator] = cursor
            while len(self._cursors) > CURSORS_KEPT:
                self._cursors.popitem(last=False)
        return locator, cursor

    def page(self, call: Call, locator: str, cursor: Cursor, start: int, size: int) -> dict[str, Any]:
        """Return one page; records purged or, outside queryAll, deleted meanwhile are missing from it."""
        end = min(start + size, cursor.total)
        wanted = [cursor.ids[at * 18 : at * 18 + 18].decode() for at in range(start, end)]
        found = self.org.state.get_many(cursor.compiled.sobject, wanted)
        records = [found[one] for one in wanted if one in found and (cursor.deleted or not found[one].deleted)]
        out: dict[str, Any] = {"totalSize": cursor.total, "done": end >= cursor.total}
        if end < cursor.total:
            out["nextRecordsUrl"] = f"{call.base}/query/{locator}-{end}"
        return {**out, "records": self.shown(cursor.compiled, records, call)}

    def shown(self, compiled: Compiled, records: Sequence[Record], call: Call) -> list[dict[str, Any]]:
        """Return records as the selection wants them, parents nested."""
        parents = self.parents(compiled, records)
        base = call.base
        out = []
        for record in records:
            row = attributes(base, compiled.sobject, record.id)
            for path in compiled.shown:
                first = path[0]
                if len(path) == 1:
                    row[first.name] = self.org.value(compiled.sobject, record, first)
                    continue
                target, relation = str(first.extra["target"]), str(first.extra["relationship"])
                parent = parents.get((target, self.org.value(compiled.sobject, record, first)))
                if parent is None:
                    row[relation] = None
                    continue
                nested = row.setdefault(relation, attributes(base, target, parent.id))
                nested[path[1].name] = self.org.value(target, parent, path[1])
            out.append(row)
        return out

    def parents(self, compiled: Compiled, records: Iterable[Record]) -> dict[tuple[str, str], Record]:
        """Fetch the parents that a selection shows."""
        found: dict[tuple[str, str], Record] = {}
        for reference in {path[0].name: path[0] for path in compiled.shown if len(path) > 1}.values():
            target = str(reference.extra["target"])
            wanted = {self.org.value(compiled.sobject, record, reference) for record in records} - {None}
            for one in self.org.state.get_many(target, sorted(wanted)).values():
                found[target, one.id] = one
        return found


def attributes(base: str, sobject: str, record_id: str) -> dict[str, Any]:
    """Start a record with its attributes."""
    return {"attributes": {"type": sobject, "url": f"{base}/sobjects/{sobject}/{record_id}"}}


def batch_size(call: Call) -> int:
    """Read the page size from Sforce-Query-Options; out of range it is moved into it."""
    match = re.search(r"batchSize\s*=\s*(\d{1,6})", call.headers.get("sforce-query-options", ""))
    wanted = int(match[1]) if match else DEFAULT_BATCH
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, wanted))
