"""Make and keep what clients must present and may trust: the private CA, secrets, the key of an app that signs.

Belongs here: files and secrets of a state directory, made at its first use. Not here: access tokens (tokens.py), what a
CRM does with a secret (salesforce/, hubspot/, dynamics/).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from crm_sync.emulators.state import State

NAMES = (
    "localhost", "login.salesforce.com", "test.salesforce.com", "*.salesforce.com", "*.my.salesforce.com",
    "*.sandbox.my.salesforce.com", "*.develop.my.salesforce.com", "*.scratch.my.salesforce.com",
    "api.hubapi.com", "api.hubspot.com", "login.microsoftonline.com", "*.dynamics.com", "*.crm.dynamics.com",
    "*.api.crm.dynamics.com",
)  # fmt: skip
"""Hosts that the server's certificate is for: ours, and those that clients have built in (docs/emulators.md)."""


def write_private(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file that only its owner may read, atomically; `content` may come in parts."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.writelines([content] if isinstance(content, bytes) else content)
    os.replace(draft, path)


def certificates(state_dir: Path) -> tuple[Path, Path]:
    """Return (CA bundle, server key and certificate chain), made at the first call and kept."""
    key, bundle, server = state_dir / "ca.key", state_dir / "ca.pem", state_dir / "server.pem"
    if key.exists() and bundle.exists():
        authority = trustme.CA.from_pem(bundle.read_bytes(), key.read_bytes())
    else:
        authority = trustme.CA(organization_name="crm-sync emulators")
        write_private(key, authority.private_key_pem.bytes())
        write_private(bundle, authority.cert_pem.bytes())
        server.unlink(missing_ok=True)
    if not server.exists() or _names(server) != set(NAMES):
        leaf = authority.issue_cert(*NAMES, "127.0.0.1")
        write_private(server, leaf.private_key_and_cert_chain_pem.bytes())
    return bundle, server


def _names(server: Path) -> set[str]:
    """Return the host names of a certificate."""
    found = x509.load_pem_x509_certificate(server.read_bytes()).extensions
    return set(found.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName))


def app_key(state_dir: Path) -> tuple[Path, Path]:
    """Return (RSA private key, certificate) of the app that signs its sign-ins, made at the first call and kept."""
    key_file, certificate_file = state_dir / "app.key", state_dir / "app.pem"
    if not (key_file.exists() and certificate_file.exists()):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm-sync emulators: a client that signs")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2050, 1, 1, tzinfo=UTC))
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
        write_private(key_file, key.private_bytes(pem, form, plain))
        write_private(certificate_file, certificate.public_bytes(pem))
    return key_file, certificate_file


def credentials(state: State, crm: str) -> dict[str, str]:
    """Return what clients of one connection must present; random at first, then kept.

    `token` is what a person of the CRM would paste: a private app's token of HubSpot, elsewhere a user's password.
    """
    kept: dict[str, str] = state.get_meta("credentials") or {}
    fresh = {
        "client_id": secrets.token_hex(16),
        "client_secret": secrets.token_urlsafe(24),
        "refresh_token": secrets.token_urlsafe(24),
        "token": f"pat-na1-{uuid4()}" if crm == "hubspot" else f"Aa1!{secrets.token_urlsafe(9)}",
        "tenant": f"{secrets.token_hex(4)}-0000-4000-8000-{secrets.token_hex(6)}",
        "security_token": secrets.token_hex(12),
    }
    if fresh.keys() - kept.keys():
        kept = {**fresh, **kept}
        state.set_meta("credentials", kept)
    return kept
