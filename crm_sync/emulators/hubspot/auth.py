"""Who may call: a private app's token, or OAuth access tokens by refresh token; and how often."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.refusals import PORTAL_ID, Refusal, not_supported, refusal
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import TokenBook, Window

APP_ID, USER_ID, HUB_DOMAIN = 1180427, 62510001, "emulator.hubspot.test"
SCOPES = [
    "crm.objects.companies.read", "crm.objects.companies.write", "crm.objects.contacts.read",
    "crm.objects.contacts.write", "crm.objects.owners.read", "crm.schemas.companies.read",
    "crm.schemas.companies.write", "crm.schemas.contacts.read", "crm.schemas.contacts.write", "oauth",
]  # fmt: skip
BURST, BURST_SECONDS, DAILY, SEARCHES = 190, 10.0, 625_000, 5


def _bad_token(kind: str, message: str) -> Refusal:
    return Refusal(400, {"status": kind, "error": "invalid_grant", "error_description": message, "message": message})


class Gate:
    """Issues and checks tokens."""

    def __init__(self, state: State, settings: EmulatorSettings) -> None:
        self._state = state
        self._settings = settings
        self._tokens = TokenBook(state)

    def token(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer POST /oauth/v1/token."""
        presented = (form.get("client_id"), form.get("client_secret"))
        if presented != (self._settings.client_id, self._settings.client_secret):
            raise _bad_token("BAD_CLIENT_ID", "missing or invalid client id or client secret")
        grant_type = form.get("grant_type")
        if grant_type != "refresh_token":
            raise not_supported(f"the OAuth grant type {grant_type}")
        if form.get("refresh_token") != self._settings.refresh_token:
            raise _bad_token("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
        grant = self._tokens.issue(self._settings.token_seconds, prefix="CM", facts={"refreshed": True})
        return {
            "token_type": "bearer",
            "refresh_token": self._settings.refresh_token,
            "access_token": grant.token,
            "hub_id": PORTAL_ID,
            "scopes": SCOPES,
            "expires_in": int(self._settings.token_seconds),
        }

    def describe(self, token: str) -> dict[str, Any]:
        """Answer GET /oauth/v1/access-tokens/{token}."""
        grant = self._tokens.find(token)
        if grant is None or grant.expires_us <= self._state.now_us():
            raise refusal(404, "OBJECT_NOT_FOUND", "The access token does not exist or has expired.")
        return {
            "token": token, "user": "person@emulator.test", "hub_domain": HUB_DOMAIN, "scopes": SCOPES,
            "hub_id": PORTAL_ID, "app_id": APP_ID, "user_id": USER_ID, "token_type": "access",
            "expires_in": (grant.expires_us - self._state.now_us()) // 1_000_000,
        }  # fmt: skip

    def describe_refresh(self, token: str) -> dict[str, Any]:
        """Answer GET /oauth/v1/refresh-tokens/{token}."""
        if token != self._settings.refresh_token:
            raise refusal(404, "OBJECT_NOT_FOUND", "The refresh token does not exist.")
        return {
            "token": token, "user": "person@emulator.test", "hub_domain": HUB_DOMAIN, "scopes": SCOPES,
            "hub_id": PORTAL_ID, "client_id": self._settings.client_id, "user_id": USER_ID, "token_type": "refresh",
        }  # fmt: skip

    def check(self, authorization: str | None) -> None:
        """Let a request with a good bearer token pass; 401 for the others."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and token == self._settings.token:
            return
        grant = self._tokens.find(token) if scheme.lower() == "bearer" else None
        if grant is None:
            raise refusal(
                401,
                "INVALID_AUTHENTICATION",
                "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find "
                "more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
            )
        ago = (self._state.now_us() - grant.expires_us) // 1_000_000
        if grant.expires_us <= self._state.now_us():
            raise refusal(
                401,
                "EXPIRED_AUTHENTICATION",
                f"The OAuth token used to make this call expired {ago} second(s) ago.",
                context={"expire time": [instant(grant.expires_us)]},
            )


class Limits:
    """Rate limits while the knob "limits" is on; "burst_limit", "daily_limit", "search_limit" change the numbers."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state, self._faults = state, faults
        self._lock = threading.Lock()
        self._windows: dict[str, Window] = {}
        self._day, self._today = 0, 0

    def check(self, *, search: bool) -> dict[str, str]:
        """Count one request and return the rate-limit headers of its answer; 429 over a limit."""
        if not self._faults.knob("limits", False):
            return {}
        if search:
            limit = int(self._faults.knob("search_limit", SEARCHES))
            if not self._take("search", limit, 1.0)[0]:
                raise refusal(429, "RATE_LIMITS", "You have reached your secondly limit.")
        daily = int(self._faults.knob("daily_limit", DAILY))
        left_today = daily - self._count_today()
        if left_today < 0:
            raise self._over("DAILY", "You have reached your daily limit.")
        limit = int(self._faults.knob("burst_limit", BURST))
        allowed, left, _ = self._take("burst", limit, BURST_SECONDS)
        if not allowed:
            raise self._over("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit.")
        if search:
            return {}
        return {
            "X-HubSpot-RateLimit-Daily": str(daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(left_today),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(BURST_SECONDS * 1000)),
            "X-HubSpot-RateLimit-Max": str(limit),
            "X-HubSpot-RateLimit-Remaining": str(left),
        }

    @staticmethod
    def _over(policy: str, message: str) -> Refusal:
        return Refusal(429, {"status": "error", "message": message, "errorType": "RATE_LIMIT", "policyName": policy})

    def _take(self, name: str, limit: int, seconds: float) -> tuple[bool, int, float]:
        with self._lock:
            window = self._windows.get(name)
            if window is None or window.limit != limit:
                window = self._windows[name] = Window(self._state, limit, seconds)
        return window.take()

    def _count_today(self) -> int:
        day = self._state.now_us() // 86_400_000_000
        with self._lock:
            if day != self._day:
                self._day, self._today = day, 0
            self._today += 1
            return self._today
