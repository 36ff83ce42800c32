"""Dagster's processes as one part of a local installation: code server, UI, daemon, its switches and first runs.

Belongs here: their commands, and what is asked of the running UI. Not here: watching and ending (supervising.py).
The command line may not import Dagster: it starts its programs and speaks to its UI.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from crm_sync.cli.installation import free_port, listens, project_dir
from crm_sync.cli.supervising import Supervisor
from crm_sync.errors import CrmSyncError

_START_SECONDS: Final = 180.0
_SENSOR: Final = "outbox"
"""The sensor that delivers what waits. `all_connections` repeats what the schedules do; a person ticks it."""

_SYNC: Final = "sync_"
"""How the jobs that sync one connection begin; each has a schedule."""

_WHAT_THERE_IS: Final = """
query { repositoriesOrError { __typename ... on RepositoryConnection { nodes {
  name location { name }
  schedules { name pipelineName scheduleState { status } }
  sensors { name sensorState { status } } } } } }
"""
_START_SCHEDULE: Final = """
mutation ($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) {
  __typename ... on PythonError { message } } }
"""
_START_SENSOR: Final = """
mutation ($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
  __typename ... on PythonError { message } } }
"""


_LAUNCH: Final = """
mutation ($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) {
  __typename ... on PythonError { message } ... on Error { message } } }
"""


class DagsterUi:
    """Dagster on one port of 127.0.0.1."""

    def __init__(self, port: int, environment: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port, self._environment = port, environment
        self._home = Path(environment["DAGSTER_HOME"])
        # The machine's proxy has no business with 127.0.0.1.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def start(self, supervisor: Supervisor) -> None:
        """Start the code server, then UI and daemon upon it; return when the UI answers with our definitions."""
        code_port = free_port()
        workspace = self._home / "workspace.yaml"
        workspace.write_text(
            f"load_from:\n  - grpc_server:\n      host: 127.0.0.1\n      port: {code_port}\n"
            "      location_name: crm-sync\n",
            encoding="utf-8",
        )
        python = [sys.executable, "-m"]
        code = ["dagster", "code-server", "start", "-m", "definitions", "-h", "127.0.0.1", "-p", str(code_port)]
        code += ["-d", str(project_dir()), "--location-name", "crm-sync"]
        self._run(supervisor, "Dagster's code server", [*python, *code], "code-server.log")
        supervisor.wait_until(lambda: listens("127.0.0.1", code_port), "Dagster's code server", _START_SECONDS)
        web = ["dagster_webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(self._port)]
        self._run(supervisor, "Dagster's UI", [*python, *web], "ui.log")
        self._run(
            supervisor, "Dagster's daemon", [*python, "dagster._daemon", "run", "-w", str(workspace)], "daemon.log"
        )
        supervisor.wait_until(self._answers, "Dagster's UI", _START_SECONDS)

    def switch_on(self) -> None:
        """Switch on the schedules and the sensor of the outbox; they stay on until a person switches them off."""
        for repository, kind, one, running in self._switches():
            name = one["name"]
            if running or (kind == "sensor" and name != _SENSOR):
                continue
            selector = {"repositoryName": repository["name"], "repositoryLocationName": repository["location"]["name"]}
            query = _START_SCHEDULE if kind == "schedule" else _START_SENSOR
            answer = self._ask(query, {"selector": {**selector, f"{kind}Name": name}})
            found = next(iter(answer.values()))
            if found["__typename"] not in ("ScheduleStateResult", "Sensor"):
                why = found.get("message") or found["__typename"]
                raise CrmSyncError(f"Dagster did not switch on the {kind} {name}: {why}. Try it in the UI: {self.url}")

    def sync_now(self) -> list[str]:
        """Start one sync of every connection, for the current day, and return the names of the jobs.

        A schedule would wait for its next tick, and whoever starts everything wants to see it work.
        """
        day = datetime.now(UTC).date().isoformat()
        jobs = []
        for repository, kind, one, _ in self._switches():
            job = one["pipelineName"] if kind == "schedule" else ""
            if not job.startswith(_SYNC):
                continue
            selector = {"repositoryName": repository["name"], "repositoryLocationName": repository["location"]["name"]}
            parameters = {
                "selector": {**selector, "jobName": job},
                "mode": "default",
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": day}]},
            }
            found = self._ask(_LAUNCH, {"parameters": parameters})["launchRun"]
            if found["__typename"] != "LaunchRunSuccess":
                why = found.get("message") or found["__typename"]
                raise CrmSyncError(f"Dagster did not start {job}: {why}. Try it in the UI: {self.url}/jobs")
            jobs.append(job)
        return jobs

    def running(self) -> list[str]:
        """Return the names of the schedules and sensors that are switched on."""
        return [one["name"] for _, _, one, running in self._switches() if running]

    def _switches(self) -> list[tuple[dict[str, Any], str, dict[str, Any], bool]]:
        found = self._ask(_WHAT_THERE_IS, {})["repositoriesOrError"]
        return [
            (node, kind, one, one[f"{kind}State"]["status"] == "RUNNING")
            for node in found.get("nodes", ())
            for kind in ("schedule", "sensor")
            for one in node[f"{kind}s"]
        ]

    def _answers(self) -> bool:
        try:
            return bool(self._switches())
        except CrmSyncError:
            return False

    def _ask(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": dict(variables)}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.url}/graphql", data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=60) as response:
                answer: dict[str, Any] = json.load(response)
        except (OSError, ValueError) as error:
            raise CrmSyncError(
                f"Dagster's UI at {self.url} gave no usable answer ({type(error).__name__}); its log is "
                f"{self._home / 'ui.log'}."
            ) from None
        if answer.get("errors"):
            raise CrmSyncError(f"Dagster's UI at {self.url} refused a question: {answer['errors'][0].get('message')}")
        data: dict[str, Any] = answer["data"]
        return data

    def _run(self, supervisor: Supervisor, name: str, command: list[str], log: str) -> None:
        supervisor.start(name, command, self._environment, project_dir(), self._home / log)
