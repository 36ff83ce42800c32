"""What values a property had before: kept from the first change on, implied before it.

A record that never changed has no rows; its history is what it was created with. Source: object APIs
(propertiesWithHistory).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.sources import API, Source
from crm_sync.emulators.state import Record, State

TABLE = """CREATE TABLE IF NOT EXISTS hubspot_history (
    object TEXT NOT NULL, id TEXT NOT NULL, property TEXT NOT NULL, at_us INTEGER NOT NULL, value TEXT,
    source TEXT NOT NULL, source_id TEXT NOT NULL)"""
INDEX = "CREATE INDEX IF NOT EXISTS hubspot_history_by_record ON hubspot_history (object, id, property)"


class History:
    """The former values of all records."""

    def __init__(self, state: State) -> None:
        self._state = state
        with state.transaction() as db:
            db.execute(TABLE)
            db.execute(INDEX)

    def keep(self, old: Record, changed: Mapping[str, str | None], at_us: int, source: Source) -> None:
        """Remember changed values, and what was there before where nothing is remembered yet."""
        rows = []
        with self._state.transaction() as db:
            known = {
                row[0]
                for row in db.execute(
                    "SELECT DISTINCT property FROM hubspot_history WHERE object = ? AND id = ?", (old.object, old.id)
                )
            }
            for name, value in changed.items():
                before = old.values.get(name)
                if name not in known and before is not None:
                    rows.append((old.object, old.id, name, old.created_us, before, API.kind, API.id))
                rows.append((old.object, old.id, name, at_us, value, source.kind, source.id))
            db.executemany("INSERT INTO hubspot_history VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def forget(self, object: str, id: str) -> None:
        """Remove all that is remembered of a record."""
        with self._state.transaction() as db:
            db.execute("DELETE FROM hubspot_history WHERE object = ? AND id = ?", (object, id))

    def read(self, records: Sequence[Record], names: Sequence[str]) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Return record id -> property -> its values, newest first."""
        out: dict[str, dict[str, list[dict[str, Any]]]] = {one.id: {} for one in records}
        if not records or not names:
            return out
        rows = self._state.connection().execute(
            "SELECT id, property, at_us, value, source, source_id FROM hubspot_history WHERE object = ?"
            " AND id IN (SELECT value FROM json_each(?)) AND property IN (SELECT value FROM json_each(?))"
            " ORDER BY rowid DESC",
            (records[0].object, orjson.dumps(list(out)).decode(), orjson.dumps(list(names)).decode()),
        )
        for id, name, at_us, value, kind, source_id in rows:
            out[id].setdefault(name, []).append(_entry(value, at_us, Source(kind, source_id)))
        for one in records:
            for name in names:
                value = one.values.get(name)
                if name not in out[one.id] and value is not None:
                    out[one.id][name] = [_entry(value, one.created_us, API)]
        return out


def _entry(value: str | None, at_us: int, source: Source) -> dict[str, Any]:
    return {
        "value": value or "", "timestamp": instant(at_us), "sourceType": source.kind, "sourceId": source.id,
    }  # fmt: skip
