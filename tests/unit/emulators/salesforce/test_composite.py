"""Send several requests to the pretend org in one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front

BASE = "/services/data/v59.0"


def sub(name: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {"referenceId": name, "method": method, "url": f"{BASE}/{path}"}
    return out | ({"body": body} if body is not None else {}) | ({"httpHeaders": headers} if headers else {})


def send(front: Front, *subs: dict[str, Any], all_or_none: bool = False) -> list[dict[str, Any]]:
    answer = front.ask("POST", "composite", {"allOrNone": all_or_none, "compositeRequest": list(subs)})
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.body["compositeResponse"]
    return found


@pytest.mark.fact("salesforce:composite")
def test_each_subrequest_succeeds_or_fails_for_itself(front: Front, clock: DeskClock) -> None:
    one, two = (front.create("Contact", LastName=name) for name in "AB")
    clock.forward(60)
    stale = {"If-Unmodified-Since": "Wed, 01 May 2024 09:00:00 GMT"}
    results = send(
        front,
        sub("a", "PATCH", f"sobjects/Contact/{one}", {"LastName": "A2"}),
        sub("b", "PATCH", f"sobjects/Contact/{two}", {"LastName": "B2"}, stale),
        sub("c", "PATCH", f"sobjects/Contact/{two}", {"Email": "x"}),
        sub("d", "PATCH", "sobjects/Contact/003Hs0000099999IAA", {"LastName": "D"}),
    )
    assert [r["referenceId"] for r in results] == ["a", "b", "c", "d"]
    assert [r["httpStatusCode"] for r in results] == [204, 412, 400, 404]
    assert results[0]["body"] is None
    assert results[2]["body"][0]["errorCode"] == "INVALID_EMAIL_ADDRESS"
    assert front.names("Id != null") == ["A2", "B"]


def test_later_subrequests_use_earlier_answers(front: Front) -> None:
    results = send(
        front,
        sub("acme", "POST", "sobjects/Account", {"Name": "Acme"}),
        sub("ng", "POST", "sobjects/Contact", {"LastName": "Ng", "AccountId": "@{acme.id}"}),
        sub("look", "GET", "query?q=SELECT+Account.Name+FROM+Contact+WHERE+Id='@{ng.id}'"),
        sub("lost", "GET", "sobjects/Contact/@{nobody.id}"),
    )
    assert [r["httpStatusCode"] for r in results] == [201, 201, 200, 400]
    assert results[2]["body"]["records"][0]["Account"]["Name"] == "Acme"
    assert results[0]["httpHeaders"]["Location"].endswith(results[0]["body"]["id"])


def test_all_or_none_halts_everything(front: Front) -> None:
    good, bad = sub("a", "POST", "sobjects/Account", {"Name": "A"}), sub("b", "POST", "sobjects/Account", {})
    results = send(front, good, bad, all_or_none=True)
    assert [r["body"][0]["errorCode"] for r in results] == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert front.soql("SELECT Id FROM Account") == []


def test_what_a_composite_request_must_look_like(front: Front) -> None:
    one = sub("a", "GET", "limits")
    for wrong in ([one] * 2, [sub(f"r{n}", "GET", "limits") for n in range(26)], [{**one, "referenceId": "1"}]):
        answer = front.ask("POST", "composite", {"compositeRequest": wrong})
        assert front.error(answer) == (400, "INVALID_INPUT")
    assert front.error(front.ask("POST", "composite", {})) == (400, "JSON_PARSER_ERROR")


@pytest.mark.fact("salesforce:composite_batch")
def test_a_batch_may_halt_at_the_first_error(front: Front) -> None:
    requests = [
        {"method": "POST", "url": "v59.0/sobjects/Account", "richInput": {}},
        {"method": "GET", "url": "v59.0/limits"},
    ]
    through = front.ask("POST", "composite/batch", {"batchRequests": requests}).body
    assert (through["hasErrors"], [r["statusCode"] for r in through["results"]]) == (True, [400, 200])
    halted = front.ask("POST", "composite/batch", {"batchRequests": requests, "haltOnError": True}).body
    assert [r["statusCode"] for r in halted["results"]] == [400, 412]
