"""Rounds of Dagster runs, one per connection, and what they counted.

Belongs here: running jobs until nothing is left to tell, and the table of their counts.
Not here: who edits what (story.py), the counting (crm_sync/flows/report.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from crm_sync.cli.runner import Runner
from crm_sync.flows.context import open_context
from crm_sync.flows.report import table
from crm_sync.settings import Settings
from crm_sync.specs.model import SpecSet
from crm_sync.store import reconciliations

MOST_ROUNDS: Final = 5
MOST_CALLS: Final = 6
PAGE_ROWS: Final = 100
"""No CRM gives fewer records a page."""

Row = dict[str, Any]


def compared(found: reconciliations.Reconciliation) -> Row:
    """Return one row of the table of comparisons; the share is of those that drift or lag."""
    unequal = found.drifting + found.lagging
    return {
        "connection": found.connection,
        "entity": found.entity,
        "compared": found.compared,
        "drifting": found.drifting,
        "lagging": found.lagging,
        "share": f"{unequal / max(found.compared, 1):.2%}",
    }


class Rounds:
    """Runs of the jobs of every connection; `verdicts` says what must be so, `warnings` what wants a person."""

    def __init__(self, runner: Runner, settings: Settings, specs: SpecSet, say: Callable[[str], None]) -> None:
        self.runner, self.settings, self.say = runner, settings, say
        self.connections = [name for name, spec in specs.connections.items() if spec.enabled]
        self.verdicts: list[Row] = []
        self.warnings: list[str] = []

    def judge(self, ok: bool, what: str) -> None:
        """Note one thing that must be so."""
        self.verdicts.append({"ok": ok, "what": what})

    def first(self) -> list[Row]:
        """Read everything from every connection, go on until nothing is left to tell; return the table of it all."""
        run_ids = self._round("full_refresh")
        _, more = self._until_quiet()
        rows = self._table(run_ids + more)
        self.judge(all(row.get("balanced", True) for row in rows), "every record that was read is accounted for")
        return rows

    def settle(self) -> int:
        """Run rounds until one sends nothing; return how many there were."""
        return self._until_quiet()[0]

    def last(self) -> None:
        """Run one more round, which must send nothing and cost few API calls."""
        rows = self._table(self._round("sync"))
        sent = sum(row.get("sent", 0) for row in rows)
        self.judge(sent == 0, f"the last round sends nothing ({sent} sent)")
        # What was written just before is read once more, so that nothing committed late is lost between two reads.
        calls, stream = max(
            (
                (row["api_calls"] - row.get("read", 0) // PAGE_ROWS, f"{row['connection']}/{row['entity']}")
                for row in rows
            ),
            default=(0, "no connection is enabled"),
        )
        self.judge(
            calls <= MOST_CALLS,
            f"the last round makes at most {MOST_CALLS} API calls per connection and entity, besides pages of what was "
            f"written just before (most: {calls}, {stream})",
        )

    def _until_quiet(self) -> tuple[int, list[UUID]]:
        run_ids: list[UUID] = []
        for number in range(1, MOST_ROUNDS + 1):
            these = self._round("sync")
            run_ids += these
            if not any(row.get("sent") for row in self._table(these)):
                return number, run_ids
        self.judge(False, f"the connections agree after {MOST_ROUNDS} rounds")
        return MOST_ROUNDS, run_ids

    def _table(self, run_ids: list[UUID]) -> list[Row]:
        with open_context(self.settings, kind="report") as context:
            return table(context, run_ids)

    def reconcile(self) -> list[Row]:
        """Compare all of every connection, as Dagster does each night; return what each comparison found."""
        outcomes: dict[str, str] = {}
        for connection in self.connections:
            outcomes |= self._run(f"reconcile_{connection}")["checks"]
        for check, what in (("little_drift", "is as we believe it to be"), ("little_lag", "has been told all")):
            mine = [outcome for name, outcome in outcomes.items() if name.endswith(f": {check}")]
            met = mine.count("passed")
            self.judge(0 < met == len(mine), f"{check}: what the CRMs hold {what} ({met} of {len(mine)} comparisons)")
        with open_context(self.settings, kind="report") as context:
            found = context.database.run(reconciliations.newest)
            order = [(c, e) for e in context.specs.entities for c in self.connections if (c, e) in found]
        return [compared(found[stream]) for stream in order]

    def at_rest(self) -> None:
        """Check all data at rest, as Dagster does each night."""
        checks = self._run("check_at_rest")["checks"]
        met = sum(outcome == "passed" for outcome in checks.values())
        warned = sum(outcome == "warned" for outcome in checks.values())
        besides = f", {warned} want a person" if warned else ""
        self.judge(met > 0, f"{met} of {len(checks)} checks of all data at rest hold{besides}")

    def _round(self, job: str) -> list[UUID]:
        return [UUID(self._run(f"{job}_{connection}")["run_id"]) for connection in self.connections]

    def _run(self, job: str) -> Row:
        self.say(f"Dagster runs {job}")
        run = self.runner.run(job)
        for step, message in run["failed"].items():
            self.judge(False, f"{run['job']}: {step}: {message}")
        for check, outcome in run["checks"].items():
            if outcome == "failed":
                self.judge(False, f"{run['job']}: the check {check} holds")
            elif outcome == "warned" and check not in self.warnings:
                self.warnings.append(check)
        return run
