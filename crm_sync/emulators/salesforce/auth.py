"""Let requests with a living token in, and count them against the daily limit; tokens are issued in grants.py.

Knobs: "limits" (refuse when the quota is used up), "daily_limit" (requests in 24 hours).
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Answer, Failure, Problem
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import TokenBook

DAY_US = 24 * 3600 * 1_000_000
DEVELOPER_LIMIT, UNLIMITED = 15_000, 5_000_000
EXPIRED = Problem("INVALID_SESSION_ID", "Session expired or invalid")


class Doorman:
    """Knows the one connected app, its tokens, and how many requests were made."""

    def __init__(self, state: State, faults: Faults, settings: EmulatorSettings) -> None:
        self.state, self.faults, self.settings = state, faults, settings
        self.book = TokenBook(state)
        self._made: deque[list[int]] = deque()  # [moment of the second, requests in it]
        self._total = 0
        self._lock = threading.Lock()

    def admit(self, authorization: str | None) -> str:
        """Let a request with a living token in and return the token. Raises Failure."""
        scheme, _, token = (authorization or "").partition(" ")
        if authorization and scheme.casefold() not in ("bearer", "oauth"):
            raise Failure(401, Problem("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"))
        return self.session(token.strip())

    def session(self, token: str) -> str:
        """Return a token that lives. Raises Failure."""
        if not token or not self.book.valid(token):
            raise Failure(401, EXPIRED)
        if self.faults.strike("expire_token"):
            self.book.expire(token)
            raise Failure(401, EXPIRED)
        if self.faults.strike("revoke_token"):
            self.book.revoke(token)
            raise Failure(401, EXPIRED)
        return token

    def issue(self, user: str | None = None) -> str:
        """Return a new access token of a user, the integration user if none is named."""
        facts = {"user": user or ids.lengthen(ids.USER)}
        return self.book.issue(self.settings.token_seconds, prefix=f"{ids.ORG}!AQ", facts=facts).token

    def user_of(self, token: str) -> str:
        """Return the id of the user that a token is for."""
        grant = self.book.find(token)
        return str((grant.facts if grant else {}).get("user") or ids.lengthen(ids.USER))

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
            while self._made and self._made[0][0] < self.state.now_us() - DAY_US:
                self._total -= self._made.popleft()[1]
            return self._total

    def count(self) -> None:
        """Count a request. Raises Failure where the quota is used up."""
        if self.faults.knob("limits") and self.used() >= self.limit:
            raise Failure(403, Problem("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
        with self._lock:
            now = self.state.now_us()
            if not self._made or self._made[-1][0] != now:
                self._made.append([now, 0])
            self._made[-1][1] += 1
            self._total += 1

    def usage(self) -> str:
        """Return the value of Sforce-Limit-Info."""
        return f"api-usage={self.used()}/{self.limit}"

    def limits(self) -> Answer:
        """GET limits."""
        pairs: dict[str, tuple[int, int]] = {
            "DailyApiRequests": (self.limit, max(0, self.limit - self.used())),
            "ActiveScratchOrgs": (0, 0),
            "ConcurrentAsyncGetReportInstances": (200, 200),
            "DailyAsyncApexExecutions": (250_000, 250_000),
            "DailyBulkApiBatches": (15_000, 15_000),
            "DailyBulkV2QueryFileStorageMB": (976_562, 976_562),
            "DailyBulkV2QueryJobs": (10_000, 10_000),
            "DataStorageMB": (1024, 1024),
            "FileStorageMB": (1024, 1024),
            "HourlyTimeBasedWorkflow": (1000, 1000),
            "SingleEmail": (5000, 5000),
        }
        body: dict[str, Any] = {name: {"Max": most, "Remaining": left} for name, (most, left) in pairs.items()}
        return Answer(body=body)
