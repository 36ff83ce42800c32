"""Get into the pretend org: grants, expiry, and the daily quota."""

from __future__ import annotations

import base64

import pytest

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.failures import Failure
from crm_sync.emulators.salesforce.grants import Grants
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from tests.unit.emulators.salesforce.desk_clock import DeskClock

APP = {"client_id": "app", "client_secret": "secret"}


def refusal(doorman: Doorman, authorization: str | None) -> tuple[int, str]:
    with pytest.raises(Failure) as caught:
        doorman.admit(authorization)
    return caught.value.status, caught.value.problems[0].code


@pytest.mark.fact("salesforce:client_credentials", "salesforce:no_expires_in", "salesforce:invalid_session")
def test_client_credentials_open_the_door_until_they_expire(grants: Grants, doorman: Doorman, clock: DeskClock) -> None:
    body = grants.token({"grant_type": "client_credentials", **APP}, None).body
    assert (body["instance_url"], body["token_type"]) == ("https://localhost:1", "Bearer")
    assert "expires_in" not in body
    doorman.admit(f"Bearer {body['access_token']}")
    clock.forward(61)
    assert refusal(doorman, f"Bearer {body['access_token']}") == (401, "INVALID_SESSION_ID")


@pytest.mark.fact("salesforce:client_in_basic")
def test_the_client_may_stand_in_http_basic(grants: Grants) -> None:
    good, bad = (base64.b64encode(text).decode() for text in (b"app:secret", b"app:wrong"))
    grant = {"grant_type": "client_credentials"}
    assert grants.token(grant, f"Basic {good}").status == 200
    assert grants.token(grant, f"Basic {bad}").body["error"] == "invalid_client"
    assert grants.token(grant, "Basic ???").body["error"] == "invalid_client_id"


@pytest.mark.fact("salesforce:oauth_errors")
@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "client_credentials", "client_id": "other", "client_secret": "secret"}, "invalid_client_id"),
        ({"grant_type": "client_credentials", "client_id": "app"}, "invalid_client"),
        ({"grant_type": "refresh_token", **APP, "refresh_token": "old"}, "invalid_grant"),
        ({"grant_type": "password", **APP, "username": "u", "password": "wrong"}, "invalid_grant"),
        ({"grant_type": "magic", **APP}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
    ],
)
def test_refused_grants(grants: Grants, form: dict[str, str], error: str) -> None:
    answer = grants.token(form, None)
    assert (answer.status, answer.body["error"]) == (400, error)


@pytest.mark.fact("salesforce:password_grant")
def test_other_grants(grants: Grants) -> None:
    assert grants.token({"grant_type": "refresh_token", **APP, "refresh_token": "refresh"}, None).status == 200
    assert grants.token({"grant_type": "password", **APP, "username": "u", "password": "password"}, None).status == 200


@pytest.mark.fact("salesforce:invalid_session", "salesforce:invalid_auth_header")
@pytest.mark.parametrize(
    ("header", "code"),
    [(None, "INVALID_SESSION_ID"), ("Bearer", "INVALID_SESSION_ID"), ("Bearer x", "INVALID_SESSION_ID"),
     ("Basic YTpi", "INVALID_AUTH_HEADER")],
)  # fmt: skip
def test_closed_doors(doorman: Doorman, header: str | None, code: str) -> None:
    assert refusal(doorman, header) == (401, code)


def test_tokens_survive_a_restart(state: State, faults: Faults, settings: EmulatorSettings, grants: Grants) -> None:
    token = grants.token({"grant_type": "client_credentials", **APP}, None).body["access_token"]
    Doorman(state, faults, settings).admit(f"Bearer {token}")


@pytest.mark.fact("salesforce:limit_info", "salesforce:daily_limit", "salesforce:limits_resource")
def test_the_quota_rolls_over_a_day_and_binds_only_when_told(
    doorman: Doorman, faults: Faults, clock: DeskClock
) -> None:
    faults.turn({"daily_limit": 2})
    for _ in range(3):
        doorman.count()
    assert doorman.usage() == "api-usage=3/2"
    faults.turn({"limits": True})
    with pytest.raises(Failure) as caught:
        doorman.count()
    assert (caught.value.status, caught.value.problems[0].code) == (403, "REQUEST_LIMIT_EXCEEDED")
    clock.forward(24 * 3600 + 1)
    doorman.count()
    assert doorman.usage() == "api-usage=1/2"
    assert doorman.limits().body["DailyApiRequests"] == {"Max": 2, "Remaining": 1}
