"""The crosswalk (identity links) and the shadows of its links.

Belongs here: tables identity_link and shadow. Not here: which records match (steps/matching), what a cell decides (steps/merging).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, stage

Q = queries("links")


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link with its shadow; the shadow's columns are None where the record was never decided on."""

    link_id: int
    hub_id: UUID
    connection: str
    object: str
    record_id: str
    is_primary: bool
    state: str
    form_id: int | None
    crm_vector: bytes | None
    hub_vector: bytes | None
    crm_known: bytes | None
    hub_known: bytes | None
    gate: int | None
    version: str | None
    stamp: datetime | None
    base: bytes | None


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link to write; `linked_by` names the rule (or "external_key", "new", "created")."""

    hub_id: UUID
    record_id: str
    is_primary: bool
    linked_by: str


@dataclass(frozen=True, slots=True)
class ShadowRow:
    """A shadow to write; `base` is encrypted under the subject key."""

    link_id: int
    form_id: int
    crm_vector: bytes
    hub_vector: bytes
    crm_known: bytes
    hub_known: bytes
    gate: int
    version: str | None
    stamp: datetime | None
    base: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """What was last seen of a record: `state` is the link's, or "held"."""

    gate: int
    version: str | None
    stamp: datetime | None
    state: str


SHADOW_COLUMNS = (
    "link_id",
    "form_id",
    "crm_vector",
    "hub_vector",
    "crm_known",
    "hub_known",
    "gate",
    "version",
    "stamp",
    "base",
)


def find_links(conn: Connection, connection: str, object_name: str, record_ids: Sequence[str]) -> dict[str, LinkRow]:
    """Return the links of CRM records by record id."""
    rows = conn.execute(
        Q["find_links"], {"connection": connection, "object": object_name, "record_ids": list(record_ids)}
    ).fetchall()
    return {row[4]: LinkRow(*row) for row in rows}


def links_by_hub(conn: Connection, hub_ids: Sequence[UUID]) -> list[LinkRow]:
    """Return all links of golden records, in any state."""
    return [LinkRow(*row) for row in conn.execute(Q["links_by_hub"], {"hub_ids": list(hub_ids)}).fetchall()]


def seen(conn: Connection, connection: str, object_name: str, record_ids: Sequence[str]) -> dict[str, Seen]:
    """Return what was last seen of CRM records; records never seen are left out."""
    rows = conn.execute(
        Q["gates"], {"connection": connection, "object": object_name, "record_ids": list(record_ids)}
    ).fetchall()
    return {row[0]: Seen(row[1], row[2], row[3], row[4]) for row in rows}


def resolve_records(conn: Connection, connection: str, object_name: str, record_ids: Sequence[str]) -> dict[str, UUID]:
    """Return record id -> hub id for the records that are linked."""
    rows = conn.execute(
        Q["resolve_records"], {"connection": connection, "object": object_name, "record_ids": list(record_ids)}
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def resolve_hubs(conn: Connection, connection: str, object_name: str, hub_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return hub id -> record id of the live primary link in one CRM object."""
    rows = conn.execute(
        Q["resolve_hubs"], {"connection": connection, "object": object_name, "hub_ids": list(hub_ids)}
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def occupied(conn: Connection, connection: str, object_name: str, hub_ids: Sequence[UUID]) -> set[UUID]:
    """Return the golden records that have any link (live or not) in one CRM object."""
    rows = conn.execute(
        Q["occupied"], {"connection": connection, "object": object_name, "hub_ids": list(hub_ids)}
    ).fetchall()
    return {row[0] for row in rows}


def insert_links(
    conn: Connection, entity: str, connection: str, object_name: str, run_id: UUID, links: Iterable[NewLink]
) -> dict[str, int]:
    """Write new links of one CRM object; return record id -> link id."""
    columns = ("hub_id", "entity", "connection", "object", "record_id", "is_primary", "linked_by", "run_id")
    rows = ((n.hub_id, entity, connection, object_name, n.record_id, n.is_primary, n.linked_by, run_id) for n in links)
    if not stage(conn, "identity_link", columns, rows):
        return {}
    return {row[1]: row[0] for row in conn.execute(Q["insert_links"]).fetchall()}


def upsert_shadows(conn: Connection, shadows: Iterable[ShadowRow]) -> None:
    """Write shadows."""
    rows = (
        (
            s.link_id,
            s.form_id,
            s.crm_vector,
            s.hub_vector,
            s.crm_known,
            s.hub_known,
            s.gate,
            s.version,
            s.stamp,
            s.base,
        )
        for s in shadows
    )
    if stage(conn, "shadow", SHADOW_COLUMNS, rows):
        conn.execute(Q["upsert_shadows"])


def touch(
    conn: Connection,
    connection: str,
    object_name: str,
    record_ids: Sequence[str],
    versions: Sequence[str],
    stamps: Sequence[datetime],
) -> int:
    """Note a newer version of records whose mapped fields did not change; return how many rows changed."""
    if not record_ids:
        return 0
    return conn.execute(
        Q["touch"],
        {
            "connection": connection,
            "object": object_name,
            "record_ids": list(record_ids),
            "versions": list(versions),
            "stamps": list(stamps),
        },
    ).rowcount


def set_state(conn: Connection, changes: Sequence[tuple[int, str, str | None]]) -> None:
    """Move links to a state: (link id, state, id of the record it was merged into)."""
    if changes:
        conn.execute(
            Q["set_state"],
            {
                "link_ids": [c[0] for c in changes],
                "states": [c[1] for c in changes],
                "merged": [c[2] for c in changes],
            },
        )


def count_links(conn: Connection) -> dict[tuple[str, str, str], int]:
    """Return (connection, entity, state) -> links."""
    return {(r[0], r[1], r[2]): int(r[3]) for r in conn.execute(Q["count_links"]).fetchall()}
