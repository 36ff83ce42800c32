"""An ordinary session of HubSpot's own Python client with the emulator, and what HubSpot refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hubspot.crm.associations.v4 import AssociationSpec
from hubspot.crm.contacts import (
    BatchInputSimplePublicObjectBatchInput,
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchReadInputSimplePublicObjectId,
    BatchResponseSimplePublicObjectWithErrors,
    PublicObjectSearchRequest,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.contacts.exceptions import ApiException, NotFoundException
from hubspot.crm.properties import PropertyCreate

from tests.unit.emulators.hubspot_portal import Portal


def create(portal: Portal, object: str = "contacts", **properties: str) -> str:
    answer = portal.send("POST", f"/crm/v3/objects/{object}", {"properties": properties})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_the_clients_models_read_and_write_a_contact(client: Any) -> None:
    contacts = client.crm.contacts
    made = contacts.basic_api.create(
        SimplePublicObjectInputForCreate(properties={"email": "a@x.test", "firstname": "Ann"}, associations=[])
    )
    assert made.properties["email"] == "a@x.test" and made.properties["hs_object_id"] == made.id
    contacts.basic_api.update(made.id, SimplePublicObjectInput(properties={"firstname": "", "city": "Ulm"}))
    read = contacts.basic_api.get_by_id("A@X.test", id_property="email", properties=["firstname", "city", "unknown"])
    assert read.properties["firstname"] is None and read.properties["city"] == "Ulm"
    assert "unknown" not in read.properties and "email" not in read.properties
    contacts.basic_api.archive(made.id)
    contacts.basic_api.archive(made.id)
    with pytest.raises(NotFoundException) as gone:
        contacts.basic_api.get_by_id(made.id)
    assert '"category"' not in gone.value.body and "resource not found" in gone.value.body
    assert contacts.basic_api.get_by_id(made.id, archived=True).archived is True


def test_get_all_follows_the_pages(client: Any, portal: Portal) -> None:
    ids = {create(portal, firstname=f"n{number}") for number in range(103)}
    assert {one.id for one in client.crm.contacts.get_all()} == ids
    page = portal.send("GET", "/crm/v3/objects/contact?limit=2&properties=firstname,city").json()
    link = page["paging"]["next"]["link"]
    assert link.startswith(portal.url) and "properties=firstname%2Ccity" in link
    following = portal.send("GET", link.removeprefix(portal.url)).json()
    assert following["results"][0]["id"] == page["paging"]["next"]["after"]


def test_reading_a_batch_lists_all_missing_ids_in_one_error(client: Any, portal: Portal) -> None:
    id = create(portal, firstname="Ann")
    answer = client.crm.contacts.batch_api.read(
        BatchReadInputSimplePublicObjectId(
            inputs=[{"id": id}, {"id": "5"}, {"id": "6"}], properties=["firstname"], properties_with_history=[]
        )
    )
    assert isinstance(answer, BatchResponseSimplePublicObjectWithErrors)
    assert [one.id for one in answer.results] == [id]
    assert answer.num_errors == 1 and answer.errors[0].context["ids"] == ["5", "6"]


def inputs(*properties: dict[str, str], traced: bool) -> BatchInputSimplePublicObjectBatchInputForCreate:
    made = [
        {"properties": one, "associations": [], **({"objectWriteTraceId": f"t{at}"} if traced else {})}
        for at, one in enumerate(properties)
    ]
    return BatchInputSimplePublicObjectBatchInputForCreate(inputs=made)


def test_creating_is_all_or_nothing_unless_every_input_has_a_trace_id(client: Any, portal: Portal) -> None:
    batch_api = client.crm.contacts.batch_api
    good, bad, also_good = {"email": "a@x.test"}, {"email": "no address"}, {"firstname": "Bo"}
    with pytest.raises(ApiException) as refused:
        batch_api.create(inputs(good, bad, also_good, traced=False))
    assert refused.value.status == 400 and "INVALID_EMAIL" in refused.value.body
    assert portal.state.count("contacts") == 0
    answer = batch_api.create(inputs(good, bad, also_good, traced=True))
    assert isinstance(answer, BatchResponseSimplePublicObjectWithErrors)
    assert len(answer.results) == 2 and answer.errors[0].context["objectWriteTraceId"] == ["t1"]
    assert portal.state.count("contacts") == 2


def test_an_email_address_is_taken_whatever_its_case(client: Any, portal: Portal) -> None:
    id = create(portal, email="a@x.test")
    with pytest.raises(ApiException) as refused:
        client.crm.contacts.batch_api.create(inputs({"email": "A@X.TEST"}, traced=False))
    assert refused.value.status == 409 and f"Existing ID: {id}" in refused.value.body
    assert '"CONFLICT"' in refused.value.body


def test_updating_a_batch_names_missing_ids_and_refuses_an_id_twice(client: Any, portal: Portal) -> None:
    id = create(portal, firstname="Ann")
    batch_api = client.crm.contacts.batch_api

    def batch(*ids: str) -> BatchInputSimplePublicObjectBatchInput:
        return BatchInputSimplePublicObjectBatchInput(
            inputs=[{"id": one, "properties": {"city": "Ulm"}, "objectWriteTraceId": f"t{one}"} for one in ids]
        )

    answer = batch_api.update(batch(id, "77"))
    assert answer.errors[0].context == {"ids": ["77"], "objectWriteTraceId": ["t77"]}
    assert answer.results[0].properties["city"] == "Ulm"
    with pytest.raises(ApiException) as refused:
        batch_api.update(batch(id, id))
    assert refused.value.status == 400 and "Duplicate IDs found in batch input" in refused.value.body


def test_a_unique_property_of_our_own_is_created_once_and_held(client: Any, portal: Portal) -> None:
    definition = PropertyCreate(
        name="our_key", label="Our key", type="string", field_type="text", group_name="contactinformation",
        has_unique_value=True, options=[],
    )  # fmt: skip
    made = client.crm.properties.core_api.create("contacts", definition)
    assert made.has_unique_value is True and made.hubspot_defined is False
    again = portal.send(
        "POST", "/crm/v3/properties/contacts", portal.send("GET", "/crm/v3/properties/contacts/our_key").json()
    )
    assert again.status_code == 409
    id = create(portal, firstname="Ann", our_key="k1")
    taken = portal.send("POST", "/crm/v3/objects/contacts", {"properties": {"firstname": "Bo", "our_key": "k1"}})
    assert taken.status_code == 400 and taken.json()["errors"][0]["code"] == "CONFLICTING_UNIQUE_VALUE"
    found = client.crm.contacts.batch_api.read(
        BatchReadInputSimplePublicObjectId(
            inputs=[{"id": "k1"}], id_property="our_key", properties=["our_key"], properties_with_history=[]
        )
    )
    assert [one.id for one in found.results] == [id]


@pytest.mark.parametrize(
    ("object", "properties", "code"),
    [
        ("contacts", {"nickname": "x"}, "PROPERTY_DOESNT_EXIST"),
        ("contacts", {"hs_object_id": "5"}, "READ_ONLY_VALUE"),
        ("contacts", {"lifecyclestage": "Lead"}, "INVALID_OPTION"),
        ("companies", {"numberofemployees": "1,000"}, "INVALID_LONG"),
        ("companies", {"industry": "computer_software"}, "INVALID_OPTION"),
        ("contacts", {"city": "x" * 65_537}, "INVALID_LENGTH"),
    ],
)
def test_bad_values_are_refused_by_code(portal: Portal, object: str, properties: dict[str, str], code: str) -> None:
    named = {"name": "Acme"} if object == "companies" else {"firstname": "Ann"}
    answer = portal.send("POST", f"/crm/v3/objects/{object}", {"properties": named | properties})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == code and f'"error":"{code}"' in answer.json()["message"]
    assert answer.headers["x-hubspot-correlation-id"] == answer.json()["correlationId"]


def test_values_come_back_as_texts(portal: Portal) -> None:
    properties = {"name": "Acme", "numberofemployees": 12, "annualrevenue": "1.50"}
    id = portal.send("POST", "/crm/v3/objects/companies", {"properties": properties}).json()["id"]
    read = portal.send("GET", f"/crm/v3/objects/companies/{id}?properties=numberofemployees,annualrevenue").json()
    assert (read["properties"]["numberofemployees"], read["properties"]["annualrevenue"]) == ("12", "1.5")


def test_search_filters_sorts_and_ends_at_ten_thousand(client: Any, portal: Portal) -> None:
    ids = [create(portal, firstname=name, city="Ulm") for name in ("Ann", "Bo", "ann", "Cy")]
    search = client.crm.contacts.search_api.do_search

    def request(filters: list[dict[str, Any]], **more: Any) -> PublicObjectSearchRequest:
        given = {"sorts": [], "properties": ["firstname"], "limit": 100, "after": "0", "query": "", **more}
        return PublicObjectSearchRequest(filter_groups=[{"filters": filters}], **given)

    found = search(request([{"propertyName": "firstname", "operator": "EQ", "value": "ANN"}]))
    assert {one.id for one in found.results} == {ids[0], ids[2]} and found.total == 2
    cased = search(request([{"propertyName": "firstname", "operator": "IN", "values": ["Ann", "bo"]}]))
    assert [one.id for one in cased.results] == [ids[1]]
    above = search(request([{"propertyName": "hs_object_id", "operator": "GT", "value": ids[1]}], limit=1))
    assert [one.id for one in above.results] == [ids[2]] and above.paging.next.after == "1"
    descending = [{"propertyName": "hs_object_id", "direction": "DESCENDING"}]
    assert [one.id for one in search(request([], sorts=descending)).results] == ids[::-1]
    for wrong in ({"after": "10000"}, {"limit": 201}):
        with pytest.raises(ApiException) as refused:
            search(request([], **wrong))
        assert refused.value.status == 400


def test_search_lags_behind_when_told_to(portal: Portal) -> None:
    create(portal, firstname="Ann")
    portal.control("knobs", {"index_lag_seconds": 60})
    assert portal.send("POST", "/crm/v3/objects/contacts/search", {"filterGroups": []}).json()["total"] == 0
    portal.control("knobs", {"index_lag_seconds": 0})
    assert portal.send("POST", "/crm/v3/objects/contacts/search", {"filterGroups": []}).json()["total"] == 1


def test_a_contact_has_one_primary_company(client: Any, portal: Portal) -> None:
    contact, first, second = (create(portal, firstname="Ann"), *(create(portal, "companies", name=n) for n in "AB"))
    basic = client.crm.associations.v4.basic_api
    primary = [AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=1)]
    basic.create("contacts", contact, "companies", first, primary)
    basic.create("contacts", contact, "companies", second, primary)
    page = basic.get_page("contacts", contact, "companies")
    labels = {str(one.to_object_id): sorted(t.type_id for t in one.association_types) for one in page.results}
    assert labels == {first: [279], second: [1, 279]}
    inline = portal.send("GET", f"/crm/v3/objects/contacts/{contact}?associations=companies").json()["associations"]
    assert inline["companies"]["results"] == [
        {"id": first, "type": "contact_to_company_unlabeled"},
        {"id": second, "type": "contact_to_company"},
        {"id": second, "type": "contact_to_company_unlabeled"},
    ]
    wrong_way = portal.send(
        "PUT", f"/crm/v4/objects/contacts/{contact}/associations/companies/{first}",
        [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 280}],
    )  # fmt: skip
    assert wrong_way.status_code == 400 and "invalid from object type" in wrong_way.json()["message"]


def test_associations_are_read_in_batches_and_none_is_an_error_of_its_own(portal: Portal) -> None:
    alone, employed, company = (
        create(portal, firstname="A"),
        create(portal, firstname="B"),
        create(portal, "companies", name="C"),
    )
    default = portal.send("PUT", f"/crm/v4/objects/contacts/{employed}/associations/default/companies/{company}")
    assert default.status_code == 200 and default.json()["status"] == "COMPLETE"
    body = {"inputs": [{"id": alone}, {"id": employed}]}
    answer = portal.send("POST", "/crm/v4/associations/contacts/companies/batch/read", body)
    assert answer.status_code == 207
    assert answer.json()["results"][0]["to"][0]["toObjectId"] == int(company)
    assert answer.json()["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    too_many = {"inputs": [{"id": alone}] * 1001}
    assert portal.send("POST", "/crm/v4/associations/contacts/companies/batch/read", too_many).status_code == 400


def test_a_merge_makes_a_new_record_that_both_old_ids_lead_to(portal: Portal) -> None:
    winner, loser = create(portal, email="a@x.test", city="Ulm"), create(portal, email="b@x.test", phone="1")
    body = {"primaryObjectId": winner, "objectIdToMerge": loser}
    merged = portal.send("POST", "/crm/v3/objects/contacts/merge", body).json()["id"]
    assert merged not in (winner, loser)
    for old in (winner, loser):
        read = portal.send(
            "GET", f"/crm/v3/objects/contacts/{old}?properties=email,city,phone,hs_merged_object_ids"
        ).json()
        assert read["id"] == merged
        assert read["properties"]["hs_merged_object_ids"] == f"{winner};{loser}"
        assert (read["properties"]["email"], read["properties"]["phone"]) == ("a@x.test", "1")
