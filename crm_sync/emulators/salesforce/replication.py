"""Answer updated/ and deleted/: ids changed within a window of the last 30 (deleted: 15) days."""

from __future__ import annotations

from datetime import UTC, datetime

from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem
from crm_sync.emulators.salesforce.schema import Org, stamp
from crm_sync.emulators.state import Between

DAY_US = 24 * 3600 * 1_000_000
MINUTE_US = 60 * 1_000_000


def updated_ids(org: Org, call: Call, sobject: str) -> Answer:
    """GET sobjects/X/updated/?start=&end=."""
    window, end = window_of(org, call, 30)
    found = org.state.scan(sobject, modified=window, order="modified_us, id")
    return Answer(body={"ids": [record.id for record in found], "latestDateCovered": stamp(end)})


def deleted_ids(org: Org, call: Call, sobject: str) -> Answer:
    """GET sobjects/X/deleted/?start=&end=."""
    window, end = window_of(org, call, 15)
    found = org.state.scan(sobject, deleted=True, modified=window, order="modified_us, id")
    rows = [{"id": record.id, "deletedDate": stamp(record.modified_us)} for record in found]
    earliest = stamp(org.state.now_us() - 15 * DAY_US)
    return Answer(body={"deletedRecords": rows, "earliestDateAvailable": earliest, "latestDateCovered": stamp(end)})


def window_of(org: Org, call: Call, days: int) -> tuple[Between, int]:
    """Read start and end; they count in whole minutes."""
    moments = []
    for name in ("start", "end"):
        try:
            moment = datetime.fromisoformat(call.query.get(name, "").replace(" ", "+"))
        except ValueError:
            text = f"Invalid {name} date: expected ISO 8601, such as 2024-05-01T10:00:00+00:00"
            raise Failure(400, Problem("INVALID_REPLICATION_DATE", text)) from None
        moments.append(int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 1_000_000)
    start, end = (moment - moment % MINUTE_US for moment in moments)
    if start >= end:
        raise Failure(400, Problem("INVALID_REPLICATION_DATE", "startDate must be at least one minute before endDate"))
    if start < org.state.now_us() - days * DAY_US:
        raise Failure(400, Problem("INVALID_REPLICATION_DATE", f"startDate cannot be more than {days} days ago"))
    return Between(ge=start, lt=end), end
