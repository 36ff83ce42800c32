"""Deliver: send the commands that are due to one CRM, and settle what became of them.

Belongs here: the order intent -> call -> receipt, reading before writing, read-back after an unknown outcome, attempts.
Not here: what differs (outward), the HTTP (connectors), putting outcomes down (settling).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_sync.flows import freeing, outward, settling, shadows
from crm_sync.flows.absorb import absorb_batch
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.flows.propagate import propagate
from crm_sync.flows.receipts import Carried
from crm_sync.ports import Lane
from crm_sync.records import ABSENT, Action, Command, Outcome, SourceBatch
from crm_sync.steps.hashing import pack_masks, pack_vectors
from crm_sync.store import hub, links, outbox, runs
from crm_sync.store.database import Connection
from crm_sync.store.leases import Lease

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

_ROUNDS = 4


@dataclass(slots=True)
class DeliverReport:
    """What delivering did: commands `sent`, `resolved` by read-back, `changed` (read and planned again), `withheld`
    (sent without a refused value), `retried`,
    `dead`."""

    totals: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, int]:
        """Return the counts for metadata."""
        return dict(self.totals)


@dataclass(frozen=True, slots=True)
class Sending:
    """Commands whose intents are committed, with what each carries."""

    commands: list[Command]
    carried: dict[int, outbox.Intent]
    told: dict[int, Carried]


def deliver(ctx: Context, connection: str, entity: str) -> DeliverReport:
    """Send every due command of one stream; Busy where another run writes to this connection; connector errors as they
    come."""
    ctx.connection_spec(connection)
    ctx.entity(entity)
    lens = ctx.lens(connection, entity)
    report = DeliverReport()
    with ctx.leased(f"write/{connection}") as lease:
        settling.resolve(ctx, lens, lease, report.totals)
        capabilities = ctx.connector(connection).capabilities(lens.mapping)
        # Where the CRM has no precondition the write follows its read at once, batch by batch.
        size = capabilities.write_batch_size * (10 if capabilities.conditional_update else 1)
        started = ctx.clock.now()
        for _ in range(_ROUNDS):
            before = report.totals["changed"] + report.totals["withheld"]
            while _deliver_batch(ctx, lens, lease, started, size, not capabilities.conditional_update, report):
                pass
            settling.resolve(ctx, lens, lease, report.totals)
            if ctx.locked(entity, lambda conn: freeing.enqueue_freed(conn, lens)):
                propagate(ctx, entity)
            elif report.totals["changed"] + report.totals["withheld"] == before:
                break
            started = ctx.clock.now()
    return report


def _deliver_batch(
    ctx: Context, lens: Lens, lease: Lease, due_at: datetime, size: int, read_all: bool, report: DeliverReport
) -> bool:
    connection, entity = lens.name, lens.entity.name
    due = ctx.database.run(lambda conn: outbox.take_due(conn, connection, entity, due_at, size))
    if not due:
        return False
    _read_first(ctx, lens, lease, due, read_all)
    sending = ctx.locked(entity, lambda conn: _intend(ctx, conn, lens, lease, due, report))
    ctx.boundary("intent_written")
    if sending.commands:
        outcomes = ctx.connector(connection).write(lens.mapping, sending.commands, Lane.OUTBOUND)
        ctx.boundary("sent")
        _settle(ctx, lens, lease, sending, outcomes, report)
        ctx.boundary("receipted")
    return True


def _read_first(ctx: Context, lens: Lens, lease: Lease, due: Sequence[outbox.DueCommand], read_all: bool) -> None:
    """Read the records about to be updated whose version we do not know, or all, and absorb what changed behind our
    back."""
    hub_ids = [d.hub_id for d in due]

    def unknown(conn: Connection) -> list[str]:
        return [
            link.record_id
            for link in links.links_by_hub(conn, hub_ids)
            if _writable(lens, link) and (read_all or link.version is None)
        ]

    record_ids = ctx.database.run(unknown)
    if record_ids:
        batch = ctx.connector(lens.name).fetch(lens.mapping, record_ids, Lane.OUTBOUND)
        ctx.locked(lens.entity.name, lambda conn: read_back(ctx, conn, lens, lease, batch))


def read_back(ctx: Context, conn: Connection, lens: Lens, lease: Lease, batch: SourceBatch) -> Counter[str]:
    """Absorb records that were read for the sake of a write; they stand in this run's books."""
    lease.fence(conn)
    runs.add_tally(conn, ctx.run_id, lens.name, lens.entity.name, {"read": len(batch)})
    return absorb_batch(ctx, conn, lens, batch, ctx.run_id)


def _writable(lens: Lens, link: links.LinkRow) -> bool:
    here = link.connection == lens.name and link.object == lens.mapping.object
    return here and link.is_primary and link.state == "live"


def _intend(
    ctx: Context, conn: Connection, lens: Lens, lease: Lease, due: Sequence[outbox.DueCommand], report: DeliverReport
) -> Sending:
    """Plan the due commands anew, write their intents, and return them; those that turned out needless are
    withdrawn."""
    lease.fence(conn)
    waiting = outbox.commands_by_id(conn, [d.command_id for d in due])
    # One that was united into another since is told for by that one.
    roots = hub.roots(conn, lens.entity.name, [w.hub_id for w in waiting])
    united = [w for w in waiting if roots[w.hub_id] != w.hub_id]
    outbox.withdraw_ids(conn, [w.command_id for w in united])
    hub.enqueue_changes(conn, lens.entity.name, {roots[w.hub_id] for w in united})
    waiting = [w for w in waiting if roots[w.hub_id] == w.hub_id]
    hub_ids = [w.hub_id for w in waiting]
    all_links = links.links_by_hub(conn, hub_ids)
    writable = {x.hub_id: x for x in all_links if _writable(lens, x)}
    occupied = {x.hub_id for x in all_links if x.connection == lens.name and x.object == lens.mapping.object}
    goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
    goldens.load(hub_ids)
    updates = [(w, writable[w.hub_id]) for w in waiting if w.hub_id in writable]
    creates = [w for w in waiting if w.hub_id not in occupied]
    sending = Sending([], {}, {})
    needless = [w.command_id for w in waiting if w.hub_id in occupied and w.hub_id not in writable]
    if updates:
        rows = [link for _, link in updates]
        outlook = outward.look(ctx, conn, lens, goldens, rows)
        needless += _prepare(ctx, lens, goldens, [w for w, _ in updates], outlook, rows, sending)
    if creates:
        outlook = outward.look_at_new(conn, lens, goldens, [w.hub_id for w in creates])
        ready = outward.creatable(lens, outlook)
        needless += [w.command_id for w, r in zip(creates, ready, strict=True) if not r]
        kept = [int(r) for r in np.flatnonzero(ready)]
        if kept:
            outlook = outward.look_at_new(conn, lens, goldens, [creates[r].hub_id for r in kept])
            needless += _prepare(ctx, lens, goldens, [creates[r] for r in kept], outlook, [None] * len(kept), sending)
    outbox.withdraw_ids(conn, needless)
    outbox.intend(conn, sending.carried.values())
    report.totals["withdrawn"] += len(needless)
    return sending


def _prepare(
    ctx: Context,
    lens: Lens,
    goldens: Goldens,
    waiting: Sequence[outbox.DueCommand],
    outlook: outward.Outlook,
    rows: Sequence[links.LinkRow | None],
    sending: Sending,
) -> list[int]:
    send = outlook.sends()
    values = lens.source_values(np.where(send, outlook.texts, ABSENT))
    mine = [r for r in range(len(waiting)) if send[r].any()]
    payloads = shadows.seal(
        ctx, goldens, [outlook.hub_ids[r] for r in mine], [values[r] for r in mine], shadows.PAYLOAD
    )
    # A create also says that everything else is empty there: a default that the CRM fills in is then seen as its
    # change.
    crm = pack_vectors(np.where(send, outlook.projected, lens.null))
    own, masks = pack_vectors(outlook.hub), pack_masks(send)
    references = {m.source for m in lens.mapped if m.transform == "reference"}
    for r, payload in zip(mine, payloads, strict=True):
        link, command_id = rows[r], waiting[r].command_id
        action = Action.CREATE if link is None else Action.UPDATE
        sending.commands.append(
            Command(
                command_id=command_id,
                action=action,
                hub_id=outlook.hub_ids[r],
                record_id=link.record_id if link else None,
                values={k: v for k, v in values[r].items() if k not in references},
                references={k: _id(v) for k, v in values[r].items() if k in references},
                version=link.version if link else None,
                stamp=link.stamp if link and link.version is not None else None,
            )
        )
        sending.carried[command_id] = outbox.Intent(
            command_id,
            lens.form.form_id,
            crm[r],
            own[r],
            masks[r],
            payload,
            link.link_id if link else None,
            action.value,
        )
        cells = [(lens.fields[p].name, p) for p in np.flatnonzero(send[r])]
        sending.told[command_id] = Carried(
            {name: str(outlook.texts[r, p]) for name, p in cells},
            {name: int(outlook.projected[r, p].view(np.int64)) for name, p in cells},
            (link.version, link.stamp) if link else (None, None),
            frozenset(lens.fields[p].name for p in np.flatnonzero(outlook.yielded[r])),
        )
    return [waiting[r].command_id for r in range(len(waiting)) if not send[r].any()]


def _id(value: Any) -> str | None:
    return None if value is None else str(value)


def _settle(
    ctx: Context, lens: Lens, lease: Lease, sending: Sending, outcomes: Sequence[Outcome], report: DeliverReport
) -> None:
    by_id = {c.command_id: c for c in sending.commands}
    pairs = [(by_id[o.command_id], o) for o in outcomes]
    report.totals += ctx.locked(
        lens.entity.name, lambda conn: settling.settle(ctx, conn, lens, lease, pairs, sending.told)
    )
    settling.look_up_duplicates(ctx, lens, lease, pairs, report.totals)
