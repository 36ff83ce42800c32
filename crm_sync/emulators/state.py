"""Keep all records of one pretend CRM in one SQLite file.

Every write takes the next number of one sequence over the whole CRM (`seq`: usable as a version or as a position of
change tracking) inside its transaction, so commits are ordered by it. Stamps are whole microseconds since 1970 UTC, cut
down to the resolution that the CRM has. Deleting is soft; `purge` removes the row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from crm_sync.emulators.clock import Clock, system_clock
from crm_sync.emulators.database import Database
from crm_sync.emulators.database import fold as folded

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    object TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL,
    created_us INTEGER NOT NULL, modified_us INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0, merged_into TEXT, doc TEXT NOT NULL, PRIMARY KEY (object, id));
CREATE INDEX IF NOT EXISTS record_by_modified ON record (object, modified_us, id);
CREATE INDEX IF NOT EXISTS record_by_seq ON record (object, seq);
CREATE TABLE IF NOT EXISTS unique_field (
    object TEXT NOT NULL, field TEXT NOT NULL, fold INTEGER NOT NULL, PRIMARY KEY (object, field));
CREATE TABLE IF NOT EXISTS unique_value (
    object TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (object, field, value)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unique_value_by_id ON unique_value (object, id);
CREATE TABLE IF NOT EXISTS association (
    from_object TEXT NOT NULL, to_object TEXT NOT NULL, from_id TEXT NOT NULL, to_id TEXT NOT NULL,
    type_id INTEGER NOT NULL,
    PRIMARY KEY (from_object, to_object, from_id, to_id, type_id)) WITHOUT ROWID;
"""
COLUMNS = "object, id, seq, created_us, modified_us, deleted, merged_into, doc"


class Duplicate(Exception):
    """A unique value is taken already; `id` is the record that holds it."""

    def __init__(self, object: str, field: str, id: str) -> None:
        super().__init__(f"{object}.{field}: the value is taken by record {id}")
        self.object, self.field, self.id = object, field, id


@dataclass(frozen=True, slots=True)
class Record:
    """One record as stored; `values` is the caller's own copy."""

    object: str
    id: str
    seq: int
    created_us: int
    modified_us: int
    deleted: bool
    merged_into: str | None
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Between:
    """A range over an integer or text column; bounds that are None are open."""

    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None

    def sql(self, column: str) -> tuple[list[str], list[Any]]:
        """Return the conditions and their parameters."""
        pairs = [(">=", self.ge), (">", self.gt), ("<=", self.le), ("<", self.lt)]
        return [f"{column} {op} ?" for op, v in pairs if v is not None], [v for _, v in pairs if v is not None]


@dataclass(slots=True)
class NewRecord:
    """A record for `insert_many`; stamps that are None mean now."""

    id: str
    values: Mapping[str, Any]
    created_us: int | None = None
    modified_us: int | None = None


def field_sql(name: str) -> str:
    """Return the SQL expression of one field of the document (booleans come out as 1 and 0, an absent key as NULL)."""
    if '"' in name or "'" in name:
        raise ValueError(f"{name!r} is no field name")
    return f"json_extract(doc, '$.\"{name}\"')"


def _doc(values: Mapping[str, Any]) -> str:
    return orjson.dumps(values).decode()


class State(Database):
    """The records, associations and small facts of one CRM. All methods may be called from any thread."""

    def __init__(self, path: Path, clock: Clock = system_clock, resolution_us: int = 1) -> None:
        """Open or create the file; `resolution_us` cuts stamps down (1_000_000 for a CRM that knows seconds only)."""
        super().__init__(path, clock, resolution_us)
        self._db().executescript(SCHEMA)
        self._uniques = self._load_uniques()
        self.after_restore(self._forget)

    def _forget(self) -> None:
        self._uniques = self._load_uniques()

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
            for id, value in rows.fetchall():
                self._claim(db, object, id, {field: value}, known)
            self._uniques = {**self._uniques, object: known}

    def unique_fields(self, object: str) -> list[str]:
        """Return the fields held unique."""
        return list(self._uniques.get(object, {}))

    def _claim(
        self, db: sqlite3.Connection, object: str, id: str, values: Mapping[str, Any], known: Mapping[str, bool]
    ) -> None:
        for name, fold in known.items():
            if name not in values:
                continue
            db.execute("DELETE FROM unique_value WHERE object = ? AND field = ? AND id = ?", (object, name, id))
            value = values[name]
            if value is None or value == "":
                continue
            text = str(folded(value) if fold else value)
            row = db.execute(
                "SELECT id FROM unique_value WHERE object = ? AND field = ? AND value = ?", (object, name, text)
            ).fetchone()
            if row is not None:
                raise Duplicate(object, name, row[0])
            db.execute("INSERT INTO unique_value VALUES (?, ?, ?, ?)", (object, name, text, id))

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
        self.insert_many(object, [NewRecord(id, values, created_us, modified_us)])
        record = self.get(object, id)
        assert record is not None
        return record

    def insert_many(self, object: str, rows: Iterable[NewRecord]) -> int:
        """Insert records in one transaction and return how many; all or none."""
        rows = list(rows)
        with self.transaction() as db:
            seq = self.next_number("seq", len(rows)) if rows else 0
            now, known = self.now_us(), self._uniques.get(object, {})
            for row in rows:
                if known:
                    self._claim(db, object, row.id, row.values, known)
                created = now if row.created_us is None else row.created_us
                modified = created if row.modified_us is None else row.modified_us
                stored = (object, row.id, seq, self._cut(created), self._cut(modified), _doc(row.values))
                try:
                    db.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, 0, NULL, ?)", stored)
                except sqlite3.IntegrityError:
                    raise Duplicate(object, "id", row.id) from None
                seq += 1
        return len(rows)

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

    # -- reading records

    @staticmethod
    def _record(row: tuple[Any, ...]) -> Record:
        return Record(row[0], row[1], row[2], row[3], row[4], bool(row[5]), row[6], orjson.loads(row[7]))

    def get(self, object: str, id: str) -> Record | None:
        """Return a record, deleted ones too."""
        row = self._db().execute(f"SELECT {COLUMNS} FROM record WHERE object = ? AND id = ?", (object, id)).fetchone()
        return self._record(row) if row else None

    def get_many(self, object: str, ids: Sequence[str]) -> dict[str, Record]:
        """Return the records that exist, by id, deleted ones too."""
        rows = self._db().execute(
            f"SELECT {COLUMNS} FROM record WHERE object = ? AND id IN (SELECT value FROM json_each(?))",
            (object, orjson.dumps(list(ids)).decode()),
        )
        return {row[1]: self._record(row) for row in rows}

    @staticmethod
    def _where(
        object: str, deleted: bool | None, modified: Between | None, seq: Between | None, id: Between | None,
        where: str, params: Sequence[Any],
    ) -> tuple[str, list[Any]]:
        conditions, values = ["object = ?"], [object]
        if deleted is not None:
            conditions.append("deleted" if deleted else "NOT deleted")
        for column, between in (("modified_us", modified), ("seq", seq), ("id", id)):
            if between is not None:
                more, bound = between.sql(column)
                conditions += more
                values += bound
        if where:
            conditions.append(f"({where})")
            values += params
        return " AND ".join(conditions), values

    def scan(
        self, object: str, *, deleted: bool | None = False, modified: Between | None = None, seq: Between | None = None,
        id: Between | None = None, where: str = "", params: Sequence[Any] = (), order: str = "id",
        limit: int | None = None, offset: int = 0,
    ) -> list[Record]:
        """Return records of an object within the ranges.

        `deleted`: False live ones, True deleted ones, None both. `where` and `order` are SQL over the columns of
        `record` (id, seq, created_us, modified_us, deleted, merged_into) and `field_sql(name)`; `params` has values.
        For a keyset page: where="(modified_us, id) > (?, ?)", order="modified_us, id".
        """
        condition, values = self._where(object, deleted, modified, seq, id, where, params)
        rows = self._db().execute(
            f"SELECT {COLUMNS} FROM record WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, -1 if limit is None else limit, offset),
        )
        return [self._record(row) for row in rows]

    def count(
        self, object: str, *, deleted: bool | None = False, modified: Between | None = None, seq: Between | None = None,
        id: Between | None = None, where: str = "", params: Sequence[Any] = (),
    ) -> int:
        """Return how many records `scan` would return without a limit."""
        condition, values = self._where(object, deleted, modified, seq, id, where, params)
        return int(self._db().execute(f"SELECT count(*) FROM record WHERE {condition}", values).fetchone()[0])

    # -- associations (directed; a CRM that shows both directions stores both)

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
        """Return the objects that records of an object are associated with."""
        rows = self._db().execute("SELECT DISTINCT to_object FROM association WHERE from_object = ?", (from_object,))
        return sorted(row[0] for row in rows)
