"""Asset checks of the data at rest: Great Expectations over SQL on each hub entity, in a job of their own.

Belongs here: one step an entity with its checks, their severity, the job. Not here: what is demanded
(crm_sync/flows/quality.py), checks that every run pays for (checks.py), when the job runs (sensors/).
These look at all records, so no sync waits for them: its cost follows what changed.
"""

from collections.abc import Iterator
from typing import Final

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetSelection,
    MetadataValue,
    TableRecord,
    define_asset_job,
    multi_asset_check,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.naming import hub_key, streams
from assets.reporting import plainly
from crm_sync.flows import quality, quality_page
from crm_sync.specs.model import EntitySpec, SpecSet
from crm_sync.store.expectations import Outcome
from resources.library import Library

JOB: Final = "check_at_rest"
# Edits may make two records alike; nobody unites those unasked, so a person should look, and no more.
WARNINGS: Final = frozenset({quality.UNIQUE})


def quality_checks(specs: SpecSet) -> list[AssetChecksDefinition]:
    """Build one step of checks for every entity that is synced anywhere."""
    return [_checks(specs, entity) for entity in {entity.name: entity for _, entity in streams(specs)}.values()]


def quality_job(checks: list[AssetChecksDefinition]) -> UnresolvedAssetJobDefinition:
    """Build the job that runs all of them and nothing else."""
    return define_asset_job(
        JOB,
        AssetSelection.checks(*checks),
        description="Check the data at rest, all of it: required fields, references, links, uniqueness, refusals.",
    )


def _checks(specs: SpecSet, entity: EntitySpec) -> AssetChecksDefinition:
    key = hub_key(entity.name)
    demanded = {demand.check for demand in quality.demands(specs, entity.name)}
    expected = [
        AssetCheckSpec(name, asset=key, description=promise)
        for name, promise in quality.CHECKS.items()
        if name in demanded
    ]

    @multi_asset_check(name=f"{key.to_python_identifier()}_at_rest", specs=expected)
    def at_rest(library: Library) -> Iterator[AssetCheckResult]:
        with plainly():
            report = quality.check_quality(library.context, entity.name)
            folder = library.context.settings.state_dir / quality_page.FOLDER
            path = quality_page.write(folder / f"{entity.name}.html", [report])
        yield from (judge_check(report, spec.name, key, str(path)) for spec in expected)

    return at_rest


def judge_check(report: quality.QualityReport, check: str, key: AssetKey, path: str) -> AssetCheckResult:
    """Pass where every demand of the check is met; the metadata says which are not, where, and for how many rows."""
    outcomes = report.of(check)
    broken = [o for o in outcomes if not o.passed]
    told = "; ".join(f"{o.demand.place}: expected that {o.demand.title}, found {_found(o)}" for o in broken)
    rows = [row for row in report.rows() if row["check"] == check]
    return AssetCheckResult(
        passed=not broken,
        check_name=check,
        asset_key=key,
        severity=AssetCheckSeverity.WARN if check in WARNINGS else AssetCheckSeverity.ERROR,
        description=told or "all expectations are met",
        metadata={
            "expectations": len(outcomes),
            "broken": len(broken),
            "unexpected_rows": sum(o.unexpected for o in broken),
            "results": MetadataValue.table([TableRecord(row) for row in rows]),
            "report": MetadataValue.path(path),
        },
    )


def _found(outcome: Outcome) -> str:
    if outcome.trouble:
        return f"no answer ({outcome.trouble})"
    return f"{outcome.unexpected} of {outcome.checked} otherwise ({outcome.share:.1%})"
