"""Settle commands: receipts, refusals, later attempts, and read-back where the outcome is unknown.

Belongs here: what an outcome does to shadow, crosswalk, outbox and audit. Not here: sending (deliver).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from crm_sync.errors import ErrorClass
from crm_sync.flows import absorb, shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.flows.receipts import Carried, Pair, take_receipts
from crm_sync.flows.verdicts import CONTENTS
from crm_sync.ports import Lane
from crm_sync.records import Action, Outcome, SourceBatch, Status
from crm_sync.store import audit, hub, links, outbox, runs, withheld
from crm_sync.store.database import Connection
from crm_sync.store.leases import Lease

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

MAX_ATTEMPTS = 8
_FIRST_WAIT_SECONDS = 30.0
_LONGEST_WAIT_SECONDS = 3600.0
_BATCH = 5000


def settle(
    ctx: Context, conn: Connection, lens: Lens, lease: Lease, pairs: Sequence[Pair], carried: Mapping[int, Carried]
) -> Counter[str]:
    """Put outcomes down inside the caller's transaction; commands with an unknown outcome stay as they are."""
    lease.fence(conn)
    done = [(c, o) for c, o in pairs if o.status is Status.DELIVERED]
    changed = [(c, o) for c, o in pairs if o.status is Status.CHANGED]
    failed = [(c, o) for c, o in pairs if o.status in (Status.REFUSED, Status.RETRY)]
    attempts = {w.command_id: w.attempts for w in outbox.commands_by_id(conn, [c.command_id for c, _ in failed])}
    refused = [(c, o) for c, o in failed if o.status is Status.REFUSED and _dispensable(lens, o, carried)]
    dead = [
        (c, o)
        for c, o in failed
        if (c, o) not in refused and (o.status is Status.REFUSED or attempts.get(c.command_id, 0) >= MAX_ATTEMPTS)
    ]
    later = [(c, o) for c, o in failed if (c, o) not in dead and (c, o) not in refused]
    now = ctx.clock.now()
    take_receipts(ctx, conn, lens, done, carried)
    # Afterwards: what is known of the record that has a refused value may be what this very batch wrote.
    _withhold(ctx, conn, lens, refused, carried)
    withheld.arrived(conn, lens.name, [(c.hub_id, *x) for c, _ in done for x in carried[c.command_id].hashes.items()])
    _behind_our_back(ctx, conn, lens, changed)
    outbox.postpone(conn, [_failure(o, now) for _, o in refused])
    outbox.bury(conn, [_failure(o, None) for _, o in dead])
    outbox.postpone(conn, [_failure(o, _next_attempt(now, attempts.get(o.command_id, 1), o)) for _, o in later])
    told = {"sent": done, "dead": dead, "retried": later, "changed": changed, "withheld": refused}
    _audit(ctx, conn, lens, told, carried)
    counts = Counter({action: len(some) for action, some in told.items()})
    counts["created"] = sum(c.action is Action.CREATE for c, _ in done)
    return counts


def _audit(
    ctx: Context, conn: Connection, lens: Lens, told: Mapping[str, Sequence[Pair]], carried: Mapping[int, Carried]
) -> None:
    pairs = [(action, c, o) for action, some in told.items() for c, o in some]
    goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
    documents = [{n: [None, t] for n, t in carried[c.command_id].texts.items()} for _, c, _ in pairs]
    sealed = shadows.seal(ctx, goldens, [c.hub_id for _, c, _ in pairs], documents, CONTENTS)
    entries = []
    for (action, command, outcome), contents in zip(pairs, sealed, strict=True):
        names = carried[command.command_id].texts
        at_fault = _fields_at_fault(lens, outcome)
        refused = action in ("withheld", "dead")
        entries.append(
            audit.Entry(
                "out",
                action,
                lens.name,
                lens.entity.name,
                lens.mapping.object,
                outcome.record_id or command.record_id,
                command.hub_id,
                fields=[
                    {"field": n, "decision": "REFUSED" if refused and n in at_fault else "SEND", "rule": action}
                    for n in names
                ],
                contents=contents,
                result="ok" if action == "sent" else f"{outcome.error_class or 'unknown'}:{outcome.code}",
            )
        )
    audit.append(conn, ctx.run_id, entries)


def _fields_at_fault(lens: Lens, outcome: Outcome) -> set[str]:
    return {m.field for m in lens.mapped if m.source in outcome.fields}


def _dispensable(lens: Lens, outcome: Outcome, carried: Mapping[int, Carried]) -> bool:
    """Tell whether the record can go without the values that the CRM refused: it named them, none is required, and none
    was to be emptied for another record's sake."""
    names = _fields_at_fault(lens, outcome)
    sent = carried[outcome.command_id].texts
    needed = {f.name for f in lens.fields if f.required} | carried[outcome.command_id].yielded
    return bool(names) and names <= sent.keys() and not names & needed


def _withhold(
    ctx: Context, conn: Connection, lens: Lens, refused: Sequence[Pair], carried: Mapping[int, Carried]
) -> None:
    withheld.withhold(
        conn,
        lens.name,
        lens.mapping.object,
        ctx.run_id,
        (
            withheld.Refused(
                command.hub_id,
                name,
                lens.form.form_id,
                carried[command.command_id].hashes[name],
                (outcome.error_class or ErrorClass.UNKNOWN).value,
                outcome.code,
                outcome.holder,
            )
            for command, outcome in refused
            for name in sorted(_fields_at_fault(lens, outcome))
        ),
    )


def _behind_our_back(ctx: Context, conn: Connection, lens: Lens, changed: Sequence[Pair]) -> None:
    if not changed:
        return
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
    refused = [(c, o) for c, o in pairs if c.action is Action.CREATE and o.status is Status.REFUSED]
    found = {o.holder: c for c, o in refused if o.error_class is ErrorClass.DUPLICATE and o.holder}
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
    totals["relinked"] += same
