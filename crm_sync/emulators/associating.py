"""Associations between the records of one pretend CRM: directed; a CRM that shows both directions stores both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from crm_sync.emulators.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS association (
    from_object TEXT NOT NULL, to_object TEXT NOT NULL, from_id TEXT NOT NULL, to_id TEXT NOT NULL,
    type_id INTEGER NOT NULL,
    PRIMARY KEY (from_object, to_object, from_id, to_id, type_id)) WITHOUT ROWID;
"""


class Associating(Database):
    """The part of State that links records."""

    def associate(self, rows: Iterable[tuple[str, str, str, str, int]]) -> None:
        """Add (from_object, from_id, to_object, to_id, type_id) rows; those that exist stay."""
        with self.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO association (from_object, from_id, to_object, to_id, type_id)"
                " VALUES (?, ?, ?, ?, ?)",
                rows,
            )

    def dissociate(self, rows: Iterable[tuple[str, str, str, str, int | None]]) -> int:
        """Remove rows and return how many; type_id None removes all types between the two."""
        removed = 0
        with self.transaction() as db:
            for *ends, type_id in rows:
                removed += db.execute(
                    "DELETE FROM association WHERE from_object = ? AND from_id = ? AND to_object = ? AND to_id = ?"
                    " AND type_id = coalesce(?, type_id)",
                    (*ends, type_id),
                ).rowcount
        return removed

    def associations(
        self, from_object: str, from_ids: Sequence[str], to_object: str
    ) -> dict[str, list[tuple[str, int]]]:
        """Return from_id -> [(to_id, type_id)], ordered; ids without any are left out."""
        rows = self._db().execute(
            "SELECT from_id, to_id, type_id FROM association WHERE from_object = ? AND to_object = ?"
            " AND from_id IN (SELECT value FROM json_each(?)) ORDER BY from_id, length(to_id), to_id, type_id",
            (from_object, to_object, orjson.dumps(list(from_ids)).decode()),
        )
        out: dict[str, list[tuple[str, int]]] = {}
        for from_id, to_id, type_id in rows:
            out.setdefault(from_id, []).append((to_id, type_id))
        return out

    def association_targets(self, from_object: str) -> list[str]:
        """Return the objects that records of an object are associated with, by leaps over the key."""
        found: list[str] = []
        while True:
            row = self._db().execute(
                "SELECT min(to_object) FROM association WHERE from_object = ? AND to_object > ?",
                (from_object, found[-1] if found else ""),
            ).fetchone()  # fmt: skip
            if row[0] is None:
                return found
            found.append(row[0])
