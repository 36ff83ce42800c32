"""Settle commands: receipts, refusals, later attempts, and read-back where the outcome is unknown.

Belongs here: what an outcome does to shadow, crosswalk, outbox and audit. Not here: sending (deliver).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from crm_sync.errors import ErrorClass
from crm_sync.flows import absorb, shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.ports import Lane
from crm_sync.records import Action, Command, Outcome, SourceBatch, Status
from crm_sync.steps.merging import Shadow
from crm_sync.steps.planning import delivered
from crm_sync.store import audit, hub, links, outbox, runs
from crm_sync.store.database import Connection
from crm_sync.store.leases import Lease

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

MAX_ATTEMPTS = 8
_FIRST_WAIT_SECONDS = 30.0
_LONGEST_WAIT_SECONDS = 3600.0
_BATCH = 5000

Pair = tuple[Command, Outcome]


def settle(
    ctx: Context, conn: Connection, lens: Lens, lease: Lease, pairs: Sequence[Pair], fields: Mapping[int, list[str]]
) -> Counter[str]:
    """Put outcomes down inside the caller's transaction; commands with an unknown outcome stay as they are."""
    lease.fence(conn)
    done = [(c, o) for c, o in pairs if o.status is Status.DELIVERED]
    changed = [(c, o) for c, o in pairs if o.status is Status.CHANGED]
    failed = [(c, o) for c, o in pairs if o.status in (Status.REFUSED, Status.RETRY)]
    attempts = {w.command_id: w.attempts for w in outbox.commands_by_id(conn, [c.command_id for c, _ in failed])}
    _receipts(ctx, conn, lens, done)
    _behind_our_back(ctx, conn, lens, changed)
    dead = [(c, o) for c, o in failed if o.status is Status.REFUSED or attempts.get(c.command_id, 0) >= MAX_ATTEMPTS]
    later = [(c, o) for c, o in failed if (c, o) not in dead]
    outbox.bury(conn, [_failure(o, None) for _, o in dead])
    now = ctx.clock.now()
    outbox.postpone(conn, [_failure(o, _next_attempt(now, attempts.get(o.command_id, 1), o)) for _, o in later])
    told = [("sent", done), ("dead", dead), ("retried", later), ("changed", changed)]
    audit.append(
        conn,
        ctx.run_id,
        (
            audit.Entry(
                "out",
                action,
                lens.name,
                lens.entity.name,
                lens.mapping.object,
                o.record_id or c.record_id,
                c.hub_id,
                fields=[{"field": name, "decision": "SEND"} for name in fields.get(c.command_id, [])],
                result="ok" if action == "sent" else f"{o.error_class or 'unknown'}:{o.code}",
            )
            for action, some in told
            for c, o in some
        ),
    )
    counts = Counter({action: len(some) for action, some in told})
    counts["created"] = sum(c.action is Action.CREATE for c, _ in done)
    return counts


def _receipts(ctx: Context, conn: Connection, lens: Lens, done: Sequence[Pair]) -> None:
    if not done:
        return
    goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
    roots = hub.roots(conn, [c.hub_id for c, _ in done])
    goldens.load(roots.values())
    goldens.load([c.hub_id for c, _ in done])
    intents = {u.command_id: u for u in outbox.unsettled(conn, lens.name, lens.entity.name, 1_000_000)}
    pairs = [(c, o) for c, o in done if c.command_id in intents]
    made = [(c, o) for c, o in pairs if c.action is Action.CREATE]
    known = links.find_links(conn, lens.name, lens.mapping.object, [o.record_id or "" for _, o in made])
    new = {c.command_id: (c, o) for c, o in made if o.record_id and o.record_id not in known}
    # Two golden records may have been united while a record was made for each: one link is primary, the other hangs on.
    taken = links.occupied(conn, lens.name, lens.mapping.object, list(roots.values()))
    fresh: list[links.NewLink] = []
    for command, outcome in new.values():
        hub_id = roots.get(command.hub_id, command.hub_id)
        fresh.append(links.NewLink(hub_id, outcome.record_id or "", hub_id not in taken, "created"))
        taken.add(hub_id)
    ids = links.insert_links(conn, lens.entity.name, lens.name, lens.mapping.object, ctx.run_id, fresh)
    stored = links.links_by_id(conn, [i for c, _ in pairs if (i := intents[c.command_id].link_id) is not None])
    write: list[tuple[Command, Outcome, links.LinkRow | None, int]] = []
    for command, outcome in pairs:
        if command.command_id in new:
            write.append((command, outcome, None, ids[outcome.record_id or ""]))
        elif command.action is Action.UPDATE:
            link = stored.get(intents[command.command_id].link_id or 0)
            if link is not None:
                write.append((command, outcome, link, link.link_id))
    _write_shadows(ctx, conn, lens, goldens, roots, intents, write)
    outbox.settle(conn, [c.command_id for c, _ in pairs])


def _write_shadows(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    goldens: Goldens,
    roots: Mapping[UUID, UUID],
    intents: Mapping[int, outbox.Unsettled],
    write: Sequence[tuple[Command, Outcome, links.LinkRow | None, int]],
) -> None:
    if not write:
        return
    hub_ids = [roots.get(c.hub_id, c.hub_id) for c, _, _, _ in write]
    mine = [intents[c.command_id] for c, _, _, _ in write]
    sent = shadows.decode_sent(ctx, conn, lens, goldens, mine)
    old = shadows.decode(ctx, conn, lens, goldens, [link for _, _, link, _ in write], hub_ids)
    after = delivered(old, sent)
    created = shadows.created_shadow(lens, sent)
    fresh = np.array([link is None for _, _, link, _ in write], dtype=np.bool_)[:, None]
    shadow = Shadow(
        np.where(fresh, created.crm, after.crm),
        np.where(fresh, created.hub, after.hub),
        np.where(fresh, created.crm_known, after.crm_known),
        np.where(fresh, created.hub_known, after.hub_known),
    )
    payloads = shadows.unseal(ctx, goldens, [u.hub_id for u in mine], [u.payload for u in mine], shadows.PAYLOAD)
    with_base = [r for r, w in enumerate(write) if (link := w[2]) is not None and link.base]
    opened = shadows.unseal(
        ctx, goldens, [hub_ids[r] for r in with_base], [_base(write[r][2]) for r in with_base], shadows.BASE
    )
    bases: dict[int, dict[str, Any]] = dict(zip(with_base, opened, strict=True))
    sealed = shadows.seal(
        ctx, goldens, hub_ids, [{**bases.get(r, {}), **payload} for r, payload in enumerate(payloads)], shadows.BASE
    )
    links.upsert_shadows(
        conn,
        shadows.encode(
            lens,
            [link_id for _, _, _, link_id in write],
            shadow,
            [(link.gate or 0) if link else 0 for _, _, link, _ in write],
            [o.version for _, o, _, _ in write],
            [o.stamp or (link.stamp if link else None) for _, o, link, _ in write],
            sealed,
        ),
    )


def _base(link: links.LinkRow | None) -> bytes:
    return link.base or b"" if link else b""


def _behind_our_back(ctx: Context, conn: Connection, lens: Lens, changed: Sequence[Pair]) -> None:
    if not changed:
        return
    by_hub = {x.hub_id: x for x in links.links_by_hub(conn, [c.hub_id for c, _ in changed])}
    links.forget_versions(conn, [by_hub[c.hub_id].link_id for c, _ in changed if c.hub_id in by_hub])
    mine = links.find_links(conn, lens.name, lens.mapping.object, [c.record_id for c, _ in changed if c.record_id])
    links.forget_versions(conn, [x.link_id for x in mine.values()])
    # A create that found its key taken stays an intent: reading the record back by that key settles it.
    updates = [(c, o) for c, o in changed if c.action is Action.UPDATE]
    outbox.postpone(conn, [_failure(o, ctx.clock.now()) for _, o in updates])


def _failure(outcome: Outcome, at: datetime | None) -> outbox.Failure:
    error_class = outcome.error_class or (
        ErrorClass.CONFLICT if outcome.status is Status.CHANGED else ErrorClass.UNKNOWN
    )
    return outbox.Failure(outcome.command_id, error_class.value, outcome.code, outcome.message, at)


def _next_attempt(now: datetime, attempts: int, outcome: Outcome) -> datetime:
    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** max(0, attempts - 1))
    wait = outcome.retry_after_seconds or longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
    return now + timedelta(seconds=wait)


def resolve(ctx: Context, lens: Lens, lease: Lease, totals: Counter[str]) -> None:
    """Settle the write intents without an outcome by reading the records back: creates by our key, updates by id."""
    open_intents = ctx.database.run(lambda conn: outbox.unsettled(conn, lens.name, lens.entity.name, _BATCH))
    if not open_intents:
        return
    connector = ctx.connector(lens.name)
    creates = [u for u in open_intents if u.action == Action.CREATE.value]
    updates = [u for u in open_intents if u.action == Action.UPDATE.value]
    batches: list[SourceBatch] = []
    if creates:
        batches.append(connector.fetch_by_key(lens.mapping, [str(u.hub_id) for u in creates], Lane.OUTBOUND))
    known = ctx.database.run(
        lambda conn: links.links_by_id(conn, [u.link_id for u in updates if u.link_id is not None])
    )
    if known:
        batches.append(connector.fetch(lens.mapping, [x.record_id for x in known.values()], Lane.OUTBOUND))

    def finish(conn: Connection) -> None:
        lease.fence(conn)
        for batch in batches:
            runs.add_tally(conn, ctx.run_id, lens.name, lens.entity.name, {"read": len(batch)})
            absorb.absorb_batch(ctx, conn, lens, batch, ctx.run_id)
        still = {u.command_id: u for u in outbox.unsettled(conn, lens.name, lens.entity.name, _BATCH)}
        # What was carried and arrived is now in the shadow; the rest is planned again, with what was learned.
        again = [still[u.command_id] for u in open_intents if u.command_id in still]
        now = ctx.clock.now()
        dead = [u for u in again if u.attempts >= MAX_ATTEMPTS]
        outbox.bury(conn, [_lost(u, None) for u in dead])
        outbox.postpone(conn, [_lost(u, now) for u in again if u not in dead])
        hub.enqueue_changes(conn, lens.entity.name, [u.hub_id for u in open_intents])

    ctx.locked(lens.entity.name, finish)
    totals["resolved"] += len(open_intents)


def _lost(intent: outbox.Unsettled, at: datetime | None) -> outbox.Failure:
    return outbox.Failure(
        intent.command_id, ErrorClass.UNKNOWN.value, "", "the outcome was unknown; the record was read back", at
    )


def look_up_duplicates(ctx: Context, lens: Lens, lease: Lease, pairs: Sequence[Pair], totals: Counter[str]) -> None:
    """Read the records that a CRM named as duplicates of our creates; where one turns out to be the same thing, update
    it instead."""
    found = {
        o.record_id: c
        for c, o in pairs
        if c.action is Action.CREATE and o.error_class is ErrorClass.DUPLICATE and o.record_id
    }
    if not found:
        return
    batch = ctx.connector(lens.name).fetch(lens.mapping, list(found), Lane.OUTBOUND)

    def relink(conn: Connection) -> int:
        lease.fence(conn)
        runs.add_tally(conn, ctx.run_id, lens.name, lens.entity.name, {"read": len(batch)})
        absorb.absorb_batch(ctx, conn, lens, batch, ctx.run_id)
        linked = links.find_links(conn, lens.name, lens.mapping.object, list(found))
        same = [c for record_id, c in found.items() if record_id in linked and linked[record_id].hub_id == c.hub_id]
        outbox.withdraw_ids(conn, [c.command_id for c in same])
        hub.enqueue_changes(conn, lens.entity.name, [c.hub_id for c in same])
        return len(same)

    same = ctx.locked(lens.entity.name, relink)
    totals["dead"] -= same
    totals["relinked"] += same
