"""Match keys: keyed hashes (HMAC, 128 bit) of normalised fields, by which golden records are found without decrypting
any.

Belongs here: table match_key. Not here: normalising and verifying (steps/matching).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, copy_columns, stage

Q = queries("matchkeys")


def candidates(conn: Connection, entity: str, keys: Iterable[tuple[str, bytes]]) -> dict[tuple[str, bytes], list[UUID]]:
    """Return (rule, digest) -> hub ids for the keys that are known."""
    wanted = list(keys)
    if not wanted:
        return {}
    rows = conn.execute(
        Q["candidates"], {"entity": entity, "rules": [k[0] for k in wanted], "digests": [k[1] for k in wanted]}
    ).fetchall()
    found: dict[tuple[str, bytes], list[UUID]] = {}
    for rule, digest, hub_id in rows:
        ids = found.setdefault((rule, bytes(digest)), [])
        if hub_id not in ids:
            ids.append(hub_id)
    return found


_COLUMNS = ("entity", "rule", "digest", "hub_id")


def add(conn: Connection, entity: str, keys: Sequence[tuple[str, bytes, UUID]]) -> None:
    """Remember match keys (rule, digest, hub id). Old ones stay: whoever finds one verifies it on decrypted values."""
    if stage(conn, "match_key", _COLUMNS, ((entity, *key) for key in keys)):
        conn.execute(Q["insert_staged"])


def add_new(conn: Connection, entity: str, keys: Sequence[tuple[str, bytes, UUID]]) -> None:
    """Remember match keys that are not there yet for certain, each given once."""
    if keys:
        copy_columns(
            conn, "match_key", dict(zip(_COLUMNS, ([entity] * len(keys), *zip(*keys, strict=True)), strict=True))
        )


def move(conn: Connection, losers: Sequence[UUID], winners: Sequence[UUID]) -> None:
    """Give the match keys of united golden records to those that they were united into."""
    parameters = {"losers": list(losers), "winners": list(winners)}
    conn.execute(Q["copy_keys"], parameters)
    conn.execute(Q["forget"], {"hub_ids": list(losers)})


FIRST: Final = UUID(int=0)
"""Before every golden record."""


def unfinished(conn: Connection, entity: str, rules: bytes) -> UUID | None:
    """Return after which golden record the match keys have to be made by these rules; None where all are."""
    row = conn.execute(Q["matching"], {"entity": entity}).fetchone()
    if row is None or bytes(row[0]) != rules:
        return FIRST
    after: UUID | None = row[1]
    return after


def records_after(conn: Connection, entity: str, after: UUID, limit: int) -> list[UUID]:
    """Return golden records of an entity by id."""
    rows = conn.execute(Q["records_after"], {"entity": entity, "after": after, "limit": limit}).fetchall()
    return [row[0] for row in rows]


def progress(conn: Connection, entity: str, rules: bytes, after: UUID | None) -> None:
    """Note up to where match keys were made; None: all are."""
    conn.execute(Q["progress"], {"entity": entity, "rules": rules, "after": after})
