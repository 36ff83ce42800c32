"""What dlt's rest_api source does with Dataverse; writes go through dlt's REST client."""

from __future__ import annotations

from typing import Any

from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import OAuth2ClientCredentials
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator
from loading import Loading
from telling import email, given, key, run

URL = given("DYNAMICS_URL")
BASE = f"{URL}/api/data/v9.2/"
KEY = f"new_{key()}"
AUTH = OAuth2ClientCredentials(
    access_token_url=f"{given('DYNAMICS_AUTHORITY')}/oauth2/v2.0/token",
    client_id=given("DYNAMICS_CLIENT_ID"), client_secret=given("DYNAMICS_CLIENT_SECRET"),
    access_token_request_data={"scope": f"{URL}/.default"},
)
STANDARD = {"OData-Version": "4.0", "OData-MaxVersion": "4.0", "Accept": "application/json"}
SMALL = {**STANDARD, "Prefer": "odata.maxpagesize=100"}
PAGES = JSONLinkPaginator(next_url_path="['@odata.nextLink']")
client = RESTClient(BASE, auth=AUTH, headers=STANDARD, paginator=PAGES, data_selector="value")
LAG = 5  # seconds read again: stamps are whole seconds, and dlt drops a row it has seen with the same stamp
loading = Loading("dynamics")
ids: dict[str, str] = {}
delta = ""


def label(text: str) -> dict[str, Any]:
    return {"@odata.type": "Microsoft.Dynamics.CRM.Label", "LocalizedLabels": [
        {"@odata.type": "Microsoft.Dynamics.CRM.LocalizedLabel", "Label": text, "LanguageCode": 1033}
    ]}


def contacts() -> dict[str, Any]:
    return {
        "client": {"base_url": BASE, "auth": AUTH, "headers": SMALL, "paginator": PAGES},
        "resources": [{
            "name": "contacts", "primary_key": "contactid", "write_disposition": "merge",
            "endpoint": {
                "path": "contacts", "data_selector": "value",
                "params": {
                    "$select": "contactid,emailaddress1,telephone1,jobtitle,modifiedon",
                    "$filter": "modifiedon ge {incremental.start_value}", "$orderby": "modifiedon asc",
                },
                "incremental": {"cursor_path": "modifiedon", "initial_value": "2000-01-01T00:00:00Z", "lag": LAG},
            },
        }],
    }


def add(**values: Any) -> str:
    answer = client.post("contacts", json=values)
    assert answer.status_code == 204, answer.text
    return answer.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")


def connect() -> None:
    assert client.get("WhoAmI").json()["OrganizationId"]


def describe() -> None:
    table = "EntityDefinitions(LogicalName='contact')"
    made = client.post(f"{table}/Attributes", json={
        "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata", "SchemaName": KEY, "MaxLength": 40,
        "FormatName": {"Value": "Text"}, "RequiredLevel": {"Value": "None"}, "DisplayName": label("The client's key"),
    })
    assert made.status_code == 204, made.text
    made = client.post(f"{table}/Keys", json={
        "SchemaName": f"{KEY}_key", "KeyAttributes": [KEY], "DisplayName": label("The client's key"),
    })
    assert made.status_code == 204, made.text
    definition = client.get(table).json()
    if not definition["ChangeTrackingEnabled"]:
        changed = {**definition, "ChangeTrackingEnabled": True}
        assert client.request(table, "PUT", json=changed).status_code == 204
    loading.run({"client": {"base_url": BASE, "auth": AUTH, "headers": STANDARD}, "resources": [{
        "name": "columns", "primary_key": "MetadataId", "write_disposition": "replace", "max_table_nesting": 0,
        "endpoint": {
            "path": f"{table}/Attributes", "data_selector": "value", "paginator": "single_page",
            "params": {"$select": "LogicalName,AttributeType"},
        },
    }]})
    assert loading.one("SELECT attribute_type FROM columns WHERE logical_name = %s", KEY) == ("String",)


def create() -> None:
    ids["ann"] = add(firstname="Ann", lastname="Dlt", emailaddress1=email("ann"))
    ids["bob"] = add(lastname="Bob", emailaddress1=email("bob"))


def upsert() -> None:
    for title in ("once", "twice"):
        answer = client.request(
            f"contacts({KEY}='cy-1')", "PATCH", json={"lastname": "Cy", "emailaddress1": email("cy"), "jobtitle": title}
        )
        assert answer.status_code == 204, answer.text


def pages() -> None:
    global delta
    told = loading.run(contacts())["contacts"]
    assert told == loading.one("SELECT count(*) FROM contacts")[0] > 300
    assert loading.one("SELECT jobtitle FROM contacts WHERE emailaddress1 = %s", email("cy")) == ("twice",)
    tracked = {"Prefer": "odata.track-changes,odata.maxpagesize=100"}
    answers = [page.response.json() for page in client.paginate(
        "contacts", params={"$select": "lastname"}, headers=tracked
    )]
    assert len(answers) > 3 and sum(len(one["value"]) for one in answers) == told
    delta = answers[-1]["@odata.deltaLink"]


def update() -> None:
    answer = client.request(
        f"contacts({ids['ann']})", "PATCH", json={"telephone1": "+49 30 1234567"}, headers={"If-Match": "*"}
    )
    assert answer.status_code == 204


def read_since() -> None:
    assert 0 < loading.run(contacts())["contacts"] < 100
    assert loading.one("SELECT telephone1 FROM contacts WHERE contactid = %s", ids["ann"]) == ("+49 30 1234567",)


def delete() -> None:
    assert client.request(f"contacts({ids['bob']})", "DELETE").status_code == 204


def read_deleted() -> None:
    page = client.get(delta).json()
    assert {"id": ids["bob"], "reason": "deleted"}.items() <= next(
        row for row in page["value"] if row.get("reason") == "deleted"
    ).items()
    assert ids["ann"] in {row.get("contactid") for row in page["value"]}


def batch() -> None:
    people = {"dee": "Dee", "bad": "Bad" * 20, "eve": "Eve"}
    parts = [
        f"--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        f"POST {BASE}contacts HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"
        f'{{"lastname": "{name}", "emailaddress1": "{email(who)}"}}\r\n'
        for who, name in people.items()
    ]
    answer = client.session.post(
        f"{BASE}$batch", data="".join([*parts, "--batch_1--\r\n"]), auth=AUTH,
        headers={"Content-Type": "multipart/mixed; boundary=batch_1", "Prefer": "odata.continue-on-error"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.text.count("HTTP/1.1 204 No Content") == 2 and answer.text.count("HTTP/1.1 400 Bad Request") == 1
    assert "0x80044331" in answer.text
    loading.run(contacts())
    found = loading.rows("SELECT contactid FROM contacts WHERE emailaddress1 IN (%s, %s)", email("dee"), email("eve"))
    assert len(found) == 2


if __name__ == "__main__":
    run(connect, describe, create, upsert, pages, update, read_since, delete, read_deleted, batch)
