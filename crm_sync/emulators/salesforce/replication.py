"""Answer updated/ and deleted/: ids changed within a window of the last 30 (deleted: 15) days."""

from __future__ import annotations

from typing import TypeVar

from crm_sync.emulators.salesforce.bin import Bin
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem
from crm_sync.emulators.salesforce.mischief import strike_limit
from crm_sync.emulators.salesforce.moments import microseconds, stamp
from crm_sync.emulators.salesforce.reading import stream
from crm_sync.emulators.salesforce.schema import Org

DAY_US = 24 * 3600 * 1_000_000
MINUTE_US = 60 * 1_000_000
MOST = 600_000
Found = TypeVar("Found")
RANGE = "FROM record WHERE object = ? AND {} AND modified_us >= ? AND modified_us < ? ORDER BY modified_us, id LIMIT ?"


def updated_ids(org: Org, call: Call, sobject: str) -> Answer:
    """GET sobjects/X/updated/?start=&end=."""
    start, end = window_of(org, call, 30)
    strike_limit(org.faults, "row_count", sobject)
    sql = f"SELECT id {RANGE.format('NOT deleted')}"
    found = [row[0] for row in stream(org.state, sql, (sobject, start, end, MOST + 1))]
    return Answer(body={"ids": at_most(found), "latestDateCovered": covered(org, end)})


def deleted_ids(org: Org, records: Bin, call: Call, sobject: str) -> Answer:
    """GET sobjects/X/deleted/?start=&end=; the purged ones too."""
    start, end = window_of(org, call, 15)
    strike_limit(org.faults, "row_count", sobject)
    sql = f"SELECT id, modified_us {RANGE.format('deleted')}"
    found = [*stream(org.state, sql, (sobject, start, end, MOST + 1)), *records.purged(sobject, start, end)]
    found.sort(key=lambda row: row[1])
    rows = [{"id": record_id, "deletedDate": stamp(moment)} for record_id, moment in at_most(found)]
    earliest = stamp(org.state.now_us() - 15 * DAY_US)
    return Answer(
        body={"deletedRecords": rows, "earliestDateAvailable": earliest, "latestDateCovered": covered(org, end)}
    )


def at_most(rows: list[Found]) -> list[Found]:
    """Refuse an answer of too many ids."""
    if len(rows) > MOST:
        raise Failure(400, Problem("EXCEEDED_ID_LIMIT", f"exceeded id limit: more than {MOST} ids"))
    return rows


def covered(org: Org, end: int) -> str:
    """Return up to when the answer is whole: not beyond now, nor beyond a write that has still to commit."""
    held = stream(org.state, "SELECT min(modified_us) FROM late_row").fetchone()[0]
    now = org.state.now_us()
    return stamp(min(end, now - now % MINUTE_US if end > now else end, *([held - held % MINUTE_US] if held else [])))


def window_of(org: Org, call: Call, days: int) -> tuple[int, int]:
    """Read start and end; they count in whole minutes."""
    moments = []
    for name in ("start", "end"):
        try:
            moments.append(microseconds(call.query.get(name, "").replace(" ", "+")))
        except ValueError:
            text = f"Invalid {name} date: expected ISO 8601, such as 2024-05-01T10:00:00+00:00"
            raise Failure(400, Problem("INVALID_REPLICATION_DATE", text)) from None
    start, end = (moment - moment % MINUTE_US for moment in moments)
    if start >= end:
        raise Failure(400, Problem("INVALID_REPLICATION_DATE", "startDate must be at least one minute before endDate"))
    if start < org.state.now_us() - days * DAY_US:
        raise Failure(400, Problem("INVALID_REPLICATION_DATE", f"startDate cannot be more than {days} days ago"))
    return start, end
