"""Bring the match keys of an entity up to date after its match rules changed.

Belongs here: making the keys of every golden record anew, in batches. Not here: using them (identify).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from crm_sync.flows.goldens import Goldens
from crm_sync.flows.identify import linked_identities
from crm_sync.flows.matchkeys import identities_of
from crm_sync.steps.normalising import NORMALISER_VERSION
from crm_sync.store import matchkeys
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

_BATCH = 2000


def ensure_match_keys(ctx: Context, entity: str) -> None:
    """Make the match keys of all golden records where the rules differ from those that the keys were made by.

    Without it records would not be recognised by a new rule, and be created a second time everywhere.
    """
    while not ctx.locked(entity, lambda conn: _made(ctx, conn, entity)):
        pass


def _made(ctx: Context, conn: Connection, entity: str) -> bool:
    spec = ctx.entity(entity)
    compared = sorted({rule.key for rule in spec.match_rules})
    wanted = hashlib.sha256("\n".join([str(NORMALISER_VERSION), *compared]).encode()).digest()
    after = matchkeys.unfinished(conn, entity, wanted)
    if after is None:
        return True
    hub_ids = matchkeys.records_after(conn, entity, after, _BATCH)
    if hub_ids and (streams := ctx.streams(entity)):
        goldens = Goldens(ctx, conn, spec, streams[0].hub_form)
        goldens.load(hub_ids)
        goldens.match_keys.remember(hub_ids, identities_of(spec, goldens.docs(hub_ids)))
        found = linked_identities(ctx, conn, goldens, streams[0], hub_ids)
        goldens.match_keys.remember([h for h, _ in found], [i for _, i in found])
        goldens.flush()
    matchkeys.progress(conn, entity, wanted, hub_ids[-1] if hub_ids else None)
    return not hub_ids
