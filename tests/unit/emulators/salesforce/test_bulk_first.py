"""Bulk API 1.0, as simple-salesforce, dlt and the Singer tap use it: JSON and CSV rows, JSON and XML around them."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette

from crm_sync.emulators.faults import Fault, Faults
from tests.unit.emulators.salesforce.desk_clock import Front
from tests.unit.emulators.salesforce.wire import Heard, Wire

JOB = "/services/async/59.0/job"


class First:
    """One session of Bulk API 1.0."""

    def __init__(self, wire: Wire, app: Starlette) -> None:
        self.wire, self.jobs, self.token = wire, app.state.front.rest.jobs, wire.token
        wire.token = ""

    def send(self, method: str, path: str, body: Any = None, media: str = "application/json") -> Heard:
        headers = {"x-sfdc-session": self.token, "content-type": media}
        return self.wire.send(method, JOB + path, body, headers=headers)

    def run(self, operation: str, body: Any, sobject: str = "Contact", **more: Any) -> tuple[str, dict[str, Any]]:
        """Do one batch of JSON; return the path of the batch, and the batch as it ended."""
        facts = {"operation": operation, "object": sobject, "concurrencyMode": 0, "contentType": "JSON", **more}
        made = self.send("POST", "", facts)
        assert made.status == 201, made.text
        batch = self.send("POST", f"/{made.json['id']}/batch", body)
        assert (batch.status, batch.json["state"]) == (201, "Queued")
        assert self.send("POST", f"/{made.json['id']}", {"state": "Closed"}).json["state"] == "Closed"
        self.jobs.settle()
        path = f"/{made.json['id']}/batch/{batch.json['id']}"
        return path, self.send("GET", path).json


@pytest.fixture
def first(wire: Wire, app: Starlette) -> First:
    return First(wire, app)


@pytest.mark.fact("salesforce:bulk1_session", "salesforce:bulk1_errors")
def test_errors_are_plain_objects(first: First) -> None:
    first.token, good = "nobody", first.token
    refused = first.send("POST", "", {"operation": "insert", "object": "Contact"})
    assert (refused.status, refused.json) == (
        400, {"exceptionCode": "InvalidSessionId", "exceptionMessage": "Invalid session id"},
    )  # fmt: skip
    first.token = good
    codes = [
        first.send("POST", "", body).json["exceptionCode"]
        for body in (
            {"operation": "insert", "object": "Nope", "contentType": "JSON"},
            {"operation": "replace", "object": "Contact", "contentType": "JSON"},
            {"operation": "upsert", "object": "Contact", "contentType": "JSON"},
            b"{",
        )
    ]
    assert codes == ["InvalidEntity", "InvalidJob", "InvalidJob", "InvalidJob"]
    assert first.send("GET", "/750Hs0000000099").json["exceptionCode"] == "InvalidJob"
    assert first.send("POST", "", {"operation": "insert", "object": "Contact", "contentType": "XML"}).status == 501
    assert first.send("GET", "/750Hs0000000099/nothing").status == 501


@pytest.mark.fact("salesforce:bulk1_json_writes")
def test_rows_of_json_are_written_each_for_itself(first: First, front: Front) -> None:
    rows = [{"LastName": "Ng", "Email": "a@x.org"}, {"FirstName": "Ann"}, {"LastName": "Li", "Nope": 1}]
    path, batch = first.run("insert", rows)
    assert (batch["state"], batch["numberRecordsProcessed"], batch["numberRecordsFailed"]) == ("Completed", 3, 2)
    results = first.send("GET", f"{path}/result").json
    assert [(one["success"], one["created"]) for one in results] == [(True, True), (False, False), (False, False)]
    assert results[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert front.soql("SELECT Id, LastName FROM Contact") == [{"Id": results[0]["id"], "LastName": "Ng"}]
    assert first.send("GET", f"{path}/request").json == rows
    changed, _ = first.run("update", [{"Id": results[0]["id"], "LastName": "New"}])
    assert first.send("GET", f"{changed}/result").json[0]["created"] is False
    first.run("delete", [{"Id": results[0]["id"]}])
    assert front.names("Id != null") == []


def test_upsert_by_key(key: None, first: First, front: Front) -> None:
    old = front.create("Contact", LastName="A", Key__c="k1")
    rows = [{"Key__c": "k1", "LastName": "B"}, {"Key__c": "k2", "LastName": "C"}]
    path, _ = first.run("upsert", rows, externalIdFieldName="Key__c")
    results = first.send("GET", f"{path}/result").json
    assert [(one["id"] == old, one["created"]) for one in results] == [(True, False), (False, True)]
    assert front.names("Id != null") == ["B", "C"]


@pytest.mark.fact("salesforce:bulk1_dates", "salesforce:bulk1_query")
def test_queries_bring_rows_with_dates_in_milliseconds(first: First, front: Front) -> None:
    account = front.create("Account", Name="Acme")
    front.create("Contact", LastName="Ng", AccountId=account, Birthdate="1990-02-03")
    gone = front.create("Contact", LastName="Gone")
    front.ask("DELETE", f"sobjects/Contact/{gone}")
    query = b"SELECT LastName, Birthdate, SystemModstamp, Account.CreatedDate FROM Contact WHERE LastName != 'x'"
    path, batch = first.run("query", query)
    assert (batch["state"], batch["numberRecordsProcessed"]) == ("Completed", 1)
    (result,) = first.send("GET", f"{path}/result").json
    assert result.startswith("752")
    (row,) = first.send("GET", f"{path}/result/{result}").json
    assert row["attributes"]["type"] == "Contact"
    assert (row["LastName"], row["Birthdate"], row["SystemModstamp"]) == ("Ng", "1990-02-03", 1_714_557_600_000)
    assert row["Account"]["CreatedDate"] == 1_714_557_600_000
    everything, _ = first.run("queryAll", b"SELECT Id FROM Contact")
    assert len(first.send("GET", f"{everything}/result/x").json) == 2
    nothing, _ = first.run("query", b"SELECT Id FROM Lead", "Lead")
    assert first.send("GET", f"{nothing}/result/x").json == []
    broken, batch = first.run("query", b"SELECT Nope FROM Contact")
    assert batch["state"] == "Failed" and "No such column" in batch["stateMessage"]
    assert first.send("GET", f"{broken}/result").json == []


@pytest.mark.fact("salesforce:bulk1_xml")
def test_jobs_of_csv_speak_xml_around_it(first: First, front: Front) -> None:
    def tag(text: str, name: str) -> str:
        found = re.search(f"<{name}>(.*?)</{name}>", text)
        assert found, text
        return found[1]

    xml = "application/xml"
    job = b"<jobInfo xmlns='http://www.force.com/2009/06/asyncapi/dataload'><operation>insert</operation>"
    job += b"<object>Contact</object><contentType>CSV</contentType></jobInfo>"
    made = first.send("POST", "", job, xml)
    assert (made.status, tag(made.text, "state"), tag(made.text, "contentType")) == (201, "Open", "CSV")
    path = f"/{tag(made.text, 'id')}"
    batch = first.send("POST", f"{path}/batch", b"LastName,Email\nNg,a@x.org\nLi,nope\n", "text/csv")
    batch_id = tag(batch.text, "id")
    first.jobs.settle()
    assert tag(first.send("GET", f"{path}/batch/{batch_id}").text, "state") == "Completed"
    rows = first.send("GET", f"{path}/batch/{batch_id}/result").text.splitlines()
    assert rows[0] == '"Id","Success","Created","Error"'
    assert rows[1].endswith('"true","true",""')
    assert rows[2] == '"","false","false","INVALID_EMAIL_ADDRESS:Email: invalid email address: nope:Email --"'
    query = {"operation": "queryAll", "object": "Contact", "contentType": "CSV"}
    asked = f"/{first.send('POST', '', query).json['id']}"
    batch_id = tag(first.send("POST", f"{asked}/batch", b"SELECT LastName FROM Contact", "text/csv").text, "id")
    first.jobs.settle()
    result = first.send("GET", f"{asked}/batch/{batch_id}/result")
    assert result.headers["content-type"].startswith("application/xml")
    assert "<result-list" in result.text
    shown = first.send("GET", f"{asked}/batch/{batch_id}/result/{tag(result.text, 'result')}")
    assert shown.text == '"LastName"\n"Ng"\n'
    assert tag(first.send("GET", f"{asked}/batch", media=xml).text, "state") == "Completed"


def test_jobs_count_their_batches_and_end(first: First) -> None:
    job = first.send("POST", "", {"operation": "insert", "object": "Contact", "contentType": "JSON"}).json["id"]
    first.send("POST", f"/{job}/batch", [{"LastName": "A"}])
    first.send("POST", f"/{job}/batch", b"[1]")
    first.jobs.settle()
    told = first.send("GET", f"/{job}").json
    assert (told["numberBatchesTotal"], told["numberBatchesCompleted"], told["numberBatchesFailed"]) == (2, 1, 1)
    assert first.send("POST", f"/{job}", {"state": "Aborted"}).json["state"] == "Aborted"
    assert first.send("POST", f"/{job}", {"state": "Closed"}).json["exceptionCode"] == "InvalidJobState"
    assert first.send("POST", f"/{job}/batch", []).json["exceptionCode"] == "InvalidJobState"
    assert orjson.loads(first.send("GET", f"/{job}/batch").body)["batchInfo"][0]["jobId"] == job


@pytest.mark.fact("salesforce:bulk1_disabled")
def test_an_org_without_the_api_and_limits(first: First, faults: Faults) -> None:
    body = {"operation": "query", "object": "Contact", "contentType": "JSON"}
    faults.turn({"async_api_disabled": True})
    assert first.send("POST", "", body).json == {
        "exceptionCode": "FeatureNotEnabled", "exceptionMessage": "Async API not enabled",
    }  # fmt: skip
    faults.turn({"async_api_disabled": False})
    faults.add([Fault("limit", options={"kind": "bulk"}), Fault("limit", options={"kind": "daily"})])
    assert {first.send("POST", "", body).json.get("exceptionCode") for _ in "ab"} == {"ExceededQuota"}
    assert first.send("POST", "", body).status == 201
