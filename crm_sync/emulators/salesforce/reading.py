"""Read records straight from SQL, as streams of tuples: the fast way of queries and bulk jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import orjson

from crm_sync.emulators.database import fold
from crm_sync.emulators.state import State, field_sql

Row = tuple[Any, ...]
"""(id, created_us, modified_us, deleted, merged_into, JSON document): str, int, int, int, str | None, str."""

ID, CREATED, MODIFIED, DELETED, MERGED, DOC = range(6)
BIN_US = 15 * 24 * 3600 * 1_000_000
"""How long the recycle bin keeps a record (source: SOAP API guide, getDeleted)."""


def columns(table: str) -> str:
    """Return the SELECT list of a Row."""
    return ", ".join(f"{table}.{name}" for name in ("id", "created_us", "modified_us", "deleted", "merged_into", "doc"))


def stream(state: State, sql: str, params: Sequence[Any] = ()) -> sqlite3.Cursor:
    """Run a reading statement in this thread's connection; rows come as they are asked for."""
    return state.connection().execute(sql, params)


def visible(state: State, table: str, *, deleted: bool, archives: bool) -> str:
    """Return the condition of what a query sees: live records, or those of the recycle bin and the archive too."""
    if deleted:
        return f"({table}.deleted = 0 OR {table}.modified_us > {state.now_us() - BIN_US})"
    live = f"{table}.deleted = 0"
    return f"{live} AND coalesce({doc_sql(table, 'IsArchived')}, 0) = 0" if archives else live


def doc_sql(table: str, name: str) -> str:
    """Return a field of the document as SQL."""
    return field_sql(name).replace("(doc", f"({table}.doc", 1)


def fetch(state: State, sobject: str, ids: Iterable[str]) -> dict[str, Row]:
    """Return the records that exist, by id, deleted ones too."""
    wanted = orjson.dumps(list(ids)).decode()
    sql = f"SELECT {columns('r')} FROM record r WHERE r.object = ? AND r.id IN (SELECT value FROM json_each(?))"
    return {row[ID]: row for row in stream(state, sql, (sobject, wanted))}


@contextmanager
def snapshot(state: State) -> Iterator[sqlite3.Connection]:
    """Open a connection of its own, so that a long reading sees one moment while its thread writes elsewhere."""
    with closing(sqlite3.connect(state.path, timeout=30, isolation_level=None)) as db:
        db.create_function("fold", 1, fold, deterministic=True)
        db.execute("PRAGMA query_only = ON")
        yield db
