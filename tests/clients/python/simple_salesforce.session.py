"""What a sync tool does with simple-salesforce."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, SalesforceLogin, SalesforceMalformedRequest
from telling import email, given, key, run

LOGIN_HOSTS = ("https://emulated.my.salesforce.com", "https://login.salesforce.com")
KEY = f"{key()}__c"


class LoginAtEmulator(HTTPAdapter):
    """Send what simple-salesforce addresses to its hard-coded login hosts to the emulator."""

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        assert request.url is not None
        request.url = given("SALESFORCE_URL") + urlsplit(request.url).path
        return super().send(request, *args, **more)


session = requests.Session()
for host in LOGIN_HOSTS:
    session.mount(host, LoginAtEmulator())
sf: Salesforce
ids: dict[str, str] = {}
since = ""


def connect() -> None:
    global sf
    sf = Salesforce(
        consumer_key=given("SALESFORCE_CLIENT_ID"), consumer_secret=given("SALESFORCE_CLIENT_SECRET"),
        domain="emulated.my", session=session,
    )
    assert sf.sf_instance == urlsplit(given("SALESFORCE_URL")).netloc
    assert sf.limits()["DailyApiRequests"]["Remaining"] > 0


def describe() -> None:
    objects = {one["name"]: one for one in sf.describe()["sobjects"]}
    assert objects["Contact"]["keyPrefix"] == "003" and objects["Contact"]["queryable"]
    sf.toolingexecute("sobjects/CustomField", "POST", {
        "FullName": f"Contact.{KEY}",
        "Metadata": {"type": "Text", "label": "The client's key", "length": 40, "externalId": True, "unique": True},
    })
    fields = {one["name"]: one for one in sf.Contact.describe()["fields"]}
    assert fields[KEY]["externalId"] and fields[KEY]["length"] == 40
    assert fields["LastName"]["type"] == "string" and not fields["LastName"]["nillable"]
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert fields["Id"]["soapType"] == "tns:ID"


def create() -> None:
    account = sf.Account.create({"Name": "Simple Works"})
    made = sf.Contact.create({"FirstName": "Ann", "LastName": "Simple", "Email": email("ann"),
                              "AccountId": account["id"]})
    assert made["success"] and made["errors"] == []
    ids["account"], ids["ann"] = account["id"], made["id"]
    ids["bob"] = sf.Contact.create({"LastName": "Bob", "Email": email("bob")})["id"]
    shown = sf.Contact.get(ids["ann"])
    assert shown["attributes"]["type"] == "Contact" and shown["Name"] == "Ann Simple"
    try:
        sf.Contact.create({"FirstName": "Nobody"})
    except SalesforceMalformedRequest as error:
        assert error.content[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
        assert error.content[0]["fields"] == ["LastName"]
    else:
        raise AssertionError("a contact without a last name was accepted")


def upsert() -> None:
    body = {"LastName": "Cy", "Email": email("cy")}
    first = sf.Contact.upsert(f"{KEY}/simple-cy-1", body, raw_response=True)
    again = sf.Contact.upsert(f"{KEY}/simple-cy-1", {**body, "Title": "twice"}, raw_response=True)
    assert first.status_code == 201 and first.json()["created"] is True
    assert again.status_code == 200 and again.json()["created"] is False
    assert first.json()["id"] == again.json()["id"]
    shown = sf.Contact.get_by_custom_id(KEY, "simple-cy-1")
    assert shown["Title"] == "twice" and shown["Email"] == email("cy")
    ids["cy"] = shown["Id"]


def read_since() -> None:
    global since
    since = sf.Contact.get(ids["ann"])["SystemModstamp"].replace("+0000", "Z")
    query = f"SELECT Id, Email, Account.Name, SystemModstamp FROM Contact WHERE SystemModstamp >= {since} " \
            "ORDER BY SystemModstamp ASC, Id ASC"
    rows = sf.query_all(query)["records"]
    assert {ids["ann"], ids["bob"], ids["cy"]} <= {row["Id"] for row in rows}
    [ann] = [row for row in rows if row["Id"] == ids["ann"]]
    assert ann["Account"]["Name"] == "Simple Works"
    stamps = [row["SystemModstamp"] for row in rows]
    assert stamps == sorted(stamps)
    end = datetime.now(UTC) + timedelta(minutes=2)
    changed = sf.Contact.updated(end - timedelta(minutes=30), end)
    assert ids["ann"] in changed["ids"] and changed["latestDateCovered"]


def pages() -> None:
    small = {"Sforce-Query-Options": "batchSize=200"}
    first = sf.query("SELECT Id FROM Contact", headers={**sf.headers, **small})
    assert not first["done"] and len(first["records"]) == 200 and first["totalSize"] > 400
    seen = [row["Id"] for row in first["records"]]
    page, turns = first, 1
    while not page["done"]:
        page = sf.query_more(page["nextRecordsUrl"], identifier_is_url=True, headers={**sf.headers, **small})
        seen += [row["Id"] for row in page["records"]]
        turns += 1
    assert turns >= 3 and len(seen) == len(set(seen)) == first["totalSize"]
    assert len(list(sf.query_all_iter("SELECT Id FROM Contact"))) == first["totalSize"]


def update() -> None:
    assert sf.Contact.update(ids["ann"], {"Phone": "+49 30 1234567", "Title": None}) == 204
    shown = sf.Contact.get(ids["ann"])
    assert shown["Phone"] == "+49 30 1234567" and shown["Title"] is None and shown["FirstName"] == "Ann"


def delete() -> None:
    assert sf.Contact.delete(ids["bob"]) == 204
    assert sf.query(f"SELECT Id FROM Contact WHERE Id = '{ids['bob']}'")["totalSize"] == 0


def read_deleted() -> None:
    query = f"SELECT Id, IsDeleted FROM Contact WHERE SystemModstamp >= {since} AND IsDeleted = true"
    gone = sf.query_all(query, include_deleted=True)["records"]
    assert ids["bob"] in {row["Id"] for row in gone}
    end = datetime.now(UTC) + timedelta(minutes=2)
    told = sf.Contact.deleted(end - timedelta(minutes=30), end)
    assert ids["bob"] in {row["id"] for row in told["deletedRecords"]}


def batch() -> None:
    rows = [{"LastName": "Dee", "Email": email("dee")}, {"LastName": "Bad", "Email": "no address"},
            {"LastName": "Eve", "Email": email("eve")}]
    sent = [{"attributes": {"type": "Contact"}, **row} for row in rows]
    answers = sf.restful("composite/sobjects", method="POST", json={"allOrNone": False, "records": sent})
    assert [one["success"] for one in answers] == [True, False, True]
    assert answers[1]["errors"][0]["statusCode"] == "INVALID_EMAIL_ADDRESS"


def bulk_2() -> None:
    rows = [{"LastName": f"Bulk {n}", "Email": email(f"bulk{n}"), KEY: f"bulk-{n}"} for n in range(40)]
    rows[7]["Email"] = "no address"
    [job] = sf.bulk2.Contact.upsert(records=rows, external_id_field=KEY)
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (40, 1)
    assert "INVALID_EMAIL_ADDRESS" in sf.bulk2.Contact.get_failed_records(job["job_id"])
    assert sf.bulk2.Contact.get_successful_records(job["job_id"]).count("\n") == 40
    [text] = sf.bulk2.Contact.query(f"SELECT Id, Email FROM Contact WHERE {KEY} LIKE 'bulk-%'")
    assert text.count("\n") == 40 and email("bulk39") in text


def bulk_1() -> None:
    answers = sf.bulk.Contact.insert([{"LastName": "Fay", "Email": email("fay")}, {"FirstName": "Nobody"}])
    assert [one["success"] for one in answers] == [True, False]
    assert answers[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    rows = sf.bulk.Contact.query(f"SELECT Id, Email FROM Contact WHERE Email = '{email('fay')}'")
    assert [row["Id"] for row in rows] == [answers[0]["id"]]


def login_by_soap() -> None:
    token, host = SalesforceLogin(
        username=given("SALESFORCE_USERNAME"), password=given("SALESFORCE_PASSWORD"),
        security_token=given("SALESFORCE_SECURITY_TOKEN"), domain="emulated.my", session=session,
    )
    again = Salesforce(session_id=token, instance=host, session=session)
    assert again.Contact.get(ids["ann"])["Email"] == email("ann")


def login_by_jwt() -> None:
    again = Salesforce(
        username=given("SALESFORCE_USERNAME"), consumer_key=given("SALESFORCE_CLIENT_ID"),
        privatekey_file=given("SALESFORCE_PRIVATE_KEY_FILE"), domain="login", session=session,
    )
    assert again.Contact.get(ids["ann"])["Email"] == email("ann")


if __name__ == "__main__":
    run(connect, describe, create, upsert, read_since, pages, update, delete, read_deleted, batch, bulk_2, bulk_1,
        login_by_soap, login_by_jwt)
