"""Two schedules per connection: syncs by `interval_seconds` of its spec, and a comparison of everything each night; and
one for the checks of all data at rest.

Belongs here: cron lines and what a tick requests. Not here: the jobs (assets/jobs.py).
"""

from dagster import (
    DagsterRunStatus,
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from assets.jobs import connections, reconcile_name, sync_name
from assets.partitions import today
from assets.quality import JOB as AT_REST
from crm_sync.specs.model import ConnectionSpec, SpecSet

UNDER_WAY = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


def cron_of(interval_seconds: int) -> str:
    """Return the cron line that comes nearest to an interval without being slower; each minute at most."""
    minutes = max(1, interval_seconds // 60)
    if minutes < 60:
        step = max(m for m in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30) if m <= minutes)
        return f"*/{step} * * * *"
    hours = minutes // 60
    step = max(h for h in (1, 2, 3, 4, 6, 8, 12, 24) if h <= hours)
    return "0 0 * * *" if step == 24 else f"0 */{step} * * *"


def schedules(specs: SpecSet) -> list[ScheduleDefinition]:
    """Build the schedules; a person switches them on."""
    syncs = [_schedule(specs.connections[name]) for name in connections(specs)]
    nightly = [_nightly(name, number) for number, name in enumerate(connections(specs))]
    return [*syncs, *nightly, *([_at_rest()] if syncs else [])]


def _schedule(connection: ConnectionSpec) -> ScheduleDefinition:
    job = sync_name(connection.name)

    @schedule(
        name=f"every_{connection.name}",
        job_name=job,
        cron_schedule=cron_of(connection.interval_seconds),
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.STOPPED,
        description=f"Sync {connection.name} about every {connection.interval_seconds} s. A run still under way is "
        "not joined by a second.",
    )
    def tick(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        running = context.instance.get_runs(RunsFilter(job_name=job, statuses=UNDER_WAY), limit=1)
        if running:
            return SkipReason(f"{job} is under way in run {running[0].run_id}")
        return RunRequest(partition_key=today().isoformat())

    return tick


def _nightly(connection: str, number: int) -> ScheduleDefinition:
    job = reconcile_name(connection)
    # One after the other, as they all ask the same store.
    later, minute = divmod(number * 20, 60)

    @schedule(
        name=f"nightly_{connection}",
        job_name=job,
        cron_schedule=f"{minute} {(2 + later) % 24} * * *",
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.STOPPED,
        description=f"Compare all of {connection} with the hub, each night.",
    )
    def tick(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        running = context.instance.get_runs(RunsFilter(job_name=job, statuses=UNDER_WAY), limit=1)
        if running:
            return SkipReason(f"{job} is under way in run {running[0].run_id}")
        return RunRequest(partition_key=today().isoformat())

    return tick


def _at_rest() -> ScheduleDefinition:
    return ScheduleDefinition(
        name="nightly_checks",
        job_name=AT_REST,
        cron_schedule="30 1 * * *",
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.STOPPED,
        description="Check all data at rest, each night.",
    )
