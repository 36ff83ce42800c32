"""Twins: live golden records that are the same real thing by our own match rules.

Belongs here: verifying candidates on decrypted values. Not here: matching source records (identify), uniting.
They come about where an edit makes two golden records alike that already had their links; nobody unites those unasked.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING
from uuid import UUID

from crm_sync.flows.goldens import Goldens
from crm_sync.flows.identify import linked_identities
from crm_sync.flows.matchkeys import identities_of
from crm_sync.steps.matching import Identity, contradicts, digest
from crm_sync.store import quality
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

_BATCH = 2000

Group = tuple[str, bytes, list[UUID]]


def find_twins(ctx: Context, entity: str) -> int:
    """Find the twins of an entity anew and note them; return how many pairs there are.

    Two golden records are twins when their own values share the key of a rule that links, and no rule forbids it by
    what they or their linked records say.
    """
    linking = [rule.key for rule in ctx.entity(entity).match_rules if rule.outcome == "link"]

    def work(conn: Connection) -> int:
        pairs: set[tuple[str, UUID, UUID]] = set()
        for batch in _batches(quality.shared_keys(conn, entity, linking)):
            pairs |= _verified(ctx, conn, entity, batch)
        return quality.replace_twins(conn, entity, sorted(pairs))

    return ctx.locked(entity, work)


def _batches(groups: Sequence[Group]) -> list[list[Group]]:
    batches: list[list[Group]] = []
    size = _BATCH
    for group in groups:
        if size >= _BATCH:
            batches.append([])
            size = 0
        batches[-1].append(group)
        size += len(group[2])
    return batches


def _verified(ctx: Context, conn: Connection, entity: str, groups: Sequence[Group]) -> set[tuple[str, UUID, UUID]]:
    rules = [rule.key for rule in ctx.entity(entity).match_rules]
    lens = ctx.streams(entity)[0]
    ids = sorted({hub_id for _, _, hub_ids in groups for hub_id in hub_ids})
    goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
    goldens.load(ids)
    own = dict(zip(ids, identities_of(lens.entity, goldens.docs(ids)), strict=True))
    known: dict[UUID, list[Identity]] = {hub_id: [identity] for hub_id, identity in own.items()}
    for hub_id, identity in linked_identities(ctx, conn, goldens, lens, ids):
        known[hub_id].append(identity)
    secret = ctx.keyring.match_key()
    found: set[tuple[str, UUID, UUID]] = set()
    for rule, shared, hub_ids in groups:
        # A key may be an old one, or that of a linked record whose value lost.
        holders = [h for h in hub_ids if any(k[0] == rule and digest(entity, k, secret) == shared for k in own[h].keys)]
        for one, other in combinations(holders, 2):
            if not any(contradicts(r, a, b) for r in rules for a in known[one] for b in known[other]):
                found.add((rule, one, other))
    return found
