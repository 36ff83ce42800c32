"""Status: where every stream stands now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crm_sync.flows import report
from crm_sync.store import holding, outbox, runs, withheld
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Streams, dead letters, reasons of quarantine and of withheld values, the newest runs; no field values."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    quarantine_reasons: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    withheld_reasons: list[dict[str, Any]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return sums over all streams."""
        terms = ("links", "waiting", "unsettled", "dead", "quarantined", "in_review", "parked")
        return {t: sum(int(r[t]) for r in self.rows) for t in terms}


def status(ctx: Context) -> StatusReport:
    """Return where every stream stands."""

    def collect(conn: Connection) -> list[list[dict[str, Any]]]:
        newest = [
            {"run_id": str(r[0]), "kind": r[1], "started_at": r[2].isoformat(), "state": r[4], "missed": r[5]}
            for r in runs.recent_runs(conn, 10)
        ]
        dead = [
            {**d, "hub_id": str(d["hub_id"]), "planned_at": d["planned_at"].isoformat()}
            for d in outbox.dead_letters(conn)
        ]
        return [dead, holding.quarantine_reasons(conn), newest, withheld.reasons(conn)]

    return StatusReport(report.status(ctx), *ctx.database.run(collect))
