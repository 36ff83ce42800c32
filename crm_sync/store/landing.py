"""Landing: source records as received, compressed and encrypted under the day key.

Belongs here: table landing_page. Not here: which records are worth landing (flows/ingest).
A body is zstd of length-prefixed JSON documents, then AES-GCM; the digest is keyed, so that it tells nothing.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from uuid import UUID

import zstandard

from crm_sync.store.keyring import Keyring
from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection

Q = queries("landing")


@dataclass(frozen=True, slots=True)
class LandedPage:
    """One page as landed, decrypted: `raw` holds one JSON document a record."""

    page_id: int
    run_id: UUID
    connection: str
    entity: str
    object: str
    reason: str
    raw: list[bytes]


@dataclass(frozen=True, slots=True)
class WaitingPage:
    """One page that waits to be absorbed, by how many records it holds."""

    page_id: int
    run_id: UUID
    connection: str
    records: int


def _aad(connection: str, entity: str) -> bytes:
    return f"landing/{connection}/{entity}".encode()


def join_documents(documents: Sequence[bytes]) -> bytes:
    """Join documents with their lengths (4 bytes, big-endian) before them."""
    return b"".join(struct.pack(">I", len(d)) + d for d in documents)


def split_documents(joined: bytes) -> list[bytes]:
    """Undo join_documents."""
    documents, at = [], 0
    while at < len(joined):
        (length,) = struct.unpack_from(">I", joined, at)
        documents.append(joined[at + 4 : at + 4 + length])
        at += 4 + length
    return documents


def land_page(
    conn: Connection,
    keyring: Keyring,
    today: date,
    *,
    run_id: UUID,
    connection: str,
    entity: str,
    object_name: str,
    reason: str,
    raw: Sequence[bytes],
) -> bool:
    """Land records as one page; return False where exactly this page had landed before."""
    joined = join_documents(raw)
    body = zstandard.compress(joined, 3)
    (sealed,) = keyring.seal_day(today, [body], [_aad(connection, entity)])
    row = conn.execute(
        Q["land_page"],
        {
            "run_id": run_id,
            "connection": connection,
            "entity": entity,
            "object": object_name,
            "reason": reason,
            "records": len(raw),
            "digest": hmac.digest(keyring.match_key(), joined, sha256)[:16],
            "body": sealed,
        },
    ).fetchone()
    return row is not None


def waiting_pages(conn: Connection, entity: str, connections: Sequence[str], limit: int) -> list[WaitingPage]:
    """Lock and return the oldest pages of these connections that wait, in landing order."""
    parameters = {"entity": entity, "connections": list(connections), "limit": limit}
    return [WaitingPage(*row) for row in conn.execute(Q["waiting_pages"], parameters).fetchall()]


def load_pages(conn: Connection, keyring: Keyring, page_ids: Sequence[int]) -> list[LandedPage]:
    """Return pages by id, decrypted, in landing order."""
    rows = conn.execute(Q["load_pages"], {"page_ids": list(page_ids)}).fetchall()
    bodies = keyring.open_day([r[7] for r in rows], [_aad(r[2], r[3]) for r in rows])
    return [
        LandedPage(r[0], r[1], r[2], r[3], r[4], r[5], split_documents(zstandard.decompress(body)))
        for r, body in zip(rows, bodies, strict=True)
    ]


def pages_to_absorb(
    conn: Connection, keyring: Keyring, entity: str, connections: Sequence[str], limit: int
) -> list[LandedPage]:
    """Lock and return the oldest pages of these connections that wait, decrypted, in landing order."""
    return load_pages(conn, keyring, [p.page_id for p in waiting_pages(conn, entity, connections, limit)])


def pages_absorbed(conn: Connection, page_ids: Sequence[int]) -> None:
    """Mark pages as absorbed, in the transaction that absorbed them."""
    conn.execute(Q["pages_absorbed"], {"page_ids": list(page_ids)})


def count_to_absorb(conn: Connection, connection: str, entity: str) -> int:
    """Return how many landed records of a stream wait for absorption."""
    row = conn.execute(Q["count_to_absorb"], {"connection": connection, "entity": entity}).fetchone()
    return int(row[0]) if row else 0


def prune_pages(conn: Connection, days: int) -> int:
    """Delete pages absorbed more than `days` ago; return how many."""
    return conn.execute(Q["prune_pages"], {"days": days}).rowcount
