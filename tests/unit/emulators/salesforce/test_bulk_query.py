"""Have the pretend org answer queries in bulk: jobs, their states, pages of CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from crm_sync.emulators.faults import Fault, Faults
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.failures import Answer
from crm_sync.emulators.salesforce.rest import Rest
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.state import NewRecord, State
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front


def start(front: Front, query: str, **more: Any) -> Answer:
    return front.ask("POST", "jobs/query", {"operation": "query", "query": query, **more})


def job(front: Front, query: str, **more: Any) -> str:
    answer = start(front, query, **more)
    assert answer.status == 200, answer.body
    front.rest.jobs.settle()
    made: str = answer.body["id"]
    return made


def page(front: Front, job_id: str, **query: str) -> tuple[str, dict[str, str]]:
    answer = front.ask("GET", f"jobs/query/{job_id}/results", query=query)
    assert answer.status == 200, answer.body
    return b"".join(answer.body).decode(), answer.headers


@pytest.mark.fact("salesforce:bulk_query_job", "salesforce:bulk_states")
def test_a_job_from_its_creation_to_its_end(front: Front) -> None:
    front.create("Account", Name="Acme")
    made = start(front, "SELECT Id, Name FROM Account").body
    front.rest.jobs.settle()
    assert made == {
        "id": made["id"], "operation": "query", "object": "Account", "createdById": ids.lengthen(ids.USER),
        "createdDate": "2024-05-01T10:00:00.000+0000", "systemModstamp": "2024-05-01T10:00:00.000+0000",
        "state": "UploadComplete", "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": 59.0,
        "lineEnding": "LF", "columnDelimiter": "COMMA",
    }  # fmt: skip
    assert made["id"].startswith("750")
    done = front.ask("GET", f"jobs/query/{made['id']}").body
    assert (done["state"], done["jobType"], done["numberRecordsProcessed"]) == ("JobComplete", "V2Query", 1)
    assert {"retries", "totalProcessingTime"} <= set(done)
    assert [one["id"] for one in front.ask("GET", "jobs/query").body["records"]] == [made["id"]]
    assert front.ask("DELETE", f"jobs/query/{made['id']}").status == 204
    assert front.ask("GET", f"jobs/query/{made['id']}").status == 404


@pytest.mark.fact("salesforce:bulk_csv", "salesforce:bulk_csv_datetime")
def test_values_are_quoted_whatever_they_are(front: Front) -> None:
    account = front.create("Account", Name="Acme", AnnualRevenue=5)
    front.create("Contact", LastName='O"Hara, "x"', FirstName="two\nlines", AccountId=account, HasOptedOutOfEmail=True)
    query = "SELECT LastName, FirstName, Email, HasOptedOutOfEmail, IsDeleted, SystemModstamp, AccountId FROM Contact"
    text, _ = page(front, job(front, query))
    assert text == (
        '"LastName","FirstName","Email","HasOptedOutOfEmail","IsDeleted","SystemModstamp","AccountId"\n'
        f'"O""Hara, ""x""","two\nlines","","true","false","2024-05-01T10:00:00.000Z","{account}"\n'
    )
    parents = "SELECT LastName, Account.Name, Account.AnnualRevenue, Account.CreatedDate, ReportsTo.Name FROM Contact"
    rows = list(csv.DictReader(io.StringIO(page(front, job(front, parents))[0])))
    assert rows == [
        {"LastName": 'O"Hara, "x"', "Account.Name": "Acme", "Account.AnnualRevenue": "5.0",
         "Account.CreatedDate": "2024-05-01T10:00:00.000Z", "ReportsTo.Name": ""},
    ]  # fmt: skip
    spaced, _ = page(front, job(front, "SELECT Name, Phone FROM Account", columnDelimiter="PIPE", lineEnding="CRLF"))
    assert spaced == '"Name"|"Phone"\r\n"Acme"|""\r\n'


@pytest.mark.fact("salesforce:bulk_empty")
def test_no_rows_are_a_header_alone(front: Front) -> None:
    text, headers = page(front, job(front, "SELECT Id FROM Contact"))
    assert (text, headers) == ('"Id"\n', {"Sforce-NumberOfRecords": "0", "Sforce-Locator": "null"})


@pytest.mark.fact("salesforce:bulk_pages")
def test_pages_have_headers_locators_and_can_be_read_again(front: Front, state: State) -> None:
    made = [ids.make("003", n + 1) for n in range(4500)]
    state.insert_many("Contact", [NewRecord(one, {"LastName": f"N{n}"}) for n, one in enumerate(made)])
    job_id = job(front, "SELECT Id FROM Contact ORDER BY Id")
    state.delete("Contact", made[0])
    seen: list[str] = []
    locators = [""]
    while locators[-1] != "null":
        more = {"locator": locators[-1]} if locators[-1] else {}
        text, headers = page(front, job_id, maxRecords="1999", **more)
        rows = text.splitlines()
        assert rows[0] == '"Id"'
        assert int(headers["Sforce-NumberOfRecords"]) == len(rows) - 1
        seen += [row.strip('"') for row in rows[1:]]
        locators.append(headers["Sforce-Locator"])
    assert seen == made, "the result is that of the job's moment"
    again, _ = page(front, job_id, maxRecords="1999", locator=locators[1])
    assert again.splitlines()[1] == f'"{made[1999]}"'
    whole, headers = page(front, job_id)
    assert (whole.count("\n"), headers["Sforce-Locator"]) == (4501, "null")
    assert front.ask("GET", f"jobs/query/{job_id}/results", query={"locator": "x"}).status == 400
    assert front.ask("GET", f"jobs/query/{job_id}/results", version=60.0).status == 409


def test_deleted_records_by_query_all(front: Front) -> None:
    front.ask("DELETE", f"sobjects/Contact/{front.create('Contact', LastName='Gone')}")
    assert page(front, job(front, "SELECT LastName FROM Contact"))[0] == '"LastName"\n'
    assert page(front, job(front, "SELECT LastName FROM Contact", operation="queryAll"))[0] == '"LastName"\n"Gone"\n'


@pytest.mark.fact("salesforce:bulk_refusals")
@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("SELECT MailingAddress FROM Contact", "API_ERROR", "Selecting compound data not supported in Bulk Query"),
        ("SELECT COUNT() FROM Contact", "FEATURENOTENABLED", "not supported in Bulk Query"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "FEATURENOTENABLED", "not supported in Bulk Query"),
        ("SELECT Id FROM Contact OFFSET 5", "FEATURENOTENABLED", "not supported in Bulk Query"),
        ("SELECT Nope FROM Contact", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT Id FROM Contact WHERE Nope = 1", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported"),
        ("SELECT", "MALFORMED_QUERY", "unexpected token"),
    ],
)
def test_what_bulk_queries_do_not_do(front: Front, query: str, code: str, text: str) -> None:
    answer = start(front, query)
    assert front.error(answer) == (400, code)
    assert text in answer.body[0]["message"]


def test_jobs_that_are_not_well_formed(front: Front) -> None:
    assert front.error(start(front, "SELECT Id FROM Contact", contentType="XML")) == (400, "INVALIDJOB")
    assert front.error(start(front, "SELECT Id FROM Contact", operation="insert")) == (400, "INVALIDJOB")
    assert front.error(front.ask("POST", "jobs/query", {"operation": "query"})) == (400, "API_ERROR")
    assert front.error(front.ask("POST", "jobs/query")) == (400, "JSON_PARSER_ERROR")
    done = job(front, "SELECT Id FROM Contact")
    assert front.error(front.ask("PATCH", f"jobs/query/{done}", {"state": "Aborted"})) == (400, "INVALIDJOBSTATE")
    assert front.ask("GET", "jobs/query/750Hs0000000099").status == 404


@pytest.mark.fact("salesforce:bulk_delete_terminal")
def test_a_job_that_is_not_over_can_be_aborted_not_deleted(front: Front) -> None:
    front.rest.jobs.works["query"] = lambda job: "InProgress"
    made = start(front, "SELECT Id FROM Contact").body["id"]
    front.rest.jobs.settle()
    assert front.error(front.ask("DELETE", f"jobs/query/{made}")) == (400, "API_ERROR")
    assert front.error(front.ask("GET", f"jobs/query/{made}/results")) == (400, "INVALIDJOBSTATE")
    assert front.ask("PATCH", f"jobs/query/{made}", {"state": "Aborted"}).body["state"] == "Aborted"
    assert front.ask("DELETE", f"jobs/query/{made}").status == 204


def test_a_restart_does_what_was_left(front: Front, state: State, faults: Faults, doorman: Doorman) -> None:
    front.create("Contact", LastName="A")
    front.rest.jobs.works["query"] = lambda job: "InProgress"
    made = start(front, "SELECT LastName FROM Contact").body["id"]
    front.rest.jobs.settle()
    again = Front(Rest(Org(state, faults), doorman), DeskClock())
    again.rest.jobs.resume()
    again.rest.jobs.settle()
    assert page(again, made)[0] == '"LastName"\n"A"\n'


def test_a_bulk_limit_strikes_once(front: Front, faults: Faults) -> None:
    faults.add([Fault("limit", options={"kind": "bulk"})])
    assert front.error(start(front, "SELECT Id FROM Contact")) == (400, "LIMIT_EXCEEDED")
    assert start(front, "SELECT Id FROM Contact").status == 200
    front.rest.jobs.settle()
