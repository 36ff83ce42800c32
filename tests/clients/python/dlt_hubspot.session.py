"""What dlt's rest_api source does with HubSpot; writes go through dlt's REST client."""

from __future__ import annotations

from typing import Any

from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator
from loading import Loading
from telling import email, given, key, run

BASE = given("HUBSPOT_URL")
KEY = key()
AUTH = BearerTokenAuth(given("HUBSPOT_TOKEN"))
PAGES = JSONLinkPaginator(next_url_path="paging.next.link")
PROPERTIES = ["email", "phone", "jobtitle", "hs_object_id", "lastmodifieddate"]
CONTACTS = "crm/v3/objects/contacts"
client = RESTClient(BASE, auth=AUTH, paginator=PAGES, data_selector="results")
loading = Loading("hubspot")
ids: dict[str, str] = {}


def source(*resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "client": {"base_url": BASE, "auth": AUTH, "paginator": PAGES},
        "resource_defaults": {"primary_key": "id", "write_disposition": "merge"},
        "resources": list(resources),
    }


EVERYONE = {
    "name": "contacts",
    "endpoint": {
        "path": CONTACTS, "data_selector": "results",
        "params": {"limit": 100, "properties": ",".join(PROPERTIES), "associations": "companies"},
    },
}
CHANGED = {
    "name": "changed",
    "endpoint": {
        "path": f"{CONTACTS}/search", "method": "POST", "data_selector": "results",
        "json": {
            "filterGroups": [{"filters": [{
                "propertyName": "lastmodifieddate", "operator": "GTE", "value": "{incremental.start_value}",
            }]}],
            "sorts": ["hs_object_id"], "properties": PROPERTIES, "limit": 200,
        },
        "paginator": {"type": "cursor", "cursor_path": "paging.next.after", "cursor_body_path": "after"},
        "incremental": {"cursor_path": "updatedAt", "initial_value": "2000-01-01T00:00:00Z"},
    },
}
GONE = {
    "name": "gone",
    "endpoint": {
        "path": CONTACTS, "data_selector": "results", "params": {"limit": 100, "archived": "true"},
    },
}


def add(**properties: Any) -> str:
    answer = client.post(CONTACTS, json={"properties": properties})
    assert answer.status_code == 201
    return str(answer.json()["id"])


def connect() -> None:
    assert len(client.get(CONTACTS, params={"limit": 1}).json()["results"]) == 1


def describe() -> None:
    made = client.post("crm/v3/properties/contacts", json={
        "name": KEY, "label": "The client's key", "type": "string", "fieldType": "text",
        "groupName": "contactinformation", "hasUniqueValue": True,
    })
    assert made.status_code == 201
    loading.run(source(
        {"name": "properties", "primary_key": "name",
         "endpoint": {"path": "crm/v3/properties/contacts", "data_selector": "results"}},
        {"name": "owners", "endpoint": {"path": "crm/v3/owners/", "data_selector": "results"}},
    ))
    assert loading.one("SELECT has_unique_value, type FROM properties WHERE name = %s", KEY) == (True, "string")
    assert loading.one("SELECT count(*) FROM owners")[0] > 0


def create() -> None:
    ids["ann"] = add(firstname="Ann", lastname="Dlt", email=email("ann"))
    ids["bob"] = add(lastname="Bob", email=email("bob"))


def upsert() -> None:
    made = []
    for title in ("once", "twice"):
        properties = {KEY: "cy-1", "email": email("cy"), "lastname": "Cy", "jobtitle": title}
        inputs = [{"id": "cy-1", "idProperty": KEY, "properties": properties}]
        made += client.post(f"{CONTACTS}/batch/upsert", json={"inputs": inputs}).json()["results"]
    assert [one["new"] for one in made] == [True, False] and made[0]["id"] == made[1]["id"]


def pages() -> None:
    told = loading.run(source(EVERYONE, CHANGED))
    assert told["contacts"] == told["changed"] == loading.one("SELECT count(*) FROM contacts")[0] > 300
    titles = loading.one("SELECT properties__jobtitle FROM contacts WHERE properties__email = %s", email("cy"))
    assert titles == ("twice",)


def update() -> None:
    answer = client.request(f"{CONTACTS}/{ids['ann']}", "PATCH", json={"properties": {"phone": "+49 30 1234567"}})
    assert answer.status_code == 200


def read_since() -> None:
    assert 0 < loading.run(source(CHANGED))["changed"] < 20
    assert loading.one("SELECT properties__phone FROM changed WHERE id = %s", ids["ann"]) == ("+49 30 1234567",)


def delete() -> None:
    assert client.request(f"{CONTACTS}/{ids['bob']}", "DELETE").status_code == 204


def read_deleted() -> None:
    loading.run(source(GONE))
    archived, at = loading.one("SELECT archived, archived_at FROM gone WHERE id = %s", ids["bob"])
    assert archived is True and at is not None


def batch() -> None:
    people = {"dee": email("dee"), "bad": "no address", "eve": email("eve")}
    answer = client.post(f"{CONTACTS}/batch/create", json={"inputs": [
        {"properties": {"lastname": who, "email": address}, "objectWriteTraceId": who}
        for who, address in people.items()
    ]})
    assert answer.status_code == 207
    assert answer.json()["numErrors"] == 1 and len(answer.json()["results"]) == 2
    loading.run(source(CHANGED))
    found = loading.rows("SELECT id FROM changed WHERE properties__email IN (%s, %s)", email("dee"), email("eve"))
    assert len(found) == 2


if __name__ == "__main__":
    run(connect, describe, create, upsert, pages, update, read_since, delete, read_deleted, batch)
