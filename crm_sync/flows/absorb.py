"""Absorb: landed source records become golden records, links and shadows; or wait in quarantine, review or parking.

Belongs here: the walk of a landed page, in one transaction, and what to do when the store refuses one. Not here:
matching
(identify), cell decisions (fold), reading (ingest).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from crm_sync.flows.ahead import Ahead, at_work
from crm_sync.flows.batches import Viewed, newest, view
from crm_sync.flows.batches import part as part
from crm_sync.flows.batches import stamp_of as stamp_of
from crm_sync.flows.beside import Beside
from crm_sync.flows.fold import fold
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.identify import identify
from crm_sync.flows.lens import Lens
from crm_sync.flows.reads import Fold
from crm_sync.flows.rekeying import ensure_match_keys
from crm_sync.flows.wake import wake
from crm_sync.records import SourceBatch
from crm_sync.steps.matching import Digester, Identity
from crm_sync.steps.validation import Reason
from crm_sync.store import audit, heldkeys, holding, hub, inbox, landing, links, outbox, runs
from crm_sync.store.staging import Connection, ConstraintError, settle

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

REFUSED = Reason("", "store_refused")
_PAGES = 50
_MANY_BATCHES = 6
"""As many batches make the start of another process worth its while."""
Pages = tuple[int, ...]
"""The ids of the landed pages that make up one batch."""
Meanwhile = Callable[[], None]
"""What to begin when the server alone is at work."""


@dataclass(slots=True)
class AbsorbReport:
    """What absorbing did, summed over pages; `counts` gives past participles."""

    totals: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, int]:
        """Return the counts for metadata."""
        return dict(self.totals)


def absorb(ctx: Context, entity: str) -> AbsorbReport:
    """Absorb every landed page of an entity, oldest first, then wake references whose target is known now."""
    ctx.entity(entity)
    report = AbsorbReport()
    ensure_match_keys(ctx, entity)
    with (
        Beside(ctx.keyring.match_key()) as beside,
        Ahead[Pages, Viewed](lambda page_ids: _view(ctx, entity, page_ids, beside)) as ahead,
    ):
        while _absorbed(ctx, entity, report, ahead, beside):
            ctx.boundary("absorbed")
    report.totals["woken"] += wake(ctx, entity)
    return report


def _absorbed(ctx: Context, entity: str, report: AbsorbReport, ahead: Ahead[Pages, Viewed], beside: Beside) -> bool:
    with at_work():
        return ctx.locked(entity, lambda conn: _next_pages(ctx, conn, entity, report, ahead, beside))


def _next_pages(
    ctx: Context, conn: Connection, entity: str, report: AbsorbReport, ahead: Ahead[Pages, Viewed], beside: Beside
) -> bool:
    # Pages of a stream that is no longer mapped stay where they are.
    known = [name for name, other in ctx.specs.mappings if other == entity]
    waiting = landing.waiting_pages(conn, entity, known, _PAGES)
    pages = _one_batch(waiting, ctx.settings.batch_rows)
    if not pages:
        return False
    following = _one_batch([p for p in waiting if p not in pages], ctx.settings.batch_rows)
    if sum(page.records for page in waiting) >= _MANY_BATCHES * ctx.settings.batch_rows:
        beside.start()

    def look_ahead() -> None:
        if following:
            ahead.start(_ids(following))

    viewed = ahead.take(_ids(pages))
    if beside.ready():
        look_ahead()
    report.totals += _absorb_viewed(ctx, conn, viewed, pages[0].run_id, look_ahead)
    report.totals["pages"] += len(pages)
    landing.pages_absorbed(conn, _ids(pages))
    return True


def _one_batch(pages: Sequence[landing.WaitingPage], rows: int) -> list[landing.WaitingPage]:
    """Return the oldest page and those after it that the same run read of the same connection, up to so many rows; a
    single page may have more. Pages of other connections, read at the same time, lie between."""
    batch: list[landing.WaitingPage] = []
    total = 0
    for page in pages:
        if batch and page.connection != batch[0].connection:
            continue
        if batch and (page.run_id != batch[0].run_id or total + page.records > rows):
            break
        batch.append(page)
        total += page.records
    return batch


def _ids(pages: Sequence[landing.WaitingPage]) -> Pages:
    return tuple(page.page_id for page in pages)


def _view(ctx: Context, entity: str, page_ids: Pages, beside: Beside) -> Viewed:
    pages = ctx.database.run(lambda conn: landing.load_pages(conn, ctx.keyring, page_ids))
    return beside.look(ctx.lens(pages[0].connection, entity), [raw for page in pages for raw in page.raw])


def absorb_batch(ctx: Context, conn: Connection, lens: Lens, batch: SourceBatch, read_run_id: UUID) -> Counter[str]:
    """Absorb records inside the caller's transaction (which holds the entity's lock); return the counts.

    Where the store refuses the whole, the batch is halved until the one record is found, which goes to quarantine.
    """
    return _absorb_viewed(ctx, conn, view(lens, batch), read_run_id)


def _absorb_viewed(
    ctx: Context, conn: Connection, viewed: Viewed, read_run_id: UUID, meanwhile: Meanwhile = lambda: None
) -> Counter[str]:
    batch = viewed.batch
    if not len(batch):
        return Counter()
    settle(conn)  # what is refused of what came before is no fault of this batch
    try:
        with conn.transaction():
            return _absorb(ctx, conn, viewed, read_run_id, meanwhile)
    except ConstraintError:
        if len(batch) == 1:
            counts = Counter(held=1, quarantined=1)
            _quarantine(ctx, conn, viewed, {0: [REFUSED]}, read_run_id)
            return counts
    middle = len(batch) // 2
    first = _absorb_viewed(ctx, conn, viewed.part(range(middle)), read_run_id)
    return first + _absorb_viewed(ctx, conn, viewed.part(range(middle, len(batch))), read_run_id)


def _absorb(ctx: Context, conn: Connection, viewed: Viewed, read_run_id: UUID, meanwhile: Meanwhile) -> Counter[str]:
    counts: Counter[str] = Counter()
    lens, batch, scope = viewed.lens, viewed.batch, viewed.scope
    known = links.find_links(conn, lens.name, batch.object, batch.record_ids)
    seen = links.seen(conn, lens.name, batch.object, batch.record_ids)
    kept = newest(batch)
    plain: list[int] = []
    touched: list[int] = []
    gone: list[tuple[int, str]] = []
    for row in kept:
        record_id = batch.record_ids[row]
        link, before = known.get(record_id), seen.get(record_id)
        if before is not None and before.stamp is not None and viewed.stamps[row] < before.stamp:
            counts["deduplicated"] += 1
        elif before is not None and before.shows_nothing_new(viewed.gates[row], viewed.stamps[row]):
            counts["unchanged"] += 1
            if before.state != links.HELD:  # what is held was not decided on: its version must not pass for known
                touched.append(row)
        elif batch.deleted[row] or not scope[row]:
            if link is None:
                counts["unchanged" if batch.deleted[row] else "out_of_scope"] += 1
            else:
                gone.append((row, "tombstone" if batch.deleted[row] else "out_of_scope"))
        else:
            plain.append(row)
    counts["deduplicated"] += len(batch) - len(kept)
    away = [batch.record_ids[r] for r in kept if batch.deleted[r] or not scope[r]]
    if away:
        _recognised(conn, lens, batch.object, away)
        holding.unquarantine(conn, lens.name, batch.object, away)
        holding.close_match_reviews(conn, lens.name, batch.object, away)
    touch(conn, viewed, touched)
    # What follows has rows of its own (audit, quarantine, review) to be counted by.
    quiet = {t: counts[t] for t in ("deduplicated", "unchanged", "out_of_scope")}
    runs.add_tally(conn, read_run_id, lens.name, lens.entity.name, quiet)
    counts += _leave(ctx, conn, viewed, gone, known, read_run_id)
    if plain:
        counts += _merge(ctx, conn, viewed, plain, known, read_run_id, meanwhile)
    return counts


def _merge(
    ctx: Context,
    conn: Connection,
    viewed: Viewed,
    plain: Sequence[int],
    known: dict[str, links.LinkRow],
    read_run_id: UUID,
    meanwhile: Meanwhile,
) -> Counter[str]:
    lens, batch = viewed.lens, viewed.batch
    judged = viewed.judged()
    reasons = {r: judged.reasons[r] for r in plain if r in judged.reasons}
    counts = Counter(held=len(reasons), quarantined=len(reasons))
    _quarantine(ctx, conn, viewed, reasons, read_run_id)
    unlinked = [r for r in reasons if batch.record_ids[r] not in known]
    if unlinked:
        found = [judged.identities[r] for r in unlinked]
        _hold_keys(ctx, conn, lens, batch.object, [batch.record_ids[r] for r in unlinked], found)
    rows = [r for r in plain if r not in reasons]
    if not rows:
        return counts
    batch, gates = part(batch, rows), [viewed.gates[r] for r in rows]
    texts = {name: column[rows] for name, column in judged.texts.items()}
    found = [judged.identities[r] for r in rows]
    mended = holding.unquarantine(conn, lens.name, batch.object, batch.record_ids)
    # Nothing was sent to them while they were held.
    hub.enqueue_changes(conn, lens.entity.name, [known[i].hub_id for i in mended if i in known])
    _recognised(conn, lens, batch.object, batch.record_ids)
    goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
    goldens.match_keys.know(judged.digests)
    linked = [known[i].hub_id if i in known else None for i in batch.record_ids]
    placed = identify(ctx, conn, lens, goldens, found, batch.hub_ids, linked)
    if placed.united:
        # Uniting moved links (and may have moved those of this very batch): what is known of them has changed.
        known = links.find_links(conn, lens.name, batch.object, batch.record_ids)
    counts["united"] += placed.united
    counts["created"] += len(placed.new)
    counts["matched"] += sum(p.rule not in ("new", "linked") for p in placed.placements if p.hub_id is not None)
    goldens.create(placed.new)
    undecided = [r for r, p in enumerate(placed.placements) if p.hub_id is None]
    _hold_keys(
        ctx,
        conn,
        lens,
        batch.object,
        [batch.record_ids[r] for r in undecided],
        [placed.identities[r] for r in undecided],
    )
    work = Fold(
        ctx=ctx,
        conn=conn,
        lens=lens,
        goldens=goldens,
        batch=batch,
        texts=lens.texts(texts, len(batch)),
        hashes=judged.hashes[rows],
        bases=[judged.bases[r] for r in rows],
        gates=gates,
        placements=placed.placements,
        links=[known.get(i) for i in batch.record_ids],
        read_run_id=read_run_id,
        meanwhile=meanwhile,
    )
    there = [(r, h) for r, p in enumerate(placed.placements) if (h := p.hub_id) is not None]
    goldens.load(h for _, h in there)
    goldens.match_keys.remember_reads(
        [h for _, h in there], [placed.identities[r] for r, _ in there], texts, [r for r, _ in there]
    )
    counts += fold(work)
    return counts


def _hold_keys(
    ctx: Context, conn: Connection, lens: Lens, object_name: str, record_ids: Sequence[str], found: Sequence[Identity]
) -> None:
    """Note by what records that wait could be recognised, so that propagate does not create their twins there."""
    if record_ids:
        digester = Digester(lens.entity.name, ctx.keyring.match_key())
        pairs = zip(record_ids, found, strict=True)
        keys = [(record_id, key[0], digester.digest(key)) for record_id, one in pairs for key in one.keys]
        heldkeys.hold_keys(conn, lens.name, lens.entity.name, object_name, keys)


def _recognised(conn: Connection, lens: Lens, object_name: str, record_ids: Sequence[str]) -> None:
    """Note that records wait no longer: what was not created for their sake is planned anew."""
    hub.enqueue_changes(conn, lens.entity.name, heldkeys.forget_keys(conn, lens.name, object_name, record_ids))


def _quarantine(
    ctx: Context, conn: Connection, viewed: Viewed, reasons: dict[int, list[Reason]], read_run_id: UUID
) -> None:
    if not reasons:
        return
    lens, batch = viewed.lens, viewed.batch
    rows = sorted(reasons)
    aad = f"quarantine/{lens.name}/{lens.entity.name}".encode()
    bodies = ctx.keyring.seal_day(ctx.clock.now().date(), [batch.raw[r] for r in rows], [aad] * len(rows))
    told = {r: [{"field": x.field, "code": x.code} for x in reasons[r]] for r in rows}
    holding.quarantine(
        conn,
        holding.Place(lens.name, lens.entity.name, batch.object, ctx.run_id),
        (
            holding.Quarantined(batch.record_ids[r], viewed.gates[r], viewed.stamps[r], told[r], body)
            for r, body in zip(rows, bodies, strict=True)
        ),
    )
    audit.append(
        conn,
        ctx.run_id,
        (
            audit.Entry(
                "in",
                "quarantined",
                lens.name,
                lens.entity.name,
                batch.object,
                batch.record_ids[r],
                None,
                disposition="held",
                read_run_id=read_run_id,
                fields=[{"field": x["field"], "decision": "QUARANTINE", "rule": x["code"]} for x in told[r]],
            )
            for r in rows
        ),
    )


def _leave(
    ctx: Context,
    conn: Connection,
    viewed: Viewed,
    gone: Sequence[tuple[int, str]],
    known: dict[str, links.LinkRow],
    read_run_id: UUID,
) -> Counter[str]:
    if not gone:
        return Counter()
    lens, batch = viewed.lens, viewed.batch
    changes: list[tuple[int, str, str | None]] = []
    marks: list[tuple[int, int, str, datetime]] = []
    entries: list[audit.Entry] = []
    for row, state in gone:
        link = known[batch.record_ids[row]]
        changes.append((link.link_id, state, batch.merged_into[row]))
        # The stamp of a deletion may be the time we looked: a record that is seen again must not count as older.
        marks.append((link.link_id, viewed.gates[row], batch.versions[row], link.stamp or viewed.stamps[row]))
        entries.append(
            audit.Entry(
                "in",
                state,
                lens.name,
                lens.entity.name,
                batch.object,
                link.record_id,
                link.hub_id,
                disposition="applied",
                read_run_id=read_run_id,
            )
        )
    links.set_state(conn, changes)
    links.set_gates(conn, marks)
    dead = [c[0] for c in changes if c[1] == "tombstone"]
    successors = links.succeed(conn, lens.name, batch.object, dead)
    links.forget_gates(conn, [link_id for link_id, _, _ in successors])
    inbox.put_notices(conn, "succeeded", [(lens.name, batch.object, record_id) for _, _, record_id in successors])
    hub.enqueue_changes(conn, lens.entity.name, [hub_id for _, hub_id, _ in successors])
    holding.forget_cells(conn, [c[0] for c in changes])
    outbox.withdraw(conn, lens.name, batch.object, [known[batch.record_ids[r]].hub_id for r, _ in gone])
    audit.append(conn, ctx.run_id, entries)
    return Counter(applied=len(gone), unlinked=len(gone))


def touch(conn: Connection, viewed: Viewed, rows: Sequence[int]) -> int:
    """Note the newer versions of records whose mapped fields did not change; return how many were newer."""
    return links.touch(
        conn,
        viewed.lens.name,
        viewed.batch.object,
        [viewed.batch.record_ids[r] for r in rows],
        [viewed.batch.versions[r] for r in rows],
        [viewed.stamps[r] for r in rows],
    )
