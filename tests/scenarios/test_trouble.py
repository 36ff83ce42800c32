"""CRMs in trouble: one is down, refuses our credentials, limits us, or does the work and loses the answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from crm_sync.settings import Settings
from tests.scenarios.conftest import SetStage
from tests.scenarios.portrait import twins
from tests.scenarios.reading import compare, well_known, world
from tests.scenarios.stage import Stage

THREE = ("salesforce", "hubspot", "dynamics")
CREATES = {"salesforce": "/composite/sobjects$", "hubspot": "/contacts/batch/create$", "dynamics": r"/\$batch$"}
UPDATES = {"salesforce": "/composite$", "hubspot": "/contacts/batch/update$", "dynamics": r"/\$batch$"}
BURST: dict[str, dict[str, Any]] = {
    "salesforce": {"status": 403, "body": [{"message": "ConcurrentRequests", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]},
    "hubspot": {
        "status": 429,
        "headers": {"Retry-After": "1"},
        "body": {"status": "error", "message": "slowly", "policyName": "TEN_SECONDLY_ROLLING"},
    },
    "dynamics": {
        "status": 429,
        "headers": {"Retry-After": "1"},
        "body": {"error": {"code": "0x80072322", "message": ""}},
    },
}
DAILY: dict[str, dict[str, Any]] = {
    "salesforce": {"status": 403, "body": [{"message": "TotalRequests Limit", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]},
    "hubspot": {"status": 429, "body": {"status": "error", "message": "enough", "policyName": "DAILY"}},
    "dynamics": {
        "status": 429,
        "headers": {"Retry-After": "300"},
        "body": {"error": {"code": "0x80072321", "message": ""}},
    },
}


@pytest.fixture(scope="module")
def town(set_stage: SetStage) -> Iterator[Stage]:
    """Return a stage at rest."""
    with set_stage(seed=555, accounts=15, contacts=60) as stage:
        stage.settle()
        yield stage


def heal(stage: Stage) -> None:
    """Let time pass: pauses end and attempts are due; then sync to quiet, and hold everything against everything."""
    stage.rows("update api_budget set paused_until = null, quota_limit = null")
    stage.rows("update outbox set next_attempt_at = now() where state = 'waiting'")
    rounds = stage.settle()
    assert rounds[-1].missed == {}
    assert twins(stage) == []
    for entity in ("account", "contact"):
        assert compare(stage, entity).differences == []
    assert stage.rows("select connection, entity, state, error_class from outbox") == []


@pytest.mark.parametrize("crm", THREE)
def test_one_crm_is_down(town: Stage, crm: str) -> None:
    others = [name for name in THREE if name != crm]
    (one, at), (other, there) = well_known(town, "contact")[:2]
    town.change(others[0], "contact", at[others[0]], city=f"Without {crm}")
    town.change(crm, "contact", there[crm], notes=f"Written while {crm} was down")
    town.screens[crm].down(True)
    try:
        missing = town.sync(hurried=True)
    finally:
        town.screens[crm].down(False)
    assert set(missing.missed) == {crm}
    assert missing.missed[crm].startswith("Unreachable")
    assert town.shown(others[1], "contact", at[others[1]], "city") == f"Without {crm}"
    assert town.shown(crm, "contact", at[crm], "city") != f"Without {crm}"
    (told,) = town.rows("select missed from run order by started_at desc limit 1")[0:1]
    assert set(told[0]) == {crm}
    heal(town)
    assert town.shown(crm, "contact", at[crm], "city") == f"Without {crm}"
    golden = world(town, "contact").golden
    assert golden[other]["notes"] == f"t:Written while {crm} was down"
    assert golden[one]["city"] == f"t:Without {crm}"


@pytest.mark.parametrize("crm", THREE)
def test_one_crm_goes_down_while_we_write(town: Stage, crm: str) -> None:
    others = [name for name in THREE if name != crm]
    hub_id, at = well_known(town, "contact")[0]
    town.change(others[0], "contact", at[others[0]], city=f"Torn off {crm}")
    town.screens[crm].faults({"method": "POST", "path": UPDATES[crm], "action": "drop_before", "times": 50})
    try:
        round_ = town.sync(hurried=True)
    finally:
        town.screens[crm].no_more_faults()
    assert town.shown(others[1], "contact", at[others[1]], "city") == f"Torn off {crm}"
    assert round_.sum("sent") >= 1
    heal(town)
    assert town.shown(crm, "contact", at[crm], "city") == f"Torn off {crm}"
    assert world(town, "contact").golden[hub_id]["city"] == f"t:Torn off {crm}"


@pytest.mark.parametrize("crm", THREE)
@pytest.mark.parametrize("what", ["create", "update"])
def test_the_crm_did_it_and_the_answer_is_lost(town: Stage, crm: str, what: str) -> None:
    source = next(name for name in THREE if name != crm)
    city = f"Lost {what} of {crm}"
    if what == "create":
        values = {
            town.source(source, "contact", "first_name"): "Lost",
            town.source(source, "contact", "last_name"): f"Answer of {crm}",
            town.source(source, "contact", "email"): f"lost.{crm}@answers.example",
            town.source(source, "contact", "city"): city,
        }
        record_id = town.screens[source].create(town.at(source, "contact"), values)
    else:
        _, at = well_known(town, "contact")[0]
        record_id = at[source]
        town.change(source, "contact", record_id, city=city)
    path = CREATES[crm] if what == "create" else UPDATES[crm]
    before = len(town.records(crm, "contact"))
    town.screens[crm].faults({"method": "POST", "path": path, "action": "drop_after", "times": 1})
    town.sync(hurried=True)
    assert town.screens[crm].faults_left() == [], "no answer was lost"
    heal(town)
    now = world(town, "contact")
    there = now.places(now.of(source, record_id))[crm]
    assert town.shown(crm, "contact", there, "city") == city
    assert len(town.records(crm, "contact")) == before + (what == "create")


WRONG = {
    "salesforce": "SALESFORCE_CLIENT_SECRET", "hubspot": "HUBSPOT_TOKEN", "dynamics": "DYNAMICS_CLIENT_SECRET",
}  # fmt: skip


@pytest.mark.parametrize("crm", THREE)
def test_one_crm_refuses_our_credentials(town: Stage, crm: str) -> None:
    others = [name for name in THREE if name != crm]
    _, at = well_known(town, "contact")[0]
    town.change(others[0], "contact", at[others[0]], city=f"No entry to {crm}")
    environment = {**town.settings.environment, WRONG[crm]: "pat-na1-00000000-0000-0000-0000-000000000000"}
    town.rows("delete from crm_token where connection = %s", [crm])
    settings: Settings = replace(town.settings, environment=environment)
    round_ = town.sync(hurried=True, environment=settings.environment)
    assert set(round_.missed) == {crm}
    assert round_.missed[crm].startswith("BadCredentials")
    assert WRONG[crm] in round_.missed[crm], "the message does not say which variable to look at"
    assert "00000000-0000" not in round_.missed[crm]
    assert town.shown(others[1], "contact", at[others[1]], "city") == f"No entry to {crm}"
    heal(town)
    assert town.shown(crm, "contact", at[crm], "city") == f"No entry to {crm}"


@pytest.mark.parametrize("crm", THREE)
def test_tokens_that_end_in_the_middle_are_renewed(town: Stage, crm: str) -> None:
    town.screens[crm].expire_tokens()
    assert town.sync().missed == {}


@pytest.mark.parametrize("crm", THREE)
def test_a_burst_limit_is_waited_out(town: Stage, crm: str) -> None:
    _, at = well_known(town, "contact")[0]
    source = next(name for name in THREE if name != crm)
    town.change(source, "contact", at[source], city=f"Slowly to {crm}")
    town.screens[crm].faults({"action": "status", "times": 3, **BURST[crm]})
    round_ = town.sync(hurried=True)
    assert town.screens[crm].faults_left() == []
    assert round_.missed == {}
    heal(town)
    assert town.shown(crm, "contact", at[crm], "city") == f"Slowly to {crm}"


@pytest.mark.parametrize("crm", THREE)
def test_a_daily_limit_stops_one_crm_alone(town: Stage, crm: str) -> None:
    _, at = well_known(town, "contact")[0]
    others = [name for name in THREE if name != crm]
    town.change(others[0], "contact", at[others[0]], city=f"Not today, {crm}")
    town.screens[crm].faults({"action": "status", "times": 1, **DAILY[crm]})
    round_ = town.sync()
    assert set(round_.missed) == {crm}
    assert round_.missed[crm].startswith("LimitReached")
    assert town.shown(others[1], "contact", at[others[1]], "city") == f"Not today, {crm}"
    # While the pause lasts nobody calls.
    again = town.sync()
    assert set(again.missed) == {crm}
    assert again.calls[crm] == {}
    heal(town)
    assert town.shown(crm, "contact", at[crm], "city") == f"Not today, {crm}"


def test_under_the_limits_of_the_crms_everything_arrives(set_stage: SetStage) -> None:
    with set_stage(seed=556, accounts=10, contacts=40) as stage:
        for screen in stage.screens.values():
            screen.turn(limits=True)
        rounds = stage.settle()
        assert [r.missed for r in rounds] == [{}] * len(rounds)
        for entity in ("account", "contact"):
            assert compare(stage, entity).differences == []
