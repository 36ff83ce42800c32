"""Records of every object: spellings, what a create needs, values, history, pages, recycle bin."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, URL, Inside, to

NOON = "2026-03-01T12:00:00Z"
MINIMAL: dict[str, dict[str, Any]] = {
    "contacts": {"firstname": "Ann"},
    "companies": {"domain": "acme.example"},
    "deals": {"dealname": "Big", "dealstage": "closedwon"},
    "tickets": {"subject": "Broken", "hs_pipeline_stage": "1"},
    "products": {"name": "Bolt"},
    "line_items": {"name": "Bolt", "quantity": 2},
    "quotes": {"hs_title": "Offer", "hs_expiration_date": "2026-12-31"},
    "leads": {"hs_lead_name": "Ann"},
    "notes": {"hs_timestamp": NOON},
    "meetings": {"hs_timestamp": NOON},
    "calls": {"hs_timestamp": NOON},
    "emails": {"hs_timestamp": NOON, "hs_email_direction": "EMAIL"},
    "tasks": {"hs_timestamp": NOON},
}


@pytest.mark.fact("hubspot:object_spellings", "hubspot:stamp_property")
@pytest.mark.parametrize("object", list(MINIMAL))
def test_every_object_is_created_read_changed_listed_and_archived(inside: Inside, object: str) -> None:
    schema = inside.get(f"/crm-object-schemas/v3/schemas/{object}")
    id = inside.create(object, **MINIMAL[object])
    stamp = "lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"
    for spelling in (object, object.upper(), schema["name"], schema["objectTypeId"]):
        read = inside.get(f"{OBJECTS}/{spelling}/{id}")
        assert read["id"] == id and read["properties"]["hs_object_id"] == id and stamp in read["properties"]
    inside.advance(1)
    name, value = next(iter(MINIMAL[object].items()))
    changed = inside.send("PATCH", f"{OBJECTS}/{object}/{id}", {"properties": {name: value}})
    assert changed.status == 200 and changed.body["updatedAt"] > read["updatedAt"]
    assert [one["id"] for one in inside.get(f"{OBJECTS}/{object}")["results"]] == [id]
    assert inside.send("DELETE", f"{OBJECTS}/{object}/{id}").status == 204
    assert inside.get(f"{OBJECTS}/{object}")["results"] == []
    assert inside.get(f"{OBJECTS}/{object}?archived=True")["results"][0]["archivedAt"]


@pytest.mark.fact("hubspot:required_on_create")
@pytest.mark.parametrize(
    ("object", "given", "missing"),
    [
        ("contacts", {"city": "Ulm"}, ["email", "firstname", "lastname"]),
        ("companies", {"city": "Ulm"}, ["name", "domain"]),
        ("deals", {"dealname": "Big"}, ["dealstage"]),
        ("tickets", {"hs_pipeline_stage": "1"}, ["subject"]),
        ("notes", {"hs_note_body": "x"}, ["hs_timestamp"]),
        ("emails", {"hs_timestamp": NOON}, ["hs_email_direction"]),
    ],
)
def test_what_a_create_lacks_is_named(inside: Inside, object: str, given: dict[str, Any], missing: list[str]) -> None:
    answer = inside.send("POST", f"{OBJECTS}/{object}", {"properties": given})
    assert (answer.status, answer.body["category"]) == (400, "VALIDATION_ERROR")
    assert answer.body["context"]["properties"] == missing


@pytest.mark.fact("hubspot:default_properties", "hubspot:null_for_empty", "hubspot:unknown_name_ignored_on_reads")
def test_reads_give_default_properties_or_those_asked_for(inside: Inside) -> None:
    id = inside.create(email="a@x.test", city="Ulm")
    technical = {"createdate", "lastmodifieddate", "hs_object_id"}
    assert set(inside.get(f"{OBJECTS}/contacts/{id}")["properties"]) == technical | {"email", "firstname", "lastname"}
    asked = inside.read("contacts", id, "city", "phone", "nickname")
    assert set(asked) == technical | {"city", "phone"} and asked["phone"] is None
    note = inside.create("notes", hs_timestamp=NOON, hs_note_body="x")
    technical = {"hs_createdate", "hs_lastmodifieddate", "hs_object_id"}
    assert set(inside.get(f"{OBJECTS}/notes/{note}")["properties"]) == technical


@pytest.mark.fact("hubspot:status_201_on_create", "hubspot:location_header", "hubspot:correlation_id")
def test_a_create_answers_201_with_its_location(inside: Inside) -> None:
    answer = inside.send("POST", f"{OBJECTS}/contacts", {"properties": {"email": "a@x.test"}})
    assert answer.status == 201 and answer.headers["location"].endswith(f"/contacts/{answer.body['id']}")
    refused = inside.send("GET", f"{OBJECTS}/contacts/5")
    assert refused.headers["x-hubspot-correlation-id"] == refused.body["correlationId"]
    assert refused.headers["content-type"] == "application/json;charset=utf-8"


@pytest.mark.fact("hubspot:values_are_texts", "hubspot:datetime_values", "hubspot:date_values", "hubspot:enumerations")
@pytest.mark.parametrize(
    ("object", "name", "given", "kept"),
    [
        ("companies", "annualrevenue", 1.50, "1.5"),
        ("deals", "closedate", 1_700_000_000_000, "2023-11-14T22:13:20Z"),
        ("deals", "closedate", "2026-01-02T03:04:05.678+01:00", "2026-01-02T02:04:05.678Z"),
        ("quotes", "hs_expiration_date", 1_767_225_600_000, "2026-01-01"),
        ("tickets", "hs_ticket_category", "BILLING_ISSUE;PRODUCT_ISSUE", "BILLING_ISSUE;PRODUCT_ISSUE"),
        ("contacts", "city", "", None),
    ],
)
def test_values_are_kept_as_texts(inside: Inside, object: str, name: str, given: Any, kept: str | None) -> None:
    id = inside.create(object, **{**MINIMAL[object], name: given})
    assert inside.read(object, id, name)[name] == kept


@pytest.mark.fact("hubspot:semicolon_appends")
def test_a_leading_semicolon_appends_to_a_multi_select(inside: Inside) -> None:
    id = inside.create("tickets", **MINIMAL["tickets"], hs_ticket_category="BILLING_ISSUE")
    path = f"{OBJECTS}/tickets/{id}"
    for sent, kept in ((";PRODUCT_ISSUE", "BILLING_ISSUE;PRODUCT_ISSUE"), ("FEATURE_REQUEST", "FEATURE_REQUEST")):
        answer = inside.send("PATCH", path, {"properties": {"hs_ticket_category": sent}})
        assert answer.body["properties"]["hs_ticket_category"] == kept


@pytest.mark.fact("hubspot:bad_values")
@pytest.mark.parametrize(
    ("object", "name", "value", "code"),
    [
        ("deals", "closedate", "soon", "INVALID_DATE"),
        ("quotes", "hs_expiration_date", 1_767_225_600_001, "INVALID_DATE"),
        ("companies", "numberofemployees", "1,000", "INVALID_LONG"),
        ("deals", "dealstage", "won", "INVALID_OPTION"),
        ("deals", "hubspot_owner_id", "63510001", "INVALID_OPTION"),
        ("contacts", "email", "nobody", "INVALID_EMAIL"),
        ("contacts", "hs_email_optout", "true", "READ_ONLY_VALUE"),
        ("contacts", "nickname", "x", "PROPERTY_DOESNT_EXIST"),
    ],
)
def test_bad_values_are_told_twice(inside: Inside, object: str, name: str, value: Any, code: str) -> None:
    answer = inside.send("POST", f"{OBJECTS}/{object}", {"properties": {**MINIMAL[object], name: value}})
    assert (answer.status, answer.body["category"]) == (400, "VALIDATION_ERROR")
    assert answer.body["message"].startswith('Property values were not valid: [{"isValid":false,')
    assert answer.body["errors"][0]["code"] == code and answer.body["errors"][0]["context"]["propertyName"] == [name]


@pytest.mark.fact("hubspot:lifecycle_forward")
def test_a_lifecycle_stage_only_moves_forward_unless_it_is_cleared(inside: Inside) -> None:
    id = inside.create(firstname="Ann", lifecyclestage="customer")
    for sent, kept in (("lead", "customer"), ("", None), ("lead", "lead"), ("evangelist", "evangelist")):
        inside.send("PATCH", f"{OBJECTS}/contacts/{id}", {"properties": {"lifecyclestage": sent}})
        assert inside.read("contacts", id, "lifecyclestage")["lifecyclestage"] == kept


@pytest.mark.fact("hubspot:history", "hubspot:history_limit")
def test_history_tells_former_values_newest_first(inside: Inside) -> None:
    id = inside.create(firstname="Ann", city="Ulm")
    for city in ("Bonn", "Kiel"):
        inside.advance(60)
        inside.send("PATCH", f"{OBJECTS}/contacts/{id}", {"properties": {"city": city, "firstname": "Ann"}})
    told = inside.get(f"{OBJECTS}/contacts/{id}?propertiesWithHistory=city&propertiesWithHistory=firstname")
    history = told["propertiesWithHistory"]
    assert [one["value"] for one in history["city"]] == ["Kiel", "Bonn", "Ulm"]
    assert [one["value"] for one in history["firstname"]] == ["Ann"]
    assert history["city"][0]["timestamp"] > history["city"][2]["timestamp"] == told["createdAt"]
    assert history["city"][0]["sourceType"] == "INTEGRATION"
    assert inside.refused("GET", f"{OBJECTS}/contacts?limit=51&propertiesWithHistory=city")[0] == 400
    listed = inside.get(f"{OBJECTS}/contacts?limit=50&propertiesWithHistory=city")["results"]
    assert listed[0]["propertiesWithHistory"]["city"][0]["value"] == "Kiel"


@pytest.mark.fact("hubspot:list_paging", "hubspot:absolute_links")
def test_lists_are_followed_by_their_links(inside: Inside) -> None:
    ids = [inside.create(firstname=f"n{at}") for at in range(5)]
    path, seen = f"{OBJECTS}/contacts?limit=2&properties=firstname&properties=city", []
    while path:
        page = inside.get(path)
        seen += [one["id"] for one in page["results"]]
        link = page.get("paging", {}).get("next", {}).get("link", "")
        assert not link or (link.startswith(URL) and link.count("properties=") == 2)
        path = link.removeprefix(URL)
    assert seen == ids


@pytest.mark.fact("hubspot:limit_of_lists")
def test_a_list_has_ten_records_unless_asked_and_a_hundred_at_most(inside: Inside) -> None:
    for at in range(11):
        inside.create(firstname=f"n{at}")
    assert len(inside.get(f"{OBJECTS}/contacts")["results"]) == 10
    assert inside.refused("GET", f"{OBJECTS}/contacts?limit=101") == (400, "VALIDATION_ERROR")


@pytest.mark.fact("hubspot:inline_associations", "hubspot:inline_ids_repeat")
def test_inline_associations_have_an_entry_for_each_label_and_a_link_behind_a_hundred(inside: Inside) -> None:
    company = inside.create("companies", name="Acme")
    first = inside.create(firstname="Ann", associations=[to(company, 1)])
    for at in range(100):
        inside.create(firstname=f"n{at}", associations=[to(company, 279)])
    shown = inside.get(f"{OBJECTS}/contacts/{first}?associations=companies,deals,notes")
    assert shown["associations"] == {
        "companies": {
            "results": [
                {"id": company, "type": "contact_to_company"},
                {"id": company, "type": "contact_to_company_unlabeled"},
            ]
        }
    }
    people = inside.get(f"{OBJECTS}/companies/{company}?associations=contact")["associations"]["contacts"]
    assert len(people["results"]) == 100
    rest = inside.get(people["paging"]["next"]["link"].removeprefix(URL))
    assert len(rest["results"]) == 2 and "paging" not in rest


@pytest.mark.fact("hubspot:not_found_wording")
def test_a_record_that_is_not_there_is_worded_by_its_id(inside: Inside) -> None:
    numeric = inside.send("GET", f"{OBJECTS}/contacts/5")
    assert numeric.status == 404 and numeric.body["message"] == "resource not found"
    assert "category" not in numeric.body
    named = inside.send("GET", f"{OBJECTS}/contacts/abc")
    assert named.status == 404 and named.body["category"] == "OBJECT_NOT_FOUND"
    assert named.body["message"] == "Object not found.  objectId are usually numeric."
    assert named.body["context"] == {"id": ["abc"]}


@pytest.mark.fact("hubspot:delete_is_archive", "hubspot:id_property")
def test_archived_records_are_only_found_as_archived(inside: Inside) -> None:
    id = inside.create(email="a@x.test")
    assert inside.get(f"{OBJECTS}/contacts/A%40x.test?idProperty=email")["id"] == id
    for _ in range(2):
        assert inside.send("DELETE", f"{OBJECTS}/contacts/{id}").status == 204
    assert inside.send("GET", f"{OBJECTS}/contacts/{id}").status == 404
    assert inside.get(f"{OBJECTS}/contacts/{id}?archived=true")["archived"] is True
    assert inside.send("GET", f"{OBJECTS}/contacts/a@x.test?idProperty=email").status == 404
    again = inside.create(email="a@x.test")
    assert again != id and inside.refused("GET", f"{OBJECTS}/contacts/x?idProperty=city")[0] == 400


@pytest.mark.fact("hubspot:email_unique", "hubspot:conflict_names_id", "hubspot:companies_not_deduplicated")
def test_an_email_is_taken_once_whatever_its_case_and_a_domain_any_number_of_times(inside: Inside) -> None:
    id = inside.create(email="Ann@X.test")
    answer = inside.send("POST", f"{OBJECTS}/contacts", {"properties": {"email": "ann@x.TEST"}})
    assert (answer.status, answer.body["category"]) == (409, "CONFLICT")
    assert answer.body["message"] == f"Contact already exists. Existing ID: {id}"
    assert inside.create("companies", domain="a.example") != inside.create("companies", domain="a.example")
