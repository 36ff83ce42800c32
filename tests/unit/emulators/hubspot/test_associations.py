"""Associations: HubSpot's type ids both ways, labels, primary, batches, pages, v3, labels of users."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, URL, Inside, to

V4 = "/crm/v4/objects"
NOON = "2026-03-01T12:00:00Z"


def spec(*ids: int) -> list[dict[str, Any]]:
    return [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": one} for one in ids]


def types(inside: Inside, object: str, id: str, other: str) -> dict[str, list[int]]:
    results = inside.get(f"{V4}/{object}/{id}/associations/{other}")["results"]
    return {str(one["toObjectId"]): sorted(kind["typeId"] for kind in one["associationTypes"]) for one in results}


MADE: dict[str, dict[str, Any]] = {
    "contacts": {"firstname": "Ann"}, "companies": {"name": "Acme"},
    "deals": {"dealname": "D", "dealstage": "closedwon"},
    "tickets": {"subject": "T", "hs_pipeline_stage": "1"}, "line_items": {"name": "L"},
    **{one: {"hs_timestamp": NOON} for one in ("notes", "calls", "meetings", "tasks")},
    "emails": {"hs_timestamp": NOON, "hs_email_direction": "EMAIL"},
}  # fmt: skip


@pytest.mark.fact("hubspot:association_type_ids", "hubspot:engagement_type_ids")
@pytest.mark.parametrize(
    ("object", "other", "there", "back"),
    [
        ("contacts", "companies", 279, 280), ("contacts", "deals", 4, 3), ("contacts", "tickets", 15, 16),
        ("companies", "deals", 342, 341), ("companies", "tickets", 340, 339), ("deals", "tickets", 27, 28),
        ("deals", "line_items", 19, 20), ("contacts", "contacts", 449, 449), ("companies", "companies", 450, 450),
        ("notes", "contacts", 202, 201), ("notes", "tickets", 228, 227), ("calls", "companies", 182, 181),
        ("emails", "deals", 210, 209), ("meetings", "contacts", 200, 199), ("tasks", "tickets", 230, 229),
    ],
)  # fmt: skip
def test_the_default_type_of_a_pair_and_its_way_back(
    inside: Inside, object: str, other: str, there: int, back: int
) -> None:
    first, second = inside.create(object, **MADE[object]), inside.create(other, **MADE[other])
    answer = inside.send("PUT", f"{V4}/{object}/{first}/associations/default/{other}/{second}")
    assert answer.status == 200 and answer.body["results"][0]["associationSpec"]["associationTypeId"] == there
    assert types(inside, object, first, other) == {second: [there]}
    assert types(inside, other, second, object) == {first: [back]}


@pytest.mark.fact("hubspot:primary_brings_unlabeled", "hubspot:one_primary_company")
@pytest.mark.parametrize(("object", "there", "back"), [("contacts", 1, 2), ("deals", 5, 6), ("tickets", 26, 25)])
def test_a_record_has_one_primary_company(inside: Inside, object: str, there: int, back: int) -> None:
    one = inside.create(object, **MADE[object])
    first, second = (inside.create("companies", name=name) for name in "AB")
    path = f"{V4}/{object}/{one}/associations/companies"
    made = inside.send("PUT", f"{path}/{first}", spec(there))
    assert made.status == 201 and made.body["labels"] == ["Primary"]
    assert made.body["fromObjectId"] == int(one) and made.body["toObjectTypeId"] == "0-2"
    inside.send("PUT", f"{V4}/companies/{second}/associations/{object}/{one}", spec(back))
    found = types(inside, object, one, "companies")
    assert (
        there not in found[first]
        and there in found[second]
        and all(len(set(ids)) == len(ids) for ids in found.values())
    )


@pytest.mark.fact("hubspot:put_replaces_labels", "hubspot:removing_unlabeled_removes_all")
def test_setting_types_replaces_labels_and_removing_unlabeled_removes_all(inside: Inside) -> None:
    contact, company = inside.create(firstname="Ann"), inside.create("companies", name="A")
    path = f"{V4}/contacts/{contact}/associations/companies/{company}"
    inside.send("PUT", path, spec(1))
    inside.send("PUT", path, spec(279))
    assert types(inside, "contacts", contact, "companies") == {company: [279]}
    inside.send("PUT", path, spec(1, 279))
    ends = {"from": {"id": contact}, "to": {"id": company}}
    labels = "/crm/v4/associations/contacts/companies/batch/labels/archive"
    assert inside.send("POST", labels, {"inputs": [ends | {"types": spec(1)}]}).status == 204
    assert types(inside, "contacts", contact, "companies") == {company: [279]}
    inside.send("PUT", path, spec(1))
    inside.send("POST", labels, {"inputs": [ends | {"types": spec(279)}]})
    assert types(inside, "companies", company, "contacts") == {}


@pytest.mark.fact("hubspot:types_are_directional")
@pytest.mark.parametrize(("object", "other", "id"), [("contacts", "companies", 280), ("companies", "contacts", 1)])
def test_the_wrong_way_is_refused(inside: Inside, object: str, other: str, id: int) -> None:
    first, second = inside.create(object, **MADE[object]), inside.create(other, **MADE[other])
    answer = inside.send("PUT", f"{V4}/{object}/{first}/associations/{other}/{second}", spec(id))
    assert answer.status == 400 and answer.body["message"].startswith("invalid from object type")


@pytest.mark.fact(
    "hubspot:no_associations_207", "hubspot:association_ids_are_numbers", "hubspot:association_batch_read"
)
def test_a_batch_read_tells_who_has_none(inside: Inside) -> None:
    company = inside.create("companies", name="A")
    employed, alone = inside.create(firstname="A", associations=[to(company, 1)]), inside.create(firstname="B")
    path = "/crm/v4/associations/contacts/companies/batch/read"
    answer = inside.send("POST", path, {"inputs": [{"id": employed}, {"id": alone}]})
    assert answer.status == 207
    (result,) = answer.body["results"]
    assert result["from"] == {"id": employed} and result["to"][0]["toObjectId"] == int(company)
    assert {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"} in result["to"][0]["associationTypes"]
    (error,) = answer.body["errors"]
    assert error["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert error["category"] == "OBJECT_NOT_FOUND" and error["context"]["fromObjectId"] == [alone]
    assert inside.refused("POST", path, {"inputs": [{"id": alone}] * 1001})[0] == 400


@pytest.mark.fact("hubspot:association_pages")
def test_associations_come_in_pages(inside: Inside) -> None:
    company = inside.create("companies", name="A")
    people = [inside.create(firstname=f"n{at}", associations=[to(company, 279)]) for at in range(3)]
    path, seen = f"{V4}/companies/{company}/associations/contacts?limit=2", []
    while path:
        page = inside.get(path)
        seen += [str(one["toObjectId"]) for one in page["results"]]
        path = page.get("paging", {}).get("next", {}).get("link", "").removeprefix(URL)
    assert seen == people
    assert inside.refused("GET", f"{V4}/companies/{company}/associations/contacts?limit=501")[0] == 400
    body = {"inputs": [{"id": company, "after": people[2]}]}
    read = inside.post("/crm/v4/associations/companies/contacts/batch/read", body)
    assert [one["toObjectId"] for one in read["results"][0]["to"]] == [int(people[2])]


def test_batches_of_associations_are_partial_for_records_that_are_gone(inside: Inside) -> None:
    contact, company = inside.create(firstname="A"), inside.create("companies", name="A")
    base = "/crm/v4/associations/contacts/companies/batch"
    good = {"from": {"id": contact}, "to": {"id": company}, "types": spec(1)}
    lost = {"from": {"id": contact}, "to": {"id": "5"}, "types": spec(1)}
    answer = inside.send("POST", f"{base}/create", {"inputs": [good, lost]})
    assert answer.status == 207 and len(answer.body["results"]) == 1
    assert answer.body["errors"][0]["context"]["toObjectId"] == ["5"]
    assert inside.send("POST", f"{base}/associate/default", {"inputs": [good]}).status == 200
    assert types(inside, "contacts", contact, "companies") == {company: [1, 279]}
    gone = {"inputs": [{"from": {"id": contact}, "to": [{"id": company}]}]}
    assert inside.send("POST", f"{base}/archive", gone).status == 204
    assert types(inside, "contacts", contact, "companies") == {}
    path = f"{V4}/contacts/{contact}/associations/companies/{company}"
    assert inside.send("PUT", path, spec(1)).status == 201
    assert [inside.send("DELETE", path).status for _ in range(2)] == [204, 204]


@pytest.mark.fact("hubspot:v3_associations")
def test_v3_names_types(inside: Inside) -> None:
    contact, company = inside.create(firstname="A"), inside.create("companies", name="A")
    base, ends = "/crm/v3/associations/contacts/companies", {"from": {"id": contact}, "to": {"id": company}}
    names = {one["name"] for one in inside.get(f"{base}/types")["results"]}
    assert names == {"contact_to_company", "contact_to_company_unlabeled"}
    inside.post(f"{base}/batch/create", {"inputs": [ends | {"type": "contact_to_company"}]}, 201)
    read = inside.post(f"{base}/batch/read", {"inputs": [{"id": contact}]})
    assert {"id": company, "type": "contact_to_company"} in read["results"][0]["to"]
    inside.send("POST", f"{base}/batch/archive", {"inputs": [ends | {"type": "contact_to_company_unlabeled"}]})
    assert inside.send("POST", f"{base}/batch/read", {"inputs": [{"id": contact}]}).status == 207
    one = f"{OBJECTS}/contacts/{contact}/associations/companies/{company}/contact_to_company_unlabeled"
    assert inside.send("PUT", one).status == 200
    assert inside.get(f"{OBJECTS}/contacts/{contact}/associations/companies")["results"][0]["id"] == company
    assert inside.send("DELETE", one).status == 204
    assert inside.refused("PUT", one.replace("contact_to_company_unlabeled", "owns"))[0] == 400


@pytest.mark.fact("hubspot:user_labels")
@pytest.mark.parametrize("base", ["/crm/v4/associations", "/crm/associations/v4"])
def test_users_define_labels(inside: Inside, base: str) -> None:
    labels = f"{base}/contacts/companies/labels"
    made = inside.post(labels, {"label": "Adviser", "name": "adviser", "inverseLabel": "Advised"})["results"]
    assert [one["label"] for one in made] == ["Adviser", "Advised"] and made[0]["category"] == "USER_DEFINED"
    assert {one["label"] for one in inside.get(labels)["results"]} == {None, "Primary", "Adviser"}
    assert inside.refused("POST", labels, {"label": "Adviser", "name": "x"}) == (409, "CONFLICT")
    company, id = inside.create("companies", name="A"), made[0]["typeId"]
    contact = inside.create(firstname="A", associations=[to(company, id, "USER_DEFINED")])
    assert types(inside, "contacts", contact, "companies") == {company: sorted([id, 279])}
    assert types(inside, "companies", company, "contacts") == {contact: sorted([made[1]["typeId"], 280])}
    other = f"{V4}/contacts/{contact}/associations/companies/{company}"
    assert inside.refused("PUT", other, spec(id)) == (400, "VALIDATION_ERROR")
    renamed = {"associationTypeId": id, "label": "Counsel"}
    assert inside.send("PUT", labels, renamed).status == 204
    assert "Counsel" in [one["label"] for one in inside.get(labels)["results"]]
    assert inside.send("DELETE", f"{labels}/{id}").status == 204
    assert types(inside, "contacts", contact, "companies") == {company: [279]}
    assert inside.refused("DELETE", f"{labels}/279")[0] == 400


def test_archiving_a_record_takes_its_associations_away(inside: Inside) -> None:
    company = inside.create("companies", name="A")
    contact = inside.create(firstname="A", associations=[to(company, 1)])
    inside.send("DELETE", f"{OBJECTS}/companies/{company}")
    assert types(inside, "contacts", contact, "companies") == {}
    lost = inside.send("PUT", f"{V4}/contacts/{contact}/associations/companies/{company}", spec(1))
    assert (lost.status, lost.body["category"]) == (404, "OBJECT_NOT_FOUND")
    assert inside.refused("GET", f"{V4}/notes/5/associations/line_items") == (501, "NOT_EMULATED")
