"""No body of another shape than expected breaks an endpoint: it is refused in HubSpot's form, or taken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.emulators import matrix
from tests.unit.emulators.hubspot.inside import Inside, to
from tests.unit.steps.profiles import examples

WRITES = [one for one in matrix.endpoints("hubspot") if one.method != "GET" and "/oauth/" not in one.path]
KEYS = sorted(
    {
        *("properties", "associations", "inputs", "id", "to", "from", "types", "type", "name", "label", "labels"),
        *("associationTypeId", "filterGroups", "filters", "propertyName", "operator", "value", "values", "sorts"),
        *("query", "limit", "after", "idProperty", "objectId", "options", "stages", "metadata", "displayOrder"),
        *("requiredProperties", "associatedObjects", "channel", "subscriptionId", "throttling", "objectWriteTraceId"),
    }
)
ATOMS = st.sampled_from([None, "", 0, -1, True, "x", "5", 1e300, "9" * 20, "contacts", "email", "EQ", "EMAIL", 279])
WRONG = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
)


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    one = Inside(Path(tmp_path_factory.mktemp("portal")))
    yield one
    one.close()


def good(contact: str, company: str) -> list[Any]:
    """Return bodies that some endpoint takes."""
    ends = {"from": {"id": contact}, "to": {"id": company}, "types": to(company, 1)["types"]}
    option, stage = {"label": "a", "value": "b"}, {"label": "x", "metadata": {"probability": "1"}, "displayOrder": 2}
    plate = {"name": "p", "label": "p", "type": "string", "fieldType": "text"}
    return [
        {"properties": {"email": "z@x.test"}, "associations": [to(company, 1)]},
        {"inputs": [{"id": contact, "properties": {"city": "x"}, "objectWriteTraceId": "t", "idProperty": "email"}]},
        {"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "x"}]}], "sorts": ["city"]},
        {"inputs": [ends]},
        {**plate, "type": "enumeration", "fieldType": "select", "groupName": "contactinformation", "options": [option]},
        {"label": "P", "displayOrder": 1, "stages": [stage]},
        {"name": "car", "labels": {"singular": "c"}, "requiredProperties": ["p"], "properties": [plate]},
        {"targetUrl": "http://127.0.0.1:9", "throttling": {"maxConcurrentRequests": 10}},
        to(company, 1)["types"],
    ]


def spoilt(draw: Any, body: Any) -> Any:
    """Put something else in a few places of a body."""
    if draw(st.integers(0, 9)) == 0:
        return draw(WRONG)
    if isinstance(body, dict):
        return {key: spoilt(draw, value) for key, value in body.items()}
    return [spoilt(draw, one) for one in body] if isinstance(body, list) else body


@examples(300)
@given(data=st.data(), endpoint=st.sampled_from(WRITES))
def test_no_body_breaks_an_endpoint(portal: Inside, data: Any, endpoint: matrix.Endpoint) -> None:
    contact, company = portal.create(firstname="A"), portal.create("companies", name="A")
    names = {"object": "contacts", "to_object": "companies", "id": contact, "to_id": company, "version": "2026-03"}
    path = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "7"), endpoint.path)
    body = spoilt(data.draw, data.draw(st.sampled_from(good(contact, company))))
    answer = portal.send(endpoint.method, path, body)
    assert answer.status in (200, 201, 204, 207) or (answer.body["status"] == "error" and answer.body["correlationId"])
