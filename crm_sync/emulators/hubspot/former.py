"""What records were a little while ago, for a search whose index lags: it finds them in their old state.

Every change and deletion keeps the state before it for ten minutes of the emulator's clock. Source: "Search the CRM"
(eventual consistency), reports of integrators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from crm_sync.emulators.state import Record, State

KEPT_US = 600_000_000
TABLE = """CREATE TABLE IF NOT EXISTS hubspot_former (
    object TEXT NOT NULL, id TEXT NOT NULL, since_us INTEGER NOT NULL, until_us INTEGER NOT NULL,
    created_us INTEGER NOT NULL, doc TEXT NOT NULL)"""
INDEX = "CREATE INDEX IF NOT EXISTS hubspot_former_by_end ON hubspot_former (until_us)"
SOURCE = """WITH record AS NOT MATERIALIZED (
    SELECT id, created_us, modified_us, doc FROM main.record
    WHERE object = ? AND deleted = 0 AND modified_us <= ?
    UNION ALL
    SELECT id, created_us, since_us, doc FROM hubspot_former
    WHERE object = ? AND since_us <= ? AND until_us > ?)"""


class Former:
    """The former states of records."""

    def __init__(self, state: State) -> None:
        self._state = state
        with state.transaction() as db:
            db.execute(TABLE)
            db.execute(INDEX)

    def keep(self, old: Record) -> None:
        """Keep a record as it was until now; call it in the transaction of the change."""
        now = self._state.now_us()
        with self._state.transaction() as db:
            db.execute("DELETE FROM hubspot_former WHERE until_us < ?", (now - KEPT_US,))
            doc = orjson.dumps(old.values).decode()
            values = (old.object, old.id, old.modified_us, now, old.created_us, doc)
            db.execute("INSERT INTO hubspot_former VALUES (?, ?, ?, ?, ?, ?)", values)

    def find(
        self, object: str, lag_seconds: float, where: str, params: Sequence[Any], order: str, limit: int, offset: int
    ) -> tuple[int, list[Record]]:
        """Return how many records met a condition so many seconds ago, and a page of them as they were."""
        then = self._state.now_us() - round(lag_seconds * 1_000_000)
        given = [object, then, object, then, then, *params]
        db = self._state.connection()
        condition = where or "1"
        total = db.execute(f"{SOURCE} SELECT count(*) FROM record WHERE {condition}", given).fetchone()[0]
        rows = db.execute(
            f"{SOURCE} SELECT id, created_us, modified_us, doc FROM record WHERE {condition}"
            f" ORDER BY {order} LIMIT ? OFFSET ?",
            [*given, limit, offset],
        )
        found = [Record(object, id, 0, made, since, False, None, orjson.loads(doc)) for id, made, since, doc in rows]
        return int(total), found
