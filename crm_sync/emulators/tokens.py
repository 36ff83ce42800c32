"""Issue, check and expire access tokens, and count limits: what OAuth and quotas of the three CRMs share."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from crm_sync.emulators.state import State


@dataclass(frozen=True, slots=True)
class Grant:
    """An issued token: `expires_us` is microseconds since 1970 UTC."""

    token: str
    expires_us: int
    facts: dict[str, Any]


class TokenBook:
    """Tokens of one CRM; they survive a restart."""

    def __init__(self, state: State) -> None:
        self._state = state

    def issue(self, seconds: float, *, prefix: str = "", facts: dict[str, Any] | None = None) -> Grant:
        """Issue a random token that lives `seconds`."""
        token = prefix + secrets.token_urlsafe(32)
        grant = Grant(token, self._state.now_us() + int(seconds * 1_000_000), facts or {})
        self._state.set_meta(f"token:{token}", {"expires_us": grant.expires_us, "facts": grant.facts})
        return grant

    def find(self, token: str) -> Grant | None:
        """Return the grant of a token, expired or not; None if it was never issued."""
        raw = self._state.get_meta(f"token:{token}")
        return Grant(token, raw["expires_us"], raw["facts"]) if raw else None

    def valid(self, token: str) -> bool:
        """Tell whether the token was issued and still lives."""
        grant = self.find(token)
        return grant is not None and grant.expires_us > self._state.now_us()

    def expire(self, token: str) -> bool:
        """End the life of one token now; it stays known. False if it was never issued."""
        grant = self.find(token)
        if grant is not None:
            self._state.set_meta(f"token:{token}", {"expires_us": self._state.now_us(), "facts": grant.facts})
        return grant is not None

    def revoke(self, token: str) -> bool:
        """Forget a token as if it had never been issued; False if it never was."""
        with self._state.transaction():
            known = self.find(token) is not None
            self._state.set_meta(f"token:{token}", None)
        return known

    def expire_all(self) -> int:
        """End the life of all tokens now and return how many there were."""
        with self._state.transaction():
            grants = self._state.list_meta("token:")
            for key, raw in grants.items():
                self._state.set_meta(key, {**raw, "expires_us": self._state.now_us()})
        return len(grants)


class Window:
    """A rolling limit of `limit` requests in `seconds`."""

    def __init__(self, state: State, limit: int, seconds: float) -> None:
        self._state, self.limit, self.seconds = state, limit, seconds
        self._taken: deque[int] = deque()
        self._lock = threading.Lock()

    def take(self) -> tuple[bool, int, float]:
        """Count one request: (allowed, remaining, seconds until the next would be allowed)."""
        with self._lock:
            now, span = self._state.now_us(), int(self.seconds * 1_000_000)
            while self._taken and self._taken[0] <= now - span:
                self._taken.popleft()
            if len(self._taken) >= self.limit:
                return False, 0, max(0.0, (self._taken[0] + span - now) / 1_000_000)
            self._taken.append(now)
            return True, self.limit - len(self._taken), 0.0
