"""Many runs in one warm process, asked for line by line. A fresh process costs seconds, a run in a warm one tenths.

Belongs here: running jobs of the graph on a real Dagster instance (DAGSTER_HOME) for a program that may not import
Dagster. Not here: what the program does with the answers (crm_sync/cli).

A request is one line of JSON: {"job": "sync_salesforce", "partition": "2026-01-31" | null}; without a partition a
partitioned job takes the current day. The answer is one line of JSON:
{"job", "run_id", "success", "failed": {"<step>": "<message>"}, "assets": {"<layer/connection/entity>": {"<count>": n}},
"checks": {"<asset>: <check>": "passed" | "warned" | "failed"}}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TextIO

from dagster import AssetCheckEvaluation, AssetCheckSeverity, DagsterInstance, Definitions, ExecuteInProcessResult
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME

from assets.partitions import today
from crm_sync.store.pooling import replace_dead_connections

LOCATION: Final = "crm-sync"
"""The code location in workspace.yaml."""
_REPOSITORY: Final = ".dagster/repository"
"""The tag by which the UI finds the runs of a code location, for its timeline and beside each job."""


def serve(definitions: Definitions, requests: TextIO, answers: TextIO) -> int:
    """Answer requests until the input ends; return the exit code."""
    with DagsterInstance.get() as instance:
        # A run asks Dagster's tables some two hundred times, and would open a connection for each question.
        instance.optimize_for_webserver(statement_timeout=0, pool_recycle=3600, max_overflow=20)
        replace_dead_connections()
        answers.write(json.dumps({"ready": True}) + "\n")
        answers.flush()
        for line in requests:
            if line.strip():
                answers.write(json.dumps(run(definitions, instance, json.loads(line))) + "\n")
                answers.flush()
    return 0


def run(definitions: Definitions, instance: DagsterInstance, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run one job to its end and report; a failed step is part of the answer, not an error."""
    job = definitions.resolve_job_def(request["job"])
    day = (request.get("partition") or today().isoformat()) if job.partitions_def is not None else None
    tags = {_REPOSITORY: f"{SINGLETON_REPOSITORY_NAME}@{LOCATION}"}
    result = job.execute_in_process(instance=instance, partition_key=day, tags=tags, raise_on_error=False)
    return {"job": request["job"]} | answer(result)


def answer(result: ExecuteInProcessResult) -> dict[str, Any]:
    """Put the outcome of a run into plain values."""
    assets: dict[str, dict[str, int]] = {}
    checks: dict[str, str] = {}
    failed: dict[str, str] = {}
    for each in result.all_events:
        if each.is_step_materialization:
            made = each.step_materialization_data.materialization
            counts = {name: value.value for name, value in made.metadata.items() if isinstance(value.value, int)}
            assets[made.asset_key.to_user_string()] = counts
        elif isinstance(each.event_specific_data, AssetCheckEvaluation):
            found = each.event_specific_data
            checks[f"{found.asset_key.to_user_string()}: {found.check_name}"] = (
                "passed" if found.passed else "warned" if found.severity is AssetCheckSeverity.WARN else "failed"
            )
        elif each.is_step_failure and each.step_key is not None:
            failed[each.step_key] = _message(each)
    return {
        "run_id": result.run_id,
        "success": result.success,
        "failed": failed,
        "assets": assets,
        "checks": checks,
    }


def _message(event: Any) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    cause = data.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    return str(cause.message).strip() if cause is not None else "failed without a message"
