"""Reconcile: read all of a CRM and compare it with hub and shadows, both ways. Trusts no events and changes nothing.

Belongs here: the order of reading, comparing, proving and counting. Not here: comparing one batch (comparison), putting
anything right.

A first pass compares every record and only nominates; whatever is not as believed is read again by id and compared with
the store as it is then, so that work going on meanwhile, or a record that slipped through the pages, is no drift.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from crm_sync.errors import Misconfigured
from crm_sync.flows.absorb import stamp_of
from crm_sync.flows.comparison import Compared, compare, fingerprints, not_created
from crm_sync.flows.ingest import lens_of
from crm_sync.flows.lens import Lens
from crm_sync.ports import Lane
from crm_sync.steps.comparing import DRIFT, LAG, Finding
from crm_sync.store import reconciliations, watermarks
from crm_sync.store.findings import Findings, Found, Totals
from crm_sync.store.reconciliations import Reconciliation

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

EXAMPLES: Final = 20
_ROUNDS: Final = 3
_BATCH: Final = 1000
# These depend on what was read of the CRM, and when; the others on the store alone.
_DOUBTFUL: Final = frozenset({Finding.MISSING_THERE, Finding.MISSING_HERE, Finding.LEFT_SCOPE, Finding.DIFFERING})


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What comparing one stream found. `classes`: every Finding -> records; `fields`: finding -> field -> records.

    `drifting` counts records that are not as we believe, `lagging` those that are not as the hub wants. `examples` are
    ids: of the CRM's records, or hub ids where there is none.
    """

    connection: str
    entity: str
    day: date
    at: datetime
    read: int
    compared: int
    drifting: int
    lagging: int
    classes: dict[str, int]
    fields: dict[str, dict[str, int]]
    examples: dict[str, list[str]]

    @property
    def drift_share(self) -> float:
        """Return the share of the records compared that drift."""
        return self.drifting / max(self.compared, 1)

    @property
    def lag_share(self) -> float:
        """Return the share of the records compared that lag."""
        return self.lagging / max(self.compared, 1)

    @property
    def is_equal(self) -> bool:
        """Tell whether everything is equal but for what a person must decide: no drift, no lag, nothing under way."""
        return not (self.drifting or self.lagging or self.classes[Finding.QUEUED] or self.classes[Finding.MOVING])

    def counts(self) -> dict[str, int]:
        """Return the counts for metadata."""
        totals = {"read": self.read, "compared": self.compared, "drifting": self.drifting}
        return totals | self.classes

    def differences(self) -> list[str]:
        """Say what is not equal, a line a finding, with some ids and no value."""
        lines = []
        for finding in (*DRIFT, *LAG, Finding.QUEUED, Finding.MOVING):
            if self.classes[finding]:
                fields = ", ".join(f"{name} {rows}" for name, rows in sorted(self.fields.get(finding, {}).items()))
                ids = ", ".join(self.examples.get(finding, []))
                inside = f" ({fields})" if fields else ""
                lines.append(f"{self.connection}/{self.entity}: {self.classes[finding]} {finding}{inside}: {ids}")
        return lines


def reconcile(ctx: Context, connection: str, entity: str, *, day: date | None = None) -> ReconcileReport:
    """Compare one stream and keep the result for the day; connector errors as they come.

    A CRM can only be read as it is now: `day` must be the current one in UTC, or the one before for a run that waited
    past midnight; Misconfigured otherwise.
    """
    now = ctx.clock.now().astimezone(UTC)
    if day is not None and not now.date() - timedelta(days=1) <= day <= now.date():
        raise Misconfigured(
            f"{connection}/{entity} cannot be compared as of {day}; a CRM is only known as it is now. Reconcile "
            f"{now.date()} instead."
        )
    report = examine(ctx, connection, entity, day=day)
    result = Reconciliation(
        day=report.day,
        connection=connection,
        entity=entity,
        run_id=ctx.run_id,
        at=report.at,
        compared=report.compared,
        drifting=report.drifting,
        lagging=report.lagging,
        drift_share=report.drift_share,
        counts=report.classes,
        fields=report.fields,
        examples=report.examples,
    )
    ctx.database.run(lambda conn: reconciliations.save(conn, result))
    return report


def differences(ctx: Context, streams: Sequence[tuple[str, str]] | None = None) -> list[str]:
    """Compare streams (all that are enabled where none are given) and say what is not equal; empty where all is."""
    named = streams or [(n, e) for n, e in ctx.specs.mappings if ctx.specs.connections[n].enabled]
    return [line for connection, entity in named for line in examine(ctx, connection, entity).differences()]


def examine(
    ctx: Context,
    connection: str,
    entity: str,
    *,
    day: date | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> ReconcileReport:
    """Compare one stream without keeping the result. `progress` hears how many records were read."""
    lens = lens_of(ctx, connection, entity)
    started = ctx.clock.now()
    with Findings.begin(ctx.database) as findings:
        rows = 0
        for page in ctx.connector(connection).snapshot(lens.mapping, None, Lane.RECONCILE):
            _nominate(findings, compare(ctx, lens, page.batch))
            rows += len(page.batch)
            progress(rows)
        findings.suspect_unseen(0, connection, lens.mapping.object, entity)
        for number in range(_ROUNDS):
            _prove(ctx, lens, findings, number, started)
        findings.find_duplicates(Finding.DUPLICATE, connection, lens.mapping.object, entity)
        _look_for_uncreated(ctx, lens, findings)
        drifting, lagging = findings.count(DRIFT), findings.count(LAG)
        totals = findings.totals(EXAMPLES)
        return _report(lens, day or started.astimezone(UTC).date(), started, totals, drifting, lagging)


def _nominate(findings: Findings, compared: Compared) -> None:
    batch = compared.batch
    rows = range(len(batch))
    findings.saw((batch.record_ids[r], compared.keys[r], compared.counted[r]) for r in rows if not batch.deleted[r])
    doubtful = {r for r in rows if _is_doubtful(compared, r)}
    findings.suspect(0, [(batch.record_ids[r], bool(batch.deleted[r])) for r in sorted(doubtful)])
    findings.found(_lines(compared, [r for r in rows if r not in doubtful]))


def _prove(ctx: Context, lens: Lens, findings: Findings, number: int, started: datetime) -> None:
    """Read suspects again by id and put down what is still so; what moved between goes to the next round."""
    last = number == _ROUNDS - 1
    while suspects := findings.take_suspects(number, _BATCH):
        unseen = dict(suspects)
        before = fingerprints(ctx, lens, list(unseen))
        batch = ctx.connector(lens.name).fetch(lens.mapping, list(unseen), Lane.RECONCILE)
        compared = compare(ctx, lens, batch)
        batch = compared.batch
        rows = range(len(batch))
        findings.saw_again(
            list(unseen),
            (
                (batch.record_ids[r], compared.keys[r], compared.counted[r])
                for r in rows
                if compared.counted[r] or not batch.deleted[r]
            ),
        )
        settled: list[int] = []
        moved: list[int] = []
        for row in rows:
            record_id = batch.record_ids[row]
            doubtful = _is_doubtful(compared, row)
            if doubtful and before.get(record_id) != compared.fingerprints.get(record_id):
                moved.append(row)
            elif doubtful and _while_we_looked(compared, row, started, unseen.get(record_id, False)):
                compared.marks[row][:] = [(Finding.MOVING, "")]
                settled.append(row)
            else:
                settled.append(row)
        if last:
            for row in moved:
                compared.marks[row][:] = [(Finding.MOVING, "")]
            settled += moved
        else:
            findings.suspect(number + 1, [(batch.record_ids[r], unseen[batch.record_ids[r]]) for r in moved])
        findings.found(_lines(compared, settled))


def _is_doubtful(compared: Compared, row: int) -> bool:
    return any(finding in _DOUBTFUL for finding, _ in compared.marks[row])


def _while_we_looked(compared: Compared, row: int, started: datetime, unseen: bool) -> bool:
    batch = compared.batch
    if batch.deleted[row]:
        # The stamp of a deletion may be that of the question; a record that was shown was deleted since.
        return not unseen
    return stamp_of(batch, row) > started


def _look_for_uncreated(ctx: Context, lens: Lens, findings: Findings) -> None:
    findings.list_unlinked(lens.name, lens.mapping.object, lens.entity.name)
    opened = ctx.database.run(lambda conn: watermarks.streams_open(conn, lens.entity.name))
    may_create = lens.mapping.create and lens.name in opened
    while some := findings.take_unlinked(_BATCH):
        found = not_created(ctx, lens, some, may_create)
        findings.found((None, hub_id, finding, "") for hub_id, finding in found)


def _lines(compared: Compared, rows: Sequence[int]) -> list[Found]:
    ids = compared.batch.record_ids
    return [(ids[r], None, finding, field) for r in rows for finding, field in compared.marks[r]]


def _report(lens: Lens, day: date, at: datetime, totals: Totals, drifting: int, lagging: int) -> ReconcileReport:
    return ReconcileReport(
        connection=lens.name,
        entity=lens.entity.name,
        day=day,
        at=at,
        read=totals.read,
        compared=totals.compared,
        drifting=drifting,
        lagging=lagging,
        classes={finding.value: totals.counts.get(finding, 0) for finding in Finding},
        fields=totals.fields,
        examples=totals.examples,
    )
