"""Every fault of HubSpot's own strikes as it says, once, is logged, and then stops."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, SECRET, Inside, to, where
from tests.unit.emulators.hubspot.test_webhooks import URL, Receiver

CONTACTS = f"{OBJECTS}/contacts"
REFRESH = {"client_id": "app", "client_secret": SECRET, "grant_type": "refresh_token", "refresh_token": "refresh"}


@pytest.mark.fact("hubspot:limit_answers", "hubspot:migration_477")
@pytest.mark.parametrize(
    ("kind", "status", "message"),
    [
        ("ten_secondly_rolling", 429, "You have reached your ten_secondly_rolling limit."),
        ("daily", 429, "You have reached your daily limit."),
        ("secondly", 429, "You have reached your secondly limit."),
        ("migration", 477, ""),
    ],
)  # fmt: skip
def test_each_limit_answers_in_its_own_words(inside: Inside, kind: str, status: int, message: str) -> None:
    inside.arm("limit", kind=kind, object="contacts")
    assert inside.send("GET", f"{OBJECTS}/deals").status == 200
    over = inside.send("GET", CONTACTS)
    assert over.status == status and over.body["message"].startswith(message)
    assert over.body.get("policyName") == (None if kind in ("secondly", "migration") else kind.upper())
    assert ("retry-after" in over.headers) == (kind == "migration")
    assert inside.send("GET", CONTACTS).status == 200 and inside.struck("limit") == 1


def test_a_limit_says_when_to_retry_if_it_is_told_to(inside: Inside) -> None:
    inside.arm("limit", headers={"Retry-After": "3"})
    assert inside.send("GET", CONTACTS).headers["retry-after"] == "3"


def test_a_server_error_has_hubspots_form_and_no_effect(inside: Inside) -> None:
    inside.arm("server_error", status=502, method="POST")
    answer = inside.send("POST", CONTACTS, {"properties": {"firstname": "A"}})
    assert (answer.status, answer.body["status"]) == (502, "error") and answer.body["correlationId"]
    assert inside.get(CONTACTS)["results"] == [] and inside.struck("server_error") == 1
    inside.create(firstname="A")


@pytest.mark.parametrize(
    ("action", "category"), [("expire_token", "EXPIRED_AUTHENTICATION"), ("revoke_token", "INVALID_AUTHENTICATION")]
)
def test_tokens_end(inside: Inside, action: str, category: str) -> None:
    access = inside.send("POST", "/oauth/v1/token", token=None, form=REFRESH).body["access_token"]
    inside.arm(action, times=2)
    answers = [inside.send("GET", CONTACTS, token=access) for _ in range(2)]
    assert (answers[0].status, answers[0].body["category"]) == (401, category)
    assert inside.send("GET", CONTACTS, token=access).status == 401
    inside.faults.clear()
    again = inside.send("POST", "/oauth/v1/token", token=None, form=REFRESH).body["access_token"]
    assert inside.send("GET", CONTACTS, token=again).status == 200
    inside.arm(action)
    assert [inside.send("GET", CONTACTS).status for _ in range(2)] == [401, 200]


def test_a_refresh_token_is_replaced(inside: Inside) -> None:
    inside.arm("rotate_refresh_token")
    new = inside.send("POST", "/oauth/v1/token", token=None, form=REFRESH).body["refresh_token"]
    assert new != "refresh"
    assert inside.send("POST", "/oauth/v1/token", token=None, form=REFRESH).body["status"] == "BAD_REFRESH_TOKEN"
    kept = inside.send("POST", "/oauth/v1/token", token=None, form=REFRESH | {"refresh_token": new})
    assert kept.body["refresh_token"] == new and inside.struck("rotate_refresh_token") == 1


@pytest.mark.parametrize("deed", ["create", "update", "upsert"])
def test_one_record_of_a_batch_is_refused(inside: Inside, deed: str) -> None:
    ids = [inside.create(email=f"a{at}@x.test") for at in range(2)] if deed == "update" else ["x@x.test", "y@x.test"]
    more = {"idProperty": "email"} if deed == "upsert" else {}
    inputs: list[dict[str, Any]] = [
        {"id": id, "properties": {"firstname": "A", "city": f"c{at}"}, "objectWriteTraceId": f"t{at}", **more}
        for at, id in enumerate(ids)
    ]
    if deed == "upsert":
        inputs = [{key: value for key, value in one.items() if key != "objectWriteTraceId"} for one in inputs]
    inside.arm("bad_record", skip=1, object="contacts")
    answer = inside.batch("contacts", deed, *inputs)
    assert answer.status == (400 if deed == "upsert" else 207) and inside.struck("bad_record") == 1
    assert len(answer.body.get("results", [])) == (0 if deed == "upsert" else 1)
    (error,) = answer.body["errors"]
    assert "INVALID_OPTION" in str(error)
    assert inside.batch("contacts", deed, *inputs).status in (200, 201)


def test_a_record_is_locked(inside: Inside) -> None:
    id = inside.create(firstname="A")
    path = f"{CONTACTS}/{id}"
    inside.arm("row_lock", times=2)
    assert inside.send("PATCH", path, {"properties": {"city": "Ulm"}}).status == 423
    assert inside.send("DELETE", path).status == 423 and inside.struck("row_lock") == 2
    assert inside.send("PATCH", path, {"properties": {"city": "Ulm"}}).status == 200
    inside.arm("row_lock", path=f"^{id}$")
    inside.create(firstname="B")
    assert inside.send("DELETE", path).status == 423


def test_a_duplicate_rule_names_a_record_that_is_there(inside: Inside) -> None:
    id = inside.create("companies", name="A")
    inside.arm("duplicate_rule", object="companies")
    answer = inside.send("POST", f"{OBJECTS}/companies", {"properties": {"name": "B"}})
    assert answer.status == 409 and answer.body["message"] == f"Company already exists. Existing ID: {id}"
    assert inside.create("companies", name="B") != id


def test_a_creation_commits_late_behind_others(inside: Inside) -> None:
    company = inside.create("companies", name="A")
    inside.arm("late_commit", seconds=60, object="contacts")
    late = inside.create(firstname="Late", email="l@x.test", associations=[to(company, 1)])
    inside.advance(10)
    early = inside.create(firstname="Early")
    assert inside.search("contacts") == [early] and inside.send("GET", f"{CONTACTS}/{late}").status == 404
    assert "associations" not in inside.get(f"{OBJECTS}/companies/{company}?associations=contacts")
    inside.advance(50)
    assert inside.search("contacts", sorts=["lastmodifieddate"]) == [late, early]
    assert inside.read("contacts", late)["lastmodifieddate"] == "2026-02-02T02:40:00Z"
    assert inside.get(f"{CONTACTS}/{late}?associations=companies")["associations"]["companies"]["results"]
    assert inside.struck("late_commit") == 1


def test_a_change_commits_late_behind_others(inside: Inside) -> None:
    id = inside.create(firstname="A", city="Ulm")
    inside.advance(5)
    inside.arm("late_commit", seconds=60)
    body = {"properties": {"city": "Bonn"}}
    assert inside.send("PATCH", f"{CONTACTS}/{id}", body).body["properties"]["city"] == "Bonn"
    inside.advance(30)
    read = inside.read("contacts", id, "city")
    assert (read["city"], read["lastmodifieddate"]) == ("Ulm", read["createdate"])
    inside.advance(30)
    read = inside.read("contacts", id, "city")
    assert (read["city"], read["lastmodifieddate"]) == ("Bonn", "2026-02-02T02:40:05Z")
    assert inside.search("contacts", where("lastmodifieddate", "GT", 1_770_000_005_000)) == []


def test_a_late_creation_gives_way_to_whoever_took_its_address(inside: Inside) -> None:
    inside.arm("late_commit", seconds=60)
    late = inside.create(email="a@x.test")
    taken = inside.create(email="a@x.test")
    inside.advance(60)
    assert inside.search("contacts") == [taken] and inside.send("GET", f"{CONTACTS}/{late}").status == 404


def test_a_workflow_changes_a_field_after_a_write(inside: Inside) -> None:
    receiver = Receiver(inside)
    inside.hooks.subscribe(URL, {"events": ["contact.propertyChange"]})
    inside.arm("automation", object="contacts", field="city", value="Ulm", times=2)
    id = inside.create(firstname="A")
    read = inside.read("contacts", id, "city")
    assert read["city"] == "Ulm" and read["lastmodifieddate"] == "2026-02-02T02:40:00.001Z"
    assert receiver.events()[-1]["changeSource"] == "AUTOMATION_PLATFORM"
    inside.advance(1)
    inside.send("PATCH", f"{CONTACTS}/{id}", {"properties": {"city": "Bonn"}})
    assert inside.read("contacts", id, "city")["city"] == "Ulm" and inside.struck("automation") == 2
    inside.send("PATCH", f"{CONTACTS}/{id}", {"properties": {"city": "Bonn"}})
    assert inside.read("contacts", id, "city")["city"] == "Bonn"


@pytest.mark.fact("hubspot:webhook_no_order")
def test_webhooks_are_lost_doubled_reordered_and_late(inside: Inside) -> None:
    receiver = Receiver(inside)
    inside.hooks.subscribe(URL, {"events": ["contact.creation"]})

    def made(*actions: dict[str, Any]) -> list[int]:
        for one in actions:
            inside.arm(**one)
        ids.extend(inside.create(firstname="A") for _ in range(2))
        return [ids.index(str(event["objectId"])) for event in receiver.events()]

    ids: list[str] = []
    assert made() == [0, 1]
    assert made({"action": "webhook_lost"}) == [3]
    assert sorted(made({"action": "webhook_doubled"})) == [4, 4, 5]
    assert made({"action": "webhook_reordered"}) == [7, 6]
    assert made({"action": "webhook_late", "seconds": 60}) == [9]
    inside.advance(60)
    assert [ids.index(str(event["objectId"])) for event in receiver.events()] == [8]
    assert made() == [10, 11]


def test_a_fault_that_hubspot_does_not_know_is_refused(inside: Inside) -> None:
    answer = inside.send("POST", "/__emulator__/faults", {"action": "expire_locator"})
    assert answer.status == 400 and "expire_locator" in answer.body["error"]
