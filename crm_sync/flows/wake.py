"""Wake references whose target became known: inbound ones are merged now, outward ones are planned again.

Belongs here: waking. Not here: parking (verdicts, propagate).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import orjson

from crm_sync.flows import references
from crm_sync.flows.fold import merge_reads, waves
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.flows.reads import Reads
from crm_sync.records import ABSENT
from crm_sync.store import holding, hub, links
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

_BATCH = 2000


def wake(ctx: Context, entity: str) -> int:
    """Merge every parked inbound reference of an entity whose target is linked now; return how many woke."""
    woken = 0
    while count := ctx.locked(entity, lambda conn: _wake_batch(ctx, conn, entity)):
        woken += count
    ctx.locked(entity, lambda conn: hub.enqueue_changes(conn, entity, holding.wake_out(conn, entity)))
    return woken


def _wake_batch(ctx: Context, conn: Connection, entity: str) -> int:
    rows = holding.woken_in(conn, entity, _BATCH)
    by_connection: dict[str, list[holding.Woken]] = {}
    for row in rows:
        by_connection.setdefault(row.connection, []).append(row)
    for connection, woken in by_connection.items():
        if (connection, entity) in ctx.specs.mappings:
            _merge(ctx, conn, ctx.lens(connection, entity), woken)
    holding.unpark_in(conn, [(r.link_id, r.field) for r in rows])
    return len(rows)


def _merge(ctx: Context, conn: Connection, lens: Lens, woken: list[holding.Woken]) -> None:
    stored = links.links_by_id(conn, [w.link_id for w in woken])
    position = {f.name: p for p, f in enumerate(lens.fields)}
    ready = [w for w in woken if w.field in position and stored[w.link_id].form_id is not None]
    if not ready:
        return
    texts = np.full((len(ready), lens.width), ABSENT, dtype=object)
    bases: list[bytes] = []
    for row, one in enumerate(ready):
        texts[row, position[one.field]] = f"r:{one.target_record_id}"
        bases.append(orjson.dumps({lens.mapped[position[one.field]].source: one.target_record_id}))
    before = [stored[w.link_id] for w in ready]
    goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
    goldens.load([b.hub_id for b in before])
    lifted, pending = references.inward(conn, lens, texts)
    reads = Reads(
        hub_ids=[b.hub_id for b in before],
        link_ids=[b.link_id for b in before],
        record_ids=[b.record_id for b in before],
        before=list(before),
        linked_by=[""] * len(ready),
        texts=texts,
        hashes=lens.hash(texts),
        lifted=lifted,
        pending=pending,
        bases=bases,
        gates=[b.gate or 0 for b in before],
        versions=[b.version for b in before],
        stamps=[b.stamp for b in before],
        earliest=np.array([w.earliest for w in ready], dtype=np.int64),
        latest=np.array([w.latest for w in ready], dtype=np.int64),
    )
    # Each reference of a link goes in a wave of its own, since a wave reads the shadow as stored.
    for wave in waves(reads.hub_ids):
        part = reads.rows(wave)
        if wave[0] != 0:
            again = links.links_by_id(conn, part.link_ids)
            part = dataclasses.replace(part, before=[again[i] for i in part.link_ids])
        merge_reads(ctx, conn, lens, goldens, part, {}, None)
    goldens.flush()
