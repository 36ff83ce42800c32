"""Keep all records of one pretend CRM in one SQLite file.

Every write takes the next number of one sequence over the whole CRM (`seq`: usable as a version or as a position of
change tracking) inside its transaction, so commits are ordered by it. Stamps are whole microseconds since 1970 UTC, cut
down to the resolution that the CRM has. Deleting is soft; `purge` removes the row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from crm_sync.emulators import associating
from crm_sync.emulators.associating import Associating
from crm_sync.emulators.clock import Clock, system_clock
from crm_sync.emulators.database import fold as folded
from crm_sync.emulators.reading import Between, Reading, Record, field_sql, fields_sql

__all__ = ["Between", "Duplicate", "NewRecord", "Record", "State", "field_sql", "fields_sql"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    object TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL,
    created_us INTEGER NOT NULL, modified_us INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0, merged_into TEXT, doc TEXT NOT NULL, PRIMARY KEY (object, id));
DROP INDEX IF EXISTS record_by_modified;
CREATE INDEX IF NOT EXISTS record_by_id ON record (object, deleted, id);
CREATE INDEX IF NOT EXISTS record_by_modification ON record (object, modified_us, id, deleted);
CREATE INDEX IF NOT EXISTS record_by_seq ON record (object, seq);
CREATE INDEX IF NOT EXISTS record_deleted ON record (object, modified_us, id) WHERE deleted = 1;
CREATE TABLE IF NOT EXISTS unique_field (
    object TEXT NOT NULL, field TEXT NOT NULL, fold INTEGER NOT NULL, PRIMARY KEY (object, field));
CREATE TABLE IF NOT EXISTS unique_value (
    object TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (object, field, value)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unique_value_by_id ON unique_value (object, id);
CREATE TABLE IF NOT EXISTS late_row (
    object TEXT NOT NULL, id TEXT NOT NULL, due_us INTEGER NOT NULL, created_us INTEGER NOT NULL,
    modified_us INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (object, id, modified_us, due_us));
"""
TALLY = """
CREATE TABLE tally (
    object TEXT NOT NULL, deleted INTEGER NOT NULL, records INTEGER NOT NULL,
    PRIMARY KEY (object, deleted)) WITHOUT ROWID;
INSERT INTO tally SELECT object, deleted, count(*) FROM record GROUP BY object, deleted;
CREATE TRIGGER record_out AFTER DELETE ON record BEGIN
    UPDATE tally SET records = records - 1 WHERE object = old.object AND deleted = old.deleted; END;
CREATE TRIGGER record_moved AFTER UPDATE OF deleted ON record WHEN old.deleted <> new.deleted BEGIN
    UPDATE tally SET records = records - 1 WHERE object = old.object AND deleted = old.deleted;
    INSERT INTO tally VALUES (new.object, new.deleted, 1)
    ON CONFLICT (object, deleted) DO UPDATE SET records = records + 1; END;
"""


class Duplicate(Exception):
    """A unique value is taken already; `id` is the record that holds it."""

    def __init__(self, object: str, field: str, id: str) -> None:
        super().__init__(f"{object}.{field}: the value is taken by record {id}")
        self.object, self.field, self.id = object, field, id


@dataclass(slots=True)
class NewRecord:
    """A record for `insert_many`; stamps that are None mean now."""

    id: str
    values: Mapping[str, Any]
    created_us: int | None = None
    modified_us: int | None = None


def _doc(values: Mapping[str, Any]) -> str:
    return orjson.dumps(values).decode()


class State(Reading, Associating):
    """The records, associations and small facts of one CRM. All methods may be called from any thread."""

    def __init__(self, path: Path, clock: Clock = system_clock, resolution_us: int = 1) -> None:
        """Open or create the file; `resolution_us` cuts stamps down (1_000_000 for a CRM that knows seconds only)."""
        super().__init__(path, clock, resolution_us)
        self._db().executescript(SCHEMA + associating.SCHEMA)
        with self._lock:
            if self._db().execute("SELECT 1 FROM sqlite_master WHERE name = 'tally'").fetchone() is None:
                self._db().executescript(f"BEGIN IMMEDIATE; {TALLY} COMMIT;")
        self._postpone: Callable[[str], float | None] | None = None
        self._late_due_us = self._next_late()
        self._uniques = self._load_uniques()
        self.after_restore(self._forget)

    def _forget(self) -> None:
        self._db().executescript(SCHEMA + associating.SCHEMA)  # a snapshot may be older than this program
        self._uniques = self._load_uniques()
        self._late_due_us = self._next_late()

    # -- unique fields

    def _load_uniques(self) -> dict[str, dict[str, bool]]:
        out: dict[str, dict[str, bool]] = {}
        for name, field_name, fold in self._db().execute("SELECT object, field, fold FROM unique_field"):
            out.setdefault(name, {})[field_name] = bool(fold)
        return out

    def declare_unique(self, object: str, field: str, *, fold: bool = False) -> None:
        """Hold a field unique among live records (`fold`: ignoring case). Raises Duplicate if it is not so now."""
        if field in self._uniques.get(object, {}):
            return
        with self.transaction() as db:
            db.execute("INSERT INTO unique_field VALUES (?, ?, ?)", (object, field, int(fold)))
            known = {**self._uniques.get(object, {}), field: fold}
            name = field_sql(field)
            rows = db.execute(
                f"SELECT id, {name} FROM record WHERE object = ? AND NOT deleted AND {name} IS NOT NULL", (object,)
            )
            for id, value in rows:
                self._claim(db, object, id, {field: value}, known)
            self._uniques = {**self._uniques, object: known}

    def unique_fields(self, object: str) -> list[str]:
        """Return the fields held unique."""
        return list(self._uniques.get(object, {}))

    def _claim(
        self, db: sqlite3.Connection, object: str, id: str, values: Mapping[str, Any], known: Mapping[str, bool],
        *, new: bool = False,
    ) -> None:
        for name, fold in known.items():
            if name not in values:
                continue
            if not new:
                db.execute("DELETE FROM unique_value WHERE object = ? AND field = ? AND id = ?", (object, name, id))
            value = values[name]
            if value is None or value == "":
                continue
            text = str(folded(value) if fold else value)
            try:
                db.execute("INSERT INTO unique_value VALUES (?, ?, ?, ?)", (object, name, text, id))
            except sqlite3.IntegrityError:
                row = db.execute(
                    "SELECT id FROM unique_value WHERE object = ? AND field = ? AND value = ?", (object, name, text)
                ).fetchone()
                raise Duplicate(object, name, row[0]) from None

    def find_unique(self, object: str, field: str, value: Any) -> Record | None:
        """Return the live record that holds a value of a unique field."""
        text = str(folded(value) if self._uniques.get(object, {}).get(field) else value)
        row = self._db().execute(
            "SELECT id FROM unique_value WHERE object = ? AND field = ? AND value = ?", (object, field, text)
        ).fetchone()
        return self.get(object, row[0]) if row else None

    # -- writing records

    def insert(
        self, object: str, id: str, values: Mapping[str, Any], *,
        created_us: int | None = None, modified_us: int | None = None,
    ) -> Record:
        """Insert a record. Raises Duplicate for a taken unique value or id (field "id")."""
        seq, created, modified = self._insert(object, [NewRecord(id, values, created_us, modified_us)])
        return Record(object, id, seq, created, modified, False, None, orjson.loads(_doc(values)))

    def insert_many(self, object: str, rows: Iterable[NewRecord]) -> int:
        """Insert records in one transaction and return how many; all or none. Give 1,000,000 of them in chunks."""
        rows = list(rows)
        self._insert(object, rows)
        return len(rows)

    def _insert(self, object: str, rows: list[NewRecord]) -> tuple[int, int, int]:
        """Insert and return sequence number and stamps of the last one."""
        with self.transaction() as db:
            seq = self.next_number("seq", len(rows)) if rows else 0
            now, known = self.now_us(), self._uniques.get(object, {})
            stored, created, modified = [], now, now
            for row in rows:
                if known:
                    self._claim(db, object, row.id, row.values, known, new=True)
                created = self._cut(now if row.created_us is None else row.created_us)
                modified = created if row.modified_us is None else self._cut(row.modified_us)
                if not self._late(db, object, row.id, created, modified, row.values):
                    stored.append((object, row.id, seq, created, modified, _doc(row.values)))
                seq += 1
            try:
                with self.transaction() if len(stored) > 1 else nullcontext():
                    db.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, 0, NULL, ?)", stored)
            except sqlite3.IntegrityError:
                raise Duplicate(object, "id", self._taken(object, [row[1] for row in stored])) from None
            self._tally(db, object, 0, len(stored))
        return seq - 1, created, modified

    @staticmethod
    def _tally(db: sqlite3.Connection, object: str, deleted: int, records: int) -> None:
        """Count what is inserted, so that nobody has to; a trigger would cost thrice the insert itself."""
        if records:
            db.execute(
                "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT (object, deleted) DO UPDATE SET records = records + ?",
                (object, deleted, records, records),
            )

    def _taken(self, object: str, ids: list[str]) -> str:
        """Return the first of these ids that is there twice, or was there before."""
        seen: set[str] = set()
        for id in ids:
            if id in seen:
                return id
            seen.add(id)
        before = self._db().execute(
            "SELECT id FROM record WHERE object = ? AND id IN (SELECT value FROM json_each(?))",
            (object, orjson.dumps(ids).decode()),
        )
        found = {row[0] for row in before}
        return next(id for id in ids if id in found)

    def _cut(self, stamp_us: int) -> int:
        return stamp_us - stamp_us % self.resolution_us

    def update(
        self, object: str, id: str, values: Mapping[str, Any], *, touch: bool = True, modified_us: int | None = None
    ) -> Record | None:
        """Merge the given keys into the document (None is kept as null) and return the record; None if not live.

        `touch=False` leaves the stamp alone; `seq` moves at every write. Raises Duplicate.
        """
        with self.transaction() as db:
            old = self.get(object, id)
            if old is None or old.deleted:
                return None
            self._claim(db, object, id, values, self._uniques.get(object, {}))
            stamp = self._cut(modified_us) if modified_us is not None else self.now_us() if touch else old.modified_us
            merged = {**old.values, **values}
            if self._late(db, object, id, old.created_us, stamp, values):
                return Record(object, id, old.seq, old.created_us, stamp, False, old.merged_into, merged)
            seq = self.next_number("seq")
            db.execute(
                "UPDATE record SET doc = ?, seq = ?, modified_us = ? WHERE object = ? AND id = ?",
                (_doc(merged), seq, stamp, object, id),
            )
        return Record(object, id, seq, old.created_us, stamp, False, old.merged_into, merged)

    def delete(self, object: str, id: str, *, merged_into: str | None = None) -> Record | None:
        """Delete softly: stamp and seq move, unique values are free again. None if not live."""
        with self.transaction() as db:
            seq, stamp = self.next_number("seq"), self.now_us()
            changed = db.execute(
                "UPDATE record SET deleted = 1, merged_into = ?, seq = ?, modified_us = ?"
                " WHERE object = ? AND id = ? AND NOT deleted",
                (merged_into, seq, stamp, object, id),
            ).rowcount
            if not changed:
                return None
            db.execute("DELETE FROM unique_value WHERE object = ? AND id = ?", (object, id))
        return self.get(object, id)

    def purge(self, object: str, id: str) -> bool:
        """Remove a record and its associations as if it had never been."""
        with self.transaction() as db:
            db.execute("DELETE FROM unique_value WHERE object = ? AND id = ?", (object, id))
            db.execute(
                "DELETE FROM association WHERE (from_object = ? AND from_id = ?) OR (to_object = ? AND to_id = ?)",
                (object, id, object, id),
            )
            return db.execute("DELETE FROM record WHERE object = ? AND id = ?", (object, id)).rowcount > 0

    # -- rows that commit late

    def postpone(self, seconds: Callable[[str], float | None]) -> None:
        """Ask `seconds(object)` at every insert and update whether it commits late: behind others with later stamps.

        Such a row is answered as written, but nobody sees it before so many seconds of the clock have passed; then it
        is there with its earlier stamp and the next sequence number. Deleting is never late.
        """
        self._postpone = seconds

    def _late(
        self, db: sqlite3.Connection, object: str, id: str, created: int, modified: int, values: Mapping[str, Any]
    ) -> bool:
        seconds = self._postpone(object) if self._postpone is not None else None
        if seconds is None:
            return False
        due = self.clock() + round(seconds * 1_000_000)
        row = (object, id, due, created, modified, _doc(values))
        db.execute("INSERT OR REPLACE INTO late_row VALUES (?, ?, ?, ?, ?, ?)", row)
        self._late_due_us = due if self._late_due_us is None else min(due, self._late_due_us)
        return True

    def _next_late(self) -> int | None:
        due: int | None = self._db().execute("SELECT min(due_us) FROM late_row").fetchone()[0]
        return due

    def now_us(self) -> int:
        """Return now at the CRM's resolution; it never runs backwards. Rows that are due appear."""
        if self._late_due_us is not None and self.clock() >= self._late_due_us:
            self._commit_late()
        return super().now_us()

    def _commit_late(self) -> None:
        with self.transaction() as db:
            self._late_due_us = None
            rows = db.execute(
                "SELECT object, id, created_us, modified_us, doc, rowid FROM late_row WHERE due_us <= ?"
                " ORDER BY due_us",
                (self.clock(),),
            ).fetchall()
            for object, id, created, modified, doc, rowid in rows:
                there = db.execute("SELECT 1 FROM record WHERE object = ? AND id = ?", (object, id)).fetchone()
                self._tally(db, object, 0, 0 if there else 1)
                db.execute(
                    "INSERT INTO record VALUES (?, ?, ?, ?, ?, 0, NULL, ?) ON CONFLICT (object, id) DO UPDATE SET"
                    " seq = excluded.seq, modified_us = max(modified_us, excluded.modified_us),"
                    " doc = patched(doc, excluded.doc) WHERE NOT deleted",
                    (object, id, self.next_number("seq"), created, modified, doc),
                )
                db.execute("DELETE FROM late_row WHERE rowid = ?", (rowid,))
            self._late_due_us = self._next_late()
