"""Sync: the whole walk for the connections asked for, repeated until nothing is left to do.

Belongs here: the order of flows, and going on where one CRM is down. Not here: the flows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crm_sync.errors import BadCredentials, Busy, CrmSyncError, LimitReached, LostLock, Unreachable
from crm_sync.flows.absorb import absorb
from crm_sync.flows.deliver import deliver
from crm_sync.flows.ingest import hydrate, ingest
from crm_sync.flows.propagate import propagate
from crm_sync.flows.report import table
from crm_sync.store import hub, inbox, outbox, runs
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

_ROUNDS = 5
Progress = Callable[[str], None]


@dataclass(slots=True)
class SyncReport:
    """What a sync did: `rows` a table per connection and entity, `missed` connection -> why it was left out (from then
    on)."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    rounds: int = 0

    def counts(self) -> dict[str, int]:
        """Return the counts for metadata."""
        return dict(self.totals)


def sync(
    ctx: Context,
    connections: Sequence[str] | None = None,
    entities: Sequence[str] | None = None,
    full: bool = False,
    progress: Progress = lambda text: None,
) -> SyncReport:
    """Read, merge, plan and send until quiet. A CRM that does not answer is missed, and told; the others go on."""
    names = list(connections or [n for n, c in ctx.specs.connections.items() if c.enabled])
    for name in names:
        ctx.connection_spec(name)
    wanted = [ctx.entity(e).name for e in entities] if entities else list(ctx.specs.entities)
    # Targets come before who refers to them, whatever order was asked for.
    order = [e for e in ctx.specs.entities if e in wanted]
    report = SyncReport()
    for entity in order:
        progress(f"reading {entity}")
        _each(ctx, report, names, entity, lambda n, e: ingest(ctx, n, e, full=full).totals)
    for _ in range(_ROUNDS):
        report.rounds += 1
        for entity in order:
            progress(f"merging {entity}")
            report.totals += absorb(ctx, entity).totals
            _each(ctx, report, _with_notices(ctx, names, entity), entity, lambda n, e: hydrate(ctx, n, e).totals)
            report.totals += absorb(ctx, entity).totals
            report.totals += propagate(ctx, entity).totals
            progress(f"sending {entity}")
            _each(ctx, report, names, entity, lambda n, e: deliver(ctx, n, e).totals)
        if _quiet(ctx, report, names, order):
            break
    ctx.journal.flush()
    missed = dict(report.missed)
    ctx.database.run(lambda conn: runs.end_run(conn, ctx.run_id, "done", missed))
    report.rows = table(ctx, [ctx.run_id])
    return report


def _each(
    ctx: Context,
    report: SyncReport,
    names: Sequence[str],
    entity: str,
    work: Callable[[str, str], Counter[str]],
) -> None:
    todo = [n for n in names if n not in report.missed and (n, entity) in ctx.specs.mappings]
    if not todo:
        return
    with ThreadPoolExecutor(max_workers=len(todo)) as pool:
        futures = {name: pool.submit(work, name, entity) for name in todo}
    for name, future in futures.items():
        try:
            report.totals += future.result()
        except (Unreachable, LimitReached, BadCredentials, Busy, LostLock) as error:
            report.missed[name] = f"{type(error).__name__}: {error}"
            if not isinstance(error, Busy):
                ctx.journal.operation(name, f"sync {entity}", type(error).__name__, str(error))
        except CrmSyncError as error:
            report.missed[name] = f"{type(error).__name__}: {error}"
            ctx.journal.operation(name, f"sync {entity}", "refused", str(error))


def _with_notices(ctx: Context, names: Sequence[str], entity: str) -> list[str]:
    waiting = ctx.database.run(inbox.waiting_notices)
    return [
        n for n in names if (n, entity) in ctx.specs.mappings and (n, ctx.specs.mapping(n, entity).object) in waiting
    ]


def _quiet(ctx: Context, report: SyncReport, names: Sequence[str], entities: Sequence[str]) -> bool:
    def look(conn: Connection) -> bool:
        if inbox.waiting_notices(conn) or any(hub.count_changes(conn, e) for e in entities):
            return False
        return not any(c in names and c not in report.missed for c, _, _ in outbox.due_connections(conn))

    return ctx.database.run(look)
