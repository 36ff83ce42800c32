"""The demo on a small population: real processes, a real Dagster instance, three pretend CRMs over TLS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckEvaluation, AssetCheckSeverity, DagsterInstance
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.flows.context import open_context
from crm_sync.settings import Settings
from crm_sync.specs.loader import load
from crm_sync.store import postgres
from crm_sync.store.migrating import dagster_url
from definitions import build_definitions
from resources.library import Library

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def crm_sync(state_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    variables |= {"CRM_SYNC_CONFIG_DIR": str(ROOT / "config"), "CRM_SYNC_STATE_DIR": str(state_dir)}
    command = [sys.executable, "-c", "from crm_sync.cli import main; main()", *arguments]
    return subprocess.run(
        command, env=variables | environment, cwd=state_dir, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def told(state_dir: Path) -> dict[str, Any]:
    done = crm_sync(state_dir, "demo", "--accounts", "20", "--contacts", "80", "--seed", "4", "--json")
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["passed"] else 1)
    return found


def test_everything_that_the_demo_checks_came_true(told: dict[str, Any]) -> None:
    assert [one["what"] for one in told["checks"] if not one["ok"]] == []
    said = " ".join(one["what"] for one in told["checks"])
    edits = ("phone", "job_title", "city", "settled by", "sends nothing", "API calls", "accounted for")
    compared = ("little_drift", "little_lag", "6 of 6 comparisons")
    for expected in (*edits, *compared, "10 of 10 checks of all data at rest hold"):
        assert expected in said


def test_the_table_has_every_stream_and_the_work_of_a_first_sync(told: dict[str, Any]) -> None:
    rows = {(row["connection"], row["entity"]): row for row in told["table"] if row["entity"] != "-"}
    assert set(rows) == {(c, e) for c in ("salesforce", "hubspot", "dynamics") for e in ("account", "contact")}
    assert all(row["read"] and row["landed"] and row["api_calls"] for row in rows.values())
    assert sum(row["created"] for row in rows.values()) and sum(row["matched"] for row in rows.values())


def test_every_comparison_is_in_the_table_and_nothing_drifts(told: dict[str, Any]) -> None:
    found = {(row["connection"], row["entity"]): row for row in told["reconciliation"]}
    assert set(found) == {(row["connection"], row["entity"]) for row in told["table"] if row["entity"] != "-"}
    assert all(row["compared"] > 10 and row["share"] == "0.00%" for row in found.values()), found


@pytest.fixture
def seen(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """What Dagster's UI shows of the demo."""
    folder = Path(told["state_dir"])
    with postgres.running(folder) as url:
        monkeypatch.setenv("CRM_SYNC_DAGSTER_URL", dagster_url(url))
        monkeypatch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        with DagsterInstance.get() as instance:
            yield instance


def test_dagster_shows_every_asset_as_materialised_and_up_to_date(told: dict[str, Any], seen: DagsterInstance) -> None:
    day = (Path(told["state_dir"]) / "first-day").read_text(encoding="ascii").strip()
    graph = build_definitions(load(ROOT / "config"), first_day=date.fromisoformat(day)).resolve_asset_graph()
    found = {key: seen.get_latest_materialization_event(key) for key in graph.get_all_asset_keys()}
    assert len(found) == 20 and all(found.values()), [key for key, event in found.items() if event is None]
    partitioned = [key for key in found if graph.get(key).partitions_def is not None]
    assert len(partitioned) == 12
    for key in partitioned:
        days = graph.get(key).partitions_def
        assert days is not None and seen.get_materialized_partitions(key) == set(days.get_partition_keys()) == {day}
    # What the UI asks before it calls an asset "unsynced": whether its parents have changed since.
    resolver = CachingStaleStatusResolver(seen, graph, LoadingContextForTest(seen))
    stale = {key: resolver.get_status(key, day if key in partitioned else None) for key in found}
    assert [key for key, status in stale.items() if status is not StaleStatus.FRESH] == []


def test_dagster_shows_an_outcome_of_every_check(told: dict[str, Any], seen: DagsterInstance) -> None:
    keys = list(build_definitions(load(ROOT / "config")).resolve_asset_graph().asset_check_keys)
    found = seen.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert len(keys) == 32 and set(found) == set(keys)
    bad = set()
    for key, record in found.items():
        assert record.event is not None and record.event.dagster_event is not None, key
        judged = record.event.dagster_event.event_specific_data
        assert isinstance(judged, AssetCheckEvaluation)
        if not judged.passed:
            assert judged.severity is AssetCheckSeverity.WARN, (key, judged.description)
            bad.add(f"{key.asset_key.to_user_string()}: {key.name}")
    assert bad <= set(told["warnings"]), "what warns is told"


def test_status_and_explain_work_on_what_the_demo_left(told: dict[str, Any], state_dir: Path) -> None:
    folder = Path(told["state_dir"])
    key = {"CRM_SYNC_MASTER_KEY_FILE": str(folder / "master.key")}
    done = crm_sync(folder, "status", "--json", **key)
    rows = json.loads(done.stdout)["rows"]
    assert done.returncode == 0 and len(rows) == 6
    assert all(row["links"] and row["waiting"] == 0 and row["unsettled"] == 0 for row in rows)
    assert "nothing" not in crm_sync(folder, "status", **key).stderr
    done = crm_sync(folder, "explain", "contact", "salesforce:no-such-id", **key)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_what_cannot_be_delivered_is_missed_and_said_and_the_sensor_sees_it(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(told["state_dir"])
    with EmulatorProcess(folder / "emulators") as process:
        variables = environment(process.addresses)
    variables |= {
        "CRM_SYNC_MASTER_KEY_FILE": str(folder / "master.key"),
        "CRM_SYNC_STATE_DIR": str(folder),
        "CRM_SYNC_CONFIG_DIR": str(ROOT / "config"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Library().due_connections() == []
    with open_context(Settings.load()) as context, context.database.transaction() as conn:
        row = conn.execute(
            "select hub_id from identity_link where entity = 'contact' and state = 'live' and is_primary"
            " group by hub_id having count(distinct connection) = 3 limit 1"
        ).fetchone()
    assert row is not None
    done = crm_sync(folder, "edit", "contact", str(row[0]), "job_title=Keeper of Keys", "--actor", "test", **variables)
    assert done.returncode == 0, done.stderr
    # The pretend CRMs ended with the demo.
    done = crm_sync(folder, "sync", "-c", "hubspot", "--json", **variables)
    assert done.returncode == 1, done.stderr
    assert set(json.loads(done.stdout)["missed"]) == {"hubspot"}
    assert {connection for connection, _, _ in Library().due_connections()} >= {"salesforce", "dynamics"}


def test_personal_data_appears_in_no_log_of_the_demo(told: dict[str, Any]) -> None:
    folder = Path(told["state_dir"])
    for log in (folder / "dagster.log", *folder.glob("postgres/*.log"), folder / "emulators" / "emulators.log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        for value in ("Reykjavik", "+12025550143", "Director of North", "@"):
            assert value not in text, f"{value!r} in {log.name}"
