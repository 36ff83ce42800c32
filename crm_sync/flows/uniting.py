"""Unite golden records that turn out to be one real thing.

Belongs here: what becomes of the loser's links, values, keys and commands. Not here: finding out (steps/matching).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from crm_sync.flows import shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.flows.verdicts import CONTENTS
from crm_sync.records import NULL
from crm_sync.steps.hashing import hash_one
from crm_sync.store import audit, holding, hub, inbox, links, matchkeys, outbox, withheld
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


def unite(ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, unions: Sequence[tuple[UUID, UUID]]) -> int:
    """Unite golden records (loser, winner) inside the caller's transaction; return how many were united.

    The loser's records are read and merged into the winner as on their first link. Where the winner knows nothing, the
    loser's value is taken at once; where both know something else, the audit keeps what the loser held.
    """
    if not unions:
        return 0
    # The winner of one union may lose a later one.
    parent = dict(unions)

    def last(hub_id: UUID) -> UUID:
        while hub_id in parent:
            hub_id = parent[hub_id]
        return hub_id

    losers = [loser for loser, _ in unions]
    winners = [last(loser) for loser in losers]
    goldens.load([*losers, *winners])
    _inherit(ctx, conn, lens, goldens, losers, winners)
    notices: list[tuple[str, str, str]] = []
    for loser, winner in zip(losers, winners, strict=True):
        notices += links.move_links(conn, loser, winner)
    hub.unite(conn, losers, winners)
    matchkeys.move(conn, losers, winners)
    outbox.withdraw_records(conn, losers)
    holding.forget_parked_out(conn, losers)
    withheld.forget(conn, losers)
    hub.enqueue_changes(conn, lens.entity.name, winners)
    inbox.put_notices(conn, "united", notices)
    return len(losers)


def _inherit(
    ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, losers: Sequence[UUID], winners: Sequence[UUID]
) -> None:
    order = {name: place for place, name in enumerate(lens.entity.field_names)}
    entries: list[audit.Entry] = []
    documents: list[dict[str, list[str]]] = []
    for loser, winner in zip(losers, winners, strict=True):
        lost, kept = goldens.docs([loser, winner])
        told: dict[str, list[str]] = {}
        fields = []
        for name, place in order.items():
            text, own = lost.get(name, NULL), kept.get(name, NULL)
            if text in (NULL, own):
                continue
            told[name] = [own, text]
            fills = own == NULL
            if fills:
                earliest, latest = goldens.evidence([loser], np.array([place]))
                between = (int(earliest[0, 0]), int(latest[0, 0]))
                source = goldens.source(loser, place) or "hub"
                goldens.set(winner, name, text, hash_one(text, ctx.vector_key), between, source)
            winning = goldens.source(loser if fills else winner, place) or "hub"
            fields.append(
                {"field": name, "decision": "TAKE" if fills else "STAND", "rule": "united", "winner": winning}
            )
        entries.append(
            audit.Entry("hub", "united", lens.name, lens.entity.name, lens.entity.name, None, winner, fields=fields)
        )
        documents.append(told)
    sealed = shadows.seal(ctx, goldens, list(winners), documents, CONTENTS)
    audit.append(
        conn, ctx.run_id, [dataclasses.replace(e, contents=blob) for e, blob in zip(entries, sealed, strict=True)]
    )
