"""The audit trail: append-only, one row per changed record and direction.

Belongs here: table audit. Not here: operations such as sign-in (journal), counts that leave no row (tallies).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from crm_sync.store.dumping import Column
from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, copy_columns

Q = queries("audit")

ACTOR = "crm-sync"


@dataclass(frozen=True, slots=True)
class Entry:
    """One audit row. `fields`: [{field, decision, rule, winner}], stored with the fields decided alike together;
    `contents` is encrypted; `disposition` counts in the books."""

    direction: str
    action: str
    connection: str
    entity: str
    object: str
    record_id: str | None
    hub_id: UUID | None
    disposition: str | None = None
    read_run_id: UUID | None = None
    fields: list[dict[str, Any]] = field(default_factory=list)
    contents: bytes | None = None
    actor: str = ACTOR
    result: str = "ok"


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One audit row as read back."""

    at: datetime
    run_id: UUID
    direction: str
    action: str
    disposition: str | None
    connection: str
    object: str
    record_id: str | None
    fields: list[dict[str, Any]]
    contents: bytes | None
    actor: str
    result: str
    hub_id: UUID


COLUMNS = (
    "run_id",
    "read_run_id",
    "direction",
    "action",
    "disposition",
    "connection",
    "entity",
    "object",
    "record_id",
    "hub_id",
    "fields",
    "contents",
    "actor",
    "result",
)


def append(conn: Connection, run_id: UUID, entries: Iterable[Entry]) -> None:
    """Append audit rows of a run, in the transaction of what they tell."""
    rows = [
        (
            run_id,
            e.read_run_id,
            e.direction,
            e.action,
            e.disposition,
            e.connection,
            e.entity,
            e.object,
            e.record_id,
            e.hub_id,
            Jsonb(_together(e.fields)),
            e.contents,
            e.actor,
            e.result,
        )
        for e in entries
    ]
    if rows:
        copy_columns(conn, "audit", dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)))


def append_reads(
    conn: Connection,
    run_id: UUID,
    read_run_id: UUID | None,
    place: tuple[str, str, str],
    columns: dict[str, Column],
) -> None:
    """Append what became of many records that were read from one `place` (connection, entity, object).

    `columns`: action, disposition, record_id, hub_id, fields (JSON, written: [{fields, decision, rule, winner}]),
    contents, result.
    """
    rows = len(columns["action"])
    same = zip(("connection", "entity", "object"), place, strict=True)
    repeated = {"run_id": run_id, "read_run_id": read_run_id, "direction": "in", "actor": ACTOR, **dict(same)}
    copy_columns(conn, "audit", columns | {name: [value] * rows for name, value in repeated.items()})


def ensure_partitions(conn: Connection) -> None:
    """Make the partitions of this month and the next."""
    conn.execute(Q["ensure_partitions"])


def history(conn: Connection, hub_id: UUID) -> list[HistoryRow]:
    """Return everything that happened to a golden record and to those united into it, oldest first."""
    rows = [HistoryRow(*row) for row in conn.execute(Q["history"], {"hub_id": hub_id}).fetchall()]
    return [replace(row, fields=_apart(row.fields)) for row in rows]


def _together(cells: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join fields that were decided alike: many fields of a record are, and one list of names says it."""
    groups: dict[tuple[tuple[str, Any], ...], list[str]] = {}
    for cell in cells:
        groups.setdefault(tuple((k, v) for k, v in cell.items() if k != "field"), []).append(cell["field"])
    return [{"fields": names, **dict(decision)} for decision, names in groups.items()]


def _apart(decisions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"field": name, **{k: v for k, v in decision.items() if k != "fields"}}
        for decision in decisions
        for name in decision["fields"]
    ]


def count_by_action(conn: Connection, run_ids: Sequence[UUID]) -> dict[tuple[str, str, str, str], int]:
    """Return (connection, entity, direction, action) -> rows of these runs."""
    rows = conn.execute(Q["count_by_action"], {"run_ids": list(run_ids)}).fetchall()
    return {(r[0], r[1], r[2], r[3]): int(r[4]) for r in rows}


def count_by_disposition(conn: Connection, run_ids: Sequence[UUID]) -> dict[tuple[str, str, str], int]:
    """Return (connection, entity, disposition) -> records that these runs read."""
    rows = conn.execute(Q["count_by_disposition"], {"run_ids": list(run_ids)}).fetchall()
    return {(r[0], r[1], r[2]): int(r[3]) for r in rows}
