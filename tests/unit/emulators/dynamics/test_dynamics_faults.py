"""Let each fault of Dataverse strike, and stop."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.dynamics.local import ROOT, Local
from tests.unit.emulators.dynamics.test_dynamics_batches import change_set, part


def batch(here: Local, *parts: str, **headers: str) -> list[int]:
    body = ("".join(f"--b\n{one}" for one in parts) + "--b--\n").encode()
    given = {"Content-Type": "multipart/mixed; boundary=b", **headers}
    reply = here.call("POST", "$batch", body, **given)
    return [int(line.split()[1]) for line in reply.text.splitlines() if line.startswith("HTTP/1.1 ")]


@pytest.mark.fact("dynamics:limits")
@pytest.mark.parametrize(
    ("kind", "code"), [("requests", "0x80072322"), ("time", "0x80072321"), ("concurrent", "0x80072326")]
)
def test_each_limit_may_be_hit(here: Local, kind: str, code: str) -> None:
    here.arm("limit", kind=kind, times=2)
    for _ in range(2):
        refused = here.call("GET", "WhoAmI")
        assert refused.error == (429, code) and int(refused.headers["Retry-After"]) >= 1
    assert here.call("GET", "WhoAmI").status == 200 and here.struck("limit") == 2
    with pytest.raises(ValueError, match="daily"):
        here.arm("limit", kind="daily")


@pytest.mark.fact("dynamics:limits")
def test_limits_are_counted_in_a_window_of_virtual_time(here: Local) -> None:
    here.faults.turn({"limits": True, "window_requests": 2, "window_seconds": 300})
    first = here.call("GET", "WhoAmI")
    assert first.headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "1"
    assert here.call("GET", "WhoAmI").status == 200
    refused = here.call("GET", "WhoAmI")
    assert refused.error == (429, "0x80072322") and refused.headers["Retry-After"] == "300"
    here.clock.pass_seconds(301)
    assert here.call("GET", "WhoAmI").status == 200
    here.faults.turn({"work_seconds": 0, "window_requests": 100})
    assert here.call("GET", "WhoAmI").error == (429, "0x80072321")


def test_the_server_may_fail(here: Local) -> None:
    here.arm("server_error", path="/contacts", method="GET")
    assert here.call("GET", "accounts").status == 200
    assert here.call("GET", "contacts?$top=1").error == (500, "0x80040216")
    assert here.call("GET", "contacts").status == 200 and here.struck("server_error") == 1


@pytest.mark.fact("dynamics:unauthorized")
@pytest.mark.parametrize("action", ["expire_token", "revoke_token"])
def test_a_token_may_end_early(here: Local, action: str) -> None:
    here.arm(action)
    refused = here.call("GET", "WhoAmI")
    assert refused.status == 401 and "authorization_uri" in refused.headers["WWW-Authenticate"]
    assert here.call("GET", "WhoAmI").status == 401, "the token stays dead"
    here.sign_in()
    assert here.call("GET", "WhoAmI").status == 200 and here.struck(action) == 1


def test_a_token_lives_as_long_as_it_says(here: Local) -> None:
    here.clock.pass_seconds(3599)
    assert here.call("GET", "WhoAmI").status == 200
    here.clock.pass_seconds(1)
    assert here.call("GET", "WhoAmI").status == 401


@pytest.mark.fact("dynamics:batch_one_error")
def test_one_row_of_a_batch_may_be_refused(here: Local) -> None:
    rows = [part("POST contacts", f'{{"lastname":"{name}"}}') for name in ("a", "b", "c")]
    here.arm("bad_record", object="contact", skip=1)
    assert batch(here, *rows, Prefer="odata.continue-on-error") == [204, 400, 204]
    assert {row["lastname"] for row in here.rows("contacts")} == {"a", "c"}
    here.arm("bad_record", object="contact", skip=1)
    assert batch(here, change_set(*rows)) == [400]
    assert len(here.rows("contacts")) == 2
    targets = [{"@odata.type": "Microsoft.Dynamics.CRM.contact", "lastname": name} for name in "xyz"]
    here.arm("bad_record", object="contact", skip=2)
    action = "contacts/Microsoft.Dynamics.CRM.CreateMultiple"
    assert here.call("POST", action, {"Targets": targets}).error == (400, "0x80040265")
    assert len(here.rows("contacts")) == 2
    here.done("POST", action, {"Targets": targets})


def test_a_row_may_be_locked_or_called_a_duplicate(here: Local) -> None:
    id = here.create("accounts", name="A")
    for action, error in (("row_lock", (500, "0x80044150")), ("duplicate_rule", (412, "0x80040333"))):
        here.arm(action, object="account")
        here.create("contacts", lastname="other tables are spared")
        assert here.call("PATCH", f"accounts({id})", {"name": "B"}).error == error
        assert here.get(f"accounts({id})")["name"] == "A"
        here.done("PATCH", f"accounts({id})", {"name": "A"})
        assert here.struck(action) == 1


def test_a_row_may_commit_late_behind_the_watermark(here: Local) -> None:
    here.arm("late_commit", object="contact", seconds=30)
    late = here.create("contacts", lastname="Late")
    here.clock.pass_seconds(10)
    here.create("contacts", lastname="Early")
    (early,) = here.rows("contacts?$select=lastname,modifiedon")
    assert here.call("GET", f"contacts({late})").error == (404, "0x80040217")
    here.clock.pass_seconds(20)
    here.get("WhoAmI")
    row = here.get(f"contacts({late})")
    assert row["modifiedon"] < early["modifiedon"] and row["versionnumber"] > 0
    assert here.rows(f"contacts?$filter=modifiedon gt {early['modifiedon']}") == []


@pytest.mark.fact("dynamics:tracking_late")
def test_a_late_row_is_in_the_next_delta(here: Local) -> None:
    here.track("contact")
    here.arm("late_commit", object="contact", seconds=30)
    late = here.create("contacts", lastname="Late")
    link = here.get("contacts?$select=lastname", Prefer="odata.track-changes")["@odata.deltaLink"]
    here.clock.pass_seconds(30)
    here.get("WhoAmI")
    assert [row["contactid"] for row in here.rows(link)] == [late]


@pytest.mark.fact("dynamics:delta_expiry")
def test_a_delta_link_may_expire_and_does_after_seven_days(here: Local) -> None:
    here.track("contact")
    link = here.get("contacts?$select=lastname", Prefer="odata.track-changes")["@odata.deltaLink"]
    here.arm("expire_delta", object="contact")
    assert here.call("GET", link).error == (400, "0x80044352")
    assert here.call("GET", link).status == 200
    here.clock.pass_seconds(7 * 86400 + 1)
    here.sign_in()
    assert here.call("GET", link).error == (400, "0x80044352")


def test_a_workflow_may_change_what_was_written(here: Local) -> None:
    here.arm("automation", object="contact", field="jobtitle", value="Boss")
    reply = here.done("POST", "contacts", {"lastname": "Li"}, Prefer="return=representation").json()
    assert reply["jobtitle"] == "Boss"
    id = reply["contactid"]
    here.arm("automation", object="contact", field="_parentcustomerid_value", value=None)
    before = here.get(f"contacts({id})")["versionnumber"]
    here.done("PATCH", f"contacts({id})", {"lastname": "Ox"})
    assert here.get(f"contacts({id})")["versionnumber"] > before + 1
    here.done("PATCH", f"contacts({id})", {"jobtitle": "Me"})
    assert here.get(f"contacts({id})")["jobtitle"] == "Me" and here.struck("automation") == 2


def test_a_fault_strikes_a_share_of_the_rows_the_same_every_time(here: Local) -> None:
    def refused() -> list[int]:
        here.faults.clear()
        here.arm("bad_record", object="contact", times=None, probability=0.5, seed=7)
        return [here.call("POST", "contacts", {"lastname": "x"}).status for _ in range(20)]

    first: list[Any] = refused()
    assert first == refused() and {204, 400} == set(first)
    assert ROOT in here.call("POST", "accounts", {"name": "x"}).headers["OData-EntityId"]
