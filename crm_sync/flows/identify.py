"""Find the golden record of source records that are not linked yet.

Belongs here: candidates by digest, their verification on decrypted values.
Not here: the choice among candidates (steps/matching), golden records that turn out to be one (uniting).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.flows.matchkeys import identities_of
from crm_sync.flows.shadows import BASE, lift_documents, unseal
from crm_sync.flows.uniting import unite
from crm_sync.steps.matching import Identity, Matcher, Placement, identities
from crm_sync.store import hub, links, matchkeys
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

_IDS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Identified:
    """Where n records belong; `new` are golden records to begin, `united` counts golden records that became part of
    another."""

    placements: list[Placement]
    identities: list[Identity]
    new: list[UUID]
    united: int


def new_hub_ids() -> Iterator[UUID]:
    """Make ids of new golden records, without end: UUIDs of version 7, which begin with the time.

    What begins together then stands together in every index; ids without order cost a third more to write.
    """
    while True:
        begin, random = time.time_ns() // 1_000_000 << 80 | 7 << 76, os.urandom(10 * _IDS_AT_ONCE)
        for at in range(0, len(random), 10):
            bits = int.from_bytes(random[at : at + 10], "big")
            yield UUID(int=begin | (bits >> 62 & 0xFFF) << 64 | 2 << 62 | bits & (1 << 62) - 1)


def identify(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    goldens: Goldens,
    found: list[Identity],
    external_keys: Sequence[str | None],
    linked: Sequence[UUID | None],
) -> Identified:
    """Place n records given by their identities; `linked` are the golden records of those that have one already."""
    rows = len(linked)
    ours = _by_external_key(conn, lens.entity.name, external_keys)
    open_rows = [r for r in range(rows) if linked[r] is None and r not in ours]
    known = _candidates(ctx, conn, lens, goldens, [found[r] for r in open_rows])
    matcher = Matcher(lens.entity.match_rules, known)
    made: dict[UUID, None] = {}
    ids = new_hub_ids()

    def begin() -> UUID:
        hub_id = next(ids)
        made[hub_id] = None
        return hub_id

    placements: list[Placement] = []
    for row in range(rows):
        fixed = linked[row]
        if fixed is not None:
            matcher.attach(fixed, found[row])
            placements.append(Placement(fixed, "linked"))
        elif row in ours:
            matcher.attach(ours[row], found[row])
            placements.append(Placement(ours[row], "external_key"))
        else:
            placements.append(matcher.place(found[row], begin))
    united = unite(ctx, conn, lens, goldens, [(a, b) for a, b in matcher.unions if a not in made])
    if matcher.unions:
        placements = [Placement(matcher.root(p.hub_id), p.rule) if p.hub_id is not None else p for p in placements]
    kept = {p.hub_id for p in placements}
    return Identified(placements, found, [h for h in made if h in kept], united)


def _by_external_key(conn: Connection, entity: str, external_keys: Sequence[str | None]) -> dict[int, UUID]:
    wanted: dict[int, UUID] = {}
    for row, text in enumerate(external_keys):
        if text:
            try:
                wanted[row] = UUID(text)
            except ValueError:
                continue  # somebody else's text in our field: the match rules decide
    known = hub.roots(conn, entity, sorted(set(wanted.values()))) if wanted else {}
    return {row: known[hub_id] for row, hub_id in wanted.items() if hub_id in known}


def _candidates(
    ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, wanted: Sequence[Identity]
) -> dict[UUID, list[Identity]]:
    stored = goldens.match_keys.digests(key for identity in wanted for key in identity.keys)
    digests = {d: key for key, d in stored.items()}
    hits = matchkeys.candidates(conn, lens.entity.name, [(key[0], d) for key, d in stored.items()])
    claimed: dict[UUID, set[tuple[str, str]]] = {}
    for (_, found), hub_ids in hits.items():
        for hub_id in hub_ids:
            claimed.setdefault(hub_id, set()).add(digests[found])
    if not claimed:
        return {}
    ids = sorted(claimed)
    goldens.load(ids)
    known = {h: [i] for h, i in zip(ids, identities_of(lens.entity, goldens.docs(ids)), strict=True)}
    # A golden record is also whatever a linked record says of itself: its own value may have lost to another CRM's.
    for hub_id, identity in linked_identities(ctx, conn, goldens, lens, ids):
        known[hub_id].append(identity)
    verified = {h for h, keys in claimed.items() if any(k in keys for i in known[h] for k in i.keys)}
    return {h: i for h, i in known.items() if h in verified}


def linked_identities(
    ctx: Context, conn: Connection, goldens: Goldens, lens: Lens, hub_ids: Sequence[UUID]
) -> list[tuple[UUID, Identity]]:
    """Return what the linked records of golden records say of themselves; the golden records must be loaded."""
    by_connection: dict[str, list[links.LinkRow]] = {}
    for link in links.links_by_hub(conn, hub_ids):
        mapped = (link.connection, lens.entity.name) in ctx.specs.mappings
        if mapped and link.base is not None and link.state != "tombstone":
            by_connection.setdefault(link.connection, []).append(link)
    found: list[tuple[UUID, Identity]] = []
    for connection, rows in by_connection.items():
        other = ctx.lens(connection, lens.entity.name)
        bases = unseal(ctx, goldens, [r.hub_id for r in rows], [r.base or b"" for r in rows], BASE)
        texts = lift_documents(other, bases)
        columns = {f.name: np.ascontiguousarray(texts[:, i]) for i, f in enumerate(other.fields)}
        found += zip([r.hub_id for r in rows], identities(lens.entity, columns, len(rows)), strict=True)
    return found
