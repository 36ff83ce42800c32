"""Ingest: read a CRM and land what changed. Read progress commits with each landed page, the watermark with the last.

Belongs here: incremental, full and windowed reads, hydrating notices. Not here: what the records mean (absorb).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crm_sync.errors import CursorExpired, Misconfigured
from crm_sync.flows.absorb import touch
from crm_sync.flows.ahead import at_work, one_ahead
from crm_sync.flows.batches import joined_pages, view
from crm_sync.flows.lens import Lens
from crm_sync.ports import Lane
from crm_sync.records import Page, SourceBatch
from crm_sync.store import inbox, landing, links, runs, watermarks
from crm_sync.store.database import Connection
from crm_sync.store.leases import Lease

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

INCREMENTAL, FULL, WINDOW = "incremental", "full", "window"
KEEP_LANDED_DAYS = 3
LAND_ROWS = 1000
"""Smaller pages land together, as many rows or more: a commit costs as much as a hundred rows."""
_NOTICES = 1000


@dataclass(slots=True)
class IngestReport:
    """What a read did; `mode` is what it turned out to be (an expired cursor makes an incremental read full)."""

    mode: str = INCREMENTAL
    totals: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, int]:
        """Return the counts for metadata."""
        return dict(self.totals)


def ingest(
    ctx: Context, connection: str, entity: str, *, full: bool = False, window: tuple[str, str] | None = None
) -> IngestReport:
    """Read one stream and land what changed since it was last seen; then the records that notices point to.

    Everything is read with `full`, without a watermark, and where the rules of the stream are others than when
    everything was last read: a field mapped since then may be filled in records that nobody touched. `window`
    ([from, to), ISO dates) re-reads what was last modified in it and leaves the watermark alone. Busy where another run
    reads this connection; connector errors as they come.
    """
    lens = lens_of(ctx, connection, entity)
    with ctx.leased(f"read/{connection}") as lease:
        position = ctx.database.run(lambda conn: watermarks.load_position(conn, connection, entity))
        mode = WINDOW if window else FULL if full or position.watermark is None else INCREMENTAL
        if mode == INCREMENTAL and position.form_id != lens.form.form_id:
            ctx.journal.operation(connection, f"read {entity}", "rules_changed", "everything is read once")
            mode = FULL
        report = IngestReport(mode)
        try:
            _read(ctx, lens, lease, position, report, window)
        except CursorExpired as expired:
            ctx.journal.operation(connection, f"read {entity}", "cursor_expired", str(expired))
            report.mode = FULL
            _read(ctx, lens, lease, watermarks.Position(), report, None)
        _take_notices(ctx, lens, lease, report)
    return report


def hydrate(ctx: Context, connection: str, entity: str) -> IngestReport:
    """Read the records that notices point to, by id, and land those that changed. A notice leaves the inbox when its
    record has landed."""
    lens = lens_of(ctx, connection, entity)
    report = IngestReport("notices")
    with ctx.leased(f"read/{connection}") as lease:
        _take_notices(ctx, lens, lease, report)
    return report


def _take_notices(ctx: Context, lens: Lens, lease: Lease, report: IngestReport) -> None:
    while ctx.database.run(lambda conn: _hydrate_batch(ctx, conn, lens, lease, report)):
        pass


def _hydrate_batch(ctx: Context, conn: Connection, lens: Lens, lease: Lease, report: IngestReport) -> bool:
    lease.fence(conn)
    record_ids = inbox.take_notices(conn, lens.name, lens.mapping.object, _NOTICES)
    if not record_ids:
        return False
    batch = ctx.connector(lens.name).fetch(lens.mapping, record_ids, Lane.NOTICE)
    report.totals += _land(ctx, conn, lens, batch, "notice")
    return True


def lens_of(ctx: Context, connection: str, entity: str) -> Lens:
    """Return the rules of a stream; Misconfigured where the connection does not sync the entity."""
    ctx.connection_spec(connection)
    ctx.entity(entity)
    if (connection, entity) not in ctx.specs.mappings:
        raise Misconfigured(
            f"Entity {entity!r} is not mapped in connection {connection!r}; add it to `entities` there, with a mapping."
        )
    return ctx.lens(connection, entity)


def _read(
    ctx: Context,
    lens: Lens,
    lease: Lease,
    position: watermarks.Position,
    report: IngestReport,
    window: tuple[str, str] | None,
) -> None:
    started_from = position.watermark if report.mode == INCREMENTAL else None
    form_id = lens.form.form_id
    same_read = (position.resume_mode, position.resume_from) == (report.mode, started_from)
    same_read = same_read and position.resume_form_id == form_id
    resume = position.resume if same_read and not window else None
    name, entity = lens.name, lens.entity.name
    # The CRM prepares the next page while this one lands.
    with closing(one_ahead(_pages(ctx, lens, report.mode, started_from, resume, window))) as pages:
        for page in joined_pages(pages, min(LAND_ROWS, ctx.settings.batch_rows)):

            def commit(conn: Connection, page: Page = page) -> Counter[str]:
                lease.fence(conn)
                counts = _land(ctx, conn, lens, page.batch, report.mode)
                if page.watermark is not None:
                    everything = form_id if report.mode == FULL else None
                    watermarks.finish_read(conn, name, entity, page.watermark, form_id=everything)
                    landing.prune_pages(conn, KEEP_LANDED_DAYS)
                elif window is None:
                    watermarks.save_progress(
                        conn,
                        name,
                        entity,
                        mode=report.mode,
                        started_from=started_from,
                        form_id=form_id,
                        cursor=page.cursor,
                    )
                return counts

            with at_work():
                report.totals += ctx.database.run(commit)
            ctx.boundary("watermark" if page.watermark is not None else "landed")


def _pages(
    ctx: Context,
    lens: Lens,
    mode: str,
    watermark: str | None,
    resume: str | None,
    window: tuple[str, str] | None,
) -> Iterator[Page]:
    connector = ctx.connector(lens.name)
    if mode == INCREMENTAL:
        return connector.changes(lens.mapping, watermark, resume, Lane.INCREMENTAL)
    return connector.snapshot(lens.mapping, resume, Lane.BACKFILL, window)


def _land(ctx: Context, conn: Connection, lens: Lens, batch: SourceBatch, reason: str) -> Counter[str]:
    """Land the records whose mapped fields differ from what was last seen; count the others as unchanged."""
    counts: Counter[str] = Counter(read=len(batch))
    if not len(batch):
        return counts
    viewed = view(lens, batch)
    gates, scope, stamps = viewed.gates, viewed.scope, viewed.stamps
    before = links.seen(conn, lens.name, batch.object, batch.record_ids)
    changed: list[int] = []
    newer: list[int] = []
    for row, record_id in enumerate(batch.record_ids):
        last = before.get(record_id)
        if last is None and batch.deleted[row]:
            counts["unchanged"] += 1
        elif last is None and not scope[row]:
            counts["out_of_scope"] += 1
        elif last is not None and last.shows_nothing_new(gates[row], stamps[row]):
            counts["unchanged"] += 1
            if (
                last.state != links.HELD
                and last.version != batch.versions[row]
                and last.stamp is not None
                and last.stamp <= stamps[row]
            ):
                newer.append(row)
        else:
            changed.append(row)
    # Pages that land together may show a record twice: the later reading counts.
    touch(conn, viewed, list({batch.record_ids[r]: r for r in newer}.values()))
    landed = bool(changed) and landing.land_page(
        conn,
        ctx.keyring,
        ctx.clock.now().date(),
        run_id=ctx.run_id,
        connection=lens.name,
        entity=lens.entity.name,
        object_name=batch.object,
        reason=reason,
        raw=[batch.raw[r] for r in changed],
    )
    # The very same page may have landed before and still wait to be absorbed: it is booked once.
    counts["landed" if landed else "deduplicated"] += len(changed)
    booked = {t: counts[t] for t in ("read", "landed", "unchanged", "out_of_scope", "deduplicated")}
    runs.add_tally(conn, ctx.run_id, lens.name, lens.entity.name, booked)
    return counts
