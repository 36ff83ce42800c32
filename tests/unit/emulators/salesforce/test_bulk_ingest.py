"""Write to the pretend org in bulk: upload, states, results of good and bad rows, and what makes a whole job fail."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.applications import Starlette

from crm_sync.emulators.faults import Fault, Faults
from tests.unit.emulators.salesforce.desk_clock import Front
from tests.unit.emulators.salesforce.wire import Wire

BASE = "/services/data/v59.0"


class Ingest:
    """One ingest job over HTTP."""

    def __init__(self, wire: Wire, app: Starlette) -> None:
        self.wire, self.jobs = wire, app.state.front.rest.jobs
        self.id = ""

    def open(self, operation: str, sobject: str = "Contact", **more: Any) -> Any:
        made = self.wire.send("POST", f"{BASE}/jobs/ingest", {"object": sobject, "operation": operation, **more})
        if made.status == 200:
            self.id = made.json["id"]
        return made

    def put(self, text: str) -> int:
        headers = {"content-type": "text/csv"}
        return self.wire.send("PUT", f"{BASE}/jobs/ingest/{self.id}/batches", text.encode(), headers=headers).status

    def patch(self, state: str) -> int:
        return self.wire.send("PATCH", f"{BASE}/jobs/ingest/{self.id}", {"state": state}).status

    def get(self, rest: str = "") -> Any:
        heard = self.wire.send("GET", f"{BASE}/jobs/ingest/{self.id}{rest}")
        assert heard.status == 200, heard.text
        return heard.text if rest else heard.json

    def run(self, text: str, operation: str = "insert", sobject: str = "Contact", **more: Any) -> dict[str, Any]:
        self.open(operation, sobject, **more)
        assert (self.put(text), self.patch("UploadComplete")) == (201, 200)
        self.jobs.settle()
        found: dict[str, Any] = self.get()
        return found


@pytest.fixture
def ingest(wire: Wire, app: Starlette) -> Ingest:
    return Ingest(wire, app)


@pytest.mark.fact("salesforce:ingest_job", "salesforce:ingest_upload")
def test_a_job_from_its_creation_to_its_end(ingest: Ingest) -> None:
    made = ingest.open("insert").json
    assert (made["state"], made["jobType"]) == ("Open", "V2Ingest")
    assert made["contentUrl"] == f"services/data/v59.0/jobs/ingest/{made['id']}/batches"
    assert ingest.patch("UploadComplete") == 400, "there is no data yet"
    assert ingest.put("LastName\nNg\n") == 201
    assert ingest.put("LastName\nAgain\n") == 400, "data comes once"
    assert ingest.patch("UploadComplete") == 200
    ingest.jobs.settle()
    done = ingest.get()
    assert (done["state"], done["numberRecordsProcessed"], done["numberRecordsFailed"]) == ("JobComplete", 1, 0)
    assert {"retries", "totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime"} <= set(done)
    assert ingest.patch("Aborted") == 400


@pytest.mark.fact("salesforce:ingest_results", "salesforce:ingest_row_failures", "salesforce:ingest_names_any_case")
def test_bad_rows_leave_the_job_complete(ingest: Ingest, front: Front) -> None:
    done = ingest.run("LastName,FirstName,Email\nNg,Ann,a@x.org\n,Bob,b@x.org\nLi,Cy,nope\n")
    assert (done["state"], done["numberRecordsProcessed"], done["numberRecordsFailed"]) == ("JobComplete", 3, 2)
    header, row = ingest.get("/successfulResults").splitlines()
    assert header == '"sf__Id","sf__Created","LastName","FirstName","Email"'
    assert row[1:4] == "003" and row.endswith('","true","Ng","Ann","a@x.org"')
    assert ingest.get("/failedResults").splitlines() == [
        '"sf__Id","sf__Error","LastName","FirstName","Email"',
        '"","REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --","","Bob","b@x.org"',
        '"","INVALID_EMAIL_ADDRESS:Email: invalid email address: nope:Email --","Li","Cy","nope"',
    ]
    for name in ("unprocessedrecords", "unprocessedRecords"):
        assert ingest.get(f"/{name}") == '"LastName","FirstName","Email"\n'
    assert front.names("Id != null") == ["Ng"]


@pytest.mark.fact("salesforce:ingest_empty_and_null")
def test_empty_is_untouched_and_na_is_null(ingest: Ingest, front: Front) -> None:
    one = front.create("Contact", LastName="A", FirstName="Ann", Title="Boss", HasOptedOutOfEmail=True)
    done = ingest.run(f'Id,FirstName,Title,HasOptedOutOfEmail\n{one},,#N/A,"false"\n', "update")
    assert done["numberRecordsFailed"] == 0
    assert front.soql("SELECT FirstName, Title, HasOptedOutOfEmail FROM Contact") == [
        {"FirstName": "Ann", "Title": None, "HasOptedOutOfEmail": False}
    ]
    assert '"false"' in ingest.get("/successfulResults").splitlines()[1]


@pytest.mark.fact("salesforce:ingest_upsert")
def test_upsert_by_a_key_that_was_there(key: None, ingest: Ingest, front: Front) -> None:
    old = front.create("Contact", LastName="Old", Key__c="k1")
    done = ingest.run("Key__c,LastName\nk1,New\nk2,Two\n,None\n", "upsert", externalIdFieldName="Key__c")
    assert (done["numberRecordsFailed"], done["externalIdFieldName"]) == (1, "Key__c")
    rows = ingest.get("/successfulResults").splitlines()[1:]
    assert rows[0] == f'"{old}","false","k1","New"'
    assert rows[1].split(",")[1] == '"true"'
    assert "MISSING_ARGUMENT:Key__c not specified" in ingest.get("/failedResults")
    assert front.names("Id != null") == ["New", "Two"]
    assert ingest.open("upsert", externalIdFieldName="Nope__c").json[0]["errorCode"] == "INVALIDJOB"


@pytest.mark.fact("salesforce:ingest_parents")
def test_parents_are_named_by_their_keys(key: None, ingest: Ingest, front: Front) -> None:
    front.key_field("Account")
    ng = front.create("Contact", LastName="Ng", Email="ng@x.org")
    lead = front.create("Lead", LastName="Li", Company="Li Ltd", Email="li@x.org")
    done = ingest.run("LastName,ReportsTo.Email\nA,NG@x.org\nB,nobody@x.org\n")
    assert done["numberRecordsFailed"] == 1
    assert "INVALID_FIELD:Foreign key external ID: nobody@x.org not found for field Email in entity Contact:--" in (
        ingest.get("/failedResults")
    )
    assert front.soql("SELECT ReportsToId FROM Contact WHERE LastName = 'A'") == [{"ReportsToId": ng}]
    ingest.run("Subject,Lead:Who.Email\nCall,li@x.org\n", sobject="Task")
    assert front.soql("SELECT WhoId FROM Task") == [{"WhoId": lead}]
    assert ingest.run("Subject,Who.Email\nCall,li@x.org\n", sobject="Task")["state"] == "Failed"
    assert ingest.run("LastName,Contact:ReportsTo.Email\nA,x\n")["state"] == "Failed"


@pytest.mark.fact("salesforce:ingest_failed_jobs")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LastName,Mail\nNg,x\n", "InvalidBatch : Field name not found : Mail"),
        ("LastName\r\nNg\r\n",
         "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF"),
        ('LastName\n"Ng" x\n', "ClientInputError : The CSV cannot be parsed: "),
        ("LastName\nN\udce4g\n", "ClientInputError : Invalid UTF-8: "),
        ("", "InvalidBatch : Job data is empty"),
    ],
)  # fmt: skip
def test_unreadable_data_makes_the_job_fail(ingest: Ingest, front: Front, text: str, message: str) -> None:
    ingest.open("insert")
    raw = text.encode("utf-8", "surrogateescape")
    assert ingest.wire.send("PUT", f"{BASE}/jobs/ingest/{ingest.id}/batches", raw).status == 201
    ingest.patch("UploadComplete")
    ingest.jobs.settle()
    done = ingest.get()
    assert (done["state"], done["errorMessage"][: len(message)]) == ("Failed", message)
    assert front.soql("SELECT Id FROM Contact") == []


def test_values_of_all_types_and_rows_of_odd_length(ingest: Ingest, front: Front) -> None:
    text = (
        "Name;NumberOfEmployees;AnnualRevenue;Description\r\n"
        "Good;12;10.6;\"two\r\nlines\"\r\n"
        "Bad;many;1;x\r\nShort;1\r\n"
    )
    done = ingest.run(text, sobject="Account", columnDelimiter="SEMICOLON", lineEnding="CRLF")
    assert (done["state"], done["numberRecordsFailed"]) == ("JobComplete", 2)
    assert front.soql("SELECT Name, NumberOfEmployees, AnnualRevenue, Description FROM Account") == [
        {"Name": "Good", "NumberOfEmployees": 12, "AnnualRevenue": 11.0, "Description": "two\r\nlines"}
    ]
    failed = ingest.get("/failedResults")
    assert "INVALID_TYPE_ON_FIELD_IN_RECORD" in failed and "INVALID_CSV_ROW" in failed


@pytest.mark.fact("salesforce:purged_in_deleted_alone")
def test_delete_and_hard_delete(ingest: Ingest, front: Front) -> None:
    one, two = (front.create("Contact", LastName=name) for name in "AB")
    assert ingest.run(f"Id\n{one}\nnope\n", "delete")["numberRecordsFailed"] == 1
    assert ingest.run(f"Id\n{two}\n", "hardDelete")["numberRecordsFailed"] == 0
    assert front.soql("SELECT Id FROM Contact", everything=True) == [{"Id": one}]


def test_an_aborted_job_leaves_its_rows(ingest: Ingest, front: Front) -> None:
    ingest.open("insert")
    ingest.put("LastName\nNg\n")
    assert ingest.patch("Aborted") == 200
    assert ingest.get("/unprocessedrecords") == "LastName\nNg\n"
    assert front.soql("SELECT Id FROM Contact") == []


@pytest.mark.fact("salesforce:bulk_entity")
def test_jobs_for_nothing_are_refused(ingest: Ingest) -> None:
    error = ingest.open("insert", "Nope").json[0]
    assert (error["errorCode"], error["message"]) == (
        "INVALIDENTITY", "Entity 'Nope' is not supported by the Bulk API.",
    )  # fmt: skip
    assert ingest.open("replace").json[0]["errorCode"] == "INVALIDJOB"
    ingest.id = "750Hs0000000099"
    assert ingest.put("x") == 404


def test_the_good_rows_of_a_chunk_stay_beside_those_that_have_a_taken_key(
    key: None, ingest: Ingest, front: Front, faults: Faults
) -> None:
    held = front.create("Contact", LastName="Held", Key__c="k0")
    faults.add([Fault("row_lock", object="Contact", skip=5)])
    assert ingest.run("LastName,Key__c\nA,k1\nB,K0\nC,k2\nD,k1\n,k3\nE,k4\nF,k5\n")["numberRecordsFailed"] == 4
    good = [line.replace('"', "").split(",") for line in ingest.get("/successfulResults").splitlines()[1:]]
    assert [(front.soql(f"SELECT LastName FROM Contact WHERE Id = '{id}'"), name) for id, _, name, _ in good] == [
        ([{"LastName": name}], name) for name in "ACF"
    ]
    bad = [re.split("[:,]", line) for line in ingest.get("/failedResults").splitlines()[1:]]
    codes = [one[1].strip('"') for one in bad]
    assert codes == ["DUPLICATE_VALUE", "DUPLICATE_VALUE", "REQUIRED_FIELD_MISSING", "UNABLE_TO_LOCK_ROW"]
    assert held[:15] in str(bad[0]) and good[0][0][:15] in str(bad[1])
    assert front.names("Id != null") == ["A", "C", "F", "Held"] and len(faults.log()) == 1


def test_one_bad_record_of_a_job(ingest: Ingest, front: Front, faults: Faults) -> None:
    faults.add([Fault("bad_record", object="Contact", skip=1)])
    assert ingest.run("LastName\nA\nB\nC\n")["numberRecordsFailed"] == 1
    assert "FIELD_CUSTOM_VALIDATION_EXCEPTION" in ingest.get("/failedResults").splitlines()[1]
    assert front.names("Id != null") == ["A", "C"]
    assert ingest.run("LastName\nD\n")["numberRecordsFailed"] == 0
