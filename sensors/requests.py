"""Sensors: runs that an event asks for.

Belongs here: the sensor `outbox` and the sensor `all_connections`. Not here: regular runs (schedules.py).
"""

import time
from collections.abc import Iterator, Mapping, Sequence

from dagster import DefaultSensorStatus, RunRequest, SensorDefinition, SensorEvaluationContext, SkipReason, sensor
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.jobs import connections, deliver_name, sync_name
from assets.partitions import today
from crm_sync.specs.model import SpecSet
from resources.library import Library

RETRY_SECONDS = 600


def sensors(specs: SpecSet, jobs: Sequence[UnresolvedAssetJobDefinition]) -> list[SensorDefinition]:
    """Build the sensors; a person switches them on."""
    by_name = {job.name: job for job in jobs}
    return [_outbox(specs, by_name), _all_connections(specs, by_name)]


def run_key(connection: str, newest: int, waiting: int, at: float) -> str:
    """Name a request so that the same backlog asks once, and again after ten minutes if it is still there."""
    return f"{connection}-{newest}-{waiting}-{int(at // RETRY_SECONDS)}"


def _outbox(specs: SpecSet, jobs: Mapping[str, UnresolvedAssetJobDefinition]) -> SensorDefinition:
    names = set(connections(specs))

    @sensor(
        name="outbox",
        jobs=[jobs[deliver_name(name)] for name in sorted(names)],
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.STOPPED,
        description="Ask the store which connections have commands to deliver, and start one delivery for each.",
    )
    def outbox(context: SensorEvaluationContext, library: Library) -> Iterator[RunRequest | SkipReason]:
        due = [found for found in library.due_connections() if found[0] in names]
        if not due:
            yield SkipReason("no command is due")
        for connection, newest, waiting in due:
            key = run_key(connection, newest, waiting, time.time())
            yield RunRequest(run_key=key, job_name=deliver_name(connection))

    return outbox


def _all_connections(specs: SpecSet, jobs: Mapping[str, UnresolvedAssetJobDefinition]) -> SensorDefinition:
    names = connections(specs)

    @sensor(
        name="all_connections",
        jobs=[jobs[sync_name(name)] for name in names],
        minimum_interval_seconds=3600,
        default_status=DefaultSensorStatus.STOPPED,
        description="Start one sync per connection, so that one that is down holds up no other; a tick from the UI is "
        "'sync everything now', and left on it does so every hour.",
    )
    def all_connections(context: SensorEvaluationContext) -> Iterator[RunRequest]:
        for name in names:
            yield RunRequest(job_name=sync_name(name), partition_key=today().isoformat())

    return all_connections
