"""Who is who: merges, additional e-mail addresses, the recycle bin, deletion by GDPR."""

from __future__ import annotations

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, Inside, to

MERGE, ERASE = f"{OBJECTS}/contacts/merge", f"{OBJECTS}/contacts/gdpr-delete"


def merge(inside: Inside, first: str, second: str, object: str = "contacts") -> str:
    body = {"primaryObjectId": first, "objectIdToMerge": second}
    return str(inside.post(f"{OBJECTS}/{object}/merge", body)["id"])


@pytest.mark.fact("hubspot:merge_makes_new_record", "hubspot:merged_ids_property", "hubspot:merged_vids_property")
def test_a_merge_makes_a_new_record_that_both_ids_lead_to(inside: Inside) -> None:
    first = inside.create(email="a@x.test", city="Ulm")
    inside.advance(5)
    second = inside.create(email="b@x.test", city="Bonn", phone="1")
    inside.advance(5)
    merged = merge(inside, first, second)
    assert merged not in (first, second)
    for id in (first, second, merged):
        read = inside.read("contacts", id, "city", "phone", "hs_merged_object_ids", "hs_calculated_merged_vids")
        assert (read["hs_object_id"], read["city"], read["phone"]) == (merged, "Ulm", "1")
        assert read["hs_merged_object_ids"] == f"{first};{second}"
        assert read["hs_calculated_merged_vids"] == f"{first}:1770000010000;{second}:1770000010000"
        assert read["createdate"] == "2026-02-02T02:40:00Z"
    assert inside.search("contacts") == [merged]
    assert inside.get(f"{OBJECTS}/contacts?archived=true")["results"] == []
    third = inside.create(email="c@x.test")
    again = merge(inside, first, third)
    assert inside.read("contacts", second, "email")["hs_object_id"] == again


@pytest.mark.fact("hubspot:additional_emails", "hubspot:additional_emails_resolve")
def test_an_additional_address_means_the_contact_and_is_taken(inside: Inside) -> None:
    first, second = inside.create(email="a@x.test"), inside.create(email="b@x.test")
    merged = merge(inside, first, second)
    assert inside.read("contacts", merged, "hs_additional_emails")["hs_additional_emails"] == "b@x.test"
    assert inside.get(f"{OBJECTS}/contacts/B@x.test?idProperty=email")["id"] == merged
    assert inside.batch("contacts", "read", {"id": "b@x.test"}, idProperty="email").body["results"][0]["id"] == merged
    taken = inside.send("POST", f"{OBJECTS}/contacts", {"properties": {"email": "b@x.test"}})
    assert taken.status == 409 and taken.body["message"].endswith(f"Existing ID: {merged}")
    other = inside.create(email="c@x.test")
    path = f"{OBJECTS}/contacts/{other}"
    assert inside.send("PATCH", path, {"properties": {"hs_additional_emails": "b@x.test"}}).status == 409
    inside.send("DELETE", f"{OBJECTS}/contacts/{merged}")
    assert inside.send("PATCH", path, {"properties": {"hs_additional_emails": "b@x.test"}}).status == 200


@pytest.mark.fact("hubspot:merge_keeps_one_primary")
def test_a_merge_keeps_the_associations_of_both_and_one_primary(inside: Inside) -> None:
    one, two = (inside.create("companies", name=name) for name in "AB")
    first = inside.create(firstname="A", associations=[to(one, 1)])
    second = inside.create(firstname="B", associations=[to(two, 1)])
    merged = merge(inside, first, second)
    found = inside.get(f"/crm/v4/objects/contacts/{merged}/associations/companies")["results"]
    labels = {str(x["toObjectId"]): sorted(kind["typeId"] for kind in x["associationTypes"]) for x in found}
    assert labels == {one: [1, 279], two: [279]}


@pytest.mark.fact("hubspot:additional_domains")
def test_merged_companies_keep_both_domains(inside: Inside) -> None:
    first, second = (inside.create("companies", domain=f"{one}.example") for one in "ab")
    read = inside.read("companies", merge(inside, first, second, "companies"), "domain", "hs_additional_domains")
    assert (read["domain"], read["hs_additional_domains"]) == ("a.example", "b.example")


def test_what_cannot_be_merged(inside: Inside) -> None:
    id, note = inside.create(firstname="A"), inside.create("notes", hs_timestamp="1770000000000")
    assert inside.refused("POST", MERGE, {"primaryObjectId": id, "objectIdToMerge": id})[0] == 400
    assert inside.refused("POST", MERGE, {"primaryObjectId": id, "objectIdToMerge": "5"})[0] == 404
    other = inside.create("notes", hs_timestamp="1770000000000")
    body = {"primaryObjectId": note, "objectIdToMerge": other}
    assert inside.refused("POST", f"{OBJECTS}/notes/merge", body)[0] == 400


@pytest.mark.fact("hubspot:gdpr_delete", "hubspot:gdpr_blocklist")
def test_gdpr_delete_leaves_nothing_and_blocks_unknown_addresses(inside: Inside) -> None:
    company = inside.create("companies", name="A")
    first = inside.create(email="a@x.test", associations=[to(company, 1)])
    second = inside.create(email="b@x.test")
    assert inside.send("POST", ERASE, {"objectId": first}).status == 204
    assert inside.send("POST", ERASE, {"objectId": "b@x.test", "idProperty": "email"}).status == 204
    for id in (first, second):
        assert inside.send("GET", f"{OBJECTS}/contacts/{id}?archived=true").status == 404
    assert "associations" not in inside.get(f"{OBJECTS}/companies/{company}?associations=contacts")
    assert inside.refused("POST", ERASE, {"objectId": "5"})[0] == 404
    assert inside.send("POST", ERASE, {"objectId": "Never@x.test", "idProperty": "email"}).status == 204
    blocked = inside.send("POST", f"{OBJECTS}/contacts", {"properties": {"email": "never@x.test"}})
    assert blocked.status == 400
    assert inside.create(email="a@x.test") != first


def test_erasing_by_an_old_id_erases_the_merged_record(inside: Inside) -> None:
    first, second = inside.create(email="a@x.test"), inside.create(email="b@x.test")
    merged = merge(inside, first, second)
    inside.send("POST", ERASE, {"objectId": second})
    assert all(inside.send("GET", f"{OBJECTS}/contacts/{id}").status == 404 for id in (first, second, merged))
    assert inside.create(email="b@x.test")


@pytest.mark.fact("hubspot:restore")
def test_a_person_restores_from_the_recycle_bin(inside: Inside) -> None:
    id = inside.create(email="a@x.test", city="Ulm")
    assert not inside.desk.restore("contacts", id)
    inside.send("DELETE", f"{OBJECTS}/contacts/{id}")
    inside.advance(60)
    assert inside.desk.restore("contacts", id)
    read = inside.read("contacts", id, "city")
    assert read["city"] == "Ulm" and read["createdate"] < read["lastmodifieddate"]


def test_a_person_merges_and_edits_at_the_screen(inside: Inside) -> None:
    first = inside.desk.create("contacts", {"email": "a@x.test"}, {})
    second = inside.desk.create("contacts", {"email": "no address"}, {})
    assert inside.desk.edit("contacts", second, {"city": "Ulm"}, {}) and not inside.desk.edit(
        "contacts", "5", {"city": ""}, {}
    )
    assert inside.desk.merge("contacts", first, second) and not inside.desk.merge("contacts", first, "5")
    assert inside.read("contacts", second, "city")["city"] == "Ulm"
