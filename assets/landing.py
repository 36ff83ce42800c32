"""The asset family `landing`: source pages as received, one asset per connection and entity, by day of modification.

Belongs here: assets over crm_sync/flows/ingest.py. Not here: what becomes of the pages (golden.py).
"""

import warnings
from datetime import date

from dagster import AssetExecutionContext, AssetsDefinition, BackfillPolicy, BetaWarning, MaterializeResult, asset

from assets.naming import LANDING, landing_key, meaning, owners, streams
from assets.partitions import ReadingConfig, days_since, reading_of
from assets.reporting import counted, noting, plainly
from crm_sync.flows.ingest import ingest
from crm_sync.specs.model import ConnectionSpec, EntitySpec, SpecSet
from resources.library import Library


def landing_assets(specs: SpecSet, first_day: date) -> list[AssetsDefinition]:
    """Build one asset per connection and entity."""
    with warnings.catch_warnings():
        # single_run is marked beta; what we need of it is held by tests/orchestration.
        warnings.simplefilter("ignore", BetaWarning)
        return [_landing(specs, connection, entity, first_day) for connection, entity in streams(specs)]


def _landing(specs: SpecSet, connection: ConnectionSpec, entity: EntitySpec, first_day: date) -> AssetsDefinition:
    source = specs.mapping(connection.name, entity.name).object

    @asset(
        key=landing_key(connection.name, entity.name),
        description=f"{source} of {connection.name} as received, the source records of {meaning(entity)}. "
        "The current day reads what changed since the last read; an older day is read again; all of several days are a "
        "full read.",
        partitions_def=days_since(first_day),
        backfill_policy=BackfillPolicy.single_run(),
        group_name=LANDING,
        kinds={connection.crm},
        owners=owners(entity),
        metadata={"connection": connection.name, "entity": entity.name, "object": source},
    )
    def landed(context: AssetExecutionContext, config: ReadingConfig, library: Library) -> MaterializeResult[None]:
        before = library.calls(connection.name)
        with plainly(), noting(library, connection.name):
            what = reading_of(context, config, first_day)
            report = ingest(library.context, connection.name, entity.name, **what)
        return counted(report, calls=library.calls(connection.name) - before)

    return landed
