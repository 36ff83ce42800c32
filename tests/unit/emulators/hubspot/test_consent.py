"""Communication preferences by v3 and v4, and what they do to the contact."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.hubspot.inside import Inside

V3, V4 = "/communication-preferences/v3", "/communication-preferences/v4"
ANN = "ann@x.test"


def statuses(inside: Inside, email: str = ANN) -> dict[int, str]:
    results = inside.get(f"{V4}/statuses/{email}?channel=EMAIL")["results"]
    return {one["subscriptionId"]: one["status"] for one in results}


def wish(state: str, **more: Any) -> dict[str, Any]:
    return {"subscriptionId": 7001, "statusState": state, "channel": "EMAIL", **more}


@pytest.mark.fact("hubspot:consent_v4", "hubspot:legal_bases")
def test_v4_sets_and_tells_each_status(inside: Inside) -> None:
    assert {one["id"] for one in inside.get(f"{V4}/definitions")["results"]} == {"7001", "7002", "7003"}
    assert set(statuses(inside).values()) == {"NOT_SPECIFIED"}
    basis = {"legalBasis": "CONSENT_WITH_NOTICE", "legalBasisExplanation": "Signed a form"}
    (set_,) = inside.post(f"{V4}/statuses/{ANN}", wish("SUBSCRIBED", **basis))["results"]
    assert set_["status"] == "SUBSCRIBED" and set_["legalBasis"] == "CONSENT_WITH_NOTICE"
    assert statuses(inside, ANN.upper()) == {7001: "SUBSCRIBED", 7002: "NOT_SPECIFIED", 7003: "NOT_SPECIFIED"}
    wrong: list[dict[str, Any]] = [
        wish("MAYBE"), wish("SUBSCRIBED", legalBasis="BECAUSE"), wish("SUBSCRIBED", channel="FAX"),
        wish("SUBSCRIBED", subscriptionId=5),
    ]  # fmt: skip
    for one in wrong:
        assert inside.refused("POST", f"{V4}/statuses/{ANN}", one) == (400, "VALIDATION_ERROR")
    assert inside.refused("POST", f"{V4}/statuses/nobody", wish("SUBSCRIBED"))[0] == 400
    assert inside.refused("GET", f"{V4}/statuses/{ANN}")[0] == 400


@pytest.mark.fact("hubspot:opt_out_sets_property")
def test_opting_out_of_all_shows_at_the_contact(inside: Inside) -> None:
    id = inside.create(email=ANN)
    path = f"{V4}/statuses/{ANN}/unsubscribe-all?channel=EMAIL"
    assert inside.get(path)["results"][0]["status"] == "NOT_SPECIFIED"
    inside.advance(1)
    assert len(inside.post(f"{path}&verbose=true", None)["results"]) == 3
    assert set(statuses(inside).values()) == {"UNSUBSCRIBED"}
    assert inside.get(path)["results"][0]["status"] == "UNSUBSCRIBED"
    read = inside.read("contacts", id, "hs_email_optout")
    assert read["hs_email_optout"] == "true" and read["lastmodifieddate"] > read["createdate"]
    inside.post(f"{V4}/statuses/{ANN}", wish("SUBSCRIBED"))
    assert inside.read("contacts", id, "hs_email_optout")["hs_email_optout"] == "false"


def test_v4_in_batches(inside: Inside) -> None:
    emails = {"inputs": [ANN, "bo@x.test"]}
    changes = {"inputs": [wish("UNSUBSCRIBED", subscriberIdString=one) for one in emails["inputs"]]}
    assert len(inside.post(f"{V4}/statuses/batch/write", changes)["results"]) == 2
    read = inside.post(f"{V4}/statuses/batch/read?channel=EMAIL", emails)["results"]
    assert [one["statuses"][0]["status"] for one in read] == ["UNSUBSCRIBED"] * 2
    left = inside.post(f"{V4}/statuses/batch/unsubscribe-all?channel=EMAIL", {"inputs": [ANN]})["results"]
    assert left[0]["subscriberIdString"] == ANN
    told = inside.post(f"{V4}/statuses/batch/unsubscribe-all/read?channel=EMAIL", emails)["results"]
    assert [one["wideStatuses"][0]["status"] for one in told] == ["UNSUBSCRIBED", "NOT_SPECIFIED"]
    assert inside.refused("POST", f"{V4}/statuses/batch/read?channel=EMAIL", {"inputs": [5]})[0] == 400


@pytest.mark.fact("hubspot:consent_v3")
def test_v3_does_not_subscribe_whoever_unsubscribed(inside: Inside) -> None:
    assert len(inside.get(f"{V3}/definitions")["subscriptionDefinitions"]) == 3
    given = {"emailAddress": ANN, "subscriptionId": "7001", "legalBasis": "PROCESS_AND_STORE"}
    assert inside.post(f"{V3}/subscribe", given)["status"] == "SUBSCRIBED"
    told = inside.get(f"{V3}/status/email/{ANN}")
    assert told["recipient"] == ANN
    assert [one["status"] for one in told["subscriptionStatuses"]] == ["SUBSCRIBED", "NOT_SUBSCRIBED", "NOT_SUBSCRIBED"]
    assert inside.post(f"{V3}/unsubscribe", given)["status"] == "NOT_SUBSCRIBED"
    assert inside.refused("POST", f"{V3}/subscribe", given) == (400, "VALIDATION_ERROR")
    assert statuses(inside)[7001] == "UNSUBSCRIBED"
