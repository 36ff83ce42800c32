"""Tokens, limits and what the HubSpot emulator says about what it does not have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.emulators.hubspot_portal import Portal, portal_in

CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with portal_in(tmp_path_factory.mktemp("portal")) as portal:
        yield portal


@pytest.fixture
def portal(running: Portal) -> Portal:
    running.faults.clear()
    running.faults.turn({"limits": False})
    return running


def ask_for_token(portal: Portal, **changes: str) -> Any:
    form = {
        "grant_type": "refresh_token",
        "client_id": portal.settings.client_id,
        "client_secret": portal.settings.client_secret,
        "refresh_token": portal.settings.refresh_token,
    }
    return portal.http.post(f"{portal.url}/oauth/v1/token", data=form | changes, timeout=10)


def test_an_oauth_token_works_until_it_expires(portal: Portal) -> None:
    answer = ask_for_token(portal).json()
    assert answer["expires_in"] == 1800 and answer["refresh_token"] == portal.settings.refresh_token
    token = answer["access_token"]
    assert portal.send("GET", CONTACTS, token=token).status_code == 200
    described = portal.http.get(f"{portal.url}/oauth/v1/access-tokens/{token}", timeout=10).json()
    assert described["token_type"] == "access" and "crm.objects.contacts.write" in described["scopes"]
    portal.control("tokens/expire", {})
    expired = portal.send("GET", CONTACTS, token=token)
    assert expired.status_code == 401 and expired.json()["category"] == "EXPIRED_AUTHENTICATION"
    assert "expire time" in expired.json()["context"]


def test_an_unknown_token_and_none_are_refused(portal: Portal) -> None:
    unknown = portal.send("GET", CONTACTS, token="pat-na1-unknown")
    none = portal.http.get(portal.url + CONTACTS, timeout=10)
    for answer in (unknown, none):
        assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"refresh_token": "x"}, "BAD_REFRESH_TOKEN"), ({"client_secret": "x"}, "BAD_CLIENT_ID")],
)
def test_bad_grants_are_400_with_their_own_shape(portal: Portal, changes: dict[str, str], status: str) -> None:
    answer = ask_for_token(portal, **changes)
    assert answer.status_code == 400
    assert (answer.json()["status"], answer.json()["error"]) == (status, "invalid_grant")
    assert "category" not in answer.json()


def test_limits_count_down_in_headers_and_end_in_429(portal: Portal) -> None:
    portal.control("knobs", {"limits": True, "burst_limit": 2, "daily_limit": 1000})
    left = [portal.send("GET", CONTACTS).headers["X-HubSpot-RateLimit-Remaining"] for _ in range(2)]
    assert left == ["1", "0"]
    over = portal.send("GET", CONTACTS)
    assert over.status_code == 429 and over.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    portal.control("knobs", {"daily_limit": 1})
    daily = portal.send("GET", CONTACTS)
    assert daily.status_code == 429 and daily.json()["policyName"] == "DAILY"


def test_search_has_its_own_limit_and_no_headers(portal: Portal) -> None:
    portal.control("knobs", {"limits": True, "burst_limit": 1000, "daily_limit": 1000, "search_limit": 1})
    first = portal.send("POST", f"{CONTACTS}/search", {})
    assert first.status_code == 200 and "X-HubSpot-RateLimit-Max" not in first.headers
    second = portal.send("POST", f"{CONTACTS}/search", {})
    assert second.status_code == 429 and second.json()["message"] == "You have reached your secondly limit."


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/crm/v3/objects/orders", 501),
        ("GET", "/crm/v3/pipelines/deals/default/audit", 501),
        ("GET", "/crm/objects/2025-09/contacts", 501),
        ("POST", "/crm/v3/lists", 501),
        ("GET", f"{CONTACTS}?propertiesWithHistory=city", 200),
        ("GET", "/crm/v3/objects/2-17/5", 400),
        ("GET", "/crm/v3/objects/unicorns", 400),
        ("GET", f"{CONTACTS}?limit=101", 400),
        ("GET", f"{CONTACTS}/abc", 404),
    ],
)
def test_what_is_not_emulated_says_so_and_what_hubspot_lacks_too(
    portal: Portal, method: str, path: str, status: int
) -> None:
    answer = portal.send(method, path)
    assert answer.status_code == status
    if status == 501:
        assert answer.json()["category"] == "NOT_EMULATED"
    if path.endswith("/abc"):
        assert "objectId are usually numeric" in answer.json()["message"]


def test_any_spelling_of_an_object_and_a_body_that_is_not_json(portal: Portal) -> None:
    for spelling in ("contact", "CONTACTS", "0-1"):
        assert portal.send("GET", f"/crm/v3/objects/{spelling}").status_code == 200
    answer = portal.http.post(
        f"{portal.url}{CONTACTS}/search",
        data=b"{",
        headers={"Authorization": f"Bearer {portal.settings.token}"},
        timeout=10,
    )
    assert answer.status_code == 400 and answer.json()["category"] == "VALIDATION_ERROR"


def test_a_person_edits_at_the_screen(portal: Portal) -> None:
    company = portal.control("create", {"object": "companies", "values": {"name": "Acme"}})["id"]
    contact = portal.control(
        "create", {"object": "contacts", "values": {"firstname": "Ann"}, "associations": {"companies": [company]}}
    )["id"]
    before = portal.send("GET", f"{CONTACTS}/{contact}").json()["updatedAt"]
    portal.control("edit", {"object": "contacts", "id": contact, "values": {"city": "Ulm", "firstname": None}})
    after = portal.send("GET", f"{CONTACTS}/{contact}?properties=city,firstname&associations=companies").json()
    assert after["updatedAt"] >= before and after["properties"]["firstname"] is None
    assert after["associations"]["companies"]["results"][0] == {"id": company, "type": "contact_to_company"}
    portal.control("delete", {"object": "companies", "id": company})
    assert "associations" not in portal.send("GET", f"{CONTACTS}/{contact}?associations=companies").json()
    unknown = {"object": "contacts", "id": contact, "values": {"nickname": "x"}}
    assert portal.http.post(f"{portal.url}/__emulator__/edit", json=unknown, timeout=10).status_code == 404


def test_properties_and_records_survive_a_restart(tmp_path: Path) -> None:
    with portal_in(tmp_path) as first:
        definition = {
            "name": "ours", "label": "Ours", "type": "string", "fieldType": "text", "groupName": "contactinformation",
            "hasUniqueValue": True,
        }  # fmt: skip
        assert first.send("POST", "/crm/v3/properties/contacts", definition).status_code == 201
        assert first.send("POST", CONTACTS, {"properties": {"firstname": "A", "ours": "k"}}).status_code == 201
    with portal_in(tmp_path) as second:
        taken = second.send("POST", CONTACTS, {"properties": {"firstname": "B", "ours": "k"}})
        assert taken.json()["errors"][0]["code"] == "CONFLICTING_UNIQUE_VALUE"
