"""Let workflows change a field after a write: the fault automation {object, field, value, seconds}.

Without `seconds` the change is part of the very transaction, else it is a write of its own, so much later. It survives
a restart. (Rows that commit late, behind the watermark, are the state's: see State.postpone.)
"""

from __future__ import annotations

from typing import Any

import orjson

from crm_sync.emulators.salesforce.reading import stream
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.state import Duplicate

SCHEMA = """
CREATE TABLE IF NOT EXISTS sf_workflow (
    number INTEGER PRIMARY KEY, due_us INTEGER NOT NULL, object TEXT NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL)
"""


class Workflows:
    """The workflows of one org."""

    def __init__(self, org: Org) -> None:
        self.org = org
        with org.state.transaction() as db:
            db.execute(SCHEMA)

    def changes(self, sobject: str, record_id: str) -> dict[str, Any]:
        """Return what a workflow sets in this very transaction; one with `seconds` is kept for later."""
        fault = self.org.faults.strike("automation", object=sobject, target=record_id)
        field = self.org.field(sobject, str(fault.options.get("field"))) if fault else None
        if fault is None or field is None:
            return {}
        change = {field.name: fault.options.get("value")}
        if not fault.seconds:
            return change
        due = self.org.state.now_us() + round(fault.seconds * 1_000_000)
        with self.org.state.transaction() as db:
            sql = "INSERT INTO sf_workflow (due_us, object, id, doc) VALUES (?, ?, ?, ?)"
            db.execute(sql, (due, sobject, record_id, orjson.dumps(change).decode()))
        return {}

    def run_due(self) -> None:
        """Make the changes that are due; a value that another record holds is not set."""
        state = self.org.state
        now = state.now_us()
        due = "SELECT number, object, id, doc FROM sf_workflow WHERE due_us <= ? ORDER BY number"
        if stream(state, f"{due} LIMIT 1", (now,)).fetchone() is None:
            return
        with state.transaction() as db:
            for number, sobject, record_id, doc in db.execute(due, (now,)).fetchall():
                db.execute("DELETE FROM sf_workflow WHERE number = ?", (number,))
                try:
                    state.update(sobject, record_id, orjson.loads(doc))
                except Duplicate:
                    continue
