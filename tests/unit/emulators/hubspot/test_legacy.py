"""The APIs of before v3, as hubspot3, Singer's tap-hubspot and Airbyte's source-hubspot call them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.hubspot.inside import Inside

CONTACT, CONTACTS = "/contacts/v1/contact", "/contacts/v1/lists"
COMPANIES, DEALS = "/companies/v2/companies", "/deals/v1/deal"
ENGAGEMENTS = "/engagements/v1/engagements"


def given(**values: Any) -> dict[str, Any]:
    """Return properties as contacts v1 takes them."""
    return {"properties": [{"property": name, "value": value} for name, value in values.items()]}


def named(**values: Any) -> dict[str, Any]:
    """Return properties as companies v2 and deals v1 take them."""
    return {"properties": [{"name": name, "value": value} for name, value in values.items()]}


@pytest.mark.fact("hubspot:legacy_contacts")
def test_a_contact_tells_its_values_with_their_versions(inside: Inside) -> None:
    made = inside.post(CONTACT, given(email="a@x.test", firstname="Ann"))
    vid = made["vid"]
    inside.advance(60)
    assert inside.send("POST", f"{CONTACT}/vid/{vid}/profile", given(firstname="Anna")).status == 204
    found = inside.get(f"{CONTACT}/email/A@x.test/profile")
    assert found["vid"] == vid and found["canonical-vid"] == vid and found["is-contact"] is True
    assert found["identity-profiles"][0]["identities"][0] == {
        "type": "EMAIL", "value": "a@x.test", "timestamp": 1_770_000_000_000, "is-primary": True,
    }  # fmt: skip
    first_name = found["properties"]["firstname"]
    assert first_name["value"] == "Anna" and [one["value"] for one in first_name["versions"]] == ["Anna", "Ann"]
    assert [one["timestamp"] for one in first_name["versions"]] == [1_770_000_060_000, 1_770_000_000_000]
    assert found["properties"]["createdate"]["value"] == "1770000000000"
    lean = inside.get(f"{CONTACT}/vid/{vid}/profile?property=email&propertyMode=value_only")
    assert lean["properties"] == {"email": {"value": "a@x.test"}, "lastmodifieddate": {"value": "1770000060000"}}


@pytest.mark.fact("hubspot:legacy_contacts")
def test_contacts_come_in_pages_and_latest_first(inside: Inside) -> None:
    vids = []
    for at in range(3):
        vids.append(inside.post(CONTACT, given(email=f"{at}@x.test"))["vid"])
        inside.advance(1)
    inside.send("POST", f"{CONTACT}/vid/{vids[0]}/profile", given(city="Ulm"))
    first = inside.get(f"{CONTACTS}/all/contacts/all?count=2")
    assert first["has-more"] is True and [one["vid"] for one in first["contacts"]] == vids[:2]
    rest = inside.get(f"{CONTACTS}/all/contacts/all?count=2&vidOffset={first['vid-offset']}")
    assert rest["has-more"] is False and [one["vid"] for one in rest["contacts"]] == vids[2:]
    seen, query = [], ""
    while True:
        page = inside.get(f"{CONTACTS}/recently_updated/contacts/recent?count=1{query}")
        seen += [one["vid"] for one in page["contacts"]]
        if not page["has-more"]:
            break
        query = f"&vidOffset={page['vid-offset']}&timeOffset={page['time-offset']}"
    assert seen == [vids[0], vids[2], vids[1]]
    created = inside.get(f"{CONTACTS}/all/contacts/recent?count=3")["contacts"]
    assert [one["vid"] for one in created] == vids[::-1]
    batch = inside.get(f"{CONTACT}/vids/batch/?vid={vids[0]}&vid={vids[2]}&vid=5&property=email")
    assert set(batch) == {str(vids[0]), str(vids[2])}


@pytest.mark.fact("hubspot:legacy_contact_exists")
def test_refusals_are_worded_as_of_old(inside: Inside) -> None:
    vid = inside.post(CONTACT, given(email="a@x.test"))["vid"]
    taken = inside.send("POST", CONTACT, given(email="A@x.test"))
    assert (taken.status, taken.body["error"]) == (409, "CONTACT_EXISTS")
    assert taken.body["identityProfile"]["vid"] == vid
    bad = inside.send("POST", CONTACT, given(email="b@x.test", nope="1"))
    assert bad.status == 400 and bad.body["validationResults"][0]["error"] == "PROPERTY_DOESNT_EXIST"
    assert inside.post(f"{CONTACT}/createOrUpdate/email/a@x.test", given(city="Ulm")) == {"vid": vid, "isNew": False}
    assert inside.post(f"{CONTACT}/createOrUpdate/email/c@x.test", given(city="Ulm"))["isNew"] is True
    assert inside.send("DELETE", f"{CONTACT}/vid/{vid}").body["deleted"] is True
    assert inside.send("GET", f"{CONTACT}/vid/{vid}/profile").status == 404


@pytest.mark.fact("hubspot:legacy_companies_and_deals", "hubspot:trailing_slash")
def test_companies(inside: Inside) -> None:
    ids = [inside.post(f"{COMPANIES}/", named(name=f"C{at}"))["companyId"] for at in range(3)]
    inside.advance(10)
    changed = inside.send("PUT", f"{COMPANIES}/{ids[1]}", named(city="Ulm")).body
    assert changed["properties"]["city"]["versions"][0]["name"] == "city" and changed["isDeleted"] is False
    first = inside.get(f"{COMPANIES}/paged?limit=2&properties=name&properties=hs_lastmodifieddate")
    assert [one["companyId"] for one in first["companies"]] == ids[:2] and first["has-more"] is True
    stamps = [one["properties"]["hs_lastmodifieddate"]["timestamp"] for one in first["companies"]]
    assert stamps == [1_770_000_000_000, 1_770_000_010_000] and set(first["companies"][0]["properties"]) == {
        "name", "hs_lastmodifieddate",
    }  # fmt: skip
    rest = inside.get(f"{COMPANIES}/paged?limit=2&offset={first['offset']}")
    assert [one["companyId"] for one in rest["companies"]] == ids[2:] and rest["has-more"] is False
    recent = inside.get(f"{COMPANIES}/recent/modified?since=1770000005000")
    assert [one["companyId"] for one in recent["results"]] == [ids[1]] and recent["total"] == 1
    assert inside.get(f"{COMPANIES}/recent/created?count=2")["hasMore"] is True
    assert inside.send("DELETE", f"{COMPANIES}/{ids[0]}").body == {"companyId": ids[0], "deleted": True}
    assert inside.send("GET", f"{COMPANIES}/{ids[0]}").status == 404
    assert inside.refused("GET", f"{COMPANIES}/recent/modified?offset=10000") == (400, "VALIDATION_ERROR")


@pytest.mark.fact("hubspot:legacy_companies_and_deals")
def test_deals_with_their_associations(inside: Inside) -> None:
    vid = inside.post(CONTACT, given(email="a@x.test"))["vid"]
    body = named(dealname="D", dealstage="closedwon", closedate=1_767_225_600_000)
    made = inside.post(DEALS, body | {"associations": {"associatedVids": [vid]}})
    assert made["associations"]["associatedVids"] == [vid] and made["associations"]["associatedCompanyIds"] == []
    assert made["properties"]["closedate"]["value"] == "1767225600000"
    id = made["dealId"]
    page = inside.get(f"{DEALS}/paged?properties=dealname&includeAssociations=true")
    assert page["deals"][0]["associations"]["associatedVids"] == [vid] and page["hasMore"] is False
    assert set(page["deals"][0]["properties"]) == {"dealname"}
    every = inside.get(f"{DEALS}/paged?includeAllProperties=True")["deals"][0]
    assert every["properties"]["pipeline"]["value"] == "default" and every["associations"]["associatedVids"] == []
    assert inside.send("PUT", f"{DEALS}/{id}", named(amount="5")).body["properties"]["amount"]["value"] == "5"
    assert inside.refused("POST", DEALS, body | {"associations": {"associatedNotes": [1]}})[0] == 400
    assert inside.send("DELETE", f"{DEALS}/{id}").status == 204
    assert inside.get(f"{DEALS}/recent/modified")["results"] == []


@pytest.mark.fact("hubspot:legacy_pipelines", "hubspot:legacy_property_arrays")
def test_definitions(inside: Inside) -> None:
    deals = inside.get("/deals/v1/pipelines")
    won = next(one for one in deals[0]["stages"] if one["stageId"] == "closedwon")
    assert deals[0]["pipelineId"] == "default" and won["closedWon"] is True and won["probability"] == 1.0
    tickets = inside.get("/crm-pipelines/v1/pipelines/tickets")["results"]
    assert tickets[0]["pipelineId"] == "0" and [one["stageId"] for one in tickets[0]["stages"]] == ["1", "2", "3", "4"]
    for path in ("/properties/v1/contacts/properties", "/properties/v2/contacts/properties"):
        found = {one["name"]: one for one in inside.get(path)}
        assert inside.get(f"{path}/named/email") == found["email"]
    assert inside.send("GET", "/properties/v1/contacts/properties/named/nope").status == 404
    assert inside.get("/email/public/v1/subscriptions")["subscriptionDefinitions"][0]["id"] == 7001
    assert inside.get("/integrations/v1/limit/daily")[0]["name"] == "api-calls-daily"


def test_what_else_there_was_is_named(inside: Inside) -> None:
    for path in (
        "/engagements/v1/engagements/associated/CONTACT/5/paged",
        f"{CONTACTS}/7/contacts/all",
        "/forms/v2/forms",
    ):
        answer = inside.send("GET", path)
        assert answer.status == 501 and path in answer.body["message"]


@pytest.mark.fact("hubspot:legacy_engagements")
def test_engagements_of_all_types_have_one_shape(inside: Inside) -> None:
    contact = int(inside.create(email="a@x.test"))
    links = {"contactIds": [contact], "companyIds": [], "ownerIds": []}
    noted: dict[str, dict[str, Any]] = {
        "NOTE": {"body": "hello"},
        "TASK": {"body": "b", "subject": "s", "status": "NOT_STARTED", "forObjectType": "CONTACT"},
        "CALL": {"durationMilliseconds": 5000, "status": "COMPLETED"},
        "MEETING": {"title": "m", "startTime": 1_770_000_000_000},
    }
    ids = []
    for type, metadata in noted.items():
        inside.advance(1)
        engagement = {"active": True, "type": type, "ownerId": 62510002, "timestamp": 1_769_000_000_000}
        made = inside.post(ENGAGEMENTS, {"engagement": engagement, "associations": links, "metadata": metadata})
        ids.append(made["engagement"]["id"])
        told = made["metadata"]
        assert {key: int(told[key]) if isinstance(metadata[key], int) else told[key] for key in metadata} == metadata
        assert made["engagement"]["ownerId"] == 62510002 and made["engagement"]["timestamp"] == 1_769_000_000_000
        assert made["associations"]["contactIds"] == [contact] and made["associations"]["companyIds"] == []
        assert inside.get(f"{ENGAGEMENTS}/{ids[-1]}") == made
    first = inside.get(f"{ENGAGEMENTS}/paged?limit=3")
    assert [one["engagement"]["id"] for one in first["results"]] == ids[:3] and first["hasMore"] is True
    rest = inside.get(f"{ENGAGEMENTS}/paged?limit=3&offset={first['offset']}")
    assert [one["engagement"]["id"] for one in rest["results"]] == ids[3:] and rest["hasMore"] is False
    inside.advance(1)
    changed = inside.send("PATCH", f"{ENGAGEMENTS}/{ids[0]}", {"engagement": {}, "metadata": {"body": "changed"}})
    assert changed.status == 200 and changed.body["metadata"] == {"body": "changed"}
    recent = inside.get(f"{ENGAGEMENTS}/recent/modified?count=2")
    assert [one["engagement"]["id"] for one in recent["results"]] == [ids[0], ids[3]] and recent["total"] == 4
    assert inside.send("DELETE", f"{ENGAGEMENTS}/{ids[0]}").status == 204
    assert inside.send("GET", f"{ENGAGEMENTS}/{ids[0]}").status == 404


def test_what_is_not_known_of_engagements_is_refused(inside: Inside) -> None:
    note = {"engagement": {"type": "NOTE"}, "metadata": {"body": "x"}}
    id = inside.post(ENGAGEMENTS, note)["engagement"]["id"]
    email = {"engagement": {"type": "EMAIL"}, "metadata": {"subject": "x"}}
    assert inside.refused("POST", ENGAGEMENTS, email) == (501, "NOT_EMULATED")
    assert inside.refused("POST", ENGAGEMENTS, note | {"metadata": {"colour": "x"}}) == (501, "NOT_EMULATED")
    moved = {"associations": {"contactIds": [1]}}
    assert inside.refused("PATCH", f"{ENGAGEMENTS}/{id}", moved) == (
        501,
        "NOT_EMULATED",
    )
    assert inside.refused("POST", ENGAGEMENTS, {"engagement": {"type": "DREAM"}}) == (400, "VALIDATION_ERROR")
    assert inside.refused("POST", ENGAGEMENTS, {"engagement": {"type": "CALL", "ownerId": 5}})[0] == 400
