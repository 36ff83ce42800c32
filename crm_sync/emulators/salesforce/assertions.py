"""Check the assertions of the JWT bearer grant: RS256, by the certificate that was uploaded to the connected app.

The certificate, or the bare public key, is PEM: in the knob "jwt_public_key", or in a file beside the state named as it
but for the ending .jwt.pem. Source: OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from crm_sync.emulators.salesforce.auth import Doorman

AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
LONGEST_SECONDS = 300
"""Three minutes are documented; clocks that differ are forgiven two more."""


class BadAssertion(Exception):
    """An assertion is refused; the text is the error_description."""

    def __init__(self, description: str, error: str = "invalid_grant") -> None:
        super().__init__(description)
        self.error = error


def check_assertion(doorman: Doorman, assertion: str) -> str:
    """Return the username that an assertion speaks for. Raises BadAssertion."""
    try:
        head, claims, signature = assertion.split(".")
        header, body = (_json(part) for part in (head, claims))
        signed = _decode(signature)
    except (ValueError, binascii.Error):
        raise BadAssertion("invalid assertion") from None
    if header.get("alg") != "RS256":
        raise BadAssertion("invalid assertion")
    key = public_key(doorman)
    if key is None:
        raise BadAssertion("no certificate is registered: set the knob jwt_public_key to its PEM")
    try:
        key.verify(signed, f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
    except InvalidSignature:
        raise BadAssertion("invalid assertion") from None
    if not hmac.compare_digest(str(body.get("iss")).encode(), doorman.settings.client_id.encode()):
        raise BadAssertion("client identifier invalid", "invalid_client_id")
    audience = str(body.get("aud")).rstrip("/")
    if audience not in (*AUDIENCES, doorman.settings.url):
        raise BadAssertion("Audience validation failed")
    now = doorman.state.now_us() // 1_000_000
    try:
        left = int(float(body.get("exp", ""))) - now  # simple-salesforce sends it as a text
    except (TypeError, ValueError):
        raise BadAssertion("invalid assertion") from None
    if not 0 < left <= LONGEST_SECONDS:
        raise BadAssertion("expired authorization code" if left <= 0 else "invalid assertion")
    if not body.get("sub"):
        raise BadAssertion("user hasn't approved this consumer")
    return str(body["sub"])


def public_key(doorman: Doorman) -> RSAPublicKey | None:
    """Return the app's public key; None where there is none, or no RSA key."""
    pem = doorman.faults.knob("jwt_public_key")
    path: Path = doorman.state.path.with_suffix(".jwt.pem")
    if not pem and path.exists():
        pem = path.read_text(encoding="ascii")
    if not pem:
        return None
    raw = str(pem).encode()
    try:
        found: Any = (
            load_pem_x509_certificate(raw).public_key() if b"CERTIFICATE" in raw else load_pem_public_key(raw)
        )
    except ValueError:
        return None
    return found if isinstance(found, RSAPublicKey) else None


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _json(part: str) -> dict[str, Any]:
    found = orjson.loads(_decode(part))
    if not isinstance(found, dict):
        raise ValueError(part)
    return found
