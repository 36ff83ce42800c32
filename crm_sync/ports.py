"""What connectors need from the store, as protocols, so that neither sees the other.

Belongs here: protocols without code. Not here: their implementations (store/) and their fakes (tests/).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol


class Lane(IntEnum):
    """Priority of an API call; lower goes first."""

    NOTICE = 0
    INCREMENTAL = 1
    OUTBOUND = 2
    BACKFILL = 3
    RECONCILE = 4


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as persisted: `expires_at` is None where the CRM does not say."""

    access: str
    expires_at: datetime | None
    refresh: str | None = None


class TokenStore(Protocol):
    """Tokens shared by all processes, encrypted at rest; one refresh at a time."""

    def get(self, connection: str) -> Token | None:
        """Return the stored token of a connection, or None."""
        ...

    def put(self, connection: str, token: Token) -> None:
        """Persist a token; it is durable when this returns, and only then may be used."""
        ...

    def forget(self, connection: str) -> None:
        """Delete the stored access token (it was refused); a refresh token is kept."""
        ...

    def refreshing(self, connection: str) -> AbstractContextManager[None]:
        """Hold the refresh lock of a connection across processes; re-read `get` after entering."""
        ...


class Budget(Protocol):
    """API budget shared by all processes."""

    def acquire(self, connection: str, lane: Lane, calls: int = 1) -> None:
        """Wait until `calls` may be made. Raises LimitReached where the connection is paused for longer than a
        minute."""
        ...

    def pause(self, connection: str, seconds: float, reason: str) -> None:
        """Stop all calls of one connection for a while (a 429, a daily limit)."""
        ...

    def observe(self, connection: str, *, limit: int | None, remaining: int | None) -> None:
        """Learn from the CRM's own headers (daily quota)."""
        ...


class Journal(Protocol):
    """Audit of operations (auth, refused page, failed read) and the count of API calls."""

    def call(self, connection: str, operation: str, *, ok: bool) -> None:
        """Count one API call, retries included."""
        ...

    def operation(self, connection: str, operation: str, result: str, detail: str = "") -> None:
        """Write an audit row for an operation; `detail` must be free of field values and secrets."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """All ports together, as a connector receives them."""

    clock: Clock
    tokens: TokenStore
    budget: Budget
    journal: Journal
