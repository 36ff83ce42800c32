"""The outbox: commands waiting, write intents under way, dead letters.

Belongs here: table outbox and the life of a command: waiting -> sent -> settled (deleted) | waiting | dead.
Not here: what a command carries (flows/deliver), whether one is needed (steps/planning).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, stage

Q = queries("outbox")


@dataclass(frozen=True, slots=True)
class PlannedCommand:
    """A command to queue; `digest` names the plan, so that a dead letter is not revived by the same plan."""

    hub_id: UUID
    link_id: int | None
    action: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class DueCommand:
    command_id: int
    hub_id: UUID
    link_id: int | None
    action: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Intent:
    """What a command carries: vectors in the link's form, `mask` the fields, `payload` encrypted source values."""

    command_id: int
    form_id: int
    crm_vector: bytes
    hub_vector: bytes
    mask: bytes
    payload: bytes
    link_id: int | None
    action: str


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A write intent without an outcome."""

    command_id: int
    hub_id: UUID
    link_id: int | None
    action: str
    attempts: int
    form_id: int
    crm_vector: bytes
    hub_vector: bytes
    mask: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command did not succeed; `at` is the next attempt, None for a dead letter."""

    command_id: int
    error_class: str
    code: str
    message: str
    at: datetime | None = None


def plan_commands(
    conn: Connection, connection: str, entity: str, object_name: str, run_id: UUID, commands: Iterable[PlannedCommand]
) -> int:
    """Queue commands, one a record; return how many were given."""
    columns = ("connection", "entity", "object", "hub_id", "link_id", "action", "plan_digest", "run_id")
    rows = ((connection, entity, object_name, c.hub_id, c.link_id, c.action, c.digest, run_id) for c in commands)
    staged = stage(conn, "outbox", columns, rows)
    if staged:
        conn.execute(Q["plan_staged"])
    return staged


def withdraw(conn: Connection, connection: str, object_name: str, hub_ids: Sequence[UUID]) -> int:
    """Delete commands and dead letters of golden records that agree again; return how many there were."""
    if not hub_ids:
        return 0
    return conn.execute(
        Q["withdraw"], {"connection": connection, "object": object_name, "hub_ids": list(hub_ids)}
    ).rowcount


def take_due(conn: Connection, connection: str, entity: str, now: datetime, limit: int) -> list[DueCommand]:
    """Lock and return commands whose time has come."""
    rows = conn.execute(
        Q["take_due"], {"connection": connection, "entity": entity, "now": now, "limit": limit}
    ).fetchall()
    return [DueCommand(*row) for row in rows]


def commands_by_id(conn: Connection, command_ids: Sequence[int]) -> list[DueCommand]:
    """Lock and return commands by id."""
    return [DueCommand(*row) for row in conn.execute(Q["by_ids"], {"command_ids": list(command_ids)}).fetchall()]


def intend(conn: Connection, intents: Iterable[Intent]) -> None:
    """Write intents; must be committed before the commands are sent."""
    columns = ("command_id", "form_id", "crm_vector", "hub_vector", "mask", "payload", "link_id", "action")
    rows = (
        (i.command_id, i.form_id, i.crm_vector, i.hub_vector, i.mask, i.payload, i.link_id, i.action) for i in intents
    )
    if stage(conn, "outbox", columns, rows):
        conn.execute(Q["intend"])


def unsettled(conn: Connection, connection: str, entity: str, limit: int) -> list[Unsettled]:
    """Return write intents of a stream that have no outcome."""
    rows = conn.execute(Q["unsettled"], {"connection": connection, "entity": entity, "limit": limit}).fetchall()
    return [Unsettled(*row) for row in rows]


def unsettled_by_ids(conn: Connection, command_ids: Sequence[int]) -> list[Unsettled]:
    """Return those of these write intents that have no outcome."""
    rows = conn.execute(Q["unsettled_by_ids"], {"command_ids": list(command_ids)}).fetchall()
    return [Unsettled(*row) for row in rows]


def unsettled_by_links(conn: Connection, link_ids: Sequence[int]) -> dict[int, Unsettled]:
    """Return the write intents without an outcome by link id."""
    found = [Unsettled(*r) for r in conn.execute(Q["unsettled_by_links"], {"link_ids": list(link_ids)}).fetchall()]
    return {u.link_id: u for u in found if u.link_id is not None}


def unsettled_creates(
    conn: Connection, connection: str, object_name: str, hub_ids: Sequence[UUID]
) -> dict[UUID, Unsettled]:
    """Return the creates without an outcome in one CRM object by hub id, that of the successor where one was united."""
    rows = conn.execute(
        Q["unsettled_by_hubs"], {"connection": connection, "object": object_name, "hub_ids": list(hub_ids)}
    ).fetchall()
    return {row[10]: Unsettled(*row[:10]) for row in rows}


def settle(conn: Connection, command_ids: Sequence[int]) -> None:
    """Close commands that were delivered; those whose golden record changed meanwhile wait again, as updates."""
    if command_ids:
        conn.execute(Q["settle"], {"command_ids": list(command_ids)})
        conn.execute(Q["settle_again"], {"command_ids": list(command_ids)})


def withdraw_ids(conn: Connection, command_ids: Sequence[int]) -> None:
    """Delete commands that turned out to be unnecessary."""
    if command_ids:
        conn.execute(Q["withdraw_ids"], {"command_ids": list(command_ids)})


def postpone(conn: Connection, failures: Sequence[Failure]) -> None:
    """Put commands back to wait until `at`."""
    if failures:
        conn.execute(Q["postpone"], {**_failures(failures), "at": [f.at for f in failures]})


def bury(conn: Connection, failures: Sequence[Failure]) -> None:
    """Make commands dead letters."""
    if failures:
        conn.execute(Q["bury"], _failures(failures))


def _failures(failures: Sequence[Failure]) -> dict[str, Any]:
    return {
        "command_ids": [f.command_id for f in failures],
        "classes": [f.error_class for f in failures],
        "codes": [f.code for f in failures],
        "messages": [f.message for f in failures],
    }


def due_connections(conn: Connection) -> list[tuple[str, int, int]]:
    """Return (connection, newest command id, commands) for connections with something to deliver."""
    return [(r[0], int(r[1]), int(r[2])) for r in conn.execute(Q["due_connections"]).fetchall()]


def count_commands(conn: Connection) -> dict[tuple[str, str, str], tuple[int, float]]:
    """Return (connection, entity, state) -> (commands, age of the oldest in seconds)."""
    return {(r[0], r[1], r[2]): (int(r[3]), float(r[4])) for r in conn.execute(Q["count_commands"]).fetchall()}


def dead_letters(conn: Connection) -> list[dict[str, Any]]:
    """Return dead letters with their reason, oldest first; no field values."""
    names = (
        "command_id",
        "connection",
        "entity",
        "object",
        "hub_id",
        "action",
        "attempts",
        "error_class",
        "error_code",
        "error_message",
        "planned_at",
    )
    return [dict(zip(names, row, strict=True)) for row in conn.execute(Q["dead_letters"]).fetchall()]


def withdraw_records(conn: Connection, hub_ids: Sequence[UUID]) -> None:
    """Delete the commands, except those under way, of golden records that were united into others."""
    conn.execute(Q["withdraw_records"], {"hub_ids": list(hub_ids)})
