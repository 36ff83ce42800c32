"""What a sync tool does with PowerPlatform-Dataverse-Client, Microsoft's own, signed in through azure-identity."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from azure.identity import ClientSecretCredential
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError
from PowerPlatform.Dataverse.models import UpsertItem, col
from telling import email, given, key, run

URL = given("DYNAMICS_URL")
ENTRA = urlsplit(given("DYNAMICS_AUTHORITY"))
KEY = f"new_{key()}"

credential = ClientSecretCredential(
    ENTRA.path.strip("/"), given("DYNAMICS_CLIENT_ID"), given("DYNAMICS_CLIENT_SECRET"),
    authority=f"https://{ENTRA.netloc}", disable_instance_discovery=True,
)
client = DataverseClient(URL, credential)
ids: dict[str, str] = {}
since: Any = None
delta = ""


def raw(method: str, url: str, **more: Any) -> Any:
    """Ask for what this client has no call for: change tracking."""
    token = credential.get_token(f"{URL}/.default").token
    headers = {"Authorization": f"Bearer {token}", "Prefer": "odata.track-changes"}
    answer = requests.request(method, url, headers=headers, timeout=60, **more)
    assert answer.ok, answer.text
    return answer.json() if answer.content else None


def connect() -> None:
    assert credential.get_token(f"{URL}/.default").token
    assert client.query.builder("contact").select("lastname").top(3).execute().first() is not None


def describe() -> None:
    table = client.tables.get("contact")
    assert table is not None and table.entity_set_name == "contacts"
    client.tables.add_columns("contact", {KEY: {"type": "string", "max_length": 40, "display_name": KEY}})
    client.tables.create_alternate_key("contact", f"{KEY}_key", [KEY.lower()], display_name="The client's key")
    keys = {one.schema_name: one for one in client.tables.get_alternate_keys("contact")}
    assert keys[f"{KEY}_key"].key_attributes == [KEY] and keys[f"{KEY}_key"].status == "Active"
    shown = client.tables.get_column("contact", KEY)
    assert shown is not None and shown["AttributeType"] == "String"
    definition = f"{URL}/api/data/v9.2/EntityDefinitions(LogicalName='contact')"
    raw("PUT", definition, json={**raw("GET", definition), "ChangeTrackingEnabled": True})
    assert "parentcustomerid" in {one["LogicalName"] for one in client.tables.list_columns("contact")}


def create() -> None:
    ids["account"] = client.records.create("account", {"name": "PowerPlatform Works"})
    ids["ann"] = client.records.create("contact", {
        "firstname": "Ann", "lastname": "Power", "emailaddress1": email("ann"), "gendercode": "Female",
        "parentcustomerid_account@odata.bind": f"/accounts({ids['account']})",
    })
    ids["bob"] = client.records.create("contact", {"lastname": "Bob", "emailaddress1": email("bob")})
    shown = client.records.retrieve("contact", ids["ann"], select=["fullname", "gendercode", "_parentcustomerid_value"])
    assert shown is not None
    assert (shown["fullname"], shown["gendercode"]) == ("Ann Power", 2)
    assert shown["_parentcustomerid_value"] == ids["account"]
    try:
        client.records.create("contact", {"no_such_column": 1})
    except HttpError as error:
        assert error.status_code == 400
    else:
        raise AssertionError("an unknown column was accepted")


def upsert() -> None:
    def item(n: int, title: str) -> UpsertItem:
        who = "cy" if n == 1 else f"cy{n}"
        return UpsertItem(
            alternate_key={KEY: f"cy-{n}"}, record={"lastname": who, "emailaddress1": email(who), "jobtitle": title}
        )

    client.records.upsert("contact", [item(1, "once")])
    client.records.upsert("contact", [item(1, "twice")])
    client.records.upsert("contact", [item(1, "thrice"), item(2, "once")])
    rows = client.query.builder("contact").select("contactid", "jobtitle").where(
        col("emailaddress1").in_([email("cy"), email("cy2")])
    ).execute()
    shown = {row["jobtitle"]: row["contactid"] for row in rows}
    assert sorted(shown) == ["once", "thrice"]
    ids["cy"] = shown["thrice"]


def read_since() -> None:
    global since, delta
    shown = client.records.retrieve("contact", ids["ann"], select=["modifiedon"])
    assert shown is not None
    since = shown["modifiedon"]
    seen: list[str] = []
    for page in client.records.list_pages(
        "contact", select=["emailaddress1", "modifiedon"], filter=f"modifiedon ge {since}", orderby=["modifiedon asc"],
        expand=["parentcustomerid_account"], page_size=2,
    ):
        seen += [row["contactid"] for row in page]
    assert {ids["ann"], ids["bob"], ids["cy"]} <= set(seen)
    delta = raw("GET", f"{URL}/api/data/v9.2/contacts?$select=lastname")["@odata.deltaLink"]


def pages() -> None:
    turns, seen = 0, []
    for page in client.query.builder("contact").select("contactid").page_size(100).execute_pages():
        turns += 1
        seen += [row["contactid"] for row in page]
    assert turns > 3 and len(seen) == len(set(seen)) > 300


def update() -> None:
    client.records.update("contact", ids["ann"], {"telephone1": "+49 30 1234567"})
    client.records.update("contact", [ids["ann"], ids["cy"]], {"jobtitle": "Chief"})
    shown = client.records.retrieve("contact", ids["ann"], select=["telephone1", "jobtitle", "firstname"])
    assert shown is not None
    assert (shown["telephone1"], shown["jobtitle"], shown["firstname"]) == ("+49 30 1234567", "Chief", "Ann")


def delete() -> None:
    client.records.delete("contact", ids["bob"])
    assert client.records.retrieve("contact", ids["bob"], select=["contactid"]) is None


def read_deleted() -> None:
    rows = raw("GET", delta)["value"]
    assert ids["bob"] in {row["id"] for row in rows if row.get("reason") == "deleted"}
    assert ids["ann"] in {row.get("contactid") for row in rows}


def batch() -> None:
    def people(*names: str) -> list[dict[str, str]]:
        return [{"lastname": "Bad" * 20 if who == "bad" else who, "emailaddress1": email(who)} for who in names]

    sent = client.batch.new()
    for row in people("dee", "bad", "eve"):
        sent.records.create("contact", row)
    result = sent.execute(continue_on_error=True)
    assert [one.status_code for one in result.responses] == [204, 400, 204]
    assert len(result.entity_ids) == 2 and "lastname" in str(result.failed[0].error_message)
    sent = client.batch.new()
    with sent.changeset() as together:
        made = together.records.create("account", {"name": "Change set"})
        together.records.create("contact", {**people("fay")[0], "parentcustomerid_account@odata.bind": made})
    assert not sent.execute().has_errors
    [fay] = client.query.builder("contact").select("_parentcustomerid_value").where(
        col("emailaddress1") == email("fay")
    ).execute()
    assert fay["_parentcustomerid_value"]
    try:
        client.records.create("contact", people("gus", "bad"))
    except HttpError as error:
        assert error.status_code == 400
    else:
        raise AssertionError("CreateMultiple accepted a bad row")
    assert len(client.records.create("contact", people("hal", "ida"))) == 2


def fetch_xml() -> None:
    rows = client.query.fetchxml(
        "<fetch><entity name='contact'><attribute name='lastname'/><filter><condition attribute='emailaddress1' "
        f"operator='eq' value='{email('hal')}'/></filter></entity></fetch>"
    ).execute()
    assert [row["lastname"] for row in rows] == ["hal"]


if __name__ == "__main__":
    run(connect, describe, create, upsert, read_since, pages, update, delete, read_deleted, batch, fetch_xml)
