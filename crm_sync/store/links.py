"""The crosswalk (identity links) and the shadows of its links.

Belongs here: tables identity_link and shadow. Not here: which records match (steps/matching), what a cell decides
(steps/merging).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from crm_sync.store.dumping import Column
from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, copy_columns, stage_columns

Q = queries("links")

HELD = "held"


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
    wrote: bool | None


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link to write; `linked_by` names the rule (or "external_key", "new", "created")."""

    hub_id: UUID
    record_id: str
    is_primary: bool
    linked_by: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What was last seen of a record: `state` is the link's, or "held"; `wrote`: we wrote to it since."""

    gate: int
    version: str | None
    stamp: datetime | None
    state: str
    wrote: bool

    def shows_nothing_new(self, gate: int, stamp: datetime) -> bool:
        """Tell whether a read with this gate and stamp is what was seen before.

        After a write of ours the old values are old news only with the old stamp; with a newer one a person put them
        back.
        """
        if gate != self.gate:
            return False
        return not self.wrote or (self.stamp is not None and stamp <= self.stamp)


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
    "wrote",
)
"""What is written of a shadow; `base` encrypted under the subject key."""


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
    found: dict[str, Seen] = {}
    for record_id, gate, version, stamp, state, wrote in rows:
        # What is held was read later than what was merged.
        if state == HELD or record_id not in found:
            last = found[record_id].stamp if record_id in found else None
            newest = max((s for s in (stamp, last) if s is not None), default=None)
            found[record_id] = Seen(gate, version, newest, state, wrote)
        elif stamp is not None and found[record_id].state == HELD:
            held = found[record_id]
            found[record_id] = replace(held, stamp=max(stamp, held.stamp or stamp))
    return found


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
    if not hub_ids:
        return set()
    rows = conn.execute(
        Q["occupied"], {"connection": connection, "object": object_name, "hub_ids": list(hub_ids)}
    ).fetchall()
    return {row[0] for row in rows}


def insert_links(
    conn: Connection, entity: str, connection: str, object_name: str, run_id: UUID, links: Iterable[NewLink]
) -> dict[str, int]:
    """Write new links of one CRM object; return record id -> link id."""
    new = list(links)
    if not new:
        return {}
    link_ids = [row[0] for row in conn.execute(Q["next_link_ids"], {"count": len(new)}).fetchall()]
    record_ids = [n.record_id for n in new]
    repeated = {"entity": entity, "connection": connection, "object": object_name, "run_id": run_id}
    copy_columns(
        conn,
        "identity_link",
        {
            "link_id": link_ids,
            "hub_id": [n.hub_id for n in new],
            "record_id": record_ids,
            "is_primary": [n.is_primary for n in new],
            "linked_by": [n.linked_by for n in new],
            **{name: [value] * len(new) for name, value in repeated.items()},
        },
    )
    return dict(zip(record_ids, link_ids, strict=True))


def insert_shadows(conn: Connection, columns: dict[str, Column]) -> None:
    """Write the first shadows of links, given as columns (SHADOW_COLUMNS)."""
    copy_columns(conn, "shadow", columns)


def upsert_shadows(conn: Connection, columns: dict[str, Column]) -> None:
    """Write shadows, given as columns (SHADOW_COLUMNS)."""
    if stage_columns(conn, "shadow", columns):
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


def with_primary(conn: Connection, connection: str, object_name: str, hub_ids: Sequence[UUID]) -> set[UUID]:
    """Return the golden records that have a primary link in one CRM object."""
    rows = conn.execute(
        Q["with_primary"], {"connection": connection, "object": object_name, "hub_ids": list(hub_ids)}
    ).fetchall()
    return {row[0] for row in rows}


def revive(conn: Connection, link_ids: Sequence[int]) -> None:
    """Bring links of records that are back to life; each is primary again where no other took its place."""
    for link_id in link_ids:  # one by one: two duplicates may come back at once
        conn.execute(Q["revive"], {"link_ids": [link_id]})


def succeed(
    conn: Connection, connection: str, object_name: str, link_ids: Sequence[int]
) -> list[tuple[int, UUID, str]]:
    """Let live links succeed deleted primary ones; return (link id, hub id, record id) of the successors."""
    rows = conn.execute(Q["step_down"], {"link_ids": list(link_ids)}).fetchall()
    if not rows:
        return []
    hub_ids = [row[0] for row in rows]
    parameters = {"connection": connection, "object": object_name, "hub_ids": hub_ids}
    return [(r[0], r[1], r[2]) for r in conn.execute(Q["promote"], parameters).fetchall()]


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


def links_by_id(conn: Connection, link_ids: Sequence[int]) -> dict[int, LinkRow]:
    """Return links by id."""
    return {row[0]: LinkRow(*row) for row in conn.execute(Q["links_by_id"], {"link_ids": list(link_ids)}).fetchall()}


def move_links(conn: Connection, loser: UUID, winner: UUID) -> list[tuple[str, str, str]]:
    """Give the links of a united golden record to its successor; return (connection, object, record id) of the live
    ones.

    Their shadows are forgotten: each record must be read and merged anew, as on its first link.
    """
    rows = conn.execute(Q["move_links"], {"loser": loser, "winner": winner}).fetchall()
    conn.execute(Q["forget_shadows"], {"link_ids": [r[0] for r in rows]})
    return [(r[1], r[2], r[3]) for r in rows if r[4] == "live"]


def set_gates(conn: Connection, rows: Sequence[tuple[int, int, str, datetime]]) -> None:
    """Note what was last seen of records that are not merged: (link id, gate, version, stamp)."""
    if rows:
        conn.execute(
            Q["set_gates"],
            {
                "link_ids": [r[0] for r in rows],
                "gates": [r[1] for r in rows],
                "versions": [r[2] for r in rows],
                "stamps": [r[3] for r in rows],
            },
        )


def forget_gates(conn: Connection, link_ids: Sequence[int]) -> None:
    """Have records merged again when they are next read, whatever they show."""
    if link_ids:
        conn.execute(Q["forget_gates"], {"link_ids": list(link_ids)})


def forget_versions(conn: Connection, link_ids: Sequence[int]) -> None:
    """Make sure that records are read before the next write to them."""
    if link_ids:
        conn.execute(Q["forget_versions"], {"link_ids": list(link_ids)})
