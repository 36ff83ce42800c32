"""Let simple-salesforce, as its users do, work with the pretend org over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from crm_sync.emulators.launcher import EmulatorProcess

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(tmp_path_factory.mktemp("salesforce"), ["salesforce"]) as running:
        yield running


@pytest.fixture
def session(process: EmulatorProcess) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        made.verify = process.addresses["ca_bundle"]
        yield made


@pytest.fixture
def address(process: EmulatorProcess) -> dict[str, str]:
    found: dict[str, str] = process.addresses["salesforce"]
    return found


@pytest.fixture
def org(session: requests.Session, address: dict[str, str]) -> Salesforce:
    client = {"client_id": address["client_id"], "client_secret": address["client_secret"]}
    body = session.post(f"{address['url']}/services/oauth2/token", data={**GRANT, **client}).json()
    return Salesforce(session_id=body["access_token"], instance_url=body["instance_url"], session=session)


def test_a_day_at_work(org: Salesforce) -> None:
    start = datetime.now(UTC) - timedelta(minutes=2)
    account = org.Account.create({"Name": "Acme"})["id"]
    contact = org.Contact.create({"LastName": "O'Hara", "AccountId": account})["id"]
    assert org.Contact.update(contact, {"Email": "o@x.org"}) == 204
    assert org.Contact.get(contact)["Name"] == "O'Hara"
    found = org.query("SELECT Id, Account.Name FROM Contact WHERE LastName = 'O\\'Hara'")
    assert (found["totalSize"], found["records"][0]["Account"]["Name"]) == (1, "Acme")
    assert [row["Id"] for row in org.query_all_iter("SELECT Id FROM Contact")] == [contact]
    window = (start, datetime.now(UTC) + timedelta(minutes=2))
    assert org.Contact.updated(*window)["ids"] == [contact]
    assert org.Contact.delete(contact) == 204
    assert org.Contact.deleted(*window)["deletedRecords"][0]["id"] == contact
    assert org.query("SELECT Id FROM Contact", include_deleted=True)["totalSize"] == 1
    assert org.query("SELECT COUNT() FROM Contact")["totalSize"] == 0


def test_describe_limits_and_usage(org: Salesforce) -> None:
    names = [one["name"] for one in (org.describe() or {})["sobjects"]]
    assert {"Account", "Contact", "Lead", "Case", "User"} <= set(names)
    assert "Birthdate" in [one["name"] for one in org.Contact.describe()["fields"]]
    limits = org.limits()["DailyApiRequests"]
    assert 0 < limits["Remaining"] < limits["Max"]
    assert 0 < org.api_usage["api-usage"].used < 1000


def test_pages_of_a_long_query(org: Salesforce) -> None:
    rows = [{"attributes": {"type": "Account"}, "Name": f"A{n:04}"} for n in range(450)]
    for start in range(0, 450, 200):
        body = {"records": rows[start : start + 200]}
        assert all(row["success"] for row in org.restful("composite/sobjects", method="POST", json=body) or [])
    small = {"Sforce-Query-Options": "batchSize=200"}
    first = org.query("SELECT Name FROM Account WHERE Name LIKE 'A0%' ORDER BY Name", headers=small)
    assert (len(first["records"]), first["done"]) == (200, False)
    names = [row["Name"] for row in first["records"]]
    page: Any = first
    while not page["done"]:
        page = org.query_more(page["nextRecordsUrl"], identifier_is_url=True, headers=small)
        names += [row["Name"] for row in page["records"]]
    assert names == [row["Name"] for row in rows]


def test_the_clients_exceptions_carry_the_orgs_errors(org: Salesforce, address: dict[str, str]) -> None:
    with pytest.raises(SalesforceMalformedRequest) as malformed:
        org.Contact.create({"FirstName": "Ann"})
    assert malformed.value.content[0]["fields"] == ["LastName"]
    with pytest.raises(SalesforceResourceNotFound):
        org.Contact.get("003Hs0000099999IAA")
    with pytest.raises(SalesforceGeneralError) as unsupported:
        org.restful("analytics/reports")
    assert unsupported.value.status == 501
    assert "GET /services/data/v59.0/analytics/reports" in str(unsupported.value)
    stranger = Salesforce(session_id="00D!nobody", instance_url=address["url"], session=org.session)
    with pytest.raises(SalesforceExpiredSession):
        stranger.limits()


def test_limits_bind_when_turned_on(org: Salesforce, session: requests.Session, address: dict[str, str]) -> None:
    knobs = f"{address['url']}/__emulator__/knobs"
    session.post(knobs, json={"limits": True, "daily_limit": 1})
    with pytest.raises(SalesforceRefusedRequest) as refused:
        org.limits()
    assert refused.value.content[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
    session.post(knobs, json={"limits": False, "daily_limit": None})
    assert org.limits()


@pytest.mark.fact("salesforce:content_type", "salesforce:uri_limit")
def test_what_the_wire_looks_like(session: requests.Session, org: Salesforce, address: dict[str, str]) -> None:
    answer = session.get(f"{address['url']}/services/data/v59.0/limits/", headers=org.headers)
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert answer.headers["Sforce-Limit-Info"].startswith("api-usage=")
    query = f"{address['url']}/services/data/v59.0/query?q=" + "x" * 17_000
    assert session.get(query, headers=org.headers).status_code == 414
    assert session.get(f"{address['url']}/services/data/v99.0/limits", headers=org.headers).status_code == 404
    broken = session.post(f"{address['url']}/services/data/v59.0/sobjects/Contact", data="{", headers=org.headers)
    assert broken.json()[0]["errorCode"] == "JSON_PARSER_ERROR"
    assert session.get(f"{address['url']}/services/Soap/m/59.0").status_code == 501
    by = session.get(f"{address['url']}/__emulator__/calls").json()["by"]
    assert by["GET /services/data/vNN.N/limits"] >= 1


def test_a_persons_work_at_the_screen(session: requests.Session, org: Salesforce, address: dict[str, str]) -> None:
    def act(what: str, **body: Any) -> Any:
        answer = session.post(f"{address['url']}/__emulator__/{what}", json=body)
        return answer.json()

    account = act("create", object="Account", values={"Name": "Desk"})["id"]
    contact = act("create", object="Contact", values={"LastName": "Desk", "AccountId": account})["id"]
    act("edit", object="Contact", id=contact, values={"Title": "Clerk"})
    shown = org.Contact.get(contact)
    assert (shown["Title"], shown["HasOptedOutOfEmail"], shown["Id"]) == ("Clerk", False, contact)
    act("delete", object="Account", id=account)
    assert org.query(f"SELECT Id FROM Contact WHERE Id = '{contact}'")["totalSize"] == 0
    assert "error" in act("delete", object="Account", id=account)
