"""How jobs of both bulk APIs run: over restarts, beside one that breaks, in chunks, until they are given up."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.applications import Starlette

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce.app import build
from crm_sync.emulators.salesforce.bulk.incoming import Row
from crm_sync.emulators.salesforce.bulk.ingests import RowWriter
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from tests.unit.emulators.salesforce.desk_clock import Front
from tests.unit.emulators.salesforce.wire import Heard, Wire

JOB = "/services/async/59.0/job"


@pytest.fixture
def jobs(app: Starlette) -> Any:
    return app.state.front.rest.jobs


def first(wire: Wire, method: str, path: str, body: Any = None, **headers: str) -> Heard:
    """Make a call of Bulk API 1.0."""
    given = {"x-sfdc-session": wire.token, "content-type": "application/json", **headers}
    return wire.send(method, JOB + path, body, headers={key: one for key, one in given.items() if one})


def open_job(wire: Wire, operation: str, content: str = "CSV", **headers: str) -> str:
    body = {"operation": operation, "object": "Contact", "contentType": content}
    return "/" + str(first(wire, "POST", "", body, **headers).json["id"])


def batches(wire: Wire, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = first(wire, "GET", f"{job}/batch").json["batchInfo"]
    return found


def stop_at(monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    """Have the state closed under the writing of the n-th row, as at the end of a process."""
    whole, seen = RowWriter.write, 0

    def write(self: RowWriter, rows: Sequence[Row]) -> Any:
        nonlocal seen
        seen += len(rows)
        written = whole(self, rows)
        if seen >= row:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
        return written

    monkeypatch.setattr(RowWriter, "write", write)


@pytest.mark.fact("salesforce:bulk1_json_writes")
@pytest.mark.parametrize("content", ["CSV", "JSON"])
def test_a_restart_writes_no_row_of_a_batch_twice(
    content: str, wire: Wire, jobs: Any, front: Front, state: State, faults: Faults, settings: EmulatorSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    names = [f"N{number:03}" for number in range(450)]
    rows = "LastName\n" + "\n".join(names) if content == "CSV" else [{"LastName": name} for name in names]
    job = open_job(wire, "insert", content)
    with monkeypatch.context() as patched:
        stop_at(patched, 250)
        first(wire, "POST", f"{job}/batch", rows.encode() if isinstance(rows, str) else rows)
        jobs.settle()
    assert front.names("Id != null") == names[:200]
    again = build(state, faults, settings)
    again.state.front.rest.jobs.settle()
    assert front.names("Id != null") == names
    told = Wire(again)
    told.token = wire.token
    (batch,) = batches(told, job)
    assert (batch["state"], batch["numberRecordsProcessed"]) == ("Completed", 450)
    result = first(told, "GET", f"{job}/batch/{batch['id']}/result")
    assert len(result.text.splitlines()) - 1 == 450 if content == "CSV" else len(result.json) == 450


def test_a_job_that_breaks_holds_up_no_other(front: Front) -> None:
    jobs = front.rest.jobs
    front.create("Contact", LastName="Ng")
    whole = jobs.works["query"]

    def broken(job: Any) -> str:
        raise ZeroDivisionError

    ids = []
    for work in (broken, whole):
        jobs.works["query"] = work
        made = front.ask("POST", "jobs/query", {"operation": "query", "query": "SELECT Id FROM Contact"})
        jobs.settle()
        ids.append(made.body["id"])
    told = [front.ask("GET", f"jobs/query/{one}").body for one in ids]
    assert [one["state"] for one in told] == ["Failed", "JobComplete"]
    assert told[0]["errorMessage"] == "InternalServerError : ZeroDivisionError"


def test_an_abortion_while_rows_are_written_stays(front: Front) -> None:
    jobs = front.rest.jobs
    made = front.ask("POST", "jobs/ingest", {"object": "Contact", "operation": "insert"}).body["id"]
    rows = "LastName\n" + "\n".join(f"N{number}" for number in range(500))
    jobs.start_upload(made)
    jobs.receive(made, rows.encode())
    jobs.end_upload(made)
    whole = jobs.works["ingest"]

    def abort_first(job: Any) -> str:
        assert front.ask("PATCH", f"jobs/ingest/{made}", {"state": "Aborted"}).status == 200
        return whole(job)

    jobs.works["ingest"] = abort_first
    front.ask("PATCH", f"jobs/ingest/{made}", {"state": "UploadComplete"})
    jobs.settle()
    assert front.ask("GET", f"jobs/ingest/{made}").body["state"] == "Aborted"
    assert front.names("Id != null") == []


@pytest.mark.fact("salesforce:bulk1_pk_chunking")
def test_pk_chunking_makes_a_batch_of_each_range_of_ids(wire: Wire, jobs: Any, front: Front) -> None:
    for number in range(5):
        front.create("Contact", LastName=f"N{number}")
    job = open_job(wire, "query", **{"sforce-enable-pkchunking": "chunkSize=2"})
    first(wire, "POST", f"{job}/batch", b"SELECT LastName FROM Contact", **{"content-type": "text/csv"})
    jobs.settle()
    told = batches(wire, job)
    assert [one["state"] for one in told] == ["NotProcessed", "Completed", "Completed", "Completed"]
    assert [one["numberRecordsProcessed"] for one in told] == [0, 2, 2, 1]
    names = []
    for one in told[1:]:
        path = f"{job}/batch/{one['id']}/result"
        found = re.search("<result>(.*?)</result>", first(wire, "GET", path).text)
        assert found
        names += first(wire, "GET", f"{path}/{found[1]}").text.splitlines()[1:]
    assert names == [f'"N{number}"' for number in range(5)]


@pytest.mark.parametrize("header", ["", "false"])
def test_without_pk_chunking_a_query_is_one_batch(header: str, wire: Wire, jobs: Any) -> None:
    job = open_job(wire, "query", **{"sforce-enable-pkchunking": header})
    first(wire, "POST", f"{job}/batch", b"SELECT LastName FROM Contact")
    jobs.settle()
    assert [one["state"] for one in batches(wire, job)] == ["Completed"]


@pytest.mark.fact("salesforce:bulk1_xml_by_default")
def test_a_call_without_a_content_type_is_answered_in_xml(wire: Wire) -> None:
    job, other = open_job(wire, "insert"), open_job(wire, "insert", "JSON")
    told = first(wire, "GET", job, **{"content-type": ""})
    assert told.text.startswith("<?xml") and told.headers["content-type"] == "application/xml"
    told = first(wire, "GET", job)
    assert told.json["state"] == "Open" and told.headers["content-type"] == "application/json"
    for path in (other, f"{other}/batch"):
        assert first(wire, "GET", path, **{"content-type": "application/xml"}).headers["content-type"] == (
            "application/json"
        )


@pytest.mark.fact("salesforce:bulk1_content_types")
def test_rows_come_as_plain_csv(wire: Wire, jobs: Any) -> None:
    job = open_job(wire, "insert")
    first(wire, "POST", f"{job}/batch", b"LastName\nNg\n", **{"content-type": "text/csv"})
    jobs.settle()
    (batch,) = batches(wire, job)
    assert first(wire, "GET", f"{job}/batch/{batch['id']}/result").headers["content-type"] == "text/csv"


def test_a_closed_job_can_be_aborted(wire: Wire) -> None:
    job = open_job(wire, "insert")
    assert first(wire, "POST", job, {"state": "Closed"}).json["state"] == "Closed"
    assert first(wire, "POST", job, {"state": "Aborted"}).json["state"] == "Aborted"
    assert first(wire, "POST", job, {"state": "Aborted"}).json["exceptionCode"] == "InvalidJobState"
