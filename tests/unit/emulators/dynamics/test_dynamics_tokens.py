"""Sign in by each grant, at both token endpoints, and find them by discovery."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.unit.emulators.dynamics.local import START_US, TENANT, URL, Local, Reply

V2 = f"{URL}/{TENANT}/oauth2/v2.0/token"
KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def register(here: Local, key: rsa.RSAPrivateKey) -> None:
    """Put a certificate of the key where the emulator looks for it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=9))
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (here.settings.state_dir / "dynamics-certificate.pem").write_bytes(pem)


def assertion(here: Local, key: rsa.RSAPrivateKey, algorithm: str = "PS256", **other: Any) -> dict[str, str]:
    """Return the form of a client assertion; `other` replaces claims."""
    now, id = START_US // 1_000_000, here.settings.client_id
    claims = {"aud": V2, "iss": id, "sub": id, "exp": now + 600, "iat": now, "jti": "1", **other}
    head = encoded(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    signed = f"{head}.{encoded(json.dumps(claims).encode())}"
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    how = pss if algorithm == "PS256" else padding.PKCS1v15()
    signature = key.sign(signed.encode(), how, hashes.SHA256())
    return {"client_assertion_type": KIND, "client_assertion": f"{signed}.{encoded(signature)}"}


def ask(here: Local, *, v1: bool = False, tenant: str = TENANT, **form: str) -> Reply:
    given = {"grant_type": "client_credentials", "client_id": here.settings.client_id, **form}
    return Reply(here.front.token(tenant, given, v1=v1))


@pytest.mark.fact("dynamics:token_v2", "dynamics:token_v1")
def test_both_endpoints_issue_and_only_v1_writes_numbers_as_texts(here: Local) -> None:
    two = ask(here, client_secret="secret", scope=f"{URL}/.default").json()
    assert (two["token_type"], two["expires_in"]) == ("Bearer", 3600) and "refresh_token" not in two
    one = ask(here, v1=True, client_secret="secret", resource=f"{URL}/").json()
    assert (one["expires_in"], one["expires_on"]) == ("3600", str(START_US // 1_000_000 + 3600))
    assert one["resource"] == f"{URL}/"
    for token in (one["access_token"], two["access_token"]):
        assert here.call("GET", "WhoAmI", Authorization=f"Bearer {token}").status == 200


@pytest.mark.fact("dynamics:client_assertion")
@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_a_certificate_signs_in(here: Local, key: rsa.RSAPrivateKey, algorithm: str) -> None:
    register(here, key)
    reply = ask(here, scope=f"{URL}/.default", **assertion(here, key, algorithm))
    assert reply.status == 200 and reply.json()["access_token"]


@pytest.mark.fact("dynamics:client_assertion")
def test_a_bad_assertion_is_refused_in_entras_words(here: Local, key: rsa.RSAPrivateKey) -> None:
    def code(**form: str) -> int:
        reply = ask(here, scope=f"{URL}/.default", **form)
        assert (reply.status, reply.json()["error"]) == (401, "invalid_client")
        found: int = reply.json()["error_codes"][0]
        return found

    assert code(**assertion(here, key)) == 700027
    register(here, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    assert code(**assertion(here, key)) == 700027
    register(here, key)
    assert code(**assertion(here, key, iss="other")) == 700021
    assert code(**assertion(here, key, aud="https://elsewhere")) == 700023
    assert code(**assertion(here, key, exp=1)) == 700024
    assert code(client_assertion="no.token") == 50027


@pytest.mark.fact("dynamics:token_errors")
@pytest.mark.parametrize(
    ("form", "tenant", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, TENANT, 401, "invalid_client", 7000215),
        ({}, TENANT, 401, "invalid_client", 7000218),
        ({"client_id": "nobody", "client_secret": "secret"}, TENANT, 400, "unauthorized_client", 700016),
        ({"client_secret": "secret", "scope": f"{URL}/user"}, TENANT, 400, "invalid_scope", 70011),
        ({"client_secret": "secret", "scope": "https://other/.default"}, TENANT, 400, "invalid_resource", 500011),
        ({"client_secret": "secret"}, "nobody", 400, "invalid_request", 90002),
        ({"grant_type": "password", "client_secret": "secret", "password": "x"}, TENANT, 400, "invalid_grant", 50126),
    ],
)
def test_refusals_have_their_numbers(
    here: Local, form: dict[str, str], tenant: str, status: int, error: str, code: int
) -> None:
    reply = ask(here, tenant=tenant, **{"scope": f"{URL}/.default", **form})
    found = reply.json()
    assert (reply.status, found["error"], found["error_codes"]) == (status, error, [code])
    assert found["error_description"].startswith(f"AADSTS{code}: ") and "Trace ID: " in found["error_description"]
    assert found["timestamp"] == "2026-01-02 03:04:05Z"


@pytest.mark.fact("dynamics:refresh_token")
def test_a_refresh_token_stays_good_until_it_is_rotated_away(here: Local) -> None:
    scope = {"scope": f"{URL}/user_impersonation offline_access", "client_secret": "secret"}
    first = ask(here, grant_type="password", username="a@b", password="password", **scope).json()
    again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], **scope}
    for _ in range(2):
        assert ask(here, **again).json()["refresh_token"] == first["refresh_token"]
    here.arm("rotate_refresh_token")
    rotated = ask(here, **again).json()["refresh_token"]
    assert rotated != first["refresh_token"] and here.struck("rotate_refresh_token") == 1
    refused = ask(here, **again)
    assert (refused.status, refused.json()["error_codes"]) == (400, [700082])
    assert ask(here, **{**again, "refresh_token": rotated}).json()["refresh_token"] == rotated


@pytest.mark.fact("dynamics:discovery")
def test_discovery_leads_to_the_endpoints(here: Local) -> None:
    two = Reply(here.front.entra.configuration(TENANT, "v2.0/")).json()
    assert (two["token_endpoint"], two["issuer"]) == (V2, f"{URL}/{TENANT}/v2.0")
    one = Reply(here.front.entra.configuration(TENANT, "")).json()
    assert one["token_endpoint"] == f"{URL}/{TENANT}/oauth2/token"
    found = Reply(
        here.front.entra.instances({"authorization_endpoint": f"{URL}/{TENANT}/oauth2/v2.0/authorize"})
    ).json()
    assert found["tenant_discovery_endpoint"] == f"{URL}/{TENANT}/v2.0/.well-known/openid-configuration"
    assert found["metadata"][0]["aliases"] == ["localhost:1"]


def test_other_grants_say_that_they_are_missing(here: Local) -> None:
    assert ask(here, grant_type="authorization_code").status == 501
