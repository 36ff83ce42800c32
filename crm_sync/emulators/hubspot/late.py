"""Let a write become visible later than its stamp says: the transaction that commits behind everybody's watermark.

The client is answered at once. What waits is kept in the state; every request first applies what is due by the
emulator's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from crm_sync.emulators.state import Duplicate, Record, State

TABLE = """CREATE TABLE IF NOT EXISTS hubspot_late (
    number INTEGER PRIMARY KEY AUTOINCREMENT, due_us INTEGER NOT NULL, object TEXT NOT NULL, id TEXT NOT NULL,
    facts TEXT NOT NULL)"""


class Late:
    """The writes that wait to be seen."""

    def __init__(self, state: State) -> None:
        self._state = state
        with state.transaction() as db:
            db.execute(TABLE)
        self._look()
        state.after_restore(self._look)

    def _look(self) -> None:
        db = self._state.connection()
        self._next: int | None = db.execute("SELECT min(due_us) FROM hubspot_late").fetchone()[0]

    def _keep(self, record: Record, seconds: float, facts: Mapping[str, Any]) -> None:
        due = self._state.now_us() + round(seconds * 1_000_000)
        with self._state.transaction() as db:
            db.execute(
                "INSERT INTO hubspot_late (due_us, object, id, facts) VALUES (?, ?, ?, ?)",
                (due, record.object, record.id, orjson.dumps(dict(facts)).decode()),
            )
        self._look()

    def hold_new(self, record: Record, seconds: float) -> None:
        """Hide a record that was just created, with its associations."""
        with self._state.transaction() as db:
            links = db.execute(
                "SELECT from_object, from_id, to_object, to_id, type_id FROM association"
                " WHERE (from_object = ? AND from_id = ?) OR (to_object = ? AND to_id = ?)",
                (record.object, record.id) * 2,
            ).fetchall()
            self._state.purge(record.object, record.id)
            facts = {"values": record.values, "created_us": record.created_us, "links": [list(one) for one in links]}
            self._keep(record, seconds, facts)

    def hold_change(self, old: Record, changed: Record, values: Mapping[str, Any], seconds: float) -> None:
        """Take back a change that was just made."""
        with self._state.transaction():
            before = {name: old.values.get(name) for name in values}
            self._state.update(old.object, old.id, before, modified_us=old.modified_us)
            self._keep(old, seconds, {"values": dict(values), "modified_us": changed.modified_us})

    def apply_due(self) -> None:
        """Show what is due; a value that somebody else took meanwhile loses its write."""
        if self._next is None or self._next > self._state.now_us():
            return
        with self._state.transaction() as db:
            rows = db.execute(
                "SELECT number, object, id, facts FROM hubspot_late WHERE due_us <= ? ORDER BY number",
                (self._state.now_us(),),
            ).fetchall()
            for number, object, id, text in rows:
                db.execute("DELETE FROM hubspot_late WHERE number = ?", (number,))
                try:
                    with self._state.transaction():
                        self._apply(object, id, orjson.loads(text))
                except Duplicate:
                    continue
        self._look()

    def _apply(self, object: str, id: str, facts: Mapping[str, Any]) -> None:
        if "created_us" in facts:
            self._state.insert(object, id, facts["values"], created_us=facts["created_us"])
            self._state.associate(tuple(one) for one in facts["links"])
            return
        now = self._state.get(object, id)
        if now is not None:
            stamp = max(now.modified_us, facts["modified_us"])
            self._state.update(object, id, facts["values"], modified_us=stamp)
