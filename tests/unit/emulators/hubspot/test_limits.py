"""Rate limits: what counts, what is told, and that windows follow the emulator's clock."""

from __future__ import annotations

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, SECRET, Inside

CONTACTS = f"{OBJECTS}/contacts"
PREFIX = "x-hubspot-ratelimit-"


@pytest.mark.fact("hubspot:rate_limit_headers", "hubspot:burst_429", "hubspot:no_retry_after")
def test_a_private_app_has_190_calls_in_ten_seconds(inside: Inside) -> None:
    inside.faults.turn({"limits": True})
    first = inside.send("GET", CONTACTS).headers
    told = {name.removeprefix(PREFIX): value for name, value in first.items() if name.startswith(PREFIX)}
    assert told == {
        "max": "190", "remaining": "189", "interval-milliseconds": "10000", "daily": "625000",
        "daily-remaining": "624999", "secondly": "19", "secondly-remaining": "18",
    }  # fmt: skip
    for _ in range(189):
        inside.send("GET", CONTACTS)
    over = inside.send("GET", CONTACTS)
    assert (over.status, over.body["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    assert over.body["message"] == "You have reached your ten_secondly_rolling limit."
    assert over.body["errorType"] == "RATE_LIMIT" and "retry-after" not in over.headers
    inside.advance(10)
    assert inside.send("GET", CONTACTS).status == 200


@pytest.mark.fact("hubspot:oauth_limit")
def test_an_oauth_app_has_110_and_no_day(inside: Inside) -> None:
    form = {"client_id": "app", "client_secret": SECRET, "grant_type": "refresh_token", "refresh_token": "refresh"}
    access = inside.send("POST", "/oauth/v1/token", token=None, form=form).body["access_token"]
    inside.faults.turn({"limits": True, "daily_limit": 0})
    told = inside.send("GET", CONTACTS, token=access).headers
    assert told[f"{PREFIX}max"] == "110" and f"{PREFIX}daily" not in told


@pytest.mark.fact("hubspot:search_limit", "hubspot:search_has_no_limit_headers")
def test_an_account_has_five_searches_a_second(inside: Inside) -> None:
    inside.faults.turn({"limits": True})
    answers = [inside.send("POST", f"{CONTACTS}/search", {}) for _ in range(6)]
    assert [one.status for one in answers] == [200] * 5 + [429]
    assert not [name for name in answers[0].headers if name.startswith(PREFIX)]
    assert answers[5].body["message"] == "You have reached your secondly limit."
    assert answers[5].body["category"] == "RATE_LIMITS"
    inside.advance(1)
    assert inside.send("POST", f"{CONTACTS}/search", {}).status == 200


@pytest.mark.fact("hubspot:daily_429")
def test_a_day_ends_at_midnight(inside: Inside) -> None:
    inside.faults.turn({"limits": True, "daily_limit": 1})
    assert inside.send("GET", CONTACTS).status == 200
    over = inside.send("GET", CONTACTS)
    assert (over.status, over.body["policyName"]) == (429, "DAILY")
    inside.advance(86_400)
    assert inside.send("GET", CONTACTS).status == 200


@pytest.mark.fact("hubspot:account_details")
def test_the_account_tells_who_it_is_and_what_was_used_today(inside: Inside) -> None:
    inside.faults.turn({"limits": True})
    account = inside.get("/account-info/v3/details")
    assert account == inside.get("/integrations/v1/me") and account["timeZone"] == "UTC" and account["portalId"]
    (usage,) = inside.get("/account-info/v3/api-usage/daily/private-apps")["results"]
    assert (usage["usageLimit"], usage["currentUsage"]) == (625_000, 3)
    assert usage["resetsAt"] == "2026-02-03T00:00:00Z"
    inside.advance(86_400)
    assert inside.get("/account-info/v3/api-usage/daily/private-apps")["results"][0]["currentUsage"] == 1
