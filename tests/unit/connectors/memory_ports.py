"""The ports that a connector needs, in memory: what was asked of them can be looked at afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from crm_sync.ports import Lane, Services, Token


class Ports:
    """All ports in memory; keeps what was asked of them."""

    def __init__(self, time: datetime | None = None) -> None:
        self.time = time or datetime(2026, 1, 1, tzinfo=UTC)
        self.slept: list[float] = []
        self.acquired: list[Lane] = []
        self.pauses: list[tuple[float, str]] = []
        self.counted: list[tuple[str, bool]] = []
        self.audited: list[tuple[str, str, str]] = []
        self.observed: list[tuple[int | None, int | None]] = []
        self.stored: Token | None = None
        self.lock = threading.Lock()
        self.services = Services(clock=self, tokens=self, budget=self, journal=self)

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def get(self, connection: str) -> Token | None:
        return self.stored

    def put(self, connection: str, token: Token) -> None:
        assert self.lock.locked(), "a token must be stored under the refresh lock"
        self.stored = token

    def forget(self, connection: str) -> None:
        self.stored = None

    @contextmanager
    def refreshing(self, connection: str) -> Iterator[None]:
        with self.lock:
            yield

    def acquire(self, connection: str, lane: Lane, calls: int = 1) -> None:
        self.acquired.append(lane)

    def pause(self, connection: str, seconds: float, reason: str) -> None:
        self.pauses.append((seconds, reason))

    def observe(self, connection: str, *, limit: int | None, remaining: int | None) -> None:
        self.observed.append((limit, remaining))

    def call(self, connection: str, operation: str, *, ok: bool) -> None:
        self.counted.append((operation, ok))

    def operation(self, connection: str, operation: str, result: str, detail: str = "") -> None:
        self.audited.append((operation, result, detail))
