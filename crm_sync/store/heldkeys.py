"""Match keys of records that wait (quarantine, ambiguous match) without a golden record.

Belongs here: table held_key, so that nothing is created in a CRM that may hold it already. Not here: what waits
(holding).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, stage

Q = queries("heldkeys")


def hold_keys(
    conn: Connection, connection: str, entity: str, object_name: str, keys: Iterable[tuple[str, str, bytes]]
) -> None:
    """Remember match keys (record id, rule, digest) of records that wait."""
    columns = ("connection", "entity", "object", "record_id", "rule", "digest")
    rows = ((connection, entity, object_name, record_id, rule, digest) for record_id, rule, digest in keys)
    if stage(conn, "held_key", columns, rows):
        conn.execute(Q["insert_staged"])


def forget_keys(conn: Connection, connection: str, object_name: str, record_ids: Sequence[str]) -> list[UUID]:
    """Forget the keys of records that wait no longer; return the golden records that may be created there now."""
    if not record_ids:
        return []
    parameters = {"connection": connection, "object": object_name, "record_ids": list(record_ids)}
    return [row[0] for row in conn.execute(Q["forget"], parameters).fetchall()]


def twins(conn: Connection, connection: str, entity: str, object_name: str, hub_ids: Sequence[UUID]) -> set[UUID]:
    """Return the golden records that may be a record which waits in that CRM object."""
    parameters = {"connection": connection, "entity": entity, "object": object_name, "hub_ids": list(hub_ids)}
    return {row[0] for row in conn.execute(Q["twins"], parameters).fetchall()}
