"""Checks of the data at rest as Dagster runs them: green on the normal seed, red with 30 % invalid records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckEvaluation, AssetCheckSeverity, DagsterInstance, ExecuteInProcessResult

from assets.checks import judge_quarantine
from assets.quality import JOB
from crm_sync.flows.quality import FEW_REFUSED
from crm_sync.specs.loader import load
from definitions import build_definitions
from tests.integration.conftest import _template, server_url  # noqa: F401
from tests.scenarios.conftest import SetStage, set_stage  # noqa: F401
from tests.scenarios.stage import Stage

DEFINITIONS = build_definitions(load(Path(__file__).resolve().parents[2] / "config"))
POPULATION = {"accounts": 60, "contacts": 300}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def normal(set_stage: SetStage) -> Iterator[Stage]:  # noqa: F811
    with set_stage(seed=1101, **POPULATION) as stage:
        stage.settle()
        yield stage


@pytest.fixture(scope="module")
def spoiled(set_stage: SetStage) -> Iterator[Stage]:  # noqa: F811
    with set_stage(seed=1101, invalid_share=0.3, **POPULATION) as stage:
        stage.settle()
        yield stage


def run(stage: Stage, job: str, monkeypatch: pytest.MonkeyPatch) -> ExecuteInProcessResult:
    for name, value in stage.settings.environment.items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.ephemeral() as instance:
        return DEFINITIONS.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)


def evaluations(result: ExecuteInProcessResult) -> dict[tuple[str, str], AssetCheckEvaluation]:
    found = [e.event_specific_data for e in result.all_events]
    checks = [e for e in found if isinstance(e, AssetCheckEvaluation)]
    return {(e.asset_key.to_user_string(), e.check_name): e for e in checks}


def told(evaluation: AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def test_all_checks_are_green_on_the_normal_seed(normal: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(normal, JOB, monkeypatch)
    checks = evaluations(result)
    assert result.success
    assert len(checks) == 4 + 6  # accounts refer to nothing
    assert [place for place, check in checks.items() if not check.passed] == []
    rows = told(checks["hub/contact", "required_fields_are_filled"])["results"].records
    assert rows[0].data["checked"] == normal.count(
        "select count(*) from hub_record where entity = 'contact' and united_into is null"
    )
    crossing = told(checks["hub/contact", "references_hold_across_systems"])["results"].records
    assert len(crossing) == 3 and all(row.data["checked"] > 50 for row in crossing)


def test_a_seed_of_invalid_records_turns_the_refusals_red_and_nothing_else(
    spoiled: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(spoiled, JOB, monkeypatch)
    checks = evaluations(result)
    assert result.success, "a failed check that does not block leaves the run successful"
    assert {place for place, check in checks.items() if not check.passed} == {
        ("hub/account", "few_refused_at_rest"),
        ("hub/contact", "few_refused_at_rest"),
    }
    red = checks["hub/contact", "few_refused_at_rest"]
    assert red.severity is AssetCheckSeverity.ERROR
    assert red.description is not None
    # Which expectation, where, how many; Salesforce takes no invalid records.
    for connection in ("hubspot", "dynamics"):
        held = spoiled.count(
            "select count(*) from quarantine where entity = 'contact' and connection = %s", [connection]
        )
        assert f"{connection}/contact: expected that at most 5% of the source records, or 5, are" in red.description
        assert f"found {held} of " in red.description
    assert "salesforce" not in red.description
    assert told(red)["unexpected_rows"] == spoiled.count("select count(*) from quarantine where entity = 'contact'")


def test_the_page_is_one_file_that_needs_nothing_else_and_tells_what_is_broken(
    spoiled: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = evaluations(run(spoiled, JOB, monkeypatch))["hub/contact", "few_refused_at_rest"]
    path = Path(told(red)["report"])
    assert path.parent == spoiled.settings.state_dir / "quality"
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link|@import|src=", page)
    refused = spoiled.rows("select record_id from quarantine where entity = 'contact' order by record_id")
    assert sum(record_id in page for (record_id,) in refused) >= 20
    assert "last_name: required" in page and "email: email_invalid" in page
    assert "expect_column_values_to_be_null" in page


def test_a_golden_record_whose_required_field_was_emptied_behind_our_back_is_seen(
    normal: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = "select hub_id from hub_record where entity = 'account' and united_into is null limit 1"
    (hub_id,) = normal.rows(statement)[0]
    normal.rows("update hub_record set missing_required = 1 where hub_id = %s", [hub_id])
    try:
        checks = evaluations(run(normal, JOB, monkeypatch))
    finally:
        normal.rows("update hub_record set missing_required = 0 where hub_id = %s", [hub_id])
    assert [place for place, check in checks.items() if not check.passed] == [
        ("hub/account", "required_fields_are_filled")
    ]


def test_a_sync_does_not_wait_for_checks_of_all_records() -> None:
    nodes = {node.name for node in DEFINITIONS.resolve_job_def("sync_hubspot").nodes}
    assert "hub__contact_few_quarantined" in nodes
    assert not [name for name in nodes if name.endswith("_at_rest")]
    assert {node.name for node in DEFINITIONS.resolve_job_def(JOB).nodes} == {
        "hub__account_at_rest",
        "hub__contact_at_rest",
    }


def test_validation_in_flight_shows_its_reasons_beside_the_share() -> None:
    rows = [
        {"connection": "hubspot", "entity": "contact", "field": "last_name", "code": "required", "records": 3},
        {"connection": "dynamics", "entity": "contact", "field": "last_name", "code": "required", "records": 2},
        {"connection": "dynamics", "entity": "contact", "field": "email", "code": "email_invalid", "records": 1},
    ]
    result = judge_quarantine(6, 60, rows)
    shown = {name: value.value for name, value in result.metadata.items()}
    assert not result.passed and result.severity is AssetCheckSeverity.WARN
    assert (shown["refused for required"], shown["refused for email_invalid"]) == (5, 1)
    assert [record.data["connection"] for record in shown["reasons"].records] == ["hubspot", "dynamics", "dynamics"]


def test_a_handful_of_refusals_is_let_pass_however_few_records_there_are(
    normal: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(normal, JOB, monkeypatch)
    rows = told(evaluations(result)["hub/account", "few_refused_at_rest"])["results"].records
    (few,) = [row.data for row in rows if row.data["where"] == "hubspot/account"]
    assert few["percent"] > 5 and 0 < few["unexpected"] <= FEW_REFUSED and few["passed"]
    assert judge_quarantine(FEW_REFUSED, 10).passed and not judge_quarantine(FEW_REFUSED + 1, 10).passed
    assert judge_quarantine(FEW_REFUSED + 1, 1000).passed
