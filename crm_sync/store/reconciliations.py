"""Reconciliations: their results, and what a comparison asks of several tables at once.

Belongs here: table reconciliation; questions that only read. Not here: what a comparison under way has found so far
(findings), what it means (steps/comparing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection

Q = queries("reconciliations")


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result of comparing one stream on one day.

    `counts`: finding -> records. `fields`: finding -> field -> records. `examples`: finding -> some ids.
    """

    day: date
    connection: str
    entity: str
    run_id: UUID
    at: datetime
    compared: int
    drifting: int
    lagging: int
    drift_share: float
    counts: dict[str, int]
    fields: dict[str, dict[str, int]]
    examples: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class HubState:
    """A golden record as far as a comparison asks: `command` is the state of its command in the CRM object, if any."""

    form_id: int
    vector: bytes
    united: bool
    command: str | None
    changed: bool


@dataclass(slots=True)
class RecordState:
    """What waits for one record of a CRM; gate and stamp are those of the version in quarantine."""

    quarantined: bool = False
    gate: int | None = None
    stamp: datetime | None = None
    in_review: bool = False
    noticed: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Cells that wait: references inbound as (link id, field) -> target record id, outward as (hub id, field), and
    values that the CRM refused as (hub id, field) -> the form in which the value is named."""

    inbound: Mapping[tuple[int, str], str]
    outward: frozenset[tuple[UUID, str]]
    withheld: Mapping[tuple[UUID, str], int]


def one_moment(conn: Connection) -> None:
    """Let all statements of this transaction see one moment of the store, and change nothing; must come first."""
    conn.execute(Q["one_moment"])


def save(conn: Connection, result: Reconciliation) -> None:
    """Keep a result; of one day and stream the newest stays."""
    conn.execute(
        Q["save"],
        {
            "day": result.day,
            "connection": result.connection,
            "entity": result.entity,
            "run_id": result.run_id,
            "at": result.at,
            "compared": result.compared,
            "drifting": result.drifting,
            "lagging": result.lagging,
            "drift_share": result.drift_share,
            "counts": Jsonb(result.counts),
            "fields": Jsonb(result.fields),
            "examples": Jsonb(result.examples),
        },
    )


def newest(conn: Connection) -> dict[tuple[str, str], Reconciliation]:
    """Return the newest result of every stream by (connection, entity)."""
    found = [Reconciliation(*row) for row in conn.execute(Q["newest"]).fetchall()]
    return {(r.connection, r.entity): r for r in found}


def hub_states(conn: Connection, connection: str, object_name: str, hub_ids: Sequence[UUID]) -> dict[UUID, HubState]:
    """Return golden records by id, with what waits for them in one CRM object; unknown ids are left out."""
    if not hub_ids:
        return {}
    rows = conn.execute(
        Q["hub_states"], {"connection": connection, "object": object_name, "hub_ids": list(hub_ids)}
    ).fetchall()
    return {row[0]: HubState(*row[1:]) for row in rows}


def record_states(
    conn: Connection, connection: str, object_name: str, record_ids: Sequence[str]
) -> dict[str, RecordState]:
    """Return what waits for records of one CRM object; those for which nothing does are left out."""
    found: dict[str, RecordState] = {}
    rows = conn.execute(
        Q["record_states"], {"connection": connection, "object": object_name, "record_ids": list(record_ids)}
    ).fetchall()
    for record_id, what, gate, stamp in rows:
        state = found.setdefault(record_id, RecordState())
        if what == "quarantined":
            state.quarantined, state.gate, state.stamp = True, gate, stamp
        elif what == "in_review":
            state.in_review = True
        else:
            state.noticed = True
    return found


def waiting(conn: Connection, connection: str, link_ids: Sequence[int], hub_ids: Sequence[UUID]) -> Waiting:
    """Return the cells of links and golden records that wait, in one connection."""
    inbound = conn.execute(Q["waiting_references"], {"link_ids": list(link_ids)}).fetchall()
    there = {"connection": connection, "hub_ids": list(hub_ids)}
    outward = conn.execute(Q["parked_outward"], there).fetchall()
    withheld = conn.execute(Q["withheld"], there).fetchall()
    return Waiting(
        {(r[0], r[1]): r[2] for r in inbound},
        frozenset((r[0], r[1]) for r in outward),
        {(r[0], r[1]): r[2] for r in withheld},
    )
