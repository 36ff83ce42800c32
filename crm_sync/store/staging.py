"""Bring many rows into one transaction: COPY into a temporary table, so that one statement can use them.

Belongs here: staging. Not here: what is done with the staged rows (the module of each table).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from crm_sync.store.database import Connection

__all__ = ["Connection", "ConstraintError", "stage"]

ConstraintError: Final = (psycopg.IntegrityError, psycopg.DataError)
"""What the store raises where a row breaks a rule of its tables; for an `except` clause."""


def stage(conn: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Copy rows into the temporary table `stage_<table>` with the named columns of `table`; return how many.

    The stage is emptied first and dropped at the end of the transaction.
    """
    name = sql.Identifier(f"stage_{table}")
    names = sql.SQL(", ").join(sql.Identifier(c) for c in columns)
    conn.execute(sql.SQL("drop table if exists {}").format(sql.SQL("pg_temp.") + name))
    conn.execute(
        sql.SQL("create temporary table {} on commit drop as select {} from {} with no data").format(
            name, names, sql.Identifier(table)
        )
    )
    count = 0
    with conn.cursor() as cursor, cursor.copy(sql.SQL("copy {} ({}) from stdin").format(name, names)) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count
