"""The inbox: notices that a record changed or must be read again, each a hint with an id.

Belongs here: table inbox. Not here: reading the records (flows/ingest.hydrate).
"""

from __future__ import annotations

from collections.abc import Sequence

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection

Q = queries("inbox")


def put_notices(conn: Connection, kind: str, records: Sequence[tuple[str, str, str]]) -> None:
    """Put notices (connection, object, record id) into the inbox."""
    if records:
        conn.execute(
            Q["put"],
            {
                "kind": kind,
                "connections": [r[0] for r in records],
                "objects": [r[1] for r in records],
                "record_ids": [r[2] for r in records],
            },
        )


def take_notices(conn: Connection, connection: str, object_name: str, limit: int) -> list[str]:
    """Take notices out of the inbox and return their record ids, once each; they return if the transaction fails."""
    rows = conn.execute(Q["take"], {"connection": connection, "object": object_name, "limit": limit}).fetchall()
    return list(dict.fromkeys(row[0] for row in rows))


def waiting_notices(conn: Connection) -> dict[tuple[str, str], int]:
    """Return (connection, object) -> notices that wait."""
    return {(r[0], r[1]): int(r[2]) for r in conn.execute(Q["waiting"]).fetchall()}
