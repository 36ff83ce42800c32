"""What the portal is made of: properties, groups, pipelines, owners, custom objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, URL, Inside, to

PROPERTIES, PIPELINES = "/crm/v3/properties/contacts", "/crm/v3/pipelines"
OURS = {
    "name": "ours", "label": "Ours", "type": "enumeration", "fieldType": "select", "groupName": "contactinformation",
    "options": [{"label": "One", "value": "1"}],
}  # fmt: skip


@pytest.mark.fact("hubspot:properties_unpaged", "hubspot:property_definition")
def test_properties_come_in_one_list(inside: Inside) -> None:
    found = {one["name"]: one for one in inside.get(PROPERTIES)["results"]}
    assert found["email"]["hubspotDefined"] is True and found["email"]["type"] == "string"
    assert found["hs_object_id"]["modificationMetadata"]["readOnlyValue"] is True
    assert found["hubspot_owner_id"]["referencedObjectType"] == "OWNER"
    assert [one["name"] for one in inside.get("/properties/v2/contact/properties")] == list(found)
    legacy = {one["name"]: one for one in inside.get("/properties/v1/companies/properties")}
    assert legacy["hs_object_id"]["readOnlyValue"] is True and legacy["name"]["deleted"] is False
    assert inside.get("/companies/v2/properties") == list(legacy.values())
    stages = {one["name"]: one for one in inside.get("/crm/v3/properties/deals")["results"]}["dealstage"]["options"]
    assert [one["value"] for one in stages][:2] == ["appointmentscheduled", "qualifiedtobuy"]


@pytest.mark.fact("hubspot:property_lifecycle")
def test_a_property_is_made_changed_archived_and_made_again(inside: Inside) -> None:
    made = inside.post(PROPERTIES, OURS, 201)
    assert made["hubspotDefined"] is False and made["hasUniqueValue"] is False
    assert inside.refused("POST", PROPERTIES, OURS)[0] == 409
    more = {"options": [{"label": "Two", "value": "2"}], "label": "Mine", "hasUniqueValue": True}
    changed = inside.send("PATCH", f"{PROPERTIES}/ours", more).body
    assert (changed["label"], changed["options"][0]["value"], changed["hasUniqueValue"]) == ("Mine", "2", False)
    id = inside.create(firstname="A", ours="2")
    assert inside.send("DELETE", f"{PROPERTIES}/ours").status == 204
    assert inside.send("GET", f"{PROPERTIES}/ours").status == 404
    assert [one["name"] for one in inside.get(f"{PROPERTIES}?archived=true")["results"]] == ["ours"]
    assert "ours" not in inside.read("contacts", id, "ours")
    gone = inside.send("PATCH", f"{OBJECTS}/contacts/{id}", {"properties": {"ours": "2"}})
    assert gone.body["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    inside.post(PROPERTIES, OURS, 201)
    assert inside.refused("DELETE", f"{PROPERTIES}/email")[0] == 400


@pytest.mark.parametrize(
    "change",
    [
        {"label": ""}, {"name": "Ours!"}, {"fieldType": "text"}, {"groupName": "nowhere"}, {"options": []},
        {"hasUniqueValue": True}, {"type": "bool", "fieldType": "booleancheckbox"},
    ],
)  # fmt: skip
def test_wrong_definitions_are_refused(inside: Inside, change: dict[str, Any]) -> None:
    assert inside.refused("POST", PROPERTIES, OURS | change) == (400, "VALIDATION_ERROR")


@pytest.mark.fact("hubspot:ten_unique_properties", "hubspot:unique_property")
def test_ten_properties_of_an_object_are_unique_at_most(inside: Inside) -> None:
    key = {**OURS, "type": "string", "fieldType": "text", "options": [], "hasUniqueValue": True}
    inputs = [{**key, "name": f"key{at}"} for at in range(11)]
    answer = inside.send("POST", f"{PROPERTIES}/batch/create", {"inputs": inputs})
    assert answer.status == 207 and len(answer.body["results"]) == 10 and answer.body["numErrors"] == 1
    inside.create(firstname="A", key0="x")
    taken = inside.send("POST", f"{OBJECTS}/contacts", {"properties": {"firstname": "B", "key0": "x"}})
    assert (taken.status, taken.body["errors"][0]["code"]) == (400, "CONFLICTING_UNIQUE_VALUE")
    read = inside.send("POST", f"{PROPERTIES}/batch/read", {"inputs": [{"name": "key0"}, {"name": "nothing"}]})
    assert read.status == 207 and read.body["results"][0]["hasUniqueValue"] is True
    archived = inside.send("POST", f"{PROPERTIES}/batch/archive", {"inputs": [{"name": "key0"}]})
    assert archived.status == 204 and inside.send("GET", f"{PROPERTIES}/key0").status == 404


def test_property_groups(inside: Inside) -> None:
    base = f"{PROPERTIES}/groups"
    assert inside.post(base, {"name": "ours", "label": "Ours"}, 201)["label"] == "Ours"
    assert inside.refused("POST", base, {"name": "ours", "label": "Ours"})[0] == 409
    assert {one["name"] for one in inside.get(base)["results"]} == {"contactinformation", "ours"}
    inside.post(PROPERTIES, OURS | {"groupName": "ours"}, 201)
    assert inside.send("PATCH", f"{base}/ours", {"label": "Mine"}).body["label"] == "Mine"
    assert inside.refused("DELETE", f"{base}/ours")[0] == 400
    inside.send("DELETE", f"{PROPERTIES}/ours")
    assert inside.send("DELETE", f"{base}/ours").status == 204 and inside.send("GET", f"{base}/ours").status == 404


@pytest.mark.fact("hubspot:default_pipelines", "hubspot:pipeline_metadata_texts")
def test_the_default_pipelines(inside: Inside) -> None:
    (deals,) = inside.get(f"{PIPELINES}/deals")["results"]
    (tickets,) = inside.get(f"{PIPELINES}/0-5")["results"]
    assert (deals["id"], tickets["id"]) == ("default", "0") and inside.get(f"{PIPELINES}/contacts")["results"] == []
    assert [one["id"] for one in tickets["stages"]] == ["1", "2", "3", "4"]
    assert deals["stages"][0]["metadata"] == {"probability": "0.2", "isClosed": "false"}
    assert tickets["stages"][3]["metadata"]["ticketState"] == "CLOSED"


def test_a_record_is_in_the_pipeline_of_its_stage(inside: Inside) -> None:
    id = inside.create("deals", dealname="D", dealstage="closedwon")
    assert inside.read("deals", id, "pipeline")["pipeline"] == "default"
    stages = [{"label": "Open", "metadata": {"probability": "0.5"}}]
    made = inside.post(f"{PIPELINES}/deals", {"label": "Partners", "displayOrder": 1, "stages": stages}, 201)
    stage = made["stages"][0]["id"]
    assert inside.refused("POST", f"{PIPELINES}/deals", {"label": "partners", "stages": stages})[0] == 409
    path = f"{OBJECTS}/deals/{id}"
    assert inside.send("PATCH", path, {"properties": {"dealstage": stage}}).status == 400
    moved = inside.send("PATCH", path, {"properties": {"dealstage": stage, "pipeline": made["id"]}})
    assert moved.status == 200
    one = f"{PIPELINES}/deals/{made['id']}"
    assert inside.refused("DELETE", one)[0] == 400 and inside.refused("DELETE", f"{one}/stages/{stage}")[0] == 400
    second = inside.post(f"{one}/stages", {"label": "Won", "metadata": {"probability": 1.0}}, 201)
    patched = inside.send("PATCH", f"{one}/stages/{second['id']}", {"metadata": {"isClosed": True}}).body
    assert patched["metadata"] == {"probability": "1.0", "isClosed": "true"}
    assert inside.get(f"{one}/stages/{second['id']}")["label"] == "Won"
    assert inside.send("PATCH", one, {"label": "Resellers"}).body["label"] == "Resellers"
    assert inside.send("DELETE", f"{one}/stages/{second['id']}").status == 204
    assert [x["id"] for x in inside.get(f"{one}/stages")["results"]] == [stage]
    inside.send("DELETE", path)
    assert inside.send("PUT", one, {"label": "R", "stages": stages}).body["stages"][0]["label"] == "Open"
    assert inside.send("DELETE", one).status == 204 and inside.send("GET", one).status == 404
    assert inside.refused("POST", f"{PIPELINES}/deals", {"label": "x", "stages": [{"label": "y"}]})[0] == 400


@pytest.mark.fact("hubspot:owners", "hubspot:owner_id_is_not_user_id")
def test_owners(inside: Inside) -> None:
    for path in ("/crm/v3/owners", "/crm/v3/owners/"):
        assert [one["type"] for one in inside.get(path)["results"]] == ["PERSON", "PERSON", "QUEUE"]
    (gone,) = inside.get("/crm/v3/owners/?archived=true")["results"]
    assert gone["userId"] is None and gone["userIdIncludingInactive"]
    (one,) = inside.get("/crm/v3/owners/?email=second@emulator.test")["results"]
    assert one["userId"] != int(one["id"])
    assert inside.get(f"/crm/v3/owners/{one['userId']}?idProperty=userId") == inside.get(f"/crm/v3/owners/{one['id']}")
    page = inside.get("/crm/v3/owners/?limit=2")
    assert len(inside.get(page["paging"]["next"]["link"].removeprefix(URL))["results"]) == 1
    assert (
        inside.refused("GET", "/crm/v3/owners/5")[0] == 404
        and inside.refused("GET", "/crm/v3/owners/?limit=0")[0] == 400
    )


CARS = {
    "name": "Car", "labels": {"singular": "Car", "plural": "Cars"}, "primaryDisplayProperty": "plate",
    "requiredProperties": ["plate"], "searchableProperties": ["plate"], "associatedObjects": ["CONTACT"],
    "properties": [
        {"name": "plate", "label": "Plate", "type": "string", "fieldType": "text", "hasUniqueValue": True},
        {"name": "doors", "label": "Doors", "type": "number", "fieldType": "number"},
    ],
}  # fmt: skip


@pytest.mark.fact("hubspot:schemas_both_paths", "hubspot:custom_object_spellings")
@pytest.mark.parametrize("base", ["/crm-object-schemas/v3/schemas", "/crm/v3/schemas"])
def test_a_custom_object_lives_like_a_standard_one(inside: Inside, base: str) -> None:
    made = inside.post(base, CARS, 201)
    assert made["objectTypeId"].startswith("2-") and made["fullyQualifiedName"].endswith("_Car")
    assert {"plate", "doors", "hs_object_id"} <= {one["name"] for one in made["properties"]}
    assert inside.refused("POST", base, CARS)[0] == 409 and inside.get(base)["results"][0]["name"] == "Car"
    id = inside.create("p_car", plate="U-1", doors=4)
    for spelling in ("car", "CAR", "p_Car", made["objectTypeId"], made["fullyQualifiedName"]):
        assert inside.get(f"{OBJECTS}/{spelling}/{id}?properties=doors")["properties"]["doors"] == "4"
    assert inside.refused("POST", f"{OBJECTS}/car", {"properties": {"doors": 4}})[0] == 400
    assert inside.search("car", query="u-1") == [id]
    upserted = inside.batch("car", "upsert", {"id": "U-1", "idProperty": "plate", "properties": {"doors": "2"}})
    assert upserted.body["results"][0]["new"] is False
    link = next(one for one in made["associations"] if one["toObjectTypeId"] == "0-1")
    contact = inside.create(firstname="A")
    second = inside.create("car", plate="U-2", associations=[to(contact, int(link["id"]), "USER_DEFINED")])
    shown = inside.get(f"{OBJECTS}/car/{second}?associations=contacts")["associations"]["contacts"]["results"]
    assert shown == [{"id": contact, "type": "car_to_contact"}]
    assert inside.refused("DELETE", f"{base}/car")[0] == 400
    changed = inside.send("PATCH", f"{base}/car", {"requiredProperties": ["plate", "doors"]})
    assert (
        changed.status == 200 and inside.refused("POST", f"{OBJECTS}/car", {"properties": {"plate": "U-3"}})[0] == 400
    )
    joined = inside.post(f"{base}/car/associations", {"fromObjectTypeId": "car", "toObjectTypeId": "DEAL"}, 201)
    assert inside.send("DELETE", f"{base}/car/associations/{joined['id']}").status == 204
    inside.batch("car", "archive", {"id": id}, {"id": second})
    assert inside.send("DELETE", f"{base}/car").status == 204 and inside.get(base)["results"] == []
    assert inside.send("DELETE", f"{base}/car?archived=true").status == 204
    assert inside.refused("GET", f"{OBJECTS}/car")[0] == 400
    assert inside.refused("POST", base, CARS | {"requiredProperties": ["colour"]})[0] == 400


def test_custom_objects_labels_and_groups_survive_a_restart(tmp_path: Path) -> None:
    first = Inside(tmp_path)
    first.post("/crm/v3/schemas", CARS, 201)
    first.post("/crm/v4/associations/car/contacts/labels", {"label": "Drives", "name": "drives"})
    first.post("/crm/v3/pipelines/car", {"label": "Care", "stages": [{"label": "New"}]}, 201)
    id = first.create("car", plate="U-1")
    first.close()
    second = Inside(tmp_path)
    assert second.read("car", id, "plate")["plate"] == "U-1"
    assert "Drives" in [one["label"] for one in second.get("/crm/v4/associations/car/contacts/labels")["results"]]
    assert second.get("/crm/v3/pipelines/car")["results"][0]["label"] == "Care"
    second.close()


def test_a_file_declares_fields_and_objects(tmp_path: Path) -> None:
    declared = {
        "objects": {
            "contacts": {"fields": {"shoe_size": {"type": "number"}}},
            "boats": {"label": "Boat", "fields": {"sail": {"type": "string", "required": True}}},
        }
    }
    one = Inside(tmp_path, declared)
    id = one.create(firstname="A", shoe_size="42")
    assert one.read("contacts", id, "shoe_size")["shoe_size"] == "42"
    boat = one.create("p_boats", sail="white")
    (schema,) = one.get("/crm/v3/schemas")["results"]
    assert schema["labels"]["singular"] == "Boat" and one.read(schema["objectTypeId"], boat, "sail")["sail"] == "white"
    assert one.refused("POST", f"{OBJECTS}/boats", {"properties": {}})[0] == 400
    one.close()
