"""Issue and check access tokens, and count API requests against the daily limit.

    POST /services/oauth2/token     grants client_credentials, refresh_token, password; client in the body or HTTP Basic

Knobs: "limits" (refuse when the quota is used up), "daily_limit" (requests in 24 hours).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Answer, Failure, Problem, Unsupported
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import TokenBook

DAY_US = 24 * 3600 * 1_000_000
DEVELOPER_LIMIT, UNLIMITED = 15_000, 5_000_000
JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Doorman:
    """Knows the one connected app, its tokens, and how many requests were made."""

    def __init__(self, state: State, faults: Faults, settings: EmulatorSettings) -> None:
        self.state, self.faults, self.settings = state, faults, settings
        self.book = TokenBook(state)
        self._made: deque[int] = deque()
        self._lock = threading.Lock()

    def token(self, form: Mapping[str, str], authorization: str | None) -> Answer:
        """Answer a token request."""
        grant = form.get("grant_type")
        if grant == JWT:
            raise Unsupported("the JWT bearer grant")
        if grant not in ("client_credentials", "refresh_token", "password"):
            return refused("unsupported_grant_type", "grant type not supported")
        client, secret = basic(authorization) or (form.get("client_id"), form.get("client_secret"))
        if not same(client, self.settings.client_id):
            return refused("invalid_client_id", "client identifier invalid")
        if not same(secret, self.settings.client_secret):
            return refused("invalid_client", "invalid client credentials")
        if grant == "refresh_token" and not same(form.get("refresh_token"), self.settings.refresh_token):
            return refused("invalid_grant", "expired access/refresh token")
        if grant == "password" and not (form.get("username") and same(form.get("password"), self.settings.token)):
            return refused("invalid_grant", "authentication failure")
        org = ids.lengthen(ids.ORG)
        issued = self.book.issue(self.settings.token_seconds, prefix=f"{ids.ORG}!AQ")
        issued_at = str(self.state.now_us() // 1000)
        identity = f"{self.settings.url}/id/{org}/{ids.lengthen(ids.USER)}"
        signed = hmac.digest(self.settings.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256)
        return Answer(
            body={
                "access_token": issued.token,
                "signature": base64.b64encode(signed).decode(),
                "scope": "api",
                "instance_url": self.settings.url,
                "id": identity,
                "token_type": "Bearer",
                "issued_at": issued_at,
                "api_instance_url": self.settings.url,
            }
        )

    def admit(self, authorization: str | None) -> None:
        """Let a request with a living token in. Raises Failure."""
        scheme, _, token = (authorization or "").partition(" ")
        if authorization and scheme.casefold() not in ("bearer", "oauth"):
            raise Failure(401, Problem("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"))
        if not token or not self.book.valid(token.strip()):
            raise Failure(401, Problem("INVALID_SESSION_ID", "Session expired or invalid"))

    @property
    def limit(self) -> int:
        """Return the requests allowed in 24 hours."""
        told = self.faults.knob("daily_limit")
        if told is not None:
            return int(told)
        return DEVELOPER_LIMIT if self.faults.knob("limits") else UNLIMITED

    def used(self) -> int:
        """Return the requests of the last 24 hours."""
        with self._lock:
            while self._made and self._made[0] < self.state.now_us() - DAY_US:
                self._made.popleft()
            return len(self._made)

    def count(self) -> None:
        """Count a request. Raises Failure where the quota is used up."""
        if self.faults.knob("limits") and self.used() >= self.limit:
            raise Failure(403, Problem("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
        with self._lock:
            self._made.append(self.state.now_us())

    def usage(self) -> str:
        """Return the value of Sforce-Limit-Info."""
        return f"api-usage={self.used()}/{self.limit}"

    def limits(self) -> Answer:
        """GET limits."""
        pairs: dict[str, tuple[int, int]] = {
            "DailyApiRequests": (self.limit, max(0, self.limit - self.used())),
            "DailyBulkApiBatches": (15_000, 15_000),
            "DailyBulkV2QueryJobs": (10_000, 10_000),
            "DailyBulkV2QueryFileStorageMB": (976_562, 976_562),
        }
        body: dict[str, Any] = {name: {"Max": most, "Remaining": left} for name, (most, left) in pairs.items()}
        return Answer(body=body)


def refused(error: str, description: str) -> Answer:
    """Return an OAuth error: the only plain object among the errors."""
    return Answer(400, {"error": error, "error_description": description})


def basic(authorization: str | None) -> tuple[str, str] | None:
    """Read HTTP Basic credentials; None where there are none."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.casefold() != "basic":
        return None
    try:
        client, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ("", "")
    return client, secret


def same(given: str | None, expected: str) -> bool:
    """Compare secrets without telling where they differ."""
    return hmac.compare_digest((given or "").encode(), expected.encode())
