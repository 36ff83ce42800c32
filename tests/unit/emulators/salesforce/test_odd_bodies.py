"""Send the pretend org bodies and parameters of every wrong shape: it refuses them in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.salesforce.desk_clock import Front
from tests.unit.emulators.salesforce.wire import Wire

BASE = "/services/data/v59.0"
ODD: list[Any] = [None, [], {}, 5, "text", True, [None], [5], [[]], [{}], {"": None}, {"Id": 5}]
ODD += [{"LastName": {"a": []}}, {"attributes": 5}, {"Account": {"Name": []}}, {"Account": []}, {"AccountId": 5}]
ODD += [{"Birthdate": 5}, {"Email": []}]
ODD += [{"records": one} for one in (5, {}, [5], [{"attributes": []}], [{"attributes": {"type": []}}])]
ROW = {"attributes": {"type": "Contact"}}
ODD += [{"records": [{**ROW, "id": one}], "allOrNone": "x"} for one in (5, [], {}, "x")]
ODD += [{"ids": one, "fields": two} for one, two in ((5, 5), ([5], [5]), ({}, {}), ("x", "x"), ([[]], [None]))]
ODD += [{"compositeRequest": [one]} for one in ({}, {"referenceId": "a"}, {"referenceId": "a", "url": 5})]
PART = {"referenceId": "a", "url": f"{BASE}/limits"}
ODD += [{"compositeRequest": [{**PART, "httpHeaders": one}]} for one in (5, [], "x")]
ODD += [{"batchRequests": [one]} for one in ({}, {"url": 5}, {"url": f"{BASE}/limits", "method": []})]
ODD += [{"graphs": [one]} for one in ({}, {"graphId": "1", "compositeRequest": 5}, {"graphId": []}, {"graphId": "1"})]
ODD += [{"operation": one, "object": one, "query": one, "state": one} for one in ([], {}, 5)]
ODD += [{"q": one, "sobjects": two} for one, two in ((5, 5), ("ab", [5]), ("ab", [{"name": []}]), ([], {}))]
METAS = [5, {"type": "Text", "label": 5, "length": []}, {"type": "Picklist", "label": "x", "valueSet": 5}]
METAS += [{"type": "Number", "label": "x", "precision": "x", "scale": 1}]
ODD += [{"FullName": "Contact.A__c", "Metadata": one} for one in METAS]
PATHS = [
    ("POST", "sobjects/Contact"), ("PATCH", "sobjects/Contact/{id}"), ("PATCH", "sobjects/Contact/Key__c/k"),
    ("POST", "composite"), ("POST", "composite/batch"), ("POST", "composite/graph"), ("POST", "composite/tree/Account"),
    ("POST", "composite/sobjects"), ("PATCH", "composite/sobjects"), ("POST", "composite/sobjects/Contact"),
    ("PATCH", "composite/sobjects/Contact/Key__c"), ("PATCH", "composite/sobjects/Contact/Id"),
    ("POST", "jobs/query"), ("POST", "jobs/ingest"), ("POST", "parameterizedSearch"),
    ("POST", "tooling/sobjects/CustomField"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_body_of_a_wrong_shape_is_refused(key: None, front: Front, wire: Wire, method: str, path: str) -> None:
    record = front.create("Contact", LastName="Ng")
    for body in ODD:
        heard = wire.send(method, f"{BASE}/{path.format(id=record)}", body)
        assert heard.status < 500 or heard.status == 501, (body, heard.text)
        assert heard.status == 204 or heard.json is not None, body


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("sobjects/Contact/updated", {}), ("sobjects/Contact/deleted", {"start": "x", "end": "99999-01-01"}),
        ("query", {}), ("query", {"q": ""}), ("query", {"q": "SELECT Id FROM Contact LIMIT -1"}),
        ("query", {"q": "SELECT Id FROM Contact LIMIT 1.5"}), ("query", {"q": "SELECT ((("}), ("query/x", {}),
        ("query", {"q": "SELECT Id FROM Contact WHERE CreatedDate = LAST_N_YEARS:99999"}),
        ("query", {"q": "SELECT COUNT(), Id FROM Contact"}), ("query", {"q": "SELECT COUNT(Id), COUNT() FROM Contact"}),
        ("query", {"q": "SELECT CALENDAR_YEAR(LastName) FROM Contact GROUP BY CALENDAR_YEAR(LastName)"}),
        ("query", {"q": "SELECT Id FROM Contact WHERE COUNT(Id) > 1"}), ("search", {}), ("search", {"q": "FIND {}"}),
        ("parameterizedSearch", {"q": "ab", "overallLimit": "x"}), ("composite/sobjects/Contact", {}),
        ("jobs/query/x/results", {}), ("sobjects/Contact/Nope/x", {}),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(wire: Wire, path: str, query: dict[str, str]) -> None:
    heard = wire.send("GET", f"{BASE}/{path}", query=query)
    assert 400 <= heard.status < 500 or heard.status == 501, (heard.status, heard.text)
    assert heard.json[0]["errorCode"]


@pytest.mark.parametrize("body", [one for one in ODD if one is not None])
def test_bulk_1_refuses_odd_bodies(wire: Wire, body: Any) -> None:
    headers = {"x-sfdc-session": wire.token, "content-type": "application/json"}
    heard = wire.send("POST", "/services/async/59.0/job", body, headers=headers)
    assert 400 <= heard.status < 500, heard.text
