"""The asset family `reconciliation`: all of a CRM compared with hub and shadows, by connection, entity and day.

Belongs here: assets over crm_sync/flows/reconcile.py, and the checks of their result. Not here: the comparison (the
flow), the thresholds (config/connections.yaml), putting anything right.
"""

from datetime import date

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetDep,
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    asset,
    asset_check,
)

from assets.naming import RECONCILIATION, outbound_key, owners, reconciliation_key, streams
from assets.partitions import days_since
from assets.reporting import counted, plainly
from crm_sync.flows.reconcile import ReconcileReport, reconcile
from crm_sync.specs.model import ConnectionSpec, EntitySpec, SpecSet
from crm_sync.store import reconciliations
from crm_sync.store.reconciliations import Reconciliation
from resources.library import Library


def reconciliation_assets(specs: SpecSet, first_day: date) -> list[AssetsDefinition]:
    """Build one asset per connection and entity."""
    return [_reconciled(specs, connection, entity, first_day) for connection, entity in streams(specs)]


def reconciliation_checks(specs: SpecSet) -> list[AssetChecksDefinition]:
    """Build the checks of every stream."""
    return [build(connection, entity) for connection, entity in streams(specs) for build in (_drift, _lag)]


def _reconciled(specs: SpecSet, connection: ConnectionSpec, entity: EntitySpec, first_day: date) -> AssetsDefinition:
    source = specs.mapping(connection.name, entity.name).object

    @asset(
        key=reconciliation_key(connection.name, entity.name),
        description=f"All {source} of {connection.name} compared with hub and shadows, both ways, trusting no "
        "events. Finds edits, deletions and records that were missed, and what should have been sent; changes nothing.",
        # The day on which a CRM was compared; it is only known as it is now, so a day that passed stays as it was.
        partitions_def=days_since(first_day),
        deps=[AssetDep(outbound_key(connection.name, entity.name))],
        group_name=RECONCILIATION,
        kinds={connection.crm},
        owners=owners(entity),
        metadata={"connection": connection.name, "entity": entity.name, "threshold": connection.drift_threshold},
    )
    def reconciled(context: AssetExecutionContext, library: Library) -> MaterializeResult[None]:
        before, day = library.calls(connection.name), date.fromisoformat(context.partition_key)
        with plainly():
            report = reconcile(library.context, connection.name, entity.name, day=day)
        return shown(report, calls=library.calls(connection.name) - before)

    return reconciled


def shown(report: ReconcileReport, calls: int) -> MaterializeResult[None]:
    """Turn a report into a materialisation: counts, shares, fields, and some ids to look at."""
    result = counted(report, calls=calls)
    details = {
        "drift_share": MetadataValue.float(report.drift_share),
        "lag_share": MetadataValue.float(report.lag_share),
        "by_field": MetadataValue.json(report.fields),
        "examples": MetadataValue.json(report.examples),
    }
    return MaterializeResult(metadata={**(result.metadata or {}), **details})


def _drift(connection: ConnectionSpec, entity: EntitySpec) -> AssetChecksDefinition:
    @asset_check(
        asset=reconciliation_key(connection.name, entity.name),
        name="little_drift",
        description=f"At most {connection.drift_threshold:.2%} of the records are not as we believe them to be.",
    )
    def little(library: Library) -> AssetCheckResult:
        found = library.context.database.run(reconciliations.newest)
        return judge_drift(found.get(stream), connection.drift_threshold)

    stream = (connection.name, entity.name)
    return little


def judge_drift(found: Reconciliation | None, threshold: float) -> AssetCheckResult:
    """Pass where the share of drifting records is at most the threshold; a stream never compared does not pass."""
    share = found.drift_share if found else 1.0
    return _judged(found, share, threshold, found.drifting if found else 0, "drift")


def _lag(connection: ConnectionSpec, entity: EntitySpec) -> AssetChecksDefinition:
    @asset_check(
        asset=reconciliation_key(connection.name, entity.name),
        name="little_lag",
        description=f"At most {connection.drift_threshold:.2%} of the records wait to be sent with nothing under way.",
    )
    def little(library: Library) -> AssetCheckResult:
        found = library.context.database.run(reconciliations.newest)
        return judge_lag(found.get(stream), connection.drift_threshold)

    stream = (connection.name, entity.name)
    return little


def judge_lag(found: Reconciliation | None, threshold: float) -> AssetCheckResult:
    """Pass where the share of lagging records is at most the threshold; a stream never compared does not pass."""
    share = found.lagging / max(found.compared, 1) if found else 1.0
    return _judged(found, share, threshold, found.lagging if found else 0, "lag")


def _judged(found: Reconciliation | None, share: float, threshold: float, rows: int, what: str) -> AssetCheckResult:
    compared = found.compared if found else 0
    told = f"{rows} of {compared} records {what} ({share:.2%}, at most {threshold:.2%})"
    return AssetCheckResult(
        passed=share <= threshold,
        severity=AssetCheckSeverity.ERROR,
        description=told if found else "this was never compared",
        metadata={"share": share, "threshold": threshold, "records": rows, "compared": compared},
    )
