"""Propagate: plan what the changed golden records mean for every CRM, and queue commands. Echoes and no-ops fall out
here.

Belongs here: from the queue of changed golden records to the outbox. Not here: the plan of a cell (steps/planning),
sending (deliver).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from crm_sync.flows import freeing, outward, shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.steps.planning import Plan, advanced
from crm_sync.store import heldkeys, holding, hub, inbox, links, outbox, watermarks
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

_BATCH = 2000


@dataclass(slots=True)
class PropagateReport:
    """What planning did: `planned` golden records, commands `queued` and `withdrawn`, references `parked`, cells
    `advanced`."""

    totals: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, int]:
        """Return the counts for metadata."""
        return dict(self.totals)


def propagate(ctx: Context, entity: str) -> PropagateReport:
    """Plan every golden record of an entity that changed, or that may be created in a CRM since it has been read."""
    ctx.entity(entity)
    report = PropagateReport()
    ctx.locked(entity, lambda conn: _open_streams(ctx, conn, entity))
    while ctx.locked(entity, lambda conn: _plan_batch(ctx, conn, entity, report)):
        ctx.boundary("propagated")
    return report


def _open_streams(ctx: Context, conn: Connection, entity: str) -> None:
    # Records are created in a CRM only when all that it holds has been read and absorbed: it may have them already.
    for lens in ctx.streams(entity):
        if lens.mapping.create and watermarks.open_stream(conn, lens.name, entity):
            hub.enqueue_unlinked(conn, entity, lens.name, lens.mapping.object)
        freeing.rename(ctx, conn, lens)
        freeing.enqueue_freed(conn, lens)


def _plan_batch(ctx: Context, conn: Connection, entity: str, report: PropagateReport) -> bool:
    taken = hub.take_changes(conn, entity, _BATCH)
    if not taken:
        return False
    # One that was united into another since it was queued lives on in that one.
    hub_ids = list(dict.fromkeys(hub.roots(conn, entity, taken).values()))
    streams = ctx.streams(entity)
    opened = watermarks.streams_open(conn, entity)
    by_stream: dict[tuple[str, str], list[links.LinkRow]] = {}
    for link in links.links_by_hub(conn, hub_ids):
        by_stream.setdefault((link.connection, link.object), []).append(link)
    goldens = Goldens(ctx, conn, ctx.entity(entity), streams[0].hub_form)
    goldens.load(hub_ids)
    for lens in streams:
        there = by_stream.get((lens.name, lens.mapping.object), [])
        live = [x for x in there if x.is_primary and x.state == "live" and x.form_id is not None]
        report.totals += _plan_links(ctx, conn, lens, goldens, live)
        occupied = {x.hub_id for x in there}
        free = [h for h in hub_ids if h not in occupied]
        # The CRM may hold them already: in records that wait for a person, or to be mended.
        twins = heldkeys.twins(conn, lens.name, entity, lens.mapping.object, free) if free else set()
        free = [h for h in free if h not in twins]
        report.totals["waiting_for_twin"] += len(twins)
        if free and lens.name in opened:
            report.totals += _plan_creates(ctx, conn, lens, goldens, free)
    report.totals["planned"] += len(hub_ids)
    return True


def _plan_links(
    ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, rows: Sequence[links.LinkRow]
) -> Counter[str]:
    if not rows:
        return Counter()
    outlook = outward.look(ctx, conn, lens, goldens, rows)
    send = outlook.sends().any(axis=1)
    quiet = [outlook.hub_ids[int(r)] for r in np.flatnonzero(~send)]
    withdrawn = outbox.withdraw(conn, lens.name, lens.mapping.object, quiet)
    queued = outbox.plan_commands(
        conn,
        lens.name,
        lens.entity.name,
        lens.mapping.object,
        ctx.run_id,
        (
            outbox.PlannedCommand(outlook.hub_ids[r], rows[r].link_id, "update", outlook.digest(r))
            for r in map(int, np.flatnonzero(send))
        ),
    )
    steps = (outlook.plans == Plan.ADVANCE).any(axis=1)
    forward = [r for r in map(int, np.flatnonzero(steps)) if rows[r].form_id == lens.form.form_id]
    if forward:
        moved = advanced(outlook.shadow, outlook.hub, outlook.plans)
        links.upsert_shadows(
            conn,
            shadows.encode(
                lens,
                [rows[r].link_id for r in forward],
                shadows.rows_of(moved, forward),
                [rows[r].gate or 0 for r in forward],
                [rows[r].version for r in forward],
                [rows[r].stamp for r in forward],
                [rows[r].base or b"" for r in forward],
                [bool(rows[r].wrote) for r in forward],
            ),
        )
    _ask_again(conn, lens, rows, outlook)
    parked = outlook.parked(lens, range(len(rows)))
    _park(ctx, conn, lens, outlook.hub_ids, parked)
    return Counter(queued=queued, withdrawn=withdrawn, parked=len(parked), advanced=len(forward))


def _ask_again(conn: Connection, lens: Lens, rows: Sequence[links.LinkRow], outlook: outward.Outlook) -> None:
    """Have records read again, past the gate, whose open question was about another value of the hub."""
    row = {link.link_id: r for r, link in enumerate(rows)}
    position = {f.name: p for p, f in enumerate(lens.fields)}
    stale = {
        cell.link_id
        for cell in holding.open_cells(conn, list(row))
        if (p := position.get(cell.field)) is None
        or int(outlook.hub[row[cell.link_id], p].view(np.int64)) != cell.hub_hash
    }
    links.forget_gates(conn, sorted(stale))
    inbox.put_notices(conn, "question", [(lens.name, lens.mapping.object, rows[row[i]].record_id) for i in stale])


def _plan_creates(ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, hub_ids: list[UUID]) -> Counter[str]:
    outlook = outward.look_at_new(conn, lens, goldens, hub_ids)
    ready = outward.creatable(lens, outlook)
    queued = outbox.plan_commands(
        conn,
        lens.name,
        lens.entity.name,
        lens.mapping.object,
        ctx.run_id,
        (outbox.PlannedCommand(hub_ids[r], None, "create", outlook.digest(int(r))) for r in np.flatnonzero(ready)),
    )
    parked = outlook.parked(lens, range(len(hub_ids)))
    _park(ctx, conn, lens, hub_ids, parked)
    return Counter(queued=queued, parked=len(parked), incomplete=int((~ready).sum()))


def _park(
    ctx: Context, conn: Connection, lens: Lens, hub_ids: Sequence[UUID], parked: Sequence[holding.ParkedOut]
) -> None:
    if lens.references:
        holding.park_out(conn, lens.name, ctx.run_id, hub_ids, parked)
