"""Bring many rows into one transaction: COPY them into their table, or aside so that one statement can use them.

Belongs here: staging. Not here: what is done with the staged rows (the module of each table), the forms of values
(dumping).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from crm_sync.store.behind import BehindConnection
from crm_sync.store.database import Connection
from crm_sync.store.dumping import Column, binary_rows
from crm_sync.store.queries import queries

Q = queries("staging")

__all__ = ["Connection", "ConstraintError", "copy_columns", "settle", "stage", "stage_columns"]

ConstraintError: Final = (psycopg.IntegrityError, psycopg.DataError)
"""What the store raises where a row breaks a rule of its tables; for an `except` clause."""


def stage(conn: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Copy rows into the temporary table `stage_<table>` with the named columns of `table`; return how many.

    The stage is emptied first and dropped at the end of the transaction; without rows there is none.
    """
    transposed = list(zip(*rows, strict=True))
    return stage_columns(conn, table, dict(zip(columns, transposed, strict=True)) if transposed else {})


def stage_columns(conn: Connection, table: str, columns: dict[str, Column]) -> int:
    """Copy columns of equal length, by name, into the temporary table `stage_<table>`; return how many rows."""
    count = _rows(columns)
    if not count:
        return 0
    name = sql.Identifier(f"stage_{table}")
    names = _names(columns)
    conn.execute(sql.SQL("drop table if exists {}").format(sql.SQL("pg_temp.") + name))
    conn.execute(
        sql.SQL("create temporary table {} on commit drop as select {} from {} with no data").format(
            name, names, sql.Identifier(table)
        )
    )
    _copy(conn, sql.SQL("pg_temp.") + name, table, columns)
    return count


def copy_columns(conn: Connection, table: str, columns: dict[str, Column]) -> int:
    """Copy columns of equal length, by name, straight into a table; return how many rows.

    For rows that are new for certain: one that breaks a rule of the table raises ConstraintError, here or with the next
    use of the connection, before its transaction ends.
    """
    count = _rows(columns)
    if count:
        _copy(conn, sql.Identifier(table), table, columns)
    return count


def _copy(conn: Connection, into: sql.Composable, table: str, columns: dict[str, Column]) -> None:
    types = _types(conn, table)
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(into, _names(columns))
    try:
        data = list(binary_rows([types[name] for name in columns], list(columns.values())))
    except (ValueError, OverflowError, struct.error) as error:
        raise psycopg.DataError(f"a value for {table} has no form in the database ({type(error).__name__})") from None
    if isinstance(conn, BehindConnection):
        conn.copy_behind(statement, data)
        return
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in data:
            copy.write(chunk)


def settle(conn: Connection) -> None:
    """Wait for what is still being copied, and raise what was refused of it."""
    if isinstance(conn, BehindConnection):
        conn.settle()


def _rows(columns: dict[str, Column]) -> int:
    return len(next(iter(columns.values()))) if columns else 0


def _names(columns: dict[str, Column]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in columns)


def _types(conn: Connection, table: str) -> dict[str, str]:
    found = _known_types.get(table)
    if found is None:
        rows = conn.execute(Q["column_types"], {"table": table}).fetchall()
        found = _known_types[table] = dict(rows)
    return found


_known_types: Final[dict[str, dict[str, str]]] = {}
"""Column -> type by table: migrations alone change them, and a process that runs was started after those."""
