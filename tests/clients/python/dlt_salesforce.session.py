"""What dlt's rest_api source does with Salesforce; writes go through dlt's REST client."""

from __future__ import annotations

from typing import Any

from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import OAuth2ClientCredentials
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator
from loading import Loading
from telling import email, given, key, run

BASE = f"{given('SALESFORCE_URL')}/services/data/v59.0/"
KEY = f"{key()}__c"
AUTH = OAuth2ClientCredentials(
    access_token_url=f"{given('SALESFORCE_URL')}/services/oauth2/token",
    client_id=given("SALESFORCE_CLIENT_ID"), client_secret=given("SALESFORCE_CLIENT_SECRET"),
)
SMALL = {"Sforce-Query-Options": "batchSize=200"}
PAGES = JSONLinkPaginator(next_url_path="nextRecordsUrl")
client = RESTClient(BASE, auth=AUTH, headers=SMALL, paginator=PAGES, data_selector="records")
LAG = 5  # seconds read again: stamps are whole seconds, and dlt drops a row it has seen with the same stamp
loading = Loading("salesforce")
ids: dict[str, str] = {}


def contacts() -> dict[str, Any]:
    query = (
        "SELECT Id, Email, Phone, Title, IsDeleted, SystemModstamp FROM Contact "
        "WHERE SystemModstamp >= {incremental.start_value} ORDER BY SystemModstamp ASC"
    )
    return {
        "client": {"base_url": BASE, "auth": AUTH, "headers": SMALL, "paginator": PAGES},
        "resources": [{
            "name": "contacts", "primary_key": "Id", "write_disposition": "merge",
            "columns": {"IsDeleted": {"hard_delete": True}},
            "endpoint": {
                "path": "queryAll", "data_selector": "records", "params": {"q": query},
                "incremental": {
                    "cursor_path": "SystemModstamp", "initial_value": "2000-01-01T00:00:00.000+0000",
                    "convert": lambda stamp: stamp.replace("+0000", "Z"), "lag": LAG,
                },
            },
        }],
    }


def add(**values: Any) -> str:
    answer = client.post("sobjects/Contact", json=values)
    assert answer.status_code == 201 and answer.json()["success"]
    return str(answer.json()["id"])


def connect() -> None:
    assert client.get("limits").json()["DailyApiRequests"]["Remaining"] > 0
    [count] = [page.response.json()["totalSize"] for page in client.paginate(
        "query", params={"q": "SELECT COUNT() FROM Contact"}
    )]
    assert count > 400


def describe() -> None:
    made = client.post("tooling/sobjects/CustomField", json={
        "FullName": f"Contact.{KEY}",
        "Metadata": {"type": "Text", "label": "The client's key", "length": 40, "externalId": True, "unique": True},
    })
    assert made.status_code == 201
    loading.run({"client": {"base_url": BASE, "auth": AUTH}, "resources": [{
        "name": "fields", "primary_key": "name", "write_disposition": "replace",
        "endpoint": {"path": "sobjects/Contact/describe", "data_selector": "fields", "paginator": "single_page"},
    }]})
    assert loading.one("SELECT external_id, type, length FROM fields WHERE name = %s", KEY) == (True, "string", 40)


def create() -> None:
    ids["ann"] = add(FirstName="Ann", LastName="Dlt", Email=email("ann"))
    ids["bob"] = add(LastName="Bob", Email=email("bob"))


def upsert() -> None:
    body = {"LastName": "Cy", "Email": email("cy")}
    first, again = (client.request(f"sobjects/Contact/{KEY}/cy-1", "PATCH", json={**body, "Title": title})
                    for title in ("once", "twice"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


def pages() -> None:
    told = loading.run(contacts())["contacts"]
    here = loading.one("SELECT count(*) FROM contacts")[0]
    assert told >= here == client.get("query", params={"q": "SELECT COUNT() FROM Contact"}).json()["totalSize"] > 400
    assert loading.one("SELECT title FROM contacts WHERE email = %s", email("cy")) == ("twice",)


def update() -> None:
    answer = client.request(f"sobjects/Contact/{ids['ann']}", "PATCH", json={"Phone": "+49 30 1234567"})
    assert answer.status_code == 204


def read_since() -> None:
    assert loading.run(contacts())["contacts"] < 100
    assert loading.one("SELECT phone FROM contacts WHERE id = %s", ids["ann"]) == ("+49 30 1234567",)


def delete() -> None:
    assert client.request(f"sobjects/Contact/{ids['bob']}", "DELETE").status_code == 204


def read_deleted() -> None:
    assert loading.rows("SELECT id FROM contacts WHERE id = %s", ids["bob"]) != []
    loading.run(contacts())
    assert loading.rows("SELECT id FROM contacts WHERE id = %s", ids["bob"]) == []


def batch() -> None:
    rows = [{"LastName": "Dee", "Email": email("dee")}, {"LastName": "Bad", "Email": "no address"},
            {"LastName": "Eve", "Email": email("eve")}]
    answers = client.post("composite/sobjects", json={
        "allOrNone": False, "records": [{"attributes": {"type": "Contact"}, **row} for row in rows],
    }).json()
    assert [one["success"] for one in answers] == [True, False, True]
    loading.run(contacts())
    found = loading.rows("SELECT email FROM contacts WHERE email IN (%s, %s)", email("dee"), email("eve"))
    assert len(found) == 2


if __name__ == "__main__":
    run(connect, describe, create, upsert, pages, update, read_since, delete, read_deleted, batch)
