"""OAuth v1 and v3: consent, codes, PKCE, refresh, introspection, revocation, scopes, and private-app tokens."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, SECRET, TOKEN, Answer, Inside

CONTACTS, BACK = f"{OBJECTS}/contacts", "http://127.0.0.1:9/back?x=1"
APP = {"client_id": "app", "client_secret": SECRET}
REFRESH = {**APP, "grant_type": "refresh_token", "refresh_token": "refresh"}


def token(inside: Inside, path: str = "/oauth/v1/token", **form: str) -> Answer:
    return inside.send("POST", path, token=None, form=form or REFRESH)


def consent(inside: Inside, **query: str) -> str:
    asked = {
        "client_id": "app",
        "redirect_uri": BACK,
        "scope": "oauth crm.objects.contacts.read",
        "state": "s",
        **query,
    }
    answer = inside.send("GET", f"/oauth/authorize?{urlencode(asked)}", token=None)
    assert answer.status == 302 and answer.headers["location"].startswith(f"{BACK}&")
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert back["state"] == ["s"]
    return back["code"][0]


def redeem(inside: Inside, code: str, **more: str) -> Answer:
    form = {**APP, "grant_type": "authorization_code", "redirect_uri": BACK, "code": code, **more}
    return token(inside, **form)


@pytest.mark.fact("hubspot:token_response", "hubspot:refresh_token_comes_back", "hubspot:token_lives_30_minutes")
@pytest.mark.parametrize("path", ["/oauth/v1/token", "/oauth/v3/token", "/oauth/2026-03/token"])
def test_a_refresh_token_gives_an_access_token_for_half_an_hour(inside: Inside, path: str) -> None:
    got = token(inside, path).body
    assert got["token_type"] == "bearer" and got["expires_in"] == 1800 and got["refresh_token"] == "refresh"
    assert {"hub_id", "scopes"} <= set(got)
    assert inside.send("GET", CONTACTS, token=got["access_token"]).status == 200
    inside.advance(1800)
    expired = inside.send("GET", CONTACTS, token=got["access_token"])
    assert (expired.status, expired.body["category"]) == (401, "EXPIRED_AUTHENTICATION")
    inside.advance(7)
    said = inside.send("GET", CONTACTS, token=got["access_token"]).body
    assert said["message"] == "The OAuth token used to make this call expired 7 second(s) ago."
    assert said["context"] == {"expire time": ["2026-02-02T03:10:00Z"]}


@pytest.mark.fact("hubspot:unauthenticated")
@pytest.mark.parametrize("presented", [None, "pat-na1-other"])
def test_unknown_tokens_are_not_found(inside: Inside, presented: str | None) -> None:
    answer = inside.send("GET", CONTACTS, token=presented)
    assert (answer.status, answer.body["category"]) == (401, "INVALID_AUTHENTICATION")
    assert answer.body["message"].startswith("Authentication credentials not found.")
    assert inside.send("GET", CONTACTS, token=TOKEN).status == 200


@pytest.mark.fact("hubspot:oauth_errors")
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"refresh_token": "x"}, "BAD_REFRESH_TOKEN"), ({"client_id": "x"}, "BAD_CLIENT_ID"),
        ({"grant_type": "authorization_code", "code": "x"}, "BAD_AUTH_CODE"),
    ],
)  # fmt: skip
def test_bad_grants_are_400_without_a_category(inside: Inside, change: dict[str, str], status: str) -> None:
    answer = token(inside, **(REFRESH | change))
    assert answer.status == 400 and answer.body["status"] == status and answer.body["error"] == "invalid_grant"
    assert answer.body["error_description"] and "category" not in answer.body


@pytest.mark.fact("hubspot:code_is_single_use", "hubspot:missing_scopes")
def test_a_person_consents_to_some_scopes(inside: Inside) -> None:
    code = consent(inside)
    got = redeem(inside, code).body
    assert got["scopes"] == ["oauth", "crm.objects.contacts.read"]
    assert redeem(inside, code).body["status"] == "BAD_AUTH_CODE"
    access = got["access_token"]
    assert inside.send("GET", CONTACTS, token=access).status == 200
    assert inside.send("POST", f"{CONTACTS}/search", {}, token=access).status == 200
    for method, path in (("POST", CONTACTS), ("GET", f"{OBJECTS}/deals"), ("GET", f"{OBJECTS}/tickets")):
        lacking = inside.send(method, path, {}, token=access)
        assert (lacking.status, lacking.body["category"]) == (403, "MISSING_SCOPES")
        assert lacking.body["errors"][0]["context"]["requiredGranularScopes"]
    assert inside.send("GET", f"{OBJECTS}/notes", token=access).status == 200
    again = token(inside, **(REFRESH | {"refresh_token": got["refresh_token"]})).body
    assert again["scopes"] == got["scopes"] and again["refresh_token"] == got["refresh_token"]


def test_codes_end_and_are_for_one_address(inside: Inside) -> None:
    late = consent(inside)
    inside.advance(601)
    assert redeem(inside, late).body["status"] == "EXPIRED_AUTH_CODE"
    assert redeem(inside, consent(inside), redirect_uri="http://other").body["status"] == "BAD_REDIRECT_URI"
    for query in ("client_id=x", "client_id=app"):
        assert inside.send("GET", f"/oauth/authorize?{query}", token=None).status == 400


@pytest.mark.fact("hubspot:pkce")
def test_a_challenge_asks_for_its_verifier(inside: Inside) -> None:
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {"code_challenge": challenge, "code_challenge_method": "S256"}
    assert redeem(inside, consent(inside, **asked), code_verifier="w" * 43).body["status"] == "BAD_AUTH_CODE"
    assert redeem(inside, consent(inside, **asked), code_verifier=verifier).status == 200
    assert redeem(inside, consent(inside, code_challenge="p"), code_verifier="p").status == 200


@pytest.mark.fact("hubspot:token_information")
def test_v1_tells_what_tokens_are_good_for(inside: Inside) -> None:
    access = token(inside).body["access_token"]
    told = inside.send("GET", f"/oauth/v1/access-tokens/{access}", token=None).body
    assert told["token_type"] == "access" and told["signed_access_token"]["hubId"] == told["hub_id"]
    assert told["expires_in"] == 1800 and {"user", "hub_domain", "scopes", "app_id", "user_id"} <= set(told)
    assert inside.send("GET", "/oauth/v1/access-tokens/x", token=None).status == 404
    path = "/oauth/v1/refresh-tokens/refresh"
    assert inside.send("GET", path, token=None).body["client_id"] == "app"
    assert inside.send("DELETE", path, token=None).status == 204
    assert inside.send("DELETE", path, token=None).status == 404
    assert token(inside).body["status"] == "BAD_REFRESH_TOKEN"
    assert inside.send("GET", CONTACTS, token=access).status == 200


@pytest.mark.fact("hubspot:introspection", "hubspot:revocation")
@pytest.mark.parametrize("name", ["token", "access_token"])
def test_v3_introspects_and_revokes(inside: Inside, name: str) -> None:
    access = token(inside).body["access_token"]

    def told(**form: str) -> Any:
        return inside.send("POST", "/oauth/v3/token/introspect", token=None, form=form).body

    assert told(**{name: access})["token_use"] == "access_token" and told(refresh_token="refresh")["active"]
    assert told(token="x") == {"active": False}
    revoke = "/oauth/v3/token/revoke"
    assert inside.send("POST", revoke, token=None, form={name: access}).status == 200
    assert told(**{name: access}) == {"active": False} and inside.send("GET", CONTACTS, token=access).status == 401
    inside.send("POST", revoke, token=None, form={"token": "refresh"})
    assert told(token="refresh") == {"active": False} and token(inside).status == 400


def test_client_credentials_have_no_refresh_token(inside: Inside) -> None:
    got = token(inside, **APP, grant_type="client_credentials").body
    assert "refresh_token" not in got and inside.send("GET", CONTACTS, token=got["access_token"]).status == 200
    assert token(inside, **APP, grant_type="password").body["error"] == "unsupported_grant_type"
