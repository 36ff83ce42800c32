"""What taps and HubSpot's newest SDK look at besides the objects that everybody syncs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, TOKEN, Inside, to

NOON = "2026-03-01T12:00:00Z"


@pytest.mark.fact("hubspot:engagements_more")
@pytest.mark.parametrize(("object", "type_id"), [("communications", 81), ("postal_mail", 453)])
def test_more_engagements(inside: Inside, object: str, type_id: int) -> None:
    assert inside.refused("POST", f"{OBJECTS}/{object}", {"properties": {}}) == (400, "VALIDATION_ERROR")
    contact = inside.create(email="a@x.test")
    id = inside.create(object, [to(contact, type_id)], hs_timestamp=NOON)
    shown = inside.get(f"{OBJECTS}/contacts/{contact}?associations={object}")
    assert [one["id"] for one in next(iter(shown["associations"].values()))["results"]] == [id]
    assert inside.get(f"{OBJECTS}/{object}/{id}")["properties"]["hs_createdate"]


@pytest.mark.fact("hubspot:feedback_is_read_only")
def test_feedback_is_only_read(inside: Inside) -> None:
    path = f"{OBJECTS}/feedback_submissions"
    answer = inside.send("POST", path, {"properties": {"hs_content": "Fine"}})
    assert (answer.status, answer.body["category"]) == (501, "NOT_EMULATED") and path in answer.body["message"]
    id = inside.desk.create("feedback_submissions", {"hs_content": "Fine"}, {})
    assert [one["id"] for one in inside.get(path)["results"]] == [id]
    assert inside.search("feedback_submissions") == [id]
    assert inside.send("DELETE", f"{path}/{id}").status == 501


def test_goals(inside: Inside) -> None:
    id = inside.create(
        "goal_targets", hs_goal_name="G", hs_target_amount=5, hs_start_datetime=NOON, hs_end_datetime=NOON,
        hs_created_by_user_id=63510001,
    )  # fmt: skip
    assert inside.read("goal_targets", id, "hs_target_amount")["hs_target_amount"] == "5"


def test_nothing_is_associated_with_an_object_that_is_not_emulated(inside: Inside) -> None:
    inside.create(email="a@x.test")
    found = inside.get(f"{OBJECTS}/contacts?associations=conversations,orders")["results"]
    assert len(found) == 1 and "associations" not in found[0]
    assert inside.refused("GET", f"{OBJECTS}/orders") == (501, "NOT_EMULATED")
    assert inside.refused("GET", f"{OBJECTS}/contacts?associations=unicorns") == (400, "VALIDATION_ERROR")


@pytest.mark.fact("hubspot:users")
def test_users_are_the_people_among_the_owners(inside: Inside) -> None:
    first = inside.get("/settings/v3/users/?limit=1")
    assert first["results"][0]["id"] == "63510001" and first["paging"]["next"]["after"] == "1"
    rest = inside.get("/settings/users/2026-03?limit=1&after=1")
    assert [one["email"] for one in rest["results"]] == ["second@emulator.test"] and "paging" not in rest
    assert inside.get("/settings/v3/users/person@emulator.test?idProperty=EMAIL") == first["results"][0]
    assert inside.get("/settings/v3/users/teams") == {"results": []} == inside.get("/settings/v3/users/roles")
    assert inside.send("GET", "/settings/v3/users/5").status == 404


@pytest.mark.fact("hubspot:schemas_batch_read")
def test_schemas_are_read_in_a_batch(inside: Inside) -> None:
    body = {"inputs": ["0-1", "deal"], "includePropertyDefinitions": False, "includeAssociationDefinitions": True}
    for base in ("/crm-object-schemas/2026-03/schemas", "/crm/v3/schemas"):
        found = inside.post(f"{base}/batch/read", body)
        assert [one["objectTypeId"] for one in found["results"]] == ["0-1", "0-3"]
        assert found["results"][0]["properties"] == [] and found["results"][0]["associations"]
        assert found["results"][0]["allowsSensitiveProperties"] is False
    assert inside.refused("POST", "/crm/v3/schemas/batch/read", {"inputs": []}) == (400, "VALIDATION_ERROR")


@pytest.mark.fact("hubspot:sensitive_properties_apart")
def test_sensitive_properties_are_listed_apart(inside: Inside) -> None:
    path = "/crm/v3/properties/contacts"
    assert inside.get(f"{path}?dataSensitivity=non_sensitive") == inside.get(path)
    assert inside.get(f"{path}?dataSensitivity=sensitive") == {"results": []}
    assert inside.refused("GET", f"{path}?dataSensitivity=secret") == (400, "VALIDATION_ERROR")


@pytest.mark.fact("hubspot:property_keeps_what_it_was_told")
def test_a_property_keeps_what_it_was_told(inside: Inside) -> None:
    option = {"label": "A", "value": "a", "description": "first", "displayOrder": 7, "hidden": True}
    told = {"displayOrder": 3, "hidden": True, "formField": False, "options": [option]}
    facts = {"name": "size", "label": "Size", "type": "enumeration", "fieldType": "select"}
    made = inside.post("/crm/v3/properties/contacts", {**facts, "groupName": "contactinformation", **told}, 201)
    assert {key: made[key] for key in told} == told
    changed = {"displayOrder": 4, "hidden": False, "options": [option | {"description": "only"}]}
    answer = inside.send("PATCH", "/crm/v3/properties/contacts/size", changed)
    assert answer.status == 200 and {key: answer.body[key] for key in changed} == changed
    assert inside.get("/crm/v3/properties/contacts/size") == answer.body


@pytest.mark.fact("hubspot:token_use")
def test_oauth_v3_tells_what_a_token_is_for(inside: Inside) -> None:
    form = {"client_id": "app", "client_secret": "app-secret"}
    for grant, use in (("refresh_token", "access_token"), ("client_credentials", "client_credentials")):
        body = form | {"grant_type": grant, "refresh_token": "refresh"}
        for path in ("/oauth/v3/token", "/oauth/2026-03/token"):
            assert inside.send("POST", path, form=body, token=None).body["token_use"] == use
        assert "token_use" not in inside.send("POST", "/oauth/v1/token", form=body, token=None).body


@pytest.mark.fact("hubspot:private_token_info")
def test_a_private_token_tells_whose_it_is(inside: Inside) -> None:
    path = "/oauth/v2/private-apps/get/access-token-info"
    told = inside.post(path, {"tokenKey": TOKEN})
    assert (
        told["hubId"] == inside.get("/account-info/v3/details")["portalId"]
        and "crm.objects.contacts.read" in told["scopes"]
    )
    owner = inside.get(f"/crm/v3/owners/{told['userId']}?idProperty=userId&archived=false")
    assert owner["email"] == "person@emulator.test"
    assert inside.send("POST", path, {"tokenKey": "pat-na1-other"}).status == 404


@pytest.mark.parametrize(
    "wrong", [{"properties": [{"name": "vin", "label": "VIN", "type": "dream", "fieldType": "text"}]},
              {"associatedObjects": ["UNICORN"]}],
)  # fmt: skip
def test_a_schema_that_was_refused_leaves_nothing_behind(inside: Inside, wrong: dict[str, Any]) -> None:
    path, name = "/crm/v3/schemas", {"singular": "Car", "plural": "Cars"}
    good = {
        "name": "car", "labels": name, "requiredProperties": ["vin"],
        "properties": [{"name": "vin", "label": "VIN", "type": "string", "fieldType": "text"}],
    }  # fmt: skip
    assert inside.refused("POST", path, good | wrong) == (400, "VALIDATION_ERROR")
    assert inside.get(path)["results"] == []
    assert inside.refused("GET", f"{OBJECTS}/car") == (400, "VALIDATION_ERROR")
    assert inside.send("GET", "/crm/v4/associations/contacts/car/labels").status == 400
    assert inside.send("POST", path, good).status == 201
    assert inside.create("car", vin="1")


def test_forms_are_not_emulated(inside: Inside) -> None:
    for path in ("/marketing/v3/forms", "/properties/v2/form/properties", f"{OBJECTS}/forms"):
        assert inside.refused("GET", path) == (501, "NOT_EMULATED")


def test_a_merge_names_both_records(inside: Inside) -> None:
    id = inside.create(email="a@x.test")
    for body in ({}, {"primaryObjectId": id}, {"objectIdToMerge": id}):
        assert inside.refused("POST", f"{OBJECTS}/contacts/merge", body) == (400, "VALIDATION_ERROR")


def test_an_upsert_shows_its_key(inside: Inside) -> None:
    shown = inside.batch("contacts", "upsert", {"id": "a@x.test", "idProperty": "email", "properties": {"city": "Ulm"}})
    assert shown.body["results"][0]["properties"]["email"] == "a@x.test"
