"""Runs of the jobs on a Dagster instance, with flows that note how they were called: order, arguments, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    SkipReason,
    build_schedule_context,
    build_sensor_context,
)

from assets.partitions import today
from assets.running import LOCATION, answer, run
from crm_sync.errors import BadCredentials, Busy, Unreachable
from crm_sync.records import Books
from crm_sync.specs.loader import load
from definitions import build_definitions
from resources.library import Library

ROOT = Path(__file__).resolve().parents[2]


class Counts(Counter[str]):
    def counts(self) -> dict[str, int]:
        return dict(self)


class Recorder:
    """Stands where the flows stand; notes every call, and fails where told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.trouble: dict[str, Exception] = {}
        self.opened: list[UUID] = []
        self.books: dict[tuple[str, str], Books] = {}
        self.rows: dict[str, int] = {}
        self.missed: dict[UUID, dict[str, str]] = {}

    def flow(self, name: str) -> Any:
        def call(context: object, *arguments: Any, **options: Any) -> Counts:
            self.calls.append((name, *arguments, *([options] if options else [])))
            if name in self.trouble:
                raise self.trouble[name]
            return Counts({f"{name}_rows": self.rows.get(name, len(self.calls))})

        return call

    @contextmanager
    def open_context(self, settings: object, *, run_id: UUID) -> Iterator[object]:
        self.opened.append(run_id)
        yield self

    @property
    def database(self) -> Recorder:
        return self

    @property
    def run_id(self) -> UUID:
        return self.opened[-1]

    def end_run(self, conn: object, run_id: UUID, state: str, missed: dict[str, str]) -> None:
        self.missed[run_id] = missed

    def run(self, work: Any) -> Any:
        return work(None)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    places = {"ingest": "landing", "absorb": "golden", "propagate": "golden", "deliver": "outbound"}
    for name, module in places.items():
        monkeypatch.setattr(f"assets.{module}.{name}", found.flow(name))
    monkeypatch.setattr("resources.library.open_context", found.open_context)
    monkeypatch.setattr(Library, "calls", lambda self, connection: 0)
    monkeypatch.setattr("assets.reporting.runs.end_run", found.end_run)
    monkeypatch.setattr("assets.checks.runs.books", lambda conn, run_ids: found.books)
    monkeypatch.setattr("assets.checks.holding.count_held", lambda conn: {})
    monkeypatch.setattr("assets.checks.holding.quarantine_reasons", lambda conn: [])
    monkeypatch.setattr("assets.checks.links.count_links", lambda conn: {})
    monkeypatch.setattr("assets.checks.outbox.count_commands", lambda conn: {})
    return found


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as found:
        yield found


DEFINITIONS = build_definitions(load(ROOT / "config"))
INCREMENTAL = {"full": False, "window": None}


def test_a_sync_reads_merges_and_delivers_in_order(recorder: Recorder, instance: DagsterInstance) -> None:
    outcome = run(DEFINITIONS, instance, {"job": "sync_hubspot"})
    assert outcome["success"], outcome
    calls = recorder.calls
    assert calls.index(("propagate", "account")) < calls.index(("absorb", "contact"))
    assert calls.index(("deliver", "hubspot", "account")) < calls.index(("deliver", "hubspot", "contact"))
    assert [c for c in calls if c[0] == "ingest"] == [
        ("ingest", "hubspot", entity, INCREMENTAL) for entity in ("account", "contact")
    ]
    assert len(calls) == 8


def test_one_run_opens_one_context_with_its_own_id(recorder: Recorder, instance: DagsterInstance) -> None:
    outcome = run(DEFINITIONS, instance, {"job": "sync_hubspot"})
    assert recorder.opened == [UUID(outcome["run_id"])]


def test_the_ui_finds_a_run_beside_its_job(recorder: Recorder, instance: DagsterInstance) -> None:
    run_id = run(DEFINITIONS, instance, {"job": "sync_hubspot"})["run_id"]
    found = instance.get_run_by_id(run_id)
    served = f"{DEFINITIONS.get_repository_def().name}@{LOCATION}"
    assert found is not None and found.tags[".dagster/repository"] == served
    assert f"location_name: {LOCATION}" in (ROOT / "workspace.yaml").read_text(encoding="utf-8")


def test_counts_become_metadata(recorder: Recorder, instance: DagsterInstance) -> None:
    outcome = run(DEFINITIONS, instance, {"job": "deliver_dynamics"})
    assert outcome["assets"] == {
        "outbound/dynamics/account": {"deliver_rows": 1, "calls": 0},
        "outbound/dynamics/contact": {"deliver_rows": 2, "calls": 0},
    }


def test_a_full_refresh_reads_everything(recorder: Recorder, instance: DagsterInstance) -> None:
    run(DEFINITIONS, instance, {"job": "full_refresh_salesforce"})
    reads = [call[-1] for call in recorder.calls if call[0] == "ingest"]
    assert reads == [{"full": True, "window": None}] * 2


@pytest.mark.parametrize(("first", "last", "full"), [(4, 2, False), (5, 2, False), (4, 0, False), (5, 0, True)])
def test_a_range_of_days_is_one_run(
    recorder: Recorder, instance: DagsterInstance, first: int, last: int, full: bool
) -> None:
    days = [(today() - timedelta(days=ago)).isoformat() for ago in range(6)]
    job = build_definitions(load(ROOT / "config"), first_day=date.fromisoformat(days[5])).resolve_job_def(
        "sync_salesforce"
    )
    tags = {"dagster/asset_partition_range_start": days[first], "dagster/asset_partition_range_end": days[last]}
    assert job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).success
    after = (date.fromisoformat(days[last]) + timedelta(days=1)).isoformat()
    expected = {"full": full, "window": None if full else (days[first], after)}
    assert [call[-1] for call in recorder.calls if call[0] == "ingest"] == [expected] * 2


@pytest.mark.parametrize(("job", "full"), [("sync_hubspot", False), ("full_refresh_hubspot", True)])
def test_on_the_first_day_of_an_installation_a_sync_reads_what_changed_and_a_refresh_everything(
    recorder: Recorder, instance: DagsterInstance, job: str, full: bool
) -> None:
    young = build_definitions(load(ROOT / "config"), first_day=today())
    assert run(young, instance, {"job": job})["success"]
    reads = [call[-1] for call in recorder.calls if call[0] == "ingest"]
    assert reads == [{"full": full, "window": None}] * 2
    for entity in ("account", "contact"):
        key = AssetKey(["landing", "hubspot", entity])
        assert instance.get_materialized_partitions(key) == {today().isoformat()}
        days = young.resolve_asset_graph().get(key).partitions_def
        assert days is not None and days.get_partition_keys() == [today().isoformat()]


def test_a_run_that_was_locked_out_says_so_and_materialises_nothing(
    recorder: Recorder, instance: DagsterInstance
) -> None:
    recorder.trouble["ingest"] = Busy("read/hubspot is held by run 1 since 12:00.")
    outcome = run(DEFINITIONS, instance, {"job": "sync_hubspot"})
    assert not outcome["success"] and not outcome["assets"]
    assert outcome["failed"]["landing__hubspot__account"].startswith("Locked out: read/hubspot is held by run 1")


def test_a_permanent_failure_is_not_tried_again_and_a_passing_one_may_be(
    recorder: Recorder, instance: DagsterInstance
) -> None:
    recorder.trouble["deliver"] = BadCredentials("dynamics refused our credentials.")
    outcome = run(DEFINITIONS, instance, {"job": "deliver_dynamics"})
    assert outcome["failed"] == {"outbound__dynamics__account": "dynamics refused our credentials."}
    recorder.trouble["deliver"] = Unreachable("dynamics does not answer.")
    assert run(DEFINITIONS, instance, {"job": "deliver_dynamics"})["failed"] == {
        "outbound__dynamics__account": "dynamics does not answer."
    }


def test_a_connection_that_was_missed_is_noted_in_the_run_unless_another_run_does_its_work(
    recorder: Recorder, instance: DagsterInstance
) -> None:
    recorder.trouble["ingest"] = Busy("read/hubspot is held by run 1 since 12:00.")
    run(DEFINITIONS, instance, {"job": "sync_hubspot"})
    assert recorder.missed == {}
    recorder.trouble["ingest"] = Unreachable("hubspot does not answer.")
    outcome = run(DEFINITIONS, instance, {"job": "sync_hubspot"})
    assert recorder.missed == {UUID(outcome["run_id"]): {"hubspot": "Unreachable: hubspot does not answer."}}


def versions(instance: DagsterInstance) -> dict[str, str | None]:
    found = {}
    for name in ("hub/account", "hub/contact", "outbound/hubspot/contact"):
        event = instance.get_latest_materialization_event(AssetKey(name.split("/")))
        assert event is not None and event.asset_materialization is not None
        found[name] = (event.asset_materialization.tags or {}).get("dagster/data_version")
    return found


def test_a_run_that_changes_nothing_leaves_what_others_read_up_to_date(
    recorder: Recorder, instance: DagsterInstance
) -> None:
    first = run(DEFINITIONS, instance, {"job": "sync_hubspot"})["run_id"]
    before = versions(instance)
    assert set(before.values()) == {first}
    recorder.rows = dict.fromkeys(("absorb", "propagate", "deliver"), 0)
    run(DEFINITIONS, instance, {"job": "sync_hubspot"})
    assert versions(instance) == before
    recorder.rows["propagate"] = 1
    last = run(DEFINITIONS, instance, {"job": "sync_hubspot"})["run_id"]
    after = versions(instance)
    assert after == before | {"hub/account": last, "hub/contact": last}


def test_books_that_do_not_balance_stop_what_follows(recorder: Recorder, instance: DagsterInstance) -> None:
    recorder.books = {("hubspot", "account"): Books(read=3, applied=2), ("hubspot", "contact"): Books()}
    outcome = run(DEFINITIONS, instance, {"job": "sync_hubspot"})
    assert outcome["checks"]["hub/account: books_balance"] == "failed"
    assert not outcome["success"]
    assert not [call for call in recorder.calls if call[0] == "deliver"]


def test_a_schedule_asks_for_the_current_day_and_waits_for_its_last_run(tmp_path: Path) -> None:
    schedule = DEFINITIONS.resolve_schedule_def("every_hubspot")
    repository = DEFINITIONS.get_repository_def()
    with (
        DagsterInstance.local_temp(str(tmp_path)) as instance,
        build_schedule_context(instance=instance, repository_def=repository) as context,
    ):
        asked = schedule.evaluate_tick(context)
        assert [request.partition_key for request in asked.run_requests or ()] == [today().isoformat()]
        job = DEFINITIONS.resolve_job_def("sync_hubspot")
        instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
        asked = schedule.evaluate_tick(context)
        assert not asked.run_requests and "under way" in (asked.skip_message or "")


def test_the_outbox_sensor_starts_one_delivery_per_connection_with_due_commands(
    monkeypatch: pytest.MonkeyPatch, instance: DagsterInstance
) -> None:
    due = [("hubspot", 12, 3), ("unknown", 1, 1)]
    monkeypatch.setattr(Library, "due_connections", lambda self: due)
    sensor = DEFINITIONS.resolve_sensor_def("outbox")
    with build_sensor_context(instance=instance, resources={"library": Library()}) as context:
        asked = list(sensor(context))
        assert [(r.job_name, r.run_key is not None) for r in asked if isinstance(r, RunRequest)] == [
            ("deliver_hubspot", True)
        ]
        due.clear()
        assert [type(r) for r in sensor(context)] == [SkipReason]


def test_all_connections_means_one_run_each(instance: DagsterInstance) -> None:
    sensor = DEFINITIONS.resolve_sensor_def("all_connections")
    with build_sensor_context(instance=instance) as context:
        asked = [request.job_name for request in sensor(context)]
    assert asked == ["sync_salesforce", "sync_hubspot", "sync_dynamics"]


def test_an_answer_names_the_step_that_failed_and_why(recorder: Recorder, instance: DagsterInstance) -> None:
    recorder.trouble["absorb"] = ValueError("a defect")
    job = DEFINITIONS.resolve_job_def("sync_dynamics")
    result = job.execute_in_process(instance=instance, partition_key=today().isoformat(), raise_on_error=False)
    assert answer(result)["failed"] == {"hub__account": "ValueError: a defect"}
