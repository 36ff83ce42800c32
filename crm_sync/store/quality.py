"""What the checks at rest look at: columns derived from documents, and twins.

Belongs here: keeping them current. Not here: the expectations on them (store/expectations), deciding what a twin is
(flows/twins).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, stage

Q = queries("quality")


@dataclass(frozen=True, slots=True)
class Derived:
    """What stands beside the document of a golden record in the clear, and by which rules."""

    hub_id: UUID
    facts: dict[str, Any]
    missing_required: int
    refs: dict[str, str]
    derived_by: str


def to_derive(conn: Connection, entity: str, derived_by: str, limit: int) -> list[UUID]:
    """Return some live golden records whose derived columns follow other rules."""
    parameters = {"entity": entity, "derived_by": derived_by, "limit": limit}
    return [row[0] for row in conn.execute(Q["to_derive"], parameters).fetchall()]


def derive(conn: Connection, rows: Iterable[Derived]) -> None:
    """Write derived columns; nothing else of the golden records changes."""
    columns = ("hub_id", "facts", "missing_required", "refs", "derived_by")
    staged = ((r.hub_id, Jsonb(r.facts), r.missing_required, Jsonb(r.refs), r.derived_by) for r in rows)
    if stage(conn, "hub_record", columns, staged):
        conn.execute(Q["derive_staged"])


def shared_keys(conn: Connection, entity: str, rules: Iterable[str]) -> list[tuple[str, bytes, list[UUID]]]:
    """Return (rule, digest, hub ids) of match keys that several live golden records have or had."""
    rows = conn.execute(Q["shared_keys"], {"entity": entity, "rules": list(rules)}).fetchall()
    return [(row[0], bytes(row[1]), list(row[2])) for row in rows]


def replace_twins(conn: Connection, entity: str, pairs: Iterable[tuple[str, UUID, UUID]]) -> int:
    """Put (rule, hub id, other hub id) in the place of what was found before; return how many pairs."""
    conn.execute(Q["forget_twins"], {"entity": entity})
    both = [(entity, rule, *pair) for rule, a, b in pairs for pair in ((a, b), (b, a))]
    if stage(conn, "twin", ("entity", "rule", "hub_id", "other_hub_id"), both):
        conn.execute(Q["insert_staged_twins"])
    return len(both) // 2
