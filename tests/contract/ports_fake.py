"""In-memory ports: what connectors get from the store, without a store."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from crm_sync.errors import ErrorClass, LimitReached
from crm_sync.ports import Lane, Services, Token


class ImpatientClock:
    """The real time, but sleeping is only noted: what is waited for in tests is a count of faults, not time."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        time.sleep(min(seconds, 0.01))


class MemoryTokens:
    """Tokens of all connections; a test may hold the refresh lock and count what is stored."""

    def __init__(self) -> None:
        self.stored: dict[str, Token] = {}
        self.puts = 0
        self.put_outside_lock = 0
        self._locks: dict[str, threading.RLock] = {}
        self._holder: dict[str, int] = {}
        self._guard = threading.Lock()

    def get(self, connection: str) -> Token | None:
        return self.stored.get(connection)

    def put(self, connection: str, token: Token) -> None:
        self.puts += 1
        if self._holder.get(connection) != threading.get_ident():
            self.put_outside_lock += 1
        self.stored[connection] = token

    def forget(self, connection: str) -> None:
        kept = self.stored.get(connection)
        if kept is not None:
            self.stored[connection] = replace(kept, access="", expires_at=datetime(1970, 1, 1, tzinfo=UTC))
            if kept.refresh is None:
                del self.stored[connection]

    @contextmanager
    def refreshing(self, connection: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(connection, threading.RLock())
        with lock:
            before = self._holder.get(connection)
            self._holder[connection] = threading.get_ident()
            try:
                yield
            finally:
                if before is None:
                    del self._holder[connection]
                else:
                    self._holder[connection] = before


class MemoryBudget:
    """Grants every call, notes by lane, and holds a paused connection up as the port says."""

    def __init__(self) -> None:
        self.acquired: Counter[Lane] = Counter()
        self.pauses: list[tuple[str, float]] = []
        self.observed: list[tuple[int | None, int | None]] = []
        self.paused_for: float | None = None

    def acquire(self, connection: str, lane: Lane, calls: int = 1) -> None:
        if self.paused_for is not None and self.paused_for > 60:
            raise LimitReached(
                f"{connection} is paused", error_class=ErrorClass.LIMIT_DAILY, retry_after_seconds=self.paused_for
            )
        self.acquired[lane] += calls

    def pause(self, connection: str, seconds: float, reason: str) -> None:
        self.pauses.append((connection, seconds))

    def observe(self, connection: str, *, limit: int | None, remaining: int | None) -> None:
        self.observed.append((limit, remaining))


class MemoryJournal:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.calls = 0
        self.failed_calls = 0
        self.rows: list[tuple[str, str, str]] = []

    def call(self, connection: str, operation: str, *, ok: bool) -> None:
        self.calls += 1
        self.failed_calls += not ok

    def operation(self, connection: str, operation: str, result: str, detail: str = "") -> None:
        self.rows.append((operation, result, detail))


class MemoryServices(Services):
    """All four, with their own types for tests to look into."""

    clock: ImpatientClock
    tokens: MemoryTokens
    budget: MemoryBudget
    journal: MemoryJournal


def services() -> MemoryServices:
    """Return fresh ports."""
    return MemoryServices(ImpatientClock(), MemoryTokens(), MemoryBudget(), MemoryJournal())
