"""Let armed faults strike where the org itself would fail; the catalogue is in matrix.toml.

A limit's kind: daily, concurrent (at the door), login (at a grant), query_timeout, cursor (a query), storage (a new
record), bulk (a new bulk job), row_count (a page of getUpdated or getDeleted).
"""

from __future__ import annotations

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce.failures import Failure, Invalid, Problem
from crm_sync.emulators.salesforce.schema import Org

LOCKED = "unable to obtain exclusive access to this record or 1 records: "
VALIDATION = "The record was refused by a rule of the org."
LIMITS = {
    "daily": (403, Problem("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")),
    "concurrent": (
        403,
        Problem("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
    ),
    "query_timeout": (400, Problem("QUERY_TIMEOUT", "Your query request was running for too long.")),
    "cursor": (400, Problem("QUERY_TOO_COMPLICATED", "The query has too many filter conditions")),
    "bulk": (400, Problem("LIMIT_EXCEEDED", "Max batches per rolling 24 hour window exceeded")),
    "row_count": (400, Problem("EXCEEDED_ID_LIMIT", "exceeded id limit: more than 600000 ids")),
    "storage": (400, Problem("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", ())),
}
BROKEN = {
    500: Problem("UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId: 1-1"),
    503: Problem("SERVER_UNAVAILABLE", "The server is temporarily unable to service your request"),
}


def strike_limit(faults: Faults, kind: str, sobject: str = "") -> None:
    """Fail as the org does at one of its limits. Raises Failure."""
    if faults.strike("limit", object=sobject, kind=kind):
        status, problem = LIMITS[kind]
        raise Failure(status, problem)


class Mischief:
    """The faults of one org."""

    def __init__(self, org: Org) -> None:
        self.org, self.faults = org, org.faults

    def door(self) -> None:
        """Strike at a request that has been let in. Raises Failure."""
        for kind in ("daily", "concurrent"):
            strike_limit(self.faults, kind)
        if fault := self.faults.strike("server_error"):
            problem = BROKEN.get(fault.status, BROKEN[500])
            raise Failure(fault.status, problem)

    def query(self, sobject: str) -> None:
        """Strike at a query. Raises Failure."""
        for kind in ("query_timeout", "cursor"):
            strike_limit(self.faults, kind, sobject)

    def expires_locator(self, locator: str) -> bool:
        """Tell whether a query locator ends before its time."""
        return self.faults.strike("expire_locator", target=locator) is not None

    def row(self, sobject: str, record_id: str = "") -> None:
        """Strike at one row that is written in a batch. Raises Invalid."""
        if self.faults.strike("bad_record", object=sobject, target=record_id):
            raise Invalid(Problem("FIELD_CUSTOM_VALIDATION_EXCEPTION", VALIDATION, ()))

    def write(self, sobject: str, record_id: str = "") -> None:
        """Strike at the writing of a record. Raises Invalid."""
        if self.faults.strike("row_lock", object=sobject, target=record_id):
            text = LOCKED + (record_id or "unknown")[:15]
            raise Invalid(Problem("UNABLE_TO_LOCK_ROW", text, ()))

    def create(self, sobject: str) -> None:
        """Strike at the creation of a record: no space is left. Raises Invalid."""
        if self.faults.strike("limit", object=sobject, kind="storage"):
            raise Invalid(LIMITS["storage"][1])

