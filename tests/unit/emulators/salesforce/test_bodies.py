"""Bodies of requests: compressed, empty, in forms that are not taken; and answers inside other answers."""

from __future__ import annotations

import gzip
import zlib

import orjson
import pytest
from starlette.applications import Starlette

from tests.unit.emulators.salesforce.desk_clock import Front
from tests.unit.emulators.salesforce.wire import Wire

BASE = "/services/data/v59.0"


@pytest.mark.fact("salesforce:compressed_bodies")
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_bodies_are_read(wire: Wire, app: Starlette, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    made = wire.send("POST", f"{BASE}/sobjects/Contact", pack(b'{"LastName": "Ng"}'), headers=headers)
    assert made.status == 201
    job = wire.send("POST", f"{BASE}/jobs/ingest", {"object": "Contact", "operation": "insert"}).json["id"]
    rows = b"LastName\n" + b"\n".join(b"N%d" % number for number in range(3000))
    put = wire.send("PUT", f"{BASE}/jobs/ingest/{job}/batches", pack(rows), headers=headers)
    assert put.status == 201
    wire.send("PATCH", f"{BASE}/jobs/ingest/{job}", {"state": "UploadComplete"})
    app.state.front.rest.jobs.settle()
    assert wire.send("GET", f"{BASE}/jobs/ingest/{job}").json["numberRecordsProcessed"] == 3000
    session = {"x-sfdc-session": wire.token, **headers}
    first = orjson.dumps({"operation": "insert", "object": "Contact", "contentType": "CSV"})
    assert wire.send("POST", "/services/async/59.0/job", pack(first), headers=session).status == 201


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [("gzip", b"{}", 400), ("gzip", gzip.compress(b'{"LastName": "Ng"}')[:-9], 400), ("br", b"{}", 415)],
)
def test_what_cannot_be_expanded_is_refused(wire: Wire, encoding: str, body: bytes, status: int) -> None:
    headers = {"content-encoding": encoding}
    assert wire.send("POST", f"{BASE}/sobjects/Contact", body, headers=headers).status == status
    job = wire.send("POST", f"{BASE}/jobs/ingest", {"object": "Contact", "operation": "insert"}).json["id"]
    assert wire.send("PUT", f"{BASE}/jobs/ingest/{job}/batches", body, headers=headers).status == status


@pytest.mark.parametrize(
    "headers",
    [{"accept": "application/xml"}, {"content-type": "application/xml"}, {"content-type": "multipart/form-data; a=b"}],
)
def test_xml_and_multipart_are_not_supported(wire: Wire, headers: dict[str, str]) -> None:
    answer = wire.send("POST", f"{BASE}/sobjects/Contact", b"<Contact/>", headers=headers)
    assert (answer.status, answer.json[0]["errorCode"]) == (501, "NOT_IMPLEMENTED")
    assert next(iter(headers.values())).partition(";")[0] in answer.json[0]["message"]
    both = {"accept": "application/json, text/xml, */*"}
    assert wire.send("GET", f"{BASE}/limits", headers=both).status == 200


@pytest.mark.fact("salesforce:head")
def test_head_answers_as_get_does(wire: Wire, front: Front) -> None:
    made = front.create("Contact", LastName="Ng")
    assert wire.send("HEAD", f"{BASE}/sobjects/Contact/{made}").status == 200
    assert wire.send("HEAD", f"{BASE}/sobjects/Contact/003Hs0000099999").status == 404


@pytest.mark.parametrize("path", [".errors[3]", ".errors.x", ".success.x", ".x.y", "[0]"])
def test_references_to_nothing_halt_a_subrequest(front: Front, path: str) -> None:
    subs = [
        {"method": "POST", "url": f"{BASE}/sobjects/Account", "referenceId": "a", "body": {"Name": "A"}},
        {"method": "GET", "url": f"{BASE}/sobjects/Account/@{{a{path}}}", "referenceId": "b"},
    ]
    answer = front.ask("POST", "composite", {"compositeRequest": subs})
    assert (answer.status, [one["httpStatusCode"] for one in answer.body["compositeResponse"]]) == (200, [201, 400])
    assert answer.body["compositeResponse"][1]["body"][0]["errorCode"] == "PROCESSING_HALTED"


def test_rows_of_bulk_jobs_do_not_stand_inside_answers(wire: Wire, app: Starlette) -> None:
    asked = {"operation": "query", "query": "SELECT Id FROM Contact"}
    job = wire.send("POST", f"{BASE}/jobs/query", asked).json["id"]
    app.state.front.rest.jobs.settle()
    url = f"{BASE}/jobs/query/{job}/results"
    sub = {"method": "GET", "url": url, "referenceId": "a"}
    one = wire.send("POST", f"{BASE}/composite", {"compositeRequest": [sub]}).json["compositeResponse"][0]
    assert one["httpStatusCode"] == 501
    batch = wire.send("POST", f"{BASE}/composite/batch", {"batchRequests": [{"method": "GET", "url": url[15:]}]})
    assert batch.json["results"][0]["statusCode"] == 501
