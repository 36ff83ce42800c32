"""Rate limits and the headers that tell of them. Source: API usage guidelines.

Ten seconds and a day for each app, five searches a second for each account. The fault `limit` answers as one of them
does: kind "ten_secondly_rolling", "daily", "secondly" (search), "migration" (477).
"""

from __future__ import annotations

import threading

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hubspot.refusals import Refusal, refusal
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import Window

BURST, OAUTH_BURST, BURST_SECONDS, DAILY, SEARCHES = 190, 110, 10.0, 625_000, 5
KINDS = ("ten_secondly_rolling", "daily", "secondly", "migration")


def over(kind: str, retry_after: str | None = None) -> Refusal:
    """Make the refusal of a limit; Retry-After is sent only where somebody asks for it."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    if kind == "migration":
        said = "This account is being migrated between data centers. Try again later."
        return Refusal(477, {"status": "error", "message": said}, headers or {"Retry-After": "60"})
    if kind == "secondly":
        made = refusal(429, "RATE_LIMITS", "You have reached your secondly limit.")
        return Refusal(made.status, made.body, headers)
    said = f"You have reached your {kind} limit."
    body = {"status": "error", "message": said, "errorType": "RATE_LIMIT", "policyName": kind.upper()}
    return Refusal(429, body, headers)


class Limits:
    """Rate limits while the knob "limits" is on; "burst_limit", "daily_limit", "search_limit" change the numbers."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state, self._faults = state, faults
        self._lock = threading.Lock()
        self._windows: dict[str, Window] = {}
        self._day, self._today = 0, 0

    def strike(self, object: str) -> None:
        """Refuse as one of the limits does, if a fault says so."""
        fault = self._faults.strike("limit", object=object)
        if fault is not None:
            headers = {name.lower(): value for name, value in fault.headers.items()}
            raise over(str(fault.options.get("kind") or KINDS[0]), headers.get("retry-after"))

    def check(self, *, search: bool, oauth: bool) -> dict[str, str]:
        """Count one request and return the rate-limit headers of its answer; 429 over a limit."""
        if not self._faults.knob("limits", False):
            return {}
        if search and not self._take("search", int(self._faults.knob("search_limit", SEARCHES)), 1.0)[0]:
            raise over("secondly")
        daily = int(self._faults.knob("daily_limit", DAILY))
        left_today = daily - self._count_today()
        if left_today < 0 and not oauth:
            raise over("daily")
        limit = int(self._faults.knob("burst_limit", OAUTH_BURST if oauth else BURST))
        allowed, left = self._take("oauth" if oauth else "burst", limit, BURST_SECONDS)
        if not allowed:
            raise over("ten_secondly_rolling")
        if search:
            return {}
        of_day = {} if oauth else {
            "X-HubSpot-RateLimit-Daily": str(daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(left_today),
        }  # fmt: skip
        secondly = max(1, limit // 10)
        return {
            **of_day,
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(BURST_SECONDS * 1000)),
            "X-HubSpot-RateLimit-Max": str(limit),
            "X-HubSpot-RateLimit-Remaining": str(left),
            "X-HubSpot-RateLimit-Secondly": str(secondly),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(min(left, secondly - 1)),
        }

    def of_today(self) -> tuple[int, int]:
        """Return how many calls a day has, and how many were counted today."""
        with self._lock:
            same = self._day == self._state.now_us() // 86_400_000_000
            return int(self._faults.knob("daily_limit", DAILY)), self._today if same else 0

    def _take(self, name: str, limit: int, seconds: float) -> tuple[bool, int]:
        with self._lock:
            window = self._windows.get(name)
            if window is None or window.limit != limit:
                window = self._windows[name] = Window(self._state, limit, seconds)
        return window.take()[:2]

    def _count_today(self) -> int:
        day = self._state.now_us() // 86_400_000_000
        with self._lock:
            if day != self._day:
                self._day, self._today = day, 0
            self._today += 1
            return self._today
