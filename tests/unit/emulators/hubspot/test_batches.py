"""Batches: envelopes, what is all or nothing, what is partial, what is refused as a whole."""

from __future__ import annotations

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, Inside

GOOD, BAD = {"properties": {"email": "a@x.test"}}, {"properties": {"email": "nobody"}}
KEY = {
    "name": "our_key", "label": "Our key", "type": "string", "fieldType": "text", "groupName": "contactinformation",
    "hasUniqueValue": True,
}  # fmt: skip


@pytest.mark.fact("hubspot:batch_envelope", "hubspot:batch_of_100")
def test_a_batch_has_an_envelope_and_a_hundred_inputs_at_most(inside: Inside) -> None:
    made = inside.batch("contacts", "create", GOOD, {"properties": {"firstname": "Bo"}})
    assert made.status == 201 and made.body["status"] == "COMPLETE" and len(made.body["results"]) == 2
    assert {"startedAt", "completedAt"} <= set(made.body) and "numErrors" not in made.body
    assert inside.batch("contacts", "read", *[{"id": "5"}] * 101).status == 400
    assert inside.batch("contacts", "create").status == 400


@pytest.mark.fact("hubspot:batch_read_missing", "hubspot:batch_read_no_associations")
def test_reading_tells_all_missing_ids_in_one_error(inside: Inside) -> None:
    id = inside.create(email="a@x.test")
    answer = inside.batch("contacts", "read", {"id": id}, {"id": "5"}, {"id": "6"}, properties=["email"])
    assert answer.status == 207 and answer.body["numErrors"] == 1
    (error,) = answer.body["errors"]
    assert error["category"] == "OBJECT_NOT_FOUND" and error["context"]["ids"] == ["5", "6"]
    assert error["message"].startswith("Could not get some CONTACT objects") and "correlationId" not in error
    assert "associations" not in answer.body["results"][0]


def test_reading_by_unique_property_with_history_and_from_the_recycle_bin(inside: Inside) -> None:
    id = inside.create(email="a@x.test", city="Ulm")
    found = inside.batch("contacts", "read", {"id": "A@X.test"}, idProperty="email", propertiesWithHistory=["city"])
    assert found.status == 200 and found.body["results"][0]["propertiesWithHistory"]["city"][0]["value"] == "Ulm"
    inside.batch("contacts", "archive", {"id": id}, {"id": "5"})
    assert inside.batch("contacts", "read", {"id": id}).status == 207
    path = f"{OBJECTS}/contacts/batch/read?archived=true"
    assert inside.post(path, {"inputs": [{"id": id}]})["results"][0]["archived"] is True
    assert inside.batch("contacts", "read", *[{"id": "5"}] * 51, propertiesWithHistory=["city"]).status == 400


@pytest.mark.fact("hubspot:create_all_or_nothing", "hubspot:trace_ids_make_partial")
def test_creating_is_all_or_nothing_unless_every_input_has_its_own_trace_id(inside: Inside) -> None:
    assert inside.batch("contacts", "create", GOOD, BAD).status == 400
    same = [one | {"objectWriteTraceId": "t"} for one in (GOOD, BAD)]
    assert inside.batch("contacts", "create", *same).status == 400
    assert inside.search("contacts") == []
    own = [one | {"objectWriteTraceId": f"t{at}"} for at, one in enumerate((GOOD, BAD))]
    answer = inside.batch("contacts", "create", *own)
    assert answer.status == 207 and answer.body["results"][0]["objectWriteTraceId"] == "t0"
    (error,) = answer.body["errors"]
    assert error["context"]["objectWriteTraceId"] == ["t1"] and error["category"] == "VALIDATION_ERROR"


@pytest.mark.fact("hubspot:batch_create_conflict")
def test_a_taken_email_refuses_the_whole_create_with_409(inside: Inside) -> None:
    id = inside.create(email="a@x.test")
    answer = inside.batch("contacts", "create", {"properties": {"firstname": "Bo"}}, GOOD)
    assert answer.status == 409 and answer.body["message"].endswith(f"Existing ID: {id}")
    assert inside.search("contacts") == [id]


@pytest.mark.fact("hubspot:update_tells_missing")
def test_updating_tells_missing_ids_and_their_trace_ids(inside: Inside) -> None:
    id = inside.create(email="a@x.test")
    inputs = [
        {"id": one, "properties": {"city": "Ulm"}, "objectWriteTraceId": f"t{at}"} for at, one in enumerate((id, "5"))
    ]
    answer = inside.batch("contacts", "update", *inputs)
    assert answer.status == 207 and [one["id"] for one in answer.body["results"]] == [id]
    assert answer.body["errors"][0]["context"] == {"ids": ["5"], "objectWriteTraceId": ["t1"]}
    by_email = inside.batch("contacts", "update", {"id": "a@x.test", "idProperty": "email", "properties": {"zip": "1"}})
    assert by_email.status == 200 and inside.read("contacts", id, "zip", "city")["zip"] == "1"


@pytest.mark.fact("hubspot:duplicate_ids_refused")
def test_an_id_twice_refuses_the_whole_batch_trace_ids_or_not(inside: Inside) -> None:
    id = inside.create(email="a@x.test")
    inputs = [{"id": id, "properties": {"city": "Ulm"}, "objectWriteTraceId": f"t{at}"} for at in range(2)]
    answer = inside.batch("contacts", "update", *inputs)
    assert (answer.status, answer.body["category"]) == (400, "VALIDATION_ERROR")
    assert answer.body["message"].startswith(f"Duplicate IDs found in batch input: [{id}]")


@pytest.mark.fact("hubspot:upsert_tells_new", "hubspot:upsert_by_email_not_partial")
def test_upserting_tells_what_is_new(inside: Inside) -> None:
    inside.post("/crm/v3/properties/contacts", KEY, 201)

    def upsert(city: str, **more: str) -> list[bool]:
        inputs = [
            {"id": key, "idProperty": "our_key", "properties": {"firstname": key, "city": city}, **more}
            for key in ("k1", "k2")
        ]
        answer = inside.batch("contacts", "upsert", *inputs)
        assert answer.status == 200
        return [one["new"] for one in answer.body["results"]]

    assert upsert("Ulm") == [True, True] and upsert("Bonn") == [False, False]
    assert len(inside.search("contacts")) == 2
    one = {"id": "a@x.test", "idProperty": "email", "properties": {}}
    assert inside.batch("contacts", "upsert", one).body["results"][0]["new"] is True
    assert inside.batch("contacts", "upsert", one | {"objectWriteTraceId": "t"}).status == 400
    assert inside.batch("contacts", "upsert", {"id": "x", "properties": {}}).status == 400


@pytest.mark.fact("hubspot:old_merged_ids")
def test_old_merged_ids_work_one_by_one_but_not_in_a_batch_update(inside: Inside) -> None:
    first, second = inside.create(email="a@x.test"), inside.create(email="b@x.test")
    body = {"primaryObjectId": first, "objectIdToMerge": second}
    merged = inside.post(f"{OBJECTS}/contacts/merge", body)["id"]
    one = inside.send("PATCH", f"{OBJECTS}/contacts/{second}", {"properties": {"city": "Ulm"}})
    assert one.status == 200 and one.body["id"] == merged
    assert inside.batch("contacts", "update", {"id": second, "properties": {"city": "Bonn"}}).status == 207
    assert inside.read("contacts", merged, "city")["city"] == "Ulm"
