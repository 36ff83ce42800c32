"""Read the records of one pretend CRM, one by one, by page, or 1,000,000 of them with flat memory.

For pages and downloads of any size:
    select    tuples of SQL expressions, lazily: the fastest way to CSV, or to JSON that is passed on unparsed
    scan_raw  rows with the document as JSON text, lazily (orjson.Fragment passes it on, orjson.loads reads it)
    stream    records by key, chunk by chunk: nothing stays open between chunks, so writes may happen meanwhile
`scan` returns a list; use it with a limit. None of them skips rows with OFFSET where a key does (`after`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from crm_sync.emulators.database import Database

COLUMNS = "object, id, seq, created_us, modified_us, deleted, merged_into, doc"
RAW = ("id", "seq", "created_us", "modified_us", "deleted", "merged_into", "doc")
CHUNK = 2_000
MANY, KEPT = 5_000, 200
"""Counts from MANY on are remembered, KEPT of them by each thread."""


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


def field_sql(name: str) -> str:
    """Return the SQL expression of one field of the document (booleans come out as 1 and 0, an absent key as NULL)."""
    if '"' in name or "'" in name:
        raise ValueError(f"{name!r} is no field name")
    return f"json_extract(doc, '$.\"{name}\"')"


def fields_sql(names: Sequence[str]) -> str:
    """Return the SQL expression of several fields as one JSON array text: [value or null, ...]; one parse for all."""
    if not names:
        return "'[]'"
    if len(names) == 1:
        return f"json_array({field_sql(names[0])})"
    for name in names:
        field_sql(name)
    paths = ", ".join(f"'$.\"{name}\"'" for name in names)
    return f"json_extract(doc, {paths})"


class Reading(Database):
    """The reading half of State."""

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
            conditions.append("deleted = 1" if deleted else "deleted = 0")
        for column, between in (("modified_us", modified), ("seq", seq), ("id", id)):
            if between is not None:
                more, bound = between.sql(column)
                conditions += more
                values += bound
        if where:
            conditions.append(f"({where})")
            values += params
        return " AND ".join(conditions), values

    def select(
        self, object: str, expressions: Sequence[str], *, deleted: bool | None = False, modified: Between | None = None,
        seq: Between | None = None, id: Between | None = None, where: str = "", params: Sequence[Any] = (),
        order: str = "id", limit: int | None = None, offset: int = 0,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield tuples of SQL expressions over the columns of `record`, `field_sql(name)` and `fields_sql(names)`.

        `deleted`: False live ones, True deleted ones, None both. `where` and `order` are SQL over the same; `params`
        has the values of `where`. order "" takes rows as they lie in the file (fastest). For a keyset page:
        where="(modified_us, id) > (?, ?)", order="modified_us, id". Consume it in the thread that called, before that
        thread's next write; for a response that is streamed use `stream_raw`.
        """
        condition, values = self._where(object, deleted, modified, seq, id, where, params)
        ordered = f" ORDER BY {order}" if order else ""
        return self._db().execute(
            f"SELECT {', '.join(expressions)} FROM record WHERE {condition}{ordered} LIMIT ? OFFSET ?",
            (*values, -1 if limit is None else limit, offset),
        )

    def scan(self, object: str, **bounds: Any) -> list[Record]:
        """Return records of an object within bounds (those of `select`); give a limit where there may be many."""
        return [self._record((object, *row)) for row in self.select(object, RAW, **bounds)]

    def scan_raw(self, object: str, **bounds: Any) -> Iterator[tuple[str, int, int, int, int, str | None, str]]:
        """Yield (id, seq, created_us, modified_us, deleted, merged_into, document as JSON text); bounds of `select`."""
        return self.select(object, RAW, **bounds)

    def stream_raw(
        self, object: str, expressions: Sequence[str], *, after: str = "", chunk: int = CHUNK, limit: int | None = None,
        deleted: bool | None = False, where: str = "", params: Sequence[Any] = (), modified: Between | None = None,
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield lists of at most `chunk` tuples (id, *expressions) by id, beginning behind `after`.

        Each list is read by itself, so that any thread may ask for it and others may write between two.
        """
        left = limit
        while left is None or left > 0:
            size = chunk if left is None else min(chunk, left)
            bounds: dict[str, Any] = {"deleted": deleted, "modified": modified, "where": where, "params": params}
            rows = list(self.select(object, ("id", *expressions), id=Between(gt=after), limit=size, **bounds))
            if rows:
                yield rows
                after = rows[-1][0]
            if len(rows) < size:
                return
            left = None if left is None else left - len(rows)

    def stream(self, object: str, **bounds: Any) -> Iterator[Record]:
        """Yield records by id with flat memory; bounds are those of `stream_raw`."""
        for rows in self.stream_raw(object, RAW[1:], **bounds):
            for row in rows:
                yield self._record((object, *row))

    def count(
        self, object: str, *, deleted: bool | None = False, modified: Between | None = None, seq: Between | None = None,
        id: Between | None = None, where: str = "", params: Sequence[Any] = (),
    ) -> int:
        """Return how many records there are within bounds.

        Without bounds at once, with stamps only from the index; many are counted once, until something is written.
        """
        if not where and modified is None and seq is None and id is None:
            row = self._db().execute(
                "SELECT coalesce(sum(records), 0) FROM tally WHERE object = ? AND deleted = coalesce(?, deleted)",
                (object, None if deleted is None else int(deleted)),
            ).fetchone()  # fmt: skip
            return int(row[0])
        condition, values = self._where(object, deleted, modified, seq, id, where, params)
        asked, now, counts = (condition, *values), self.version(), self._handle().counts
        known = counts.get(asked)
        if known is not None and known[0] == now:
            return known[1]
        found = int(self._db().execute(f"SELECT count(*) FROM record WHERE {condition}", values).fetchone()[0])
        if found >= MANY:
            if len(counts) >= KEPT:
                counts.clear()
            counts[asked] = (now, found)
        return found

    def objects(self) -> dict[str, int]:
        """Return how many live records each object has."""
        return dict(self._db().execute("SELECT object, records FROM tally WHERE deleted = 0 AND records > 0"))
