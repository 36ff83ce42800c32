"""The hub: golden records, and the queue of those to plan anew.

Belongs here: tables hub_record and hub_change. Not here: encryption of documents (keyring), deciding values (steps).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from crm_sync.store.dumping import Column
from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, copy_columns, stage_columns

Q = queries("hub")

COLUMNS = (
    "hub_id", "entity", "form_id", "doc", "vector", "evidence", "sources",
    "facts", "missing_required", "refs", "derived_by",
)  # fmt: skip
"""What is written of a golden record: `doc` encrypted under its subject key; `facts`, `missing_required` and `refs`
derived from the document by the rules that `derived_by` names."""


@dataclass(frozen=True, slots=True)
class HubRow:
    """A golden record as stored; `doc` is encrypted under its subject key, `revision` counts its changes."""

    hub_id: UUID
    form_id: int
    doc: bytes
    vector: bytes
    evidence: bytes
    sources: list[str]
    revision: int


def load_hub_records(conn: Connection, hub_ids: Sequence[UUID]) -> dict[UUID, HubRow]:
    """Return golden records by id; unknown ids are left out."""
    rows = conn.execute(Q["load_hub_records"], {"hub_ids": list(hub_ids)}).fetchall()
    return {row[0]: HubRow(*row) for row in rows}


def insert_hub_records(conn: Connection, columns: dict[str, Column]) -> None:
    """Write new golden records, given as columns (COLUMNS)."""
    copy_columns(conn, "hub_record", columns)


def update_hub_records(conn: Connection, columns: dict[str, Column]) -> None:
    """Write changed golden records, given as columns (COLUMNS); each gets the next revision."""
    if stage_columns(conn, "hub_record", columns):
        conn.execute(Q["update_staged"])


def enqueue_changes(conn: Connection, entity: str, hub_ids: Iterable[UUID]) -> None:
    """Queue golden records for planning; once each."""
    ids = list(hub_ids)
    if ids:
        conn.execute(Q["enqueue_changes"], {"entity": entity, "hub_ids": ids})


def enqueue_new(conn: Connection, entity: str, hub_ids: Sequence[UUID]) -> None:
    """Queue golden records that are new, and so not in the queue for certain."""
    if hub_ids:
        copy_columns(conn, "hub_change", {"hub_id": hub_ids, "entity": [entity] * len(hub_ids)})


def take_changes(conn: Connection, entity: str, limit: int) -> list[UUID]:
    """Take up to `limit` golden records out of the queue; they return to it if the transaction fails."""
    return [row[0] for row in conn.execute(Q["take_changes"], {"entity": entity, "limit": limit}).fetchall()]


def count_changes(conn: Connection, entity: str) -> int:
    """Return how many golden records wait for planning."""
    row = conn.execute(Q["count_changes"], {"entity": entity}).fetchone()
    return int(row[0]) if row else 0


def count_records(conn: Connection, entity: str) -> tuple[int, int]:
    """Return (golden records, those that lack a required field)."""
    row = conn.execute(Q["count_records"], {"entity": entity}).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def roots(conn: Connection, entity: str, hub_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Return hub id -> the golden record it was united into, or itself; ids unknown in that entity are left out."""
    rows = conn.execute(Q["roots"], {"entity": entity, "hub_ids": list(hub_ids)}).fetchall()
    return {row[0]: row[1] for row in rows}


def unite(conn: Connection, losers: Sequence[UUID], winners: Sequence[UUID]) -> None:
    """Note that golden records were united into others; their links are moved by links.move."""
    conn.execute(Q["unite"], {"losers": list(losers), "winners": list(winners)})
    conn.execute(Q["forget_changes"], {"hub_ids": list(losers)})


def enqueue_unlinked(conn: Connection, entity: str, connection: str, object_name: str) -> int:
    """Queue the golden records that have no record in a CRM object; return how many."""
    conn.execute(Q["count_anew"])
    return conn.execute(
        Q["enqueue_unlinked"], {"entity": entity, "connection": connection, "object": object_name}
    ).rowcount
