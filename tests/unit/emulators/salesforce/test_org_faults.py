"""The org's own faults: each strikes where it is meant to, and stops."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.emulators.faults import Fault, Faults
from crm_sync.emulators.matrix import faults as catalogue
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front


def rows(*names: str) -> list[dict[str, Any]]:
    return [{"attributes": {"type": "Contact"}, "LastName": name} for name in names]


def errors(answer: Any) -> list[str]:
    return [one["errors"][0]["statusCode"] if one["errors"] else "" for one in answer.body]


def test_one_bad_record_of_a_collection(front: Front, faults: Faults) -> None:
    faults.add([Fault("bad_record", object="contact", skip=1)])
    answer = front.ask("POST", "composite/sobjects", {"records": rows("A", "B", "C")})
    assert errors(answer) == ["", "FIELD_CUSTOM_VALIDATION_EXCEPTION", ""]
    assert front.names("Id != null") == ["A", "C"]
    assert errors(front.ask("POST", "composite/sobjects", {"records": rows("D")})) == [""]


@pytest.mark.fact("salesforce:row_lock")
def test_a_row_lock_by_object_and_record(front: Front, faults: Faults) -> None:
    one, two = (front.create("Contact", LastName=name) for name in "AB")
    faults.add([Fault("row_lock", object="Contact", path=two)])
    assert front.ask("PATCH", f"sobjects/Contact/{one}", {"Title": "x"}).status == 204
    locked = front.ask("DELETE", f"sobjects/Contact/{two}")
    assert front.error(locked) == (400, "UNABLE_TO_LOCK_ROW")
    assert locked.body[0]["message"] == (
        f"unable to obtain exclusive access to this record or 1 records: {two[:15]}"
    )
    assert front.ask("DELETE", f"sobjects/Contact/{two}").status == 204


@pytest.mark.fact("salesforce:duplicates_detected", "salesforce:duplicate_rule_header")
def test_a_duplicate_rule_names_the_record_and_can_be_overruled(front: Front, faults: Faults) -> None:
    held = front.create("Contact", LastName="Ng", Email="a@x.org")
    faults.add([Fault("duplicate_rule", object="Contact", times=2)])
    again = {"LastName": "Ng", "Email": "A@x.org"}
    refused = front.ask("POST", "sobjects/Contact", again)
    assert (front.error(refused), refused.body[0]["message"]) == (
        (400, "DUPLICATES_DETECTED"), "Use one of these records?",
    )  # fmt: skip
    (result,) = refused.body[0]["duplicateResult"]["matchResults"]
    assert [one["record"]["Id"] for one in result["matchRecords"]] == [held]
    allowed = {"sforce-duplicate-rule-header": "allowSave=true"}
    assert front.ask("POST", "sobjects/Contact", again, headers=allowed).status == 201
    row = front.ask("POST", "composite/sobjects", {"records": rows("Li")})
    assert errors(row) == ["DUPLICATES_DETECTED"]
    assert front.ask("POST", "sobjects/Contact", again).status == 201
    assert len(faults.log()) == 2


def test_a_full_org_takes_nothing_once(front: Front, faults: Faults) -> None:
    faults.add([Fault("limit", options={"kind": "storage"})])
    assert front.error(front.ask("POST", "sobjects/Contact", {"LastName": "A"})) == (400, "STORAGE_LIMIT_EXCEEDED")
    front.create("Contact", LastName="A")


@pytest.mark.fact("salesforce:exceeded_id_limit")
@pytest.mark.parametrize("path", ["updated", "deleted"])
def test_too_many_ids_once(front: Front, faults: Faults, clock: DeskClock, path: str) -> None:
    window = {"start": "2024-05-01T09:00:00Z", "end": "2024-05-01T10:00:00Z"}
    faults.add([Fault("limit", options={"kind": "row_count"})])
    answer = front.ask("GET", f"sobjects/Contact/{path}", query=window)
    assert front.error(answer) == (400, "EXCEEDED_ID_LIMIT")
    assert front.ask("GET", f"sobjects/Contact/{path}", query=window).status == 200


def test_a_workflow_in_the_same_transaction(front: Front, faults: Faults) -> None:
    faults.add([Fault("automation", object="Contact", options={"field": "title", "value": "Set by flow"})])
    front.create("Contact", LastName="A", Title="Mine")
    front.create("Contact", LastName="B", Title="Mine")
    assert front.soql("SELECT Title FROM Contact ORDER BY LastName") == [{"Title": "Set by flow"}, {"Title": "Mine"}]


@pytest.mark.fact("salesforce:system_modstamp")
def test_a_workflow_that_comes_later_moves_the_stamp(front: Front, faults: Faults, clock: DeskClock) -> None:
    faults.add([Fault("automation", object="Contact", seconds=5, options={"field": "Title", "value": "Late"})])
    one = front.create("Contact", LastName="A")
    clock.forward(4)
    assert front.soql("SELECT Title FROM Contact") == [{"Title": None}]
    clock.forward(1)
    assert front.soql("SELECT Id, Title, SystemModstamp FROM Contact") == [
        {"Id": one, "Title": "Late", "SystemModstamp": "2024-05-01T10:00:05.000+0000"}
    ]
    clock.forward(60)
    assert front.soql("SELECT SystemModstamp FROM Contact") == [{"SystemModstamp": "2024-05-01T10:00:05.000+0000"}]


def test_a_change_that_commits_late_keeps_its_stamp(front: Front, faults: Faults, clock: DeskClock) -> None:
    one = front.create("Contact", LastName="Before")
    clock.forward(10)
    faults.add([Fault("late_commit", object="Contact", seconds=60)])
    assert front.ask("PATCH", f"sobjects/Contact/{one}", {"LastName": "After"}).status == 204
    clock.forward(59)
    assert front.names("Id != null") == ["Before"]
    clock.forward(1)
    assert front.soql("SELECT LastName, SystemModstamp FROM Contact") == [
        {"LastName": "After", "SystemModstamp": "2024-05-01T10:00:10.000+0000"}
    ]


def test_the_catalogue_names_what_strikes() -> None:
    assert set(catalogue("salesforce") or {}) == {
        "limit", "server_error", "expire_token", "revoke_token", "rotate_refresh_token", "bad_record", "row_lock",
        "duplicate_rule", "late_commit", "expire_locator", "automation", "webhook_lost", "webhook_doubled",
        "webhook_reordered", "webhook_late",
    }  # fmt: skip
