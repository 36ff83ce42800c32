"""Get a token by a signed assertion, by refreshing, by SOAP; lose it again; ask who one is."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crm_sync.emulators.faults import Fault, Faults
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.failures import Failure
from crm_sync.emulators.salesforce.grants import JWT, Grants
from crm_sync.emulators.state import State
from tests.unit.emulators.salesforce.desk_clock import START_US, Front
from tests.unit.emulators.salesforce.wire import Wire

APP = {"client_id": "app", "client_secret": "secret"}
NOW = START_US // 1_000_000
USER = {"Username": "ann@acme.example", "LastName": "Ng", "Email": "ann@acme.example", "Alias": "ann",
        "TimeZoneSidKey": "GMT", "ProfileId": "00eHs0000000001"}  # fmt: skip


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def pem(key: RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def assertion(key: RSAPrivateKey, alg: str = "RS256", **claims: Any) -> str:
    given = {"iss": "app", "sub": "ann@acme.example", "aud": "https://login.salesforce.com", "exp": NOW + 180}
    parts = [orjson.dumps({"alg": alg}), orjson.dumps(given | claims)]
    signed = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    signature = key.sign(signed.encode(), PKCS1v15(), SHA256())
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.fact("salesforce:jwt_bearer", "salesforce:jwt_exp_as_text")
@pytest.mark.parametrize("exp", [NOW + 180, str(NOW + 180)])
def test_a_signed_assertion_brings_a_token_for_its_user(
    grants: Grants, doorman: Doorman, front: Front, faults: Faults, key: RSAPrivateKey, exp: Any
) -> None:
    ann = front.create("User", **USER)
    faults.turn({"jwt_public_key": pem(key)})
    body = grants.token({"grant_type": JWT, "assertion": assertion(key, exp=exp)}).body
    doorman.admit(f"Bearer {body['access_token']}")
    assert body["id"].endswith(ann)
    assert {"scope", "instance_url", "token_type"} <= set(body)
    assert "signature" not in body


@pytest.mark.fact("salesforce:jwt_audience", "salesforce:oauth_errors")
@pytest.mark.parametrize(
    ("claims", "error", "text"),
    [
        ({"aud": "https://evil.example"}, "invalid_grant", "Audience validation failed"),
        ({"iss": "other"}, "invalid_client_id", "client identifier invalid"),
        ({"exp": NOW - 1}, "invalid_grant", "expired authorization code"),
        ({"exp": NOW + 3600}, "invalid_grant", "invalid assertion"),
        ({"exp": "soon"}, "invalid_grant", "invalid assertion"),
        ({"sub": ""}, "invalid_grant", "user hasn't approved this consumer"),
    ],
)
def test_assertions_that_claim_wrongly_are_refused(
    grants: Grants, faults: Faults, key: RSAPrivateKey, claims: dict[str, Any], error: str, text: str
) -> None:
    faults.turn({"jwt_public_key": pem(key)})
    answer = grants.token({"grant_type": JWT, "assertion": assertion(key, **claims)})
    assert (answer.status, answer.body) == (400, {"error": error, "error_description": text})


@pytest.mark.fact("salesforce:jwt_bearer")
def test_assertions_that_nobody_vouches_for_are_refused(
    grants: Grants, faults: Faults, state: State, key: RSAPrivateKey
) -> None:
    def error(text: str) -> str:
        return str(grants.token({"grant_type": JWT, "assertion": text}).body["error_description"])

    assert "no certificate is registered" in error(assertion(key))
    state.path.with_suffix(".jwt.pem").write_text(pem(generate_private_key(65537, 2048)))
    assert error(assertion(key)) == "invalid assertion"
    state.path.with_suffix(".jwt.pem").write_text(pem(key))
    assert error(assertion(key, alg="none")) == error("no.assertion") == error("") == "invalid assertion"
    assert grants.token({"grant_type": JWT, "assertion": assertion(key)}).status == 200


@pytest.mark.fact("salesforce:refresh_rotation")
def test_a_rotated_refresh_token_dies_at_its_use(grants: Grants, faults: Faults) -> None:
    def refresh(token: str) -> dict[str, Any]:
        found: dict[str, Any] = grants.token({"grant_type": "refresh_token", **APP, "refresh_token": token}).body
        return found

    assert "refresh_token" not in refresh("refresh")
    faults.add([Fault("rotate_refresh_token")])
    second = refresh("refresh")["refresh_token"]
    assert refresh("refresh")["error_description"] == "expired access/refresh token"
    assert "refresh_token" not in refresh(second), "the fault is over, the app does not rotate"
    faults.turn({"rotate_refresh_tokens": True})
    third = refresh(second)["refresh_token"]
    assert third != second
    assert [one["action"] for one in faults.log()] == ["rotate_refresh_token"]


@pytest.mark.parametrize("action", ["expire_token", "revoke_token"])
def test_a_token_ends_when_told_and_a_new_one_is_good(
    grants: Grants, doorman: Doorman, faults: Faults, action: str
) -> None:
    first, second = (grants.token({"grant_type": "client_credentials", **APP}).body["access_token"] for _ in "ab")
    faults.add([Fault(action)])
    for _ in range(2):
        with pytest.raises(Failure) as caught:
            doorman.admit(f"Bearer {first}")
        assert (caught.value.status, caught.value.problems[0].code) == (401, "INVALID_SESSION_ID")
    doorman.admit(f"Bearer {second}")
    assert (doorman.book.find(first) is None) == (action == "revoke_token")


def test_revoking(wire: Wire) -> None:
    revoked = wire.send("POST", "/services/oauth2/revoke", f"token={wire.token}".encode())
    assert (revoked.status, revoked.body) == (200, b"")
    assert wire.send("GET", "/services/data/v59.0/limits").status == 401
    again = wire.send("GET", "/services/oauth2/revoke", query={"token": wire.token})
    assert (again.status, again.json["error"]) == (400, "invalid_token")
    form = {"grant_type": "refresh_token", **APP, "refresh_token": "refresh"}
    raw = "&".join(f"{name}={value}" for name, value in form.items()).encode()
    assert wire.send("POST", "/services/oauth2/token", raw).status == 200
    assert wire.send("POST", "/services/oauth2/revoke", b"token=refresh").status == 200
    assert wire.send("POST", "/services/oauth2/token", raw).json["error"] == "invalid_grant"


@pytest.mark.fact("salesforce:identity")
def test_who_one_is(wire: Wire) -> None:
    form = b"grant_type=password&client_id=app&client_secret=secret&username=x&password=password"
    body = wire.send("POST", "/services/oauth2/token", form).json
    path = body["id"].removeprefix("https://localhost:1")
    wire.token = ""
    who = wire.send("GET", path, query={"format": "json", "oauth_token": body["access_token"]}).json
    assert (who["username"], who["organization_id"]) == ("integration@acme.example", path.split("/")[2])
    assert "{version}" in who["urls"]["rest"]
    wire.token = body["access_token"]
    info = wire.send("GET", "/services/oauth2/userinfo").json
    assert (info["user_id"], info["email"]) == (who["user_id"], who["email"])
    assert wire.send("GET", f"/id/{path.split('/')[2]}/005Hs0000000002").status == 403
    wire.token = "nobody"
    assert wire.send("GET", path).status == 401


def test_a_login_limit_strikes_once(grants: Grants, faults: Faults) -> None:
    faults.add([Fault("limit", options={"kind": "login"})])
    form = {"grant_type": "client_credentials", **APP}
    assert grants.token(form).body["error_description"] == "login rate exceeded"
    assert grants.token(form).status == 200


@pytest.mark.fact("salesforce:daily_limit", "salesforce:concurrent_limit", "salesforce:no_retry_after")
@pytest.mark.parametrize(
    ("fault", "status", "code", "message"),
    [
        (Fault("limit", options={"kind": "daily"}), 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        (Fault("limit", options={"kind": "concurrent"}), 403, "REQUEST_LIMIT_EXCEEDED",
         "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
        (Fault("server_error", status=503), 503, "SERVER_UNAVAILABLE",
         "The server is temporarily unable to service your request"),
        (Fault("server_error"), 500, "UNKNOWN_EXCEPTION",
         "An unexpected error occurred. Please include this ErrorId: 1-1"),
    ],
)  # fmt: skip
def test_limits_and_server_errors_strike_at_the_door_once(
    wire: Wire, faults: Faults, fault: Fault, status: int, code: str, message: str
) -> None:
    faults.add([fault])
    answer = wire.send("GET", "/services/data/v59.0/limits")
    assert (answer.status, answer.json) == (status, [{"message": message, "errorCode": code}])
    assert "retry-after" not in answer.headers
    assert wire.send("GET", "/services/data/v59.0/limits").status == 200
    assert [one["action"] for one in faults.log()] == [fault.action]
