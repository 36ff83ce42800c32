"""Check client assertions: the signed tokens by which an application with a certificate signs in.

The certificate is the file <connection>-certificate.pem in the state directory; without it no assertion is accepted.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

KIND: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PSS: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)


class BadAssertion(Exception):
    """An assertion is refused; `code` is the AADSTS number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def check_assertion(assertion: str, certificate: Path, client_id: str, audience: str, now: float) -> None:
    """Accept an assertion for a client at a token endpoint. Raises BadAssertion."""
    try:
        head, body, signature = assertion.split(".")
        header: dict[str, Any] = orjson.loads(_decoded(head))
        claims: dict[str, Any] = orjson.loads(_decoded(body))
        signed = _decoded(signature)
    except (ValueError, binascii.Error):
        raise BadAssertion(50027, "JWT token is invalid or malformed.") from None
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise BadAssertion(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
    if claims.get("aud") != audience:
        raise BadAssertion(700023, f"Client assertion audience claim does not match Realm issuer: {audience}")
    if not float(claims.get("nbf", 0)) - 300 <= now < float(claims.get("exp", 0)):
        raise BadAssertion(700024, "Client assertion is not within its valid time range.")
    if not certificate.exists():
        raise BadAssertion(
            700027, f"Client assertion contains an invalid signature. [Reason - no key is registered: {certificate}]"
        )
    key = load_pem_x509_certificate(certificate.read_bytes()).public_key()
    if not isinstance(key, rsa.RSAPublicKey) or header.get("alg") not in ("RS256", "PS256"):
        raise BadAssertion(50027, "JWT token is signed by an algorithm that is not RS256 or PS256.")
    try:
        used = PSS if header["alg"] == "PS256" else padding.PKCS1v15()
        key.verify(signed, f"{head}.{body}".encode(), used, hashes.SHA256())
    except InvalidSignature:
        raise BadAssertion(700027, "Client assertion contains an invalid signature.") from None


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
