"""Records named by keys of all kinds, and reached from one another; rows whose parent is not there."""

from __future__ import annotations

import pytest

from tests.unit.emulators.salesforce.desk_clock import Front
from tests.unit.emulators.salesforce.wire import Wire

BASE = "/services/data/v59.0"


@pytest.mark.fact("salesforce:idlookup_keys")
def test_an_email_is_a_key(front: Front) -> None:
    made = front.ask("PATCH", "sobjects/Contact/Email/a%40x.org", {"LastName": "A"})
    assert (made.status, made.body["created"]) == (201, True)
    assert front.ask("GET", "sobjects/Contact/email/A@x.org").body["Email"] == "a@x.org"
    rows = [{"attributes": {"type": "Contact"}, "Email": "a@x.org", "LastName": "B"}]
    (row,) = front.ask("PATCH", "composite/sobjects/Contact/Email", {"records": rows}).body
    assert (row["id"], row["created"]) == (made.body["id"], False)
    job = {"object": "Contact", "operation": "upsert", "externalIdFieldName": "Email"}
    assert front.ask("POST", "jobs/ingest", job).status == 200
    refused = front.ask("POST", "jobs/ingest", {**job, "externalIdFieldName": "Phone"})
    assert front.error(refused) == (400, "INVALIDJOB")
    assert refused.body[0]["message"] == (
        "InvalidJob : Field name provided, Phone does not match an External ID, Salesforce Id, or indexed field for "
        "Contact"
    )
    assert front.error(front.ask("PATCH", "sobjects/Contact/Phone/1", {"LastName": "C"})) == (404, "NOT_FOUND")


@pytest.mark.fact("salesforce:upsert_by_id")
def test_an_id_is_a_key(front: Front) -> None:
    made = front.ask("POST", "sobjects/Contact/Id", {"LastName": "A"})
    assert (made.status, made.body["success"], made.body["created"]) == (201, True, True)
    path = f"sobjects/Contact/Id/{made.body['id']}"
    changed = front.ask("PATCH", path, {"LastName": "B"})
    assert (changed.status, changed.body["created"]) == (200, False)
    assert front.ask("PATCH", path, {"LastName": "C"}, version=45.0).status == 204
    assert front.ask("GET", path).body["LastName"] == "C"
    assert front.ask("DELETE", path).status == 204
    assert front.error(front.ask("GET", path)) == (404, "ENTITY_IS_DELETED")
    assert front.error(front.ask("POST", f"sobjects/Contact/{made.body['id']}", {})) == (405, "METHOD_NOT_ALLOWED")


def test_a_number_is_a_key(front: Front) -> None:
    meta = {"type": "Number", "label": "Number", "precision": 6, "scale": 0, "unique": True, "externalId": True}
    body = {"FullName": "Contact.Number__c", "Metadata": meta}
    assert front.ask("POST", "tooling/sobjects/CustomField", body).status == 201
    made = front.ask("PATCH", "sobjects/Contact/Number__c/17", {"LastName": "A"})
    assert made.status == 201
    assert front.ask("GET", "sobjects/Contact/Number__c/17").body["Number__c"] == 17
    assert front.ask("PATCH", "sobjects/Contact/Number__c/17", {"LastName": "B"}).status == 200
    assert front.soql("SELECT LastName FROM Contact WHERE Number__c = 17") == [{"LastName": "B"}]
    assert front.error(front.ask("PATCH", "sobjects/Contact/Number__c/x", {"LastName": "C"}))[0] == 400


@pytest.mark.fact("salesforce:quoted_key")
def test_a_slash_within_a_key_is_no_border(key: None, wire: Wire) -> None:
    path = f"{BASE}/sobjects/Contact/Key__c/a%2Fb%20%25"
    assert wire.send("PATCH", path, {"LastName": "A"}).status == 201
    assert wire.send("GET", path).json["Key__c"] == "a/b %"
    sub = {"method": "GET", "url": path, "referenceId": "one"}
    answer = wire.send("POST", f"{BASE}/composite", {"compositeRequest": [sub]}).json["compositeResponse"][0]
    assert answer["body"]["Key__c"] == "a/b %"


@pytest.mark.fact("salesforce:relationships")
def test_parents_and_children_are_reached_from_a_record(front: Front) -> None:
    account = front.create("Account", Name="Acme")
    ng, alone = front.create("Contact", LastName="Ng", AccountId=account), front.create("Contact", LastName="Li")
    assert front.ask("GET", f"sobjects/Contact/{ng}/Account").body["Name"] == "Acme"
    assert front.error(front.ask("GET", f"sobjects/Contact/{alone}/Account")) == (404, "NOT_FOUND")
    children = front.ask("GET", f"sobjects/Account/{account[:15]}/contacts", query={"fields": "LastName"}).body
    assert (children["totalSize"], children["done"]) == (1, True)
    assert [(row["attributes"]["type"], row["LastName"]) for row in children["records"]] == [("Contact", "Ng")]
    assert "Email" in front.ask("GET", f"sobjects/Account/{account}/Contacts").body["records"][0]
    assert front.error(front.ask("GET", f"sobjects/Account/{account}/Nope")) == (404, "NOT_FOUND")
    written = front.ask("PATCH", f"sobjects/Contact/{ng}/Account", {"Name": "B"})
    assert front.error(written) == (501, "NOT_IMPLEMENTED")
    assert f"PATCH /services/data/v59.0/sobjects/Contact/{ng}/Account" in written.body[0]["message"]


@pytest.mark.parametrize("path", ["describe/layouts", "describe/compactLayouts", "listviews", "quickActions/x"])
def test_resources_that_are_elsewhere_are_not_taken_for_keys(front: Front, path: str) -> None:
    answer = front.ask("GET", f"sobjects/Contact/{path}")
    assert front.error(answer) == (501, "NOT_IMPLEMENTED")
    assert path in answer.body[0]["message"]


@pytest.mark.fact("salesforce:missing_parent_row")
@pytest.mark.parametrize("all_or_none", [False, True])
def test_a_parent_that_is_not_there_fails_its_row_alone(key: None, front: Front, all_or_none: bool) -> None:
    front.key_field("Account")
    front.create("Account", Name="Acme", Key__c="a1")
    rows = [
        {"attributes": {"type": "Contact"}, "LastName": name, "Key__c": name, "Account": {"Key__c": parent}}
        for name, parent in (("A", "a1"), ("B", "a2"))
    ]
    body = {"records": rows, "allOrNone": all_or_none}
    for method, path in (("POST", "composite/sobjects"), ("PATCH", "composite/sobjects/Contact/Key__c")):
        answer = front.ask(method, path, body)
        assert answer.status == 200
        good, bad = answer.body
        assert good["success"] is not all_or_none
        assert bad["errors"][0]["statusCode"] == "INVALID_FIELD"
        assert bad["errors"][0]["message"] == "Foreign key external ID: a2 not found for field Key__c in entity Account"
        if not all_or_none and method == "POST":
            front.ask("DELETE", f"sobjects/Contact/{good['id']}")
    alone = front.ask("POST", "sobjects/Contact", rows[1])
    assert front.error(alone) == (400, "INVALID_FIELD")


@pytest.mark.fact("salesforce:record_count")
def test_records_are_counted(front: Front) -> None:
    front.create("Account", Name="Acme")
    front.ask("DELETE", f"sobjects/Account/{front.create('Account', Name='Gone')}")
    told = front.ask("GET", "limits/recordCount", query={"sObjects": "account,Nope,Lead"}).body
    assert told == {"sObjects": [{"count": 1, "name": "Account"}, {"count": 0, "name": "Lead"}]}
    assert {"count": 1, "name": "User"} in front.ask("GET", "limits/recordCount").body["sObjects"]
