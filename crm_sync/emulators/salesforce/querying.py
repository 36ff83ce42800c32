"""Answer query, queryAll and their further pages.

A query of more than one page keeps the ids that it matched, not the records: later pages show these as they are
then. Cursors live for two days, over restarts too; the locator alone carries the mode, whichever path it comes by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.aggregating import Aggregation
from crm_sync.emulators.salesforce.compiling import Compiler
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.mischief import Mischief
from crm_sync.emulators.salesforce.parts import Parts
from crm_sync.emulators.salesforce.reading import DELETED, columns, fetch, stream
from crm_sync.emulators.salesforce.resolving import find_object
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.salesforce.selecting import Selection
from crm_sync.emulators.salesforce.soql.parsing import parse
from crm_sync.emulators.salesforce.soql.tree import Query

DEFAULT_BATCH, SMALLEST_BATCH, LARGEST_BATCH = 2000, 200, 2000
MAX_OFFSET = 2000
CURSOR_US = 2 * 24 * 3600 * 1_000_000
CURSOR = "cursor:"


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a query matched; its ids are in Parts, 18 characters each, in order."""

    locator: str
    text: str
    deleted: bool
    total: int
    made_us: int


class Querying:
    """Queries of one org and their cursors."""

    def __init__(self, org: Org, mischief: Mischief) -> None:
        self.org, self.mischief = org, mischief
        self.parts = Parts(org.state)

    def query(self, call: Call, *, deleted: bool) -> Answer:
        """Answer a new query; `deleted` includes the recycle bin."""
        if "explain" in call.query:
            raise Unsupported(f"{call.method} {call.base}/{call.path}?explain=")
        text = call.query.get("q")
        if text is None:
            raise Failure(400, Problem("MALFORMED_QUERY", "A query string has to be specified"))
        query = parse(text)
        if query.offset > MAX_OFFSET:
            raise Failure(400, Problem("NUMBER_OUTSIDE_VALID_RANGE", "SOQL OFFSET exceeds maximum allowed: 2000"))
        sobject = find_object(self.org, query)
        self.mischief.query(sobject)
        compiler = Compiler(self.org, query, sobject, deleted=deleted)
        if query.plain_count:
            source, params = compiler.source()
            limit = -1 if query.limit is None else query.limit
            sql = f"SELECT count(*) FROM (SELECT 1 {source} LIMIT ? OFFSET ?)"
            number = stream(self.org.state, sql, (*params, limit, query.offset)).fetchone()[0]
            return Answer(body={"totalSize": number, "done": True, "records": []})
        if query.aggregated:
            rows = Aggregation(compiler).rows()
            return Answer(body={"totalSize": len(rows), "done": True, "records": rows})
        return self.answer(call, query, compiler)

    def answer(self, call: Call, query: Query, compiler: Compiler) -> Answer:
        """Answer a query for records."""
        size = batch_size(call)
        selection = Selection(self.org, query, compiler.sobject, call.base, deleted=compiler.deleted)
        source, params = compiler.source()
        order = compiler.order()
        limit = size + 1 if query.limit is None else min(query.limit, size + 1)
        sql = f"SELECT {columns('r')} {source} ORDER BY {order} LIMIT ? OFFSET ?"
        records = stream(self.org.state, sql, (*params, limit, query.offset)).fetchall()
        if len(records) <= size:
            return Answer(body={"totalSize": len(records), "done": True, "records": selection.rows(records)})
        cursor = self.open(query, f"SELECT r.id {source} ORDER BY {order} LIMIT ? OFFSET ?", params, compiler.deleted)
        return Answer(body=self.page(call, cursor, 0, size, selection))

    def open(self, query: Query, sql: str, params: list[Any], deleted: bool) -> Cursor:
        """Keep the ids that a query matches now."""
        state = self.org.state
        limit = -1 if query.limit is None else query.limit
        with state.transaction() as db:
            self.expire()
            locator = ids.make("0r8", state.next_number("cursor"))
            rows = db.execute(sql, (*params, limit, query.offset))
            total = self.parts.extend(CURSOR + locator, (row[0].encode() for row in rows))
            made = state.now_us()
            kept = {"text": query.text, "deleted": deleted, "total": total, "made_us": made}
            state.set_meta(CURSOR + locator, kept)
        return Cursor(locator, query.text, deleted, total, made)

    def expire(self) -> None:
        """Forget cursors older than two days."""
        for key, kept in self.org.state.list_meta(CURSOR).items():
            if kept["made_us"] <= self.org.state.now_us() - CURSOR_US:
                self.drop(key.removeprefix(CURSOR))

    def drop(self, locator: str) -> None:
        """Forget one cursor."""
        with self.org.state.transaction():
            self.parts.drop(CURSOR + locator)
            self.org.state.set_meta(CURSOR + locator, None)

    def find(self, locator: str) -> Cursor | None:
        """Return a living cursor."""
        kept = self.org.state.get_meta(CURSOR + locator)
        if kept is None or kept["made_us"] <= self.org.state.now_us() - CURSOR_US:
            return None
        return Cursor(locator, kept["text"], kept["deleted"], kept["total"], kept["made_us"])

    def more(self, call: Call, locator: str) -> Answer:
        """Answer a further page."""
        name, _, offset = locator.rpartition("-")
        if self.mischief.expires_locator(name):
            self.drop(name)
        cursor = self.find(name)
        if cursor is None or not re.fullmatch(r"\d{1,9}", offset) or int(offset) > cursor.total:
            raise Failure(400, Problem("INVALID_QUERY_LOCATOR", "invalid query locator"))
        query = parse(cursor.text)
        sobject = find_object(self.org, query)
        selection = Selection(self.org, query, sobject, call.base, deleted=cursor.deleted)
        return Answer(body=self.page(call, cursor, int(offset), batch_size(call), selection))

    def page(self, call: Call, cursor: Cursor, start: int, size: int, selection: Selection) -> dict[str, Any]:
        """Return one page; records purged or, outside queryAll, deleted meanwhile are missing from it."""
        end = min(start + size, cursor.total)
        raw = b"".join(self.parts.slices(CURSOR + cursor.locator, start, end)).decode()
        wanted = [raw[at : at + 18] for at in range(0, len(raw), 18)]
        found = fetch(self.org.state, selection.sobject, wanted)
        records = [found[one] for one in wanted if one in found and (cursor.deleted or not found[one][DELETED])]
        out: dict[str, Any] = {"totalSize": cursor.total, "done": end >= cursor.total}
        if end < cursor.total:
            out["nextRecordsUrl"] = f"{call.base}/query/{cursor.locator}-{end}"
        return {**out, "records": selection.rows(records)}


def batch_size(call: Call) -> int:
    """Read the page size from Sforce-Query-Options; out of range it is moved into it."""
    match = re.search(r"batchSize\s*=\s*(\d{1,6})", call.headers.get("sforce-query-options", ""))
    wanted = int(match[1]) if match else DEFAULT_BATCH
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, wanted))
