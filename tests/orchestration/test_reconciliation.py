"""Reconciliation in Dagster: what a run does with a report, and what the checks make of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from dagster import AssetKey, DagsterInstance, build_schedule_context

from assets.partitions import today
from assets.reconciliation import judge_drift, judge_lag
from assets.running import run
from crm_sync.errors import Misconfigured
from crm_sync.flows.reconcile import ReconcileReport
from crm_sync.specs.loader import load
from crm_sync.steps.comparing import Finding
from crm_sync.store.reconciliations import Reconciliation
from definitions import build_definitions
from resources.library import Library

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = build_definitions(load(ROOT / "config"))


def report_of(connection: str, entity: str, day: date, differing: int) -> ReconcileReport:
    return ReconcileReport(
        connection=connection,
        entity=entity,
        day=day,
        at=datetime.now(UTC),
        read=1010,
        compared=1000,
        drifting=differing,
        lagging=0,
        classes={f.value: 0 for f in Finding} | {"differing": differing, "held": 3},
        fields={"differing": {"city": differing}} if differing else {},
        examples={"differing": ["id-1"]} if differing else {},
    )


def result_of(report: ReconcileReport) -> Reconciliation:
    return Reconciliation(
        report.day,
        report.connection,
        report.entity,
        uuid4(),
        report.at,
        report.compared,
        report.drifting,
        report.lagging,
        report.drift_share,
        report.classes,
        report.fields,
        report.examples,
    )


class World:
    """Stands where the store and the flow stand."""

    def __init__(self) -> None:
        self.differing = {"account": 0, "contact": 0}
        self.days: list[date] = []
        self.kept: dict[tuple[str, str], Reconciliation] = {}
        self.trouble: Exception | None = None

    def reconcile(self, context: object, connection: str, entity: str, *, day: date) -> ReconcileReport:
        if self.trouble:
            raise self.trouble
        self.days.append(day)
        report = report_of(connection, entity, day, self.differing[entity])
        self.kept[(connection, entity)] = result_of(report)
        return report

    @contextmanager
    def open_context(self, settings: object, *, run_id: UUID) -> Iterator[World]:
        yield self

    @property
    def database(self) -> World:
        return self

    def run(self, work: Any) -> Any:
        return work(None)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()
    monkeypatch.setattr("assets.reconciliation.reconcile", found.reconcile)
    monkeypatch.setattr("assets.reconciliation.reconciliations.newest", lambda conn: found.kept)
    monkeypatch.setattr("resources.library.open_context", found.open_context)
    monkeypatch.setattr(Library, "calls", lambda self, connection: 0)
    return found


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as found:
        yield found


def test_a_run_compares_each_entity_for_its_day_and_the_checks_pass(world: World, instance: DagsterInstance) -> None:
    outcome = run(DEFINITIONS, instance, {"job": "reconcile_hubspot"})
    assert outcome["success"], outcome
    assert world.days == [today()] * 2
    assert outcome["checks"] == {
        f"reconciliation/hubspot/{entity}: {check}": "passed"
        for entity in ("account", "contact")
        for check in ("little_drift", "little_lag")
    }
    assert outcome["assets"]["reconciliation/hubspot/contact"]["compared"] == 1000


def test_drift_above_the_threshold_fails_its_check_alone(world: World, instance: DagsterInstance) -> None:
    world.differing["contact"] = 6
    outcome = run(DEFINITIONS, instance, {"job": "reconcile_dynamics"})
    assert outcome["success"], "a check that fails is for people; the comparison itself was done"
    failed = [name for name, verdict in outcome["checks"].items() if verdict == "failed"]
    assert failed == ["reconciliation/dynamics/contact: little_drift"]


def test_the_materialisation_shows_shares_fields_and_ids(world: World, instance: DagsterInstance) -> None:
    world.differing["contact"] = 5
    job = DEFINITIONS.resolve_job_def("reconcile_salesforce")
    done = job.execute_in_process(instance=instance, partition_key=today().isoformat())
    (made,) = [
        event.step_materialization_data.materialization
        for event in done.all_events
        if event.is_step_materialization and event.asset_key.path[-1] == "contact"
    ]
    shown = {name: value.value for name, value in made.metadata.items()}
    assert shown["drift_share"] == pytest.approx(0.005)
    assert shown["by_field"] == {"differing": {"city": 5}}
    assert shown["examples"] == {"differing": ["id-1"]}
    assert (shown["differing"], shown["held"], shown["missing_there"]) == (5, 3, 0)


def test_a_day_that_passed_fails_plainly(world: World, instance: DagsterInstance) -> None:
    world.trouble = Misconfigured("hubspot/account cannot be compared as of 2026-01-05.")
    outcome = run(DEFINITIONS, instance, {"job": "reconcile_hubspot", "partition": "2026-01-05"})
    assert not outcome["success"]
    assert set(outcome["failed"].values()) == {"hubspot/account cannot be compared as of 2026-01-05."}


@pytest.mark.parametrize(("drifting", "passed"), [(0, True), (5, True), (6, False)])
def test_the_check_allows_as_much_as_the_threshold(drifting: int, passed: bool) -> None:
    report = report_of("hubspot", "contact", date(2026, 3, 1), drifting)
    assert judge_drift(result_of(report), 0.005).passed is passed
    assert judge_lag(result_of(report), 0.005).passed is True


def test_a_stream_that_was_never_compared_does_not_pass() -> None:
    assert judge_drift(None, 0.005).passed is False
    assert judge_lag(None, 0.005).passed is False


def test_each_connection_is_compared_every_night_for_the_current_day(tmp_path: Path) -> None:
    repository = DEFINITIONS.get_repository_def()
    nightly = {s.name: s for s in repository.schedule_defs if s.job_name.startswith("reconcile_")}
    assert {s.job_name for s in nightly.values()} == {f"reconcile_{c}" for c in ("salesforce", "hubspot", "dynamics")}
    assert len({s.cron_schedule for s in nightly.values()}) == 3, "one after the other"
    with (
        DagsterInstance.local_temp(str(tmp_path)) as instance,
        build_schedule_context(instance=instance, repository_def=repository) as context,
    ):
        asked = nightly["nightly_hubspot"].evaluate_tick(context)
    assert [request.partition_key for request in asked.run_requests or ()] == [today().isoformat()]


def test_the_current_day_can_be_reconciled() -> None:
    days = DEFINITIONS.resolve_asset_graph().get(AssetKey(["reconciliation", "hubspot", "contact"])).partitions_def
    assert days is not None and days.get_last_partition_key() == today().isoformat()
