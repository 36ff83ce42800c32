"""The API budget of each connection, shared by all processes. Implements ports.Budget.

Belongs here: table api_budget. Not here: what a CRM's limits are (config/connections.yaml, the connectors' headers).

Three things hold a call back: a pause (the CRM said so), the daily quota as the CRM last reported it, and a token
bucket of `requests_per_window` per `window_seconds`. Each lane leaves a share of bucket and quota to the lanes before
it, so that a backfill can never starve a notice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from crm_sync.errors import ErrorClass, LimitReached
from crm_sync.ports import Clock, Lane
from crm_sync.specs.model import ConnectionSpec
from crm_sync.store.database import Connection, Database
from crm_sync.store.queries import queries

Q = queries("api_budget")

BUCKET_LEFT: Final = {
    Lane.NOTICE: 0.0,
    Lane.INCREMENTAL: 0.05,
    Lane.OUTBOUND: 0.1,
    Lane.BACKFILL: 0.25,
    Lane.RECONCILE: 0.4,
}
"""Share of a window's calls that a lane leaves to those before it."""
QUOTA_LEFT: Final = {
    Lane.NOTICE: 0.0,
    Lane.INCREMENTAL: 0.02,
    Lane.OUTBOUND: 0.05,
    Lane.BACKFILL: 0.1,
    Lane.RECONCILE: 0.2,
}
"""Share of the daily quota that a lane leaves to those before it."""

_LONGEST_WAIT: Final = timedelta(minutes=1)
_QUOTA_BELIEVED: Final = timedelta(hours=1)
"""After so long without news of the quota a call is let through, to ask the CRM again."""
_OBSERVE_EVERY: Final = timedelta(seconds=30)
_OBSERVE_SHARE: Final = 0.005

_Observation = tuple[int, int, datetime]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: `calls` available at `filled_at`. Below zero it is a debt that refills first."""

    calls: float
    filled_at: datetime

    def refilled(self, now: datetime, capacity: int, window_seconds: float) -> Bucket:
        """Return the bucket as it stands at `now`; a clock that runs behind refills nothing."""
        passed = max(0.0, (now - self.filled_at).total_seconds())
        calls = min(float(capacity), self.calls + passed * capacity / window_seconds)
        return Bucket(calls, max(now, self.filled_at))

    def missing(self, calls: int, capacity: int, lane: Lane) -> float:
        """Return how many calls must still come in before this lane may take `calls`; 0 where it may now."""
        # A demand above the capacity is granted by a full bucket and leaves a debt; else it would wait for ever.
        needed = min(calls + BUCKET_LEFT[lane] * capacity, float(capacity))
        return max(0.0, needed - self.calls)


class Budgets:
    """The API budgets of all connections."""

    def __init__(self, database: Database, connections: Mapping[str, ConnectionSpec], clock: Clock) -> None:
        self._database = database
        self._connections = connections
        self._clock = clock
        self._guard = threading.Lock()
        self._known: set[str] = set()
        self._observed: dict[str, _Observation] = {}

    def acquire(self, connection: str, lane: Lane, calls: int = 1) -> None:
        """Wait until `calls` may be made.

        LimitReached where the connection is paused for longer than a minute, or its quota is too low for this lane.
        """
        while True:
            now = self._clock.now()
            with self._transaction(connection, now) as conn:
                row = conn.execute(Q["lock"], {"connection": connection}).fetchone()
                wait = self._wait(connection, row, lane, calls, now, conn) if row is not None else 0.0
            if wait <= 0.0:
                return
            self._clock.sleep(wait)

    def pause(self, connection: str, seconds: float, reason: str) -> None:
        """Stop all calls of one connection for a while; a longer pause that was set before stays."""
        now = self._clock.now()
        until = now + timedelta(seconds=seconds)
        with self._transaction(connection, now) as conn:
            conn.execute(Q["pause"], {"connection": connection, "until": until, "reason": reason})

    def observe(self, connection: str, *, limit: int | None, remaining: int | None) -> None:
        """Learn the daily quota from the CRM's own headers; written down only where it tells something new."""
        if limit is None or remaining is None or limit <= 0:
            return
        now = self._clock.now()
        with self._guard:
            last = self._observed.get(connection)
            if last is not None and not _news(last, (limit, remaining, now)):
                return
            self._observed[connection] = (limit, remaining, now)
        values = {"connection": connection, "limit": limit, "remaining": remaining, "now": now}
        with self._transaction(connection, now) as conn:
            conn.execute(Q["observe"], values)

    def _wait(
        self, connection: str, row: tuple[Any, ...], lane: Lane, calls: int, now: datetime, conn: Connection
    ) -> float:
        available, refilled_at, paused_until, reason, limit, remaining, observed_at = row
        if paused_until is not None and paused_until > now:
            left = paused_until - now
            if left > _LONGEST_WAIT:
                raise _reached(connection, f"paused until {paused_until:%H:%M:%S} UTC ({reason})", left)
            return float(left.total_seconds())
        if limit is not None and now - observed_at < _QUOTA_BELIEVED and remaining <= QUOTA_LEFT[lane] * limit:
            what = f"{remaining} of {limit} calls of its quota are left, too few for {lane.name.lower()} work"
            raise _reached(connection, what, observed_at + _QUOTA_BELIEVED - now)
        spec = self._connections.get(connection)
        if spec is None or spec.requests_per_window is None:
            return 0.0
        capacity = spec.requests_per_window
        bucket = Bucket(available, refilled_at).refilled(now, capacity, spec.window_seconds)
        missing = bucket.missing(calls, capacity, lane)
        left_over = bucket.calls if missing else bucket.calls - calls
        conn.execute(Q["spend"], {"connection": connection, "calls": left_over, "now": bucket.filled_at})
        return max(missing * spec.window_seconds / capacity, 0.001) if missing else 0.0

    @contextmanager
    def _transaction(self, connection: str, now: datetime) -> Iterator[Connection]:
        with self._database.transaction() as conn:
            # A budget that forgets the last moments of a crash does no harm; a disk flush for every API call would.
            conn.execute("SET LOCAL synchronous_commit = off")
            if connection not in self._known:
                spec = self._connections.get(connection)
                capacity = (spec.requests_per_window if spec else None) or 0
                conn.execute(Q["begin"], {"connection": connection, "calls": capacity, "now": now})
            yield conn
        self._known.add(connection)


def _news(last: _Observation, new: _Observation) -> bool:
    moved = abs(last[1] - new[1]) >= max(1.0, new[0] * _OBSERVE_SHARE)
    return last[0] != new[0] or moved or new[2] - last[2] >= _OBSERVE_EVERY


def _reached(connection: str, what: str, left: timedelta) -> LimitReached:
    return LimitReached(
        f"{connection}: {what}. Its calls go on by themselves in about {left.total_seconds() / 60:.0f} min.",
        error_class=ErrorClass.LIMIT_DAILY,
        retry_after_seconds=left.total_seconds(),
    )
