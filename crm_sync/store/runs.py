"""Runs, and the counts that no other table holds.

Belongs here: tables run and tally, and the books (P5) put together from every table that holds a term.
Not here: what happened to one record (audit).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from crm_sync.records import Books
from crm_sync.store import audit
from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection

Q = queries("runs")


def start_run(conn: Connection, run_id: UUID, kind: str) -> None:
    """Note that a run began."""
    conn.execute(Q["start_run"], {"run_id": run_id, "kind": kind})


def end_run(conn: Connection, run_id: UUID, state: str, missed: Mapping[str, str]) -> None:
    """Note how a run ended ("done" or "failed"), and the connections it missed with the reason's class."""
    conn.execute(Q["end_run"], {"run_id": run_id, "state": state, "missed": Jsonb(dict(missed))})


def add_tally(conn: Connection, run_id: UUID, connection: str, entity: str, counts: Mapping[str, int]) -> None:
    """Add counts of one stream, in the transaction of the work they count."""
    wanted = {term: rows for term, rows in counts.items() if rows}
    if wanted:
        conn.execute(
            Q["add_tally"],
            {
                "run_id": run_id,
                "connection": connection,
                "entity": entity,
                "terms": list(wanted),
                "rows": list(wanted.values()),
            },
        )


def tallies(conn: Connection, run_ids: Sequence[UUID]) -> dict[tuple[str, str, str], int]:
    """Return (connection, entity, term) -> rows of these runs."""
    rows = conn.execute(Q["tallies"], {"run_ids": list(run_ids)}).fetchall()
    return {(r[0], r[1], r[2]): int(r[3]) for r in rows}


def books(conn: Connection, run_ids: Sequence[UUID]) -> dict[tuple[str, str], Books]:
    """Return the books of runs by (connection, entity): each term from the table that holds it."""
    counted = tallies(conn, run_ids)
    for (connection, entity, disposition), rows in audit.count_by_disposition(conn, run_ids).items():
        counted[(connection, entity, disposition)] = rows
    streams = sorted({(c, e) for c, e, _ in counted})
    terms = ("read", "deduplicated", "out_of_scope", "unchanged", "applied", "lost", "held")
    return {(c, e): Books(**{t: counted.get((c, e, t), 0) for t in terms}) for c, e in streams}


def calls(conn: Connection, run_ids: Sequence[UUID]) -> dict[tuple[str, str], int]:
    """Return (connection, operation) -> API calls of these runs, retries included."""
    rows = conn.execute(Q["calls"], {"run_ids": list(run_ids)}).fetchall()
    return {(r[0], r[1]): int(r[2]) for r in rows}


def recent_runs(conn: Connection, limit: int) -> list[tuple[UUID, str, datetime, datetime | None, str, dict[str, Any]]]:
    """Return the newest runs: id, kind, start, end, state, missed."""
    rows = conn.execute(Q["recent_runs"], {"limit": limit}).fetchall()
    return [(r[0], r[1], r[2], r[3], r[4], r[5]) for r in rows]
