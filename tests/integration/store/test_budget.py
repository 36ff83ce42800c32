"""The API budget: bursts, rates, lanes, pauses and quotas, shared between processes and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from crm_sync.errors import LimitReached
from crm_sync.ports import Lane
from crm_sync.specs.model import ConnectionSpec
from crm_sync.store.budget import Budgets
from crm_sync.store.database import Database

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class HandClock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def _spec(name: str, calls: int | None = 10) -> dict[str, ConnectionSpec]:
    spec = ConnectionSpec(name, "any", "token", "ADDRESS", {}, "", (), requests_per_window=calls, window_seconds=10.0)
    return {name: spec}


def _seconds_for(budgets: Budgets, clock: HandClock, name: str, lane: Lane, calls: int) -> float:
    begin = clock.now()
    for _ in range(calls):
        budgets.acquire(name, lane)
    return (clock.now() - begin).total_seconds()


def test_a_burst_up_to_the_window_is_free_and_then_the_rate_holds(database: Database, clock: HandClock) -> None:
    budgets = Budgets(database, _spec("rate"), clock)
    assert _seconds_for(budgets, clock, "rate", Lane.NOTICE, 10) == 0
    assert 19.9 < _seconds_for(budgets, clock, "rate", Lane.NOTICE, 20) < 20.5


def test_two_processes_share_one_budget(database: Database, clock: HandClock) -> None:
    one, two = Budgets(database, _spec("shared"), clock), Budgets(database, _spec("shared"), clock)
    assert _seconds_for(one, clock, "shared", Lane.NOTICE, 10) == 0
    assert _seconds_for(two, clock, "shared", Lane.NOTICE, 1) > 0


def test_a_backfill_leaves_calls_for_a_notice(database: Database, clock: HandClock) -> None:
    budgets = Budgets(database, _spec("lanes"), clock)
    taken = 0
    while clock.now() == NOON:
        budgets.acquire("lanes", Lane.RECONCILE)
        taken += 1
    assert taken == 7  # six at once, the seventh waited
    assert _seconds_for(budgets, clock, "lanes", Lane.NOTICE, 3) == 0


def test_a_demand_above_the_window_is_granted_and_paid_back(database: Database, clock: HandClock) -> None:
    budgets = Budgets(database, _spec("large"), clock)
    budgets.acquire("large", Lane.BACKFILL, calls=25)
    assert clock.now() == NOON
    assert _seconds_for(budgets, clock, "large", Lane.NOTICE, 1) > 15


def test_a_short_pause_is_waited_for_and_a_long_one_is_told(database: Database, clock: HandClock) -> None:
    budgets = Budgets(database, _spec("paused") | _spec("free"), clock)
    budgets.pause("paused", 20, "429")
    budgets.pause("paused", 5, "429")
    assert _seconds_for(budgets, clock, "paused", Lane.NOTICE, 1) == 20
    budgets.pause("paused", 3600, "read: DAILY_LIMIT")
    assert _seconds_for(budgets, clock, "free", Lane.NOTICE, 1) == 0
    with pytest.raises(LimitReached, match=r"paused: paused until 13:00:20 UTC \(read: DAILY_LIMIT\)") as raised:
        budgets.acquire("paused", Lane.NOTICE)
    assert raised.value.retry_after_seconds == 3600
    clock.sleep(3601)
    budgets.acquire("paused", Lane.NOTICE)


def test_a_low_quota_stops_the_last_lane_first_and_is_asked_again_later(database: Database, clock: HandClock) -> None:
    budgets = Budgets(database, _spec("quota", calls=None), clock)
    budgets.observe("quota", limit=1000, remaining=900)
    budgets.acquire("quota", Lane.RECONCILE)
    budgets.observe("quota", limit=1000, remaining=150)
    with pytest.raises(LimitReached, match="150 of 1000 calls of its quota are left, too few for reconcile work"):
        budgets.acquire("quota", Lane.RECONCILE)
    budgets.acquire("quota", Lane.BACKFILL)
    budgets.observe("quota", limit=1000, remaining=0)
    with pytest.raises(LimitReached):
        budgets.acquire("quota", Lane.NOTICE)
    clock.sleep(3601)
    budgets.acquire("quota", Lane.RECONCILE)


def test_what_a_crm_does_not_say_is_ignored(database: Database, clock: HandClock) -> None:
    budgets = Budgets(database, _spec("silent", calls=None), clock)
    budgets.observe("silent", limit=None, remaining=0)
    budgets.observe("silent", limit=0, remaining=0)
    assert _seconds_for(budgets, clock, "silent", Lane.RECONCILE, 100) == 0


def test_threads_never_take_more_than_there_is(database: Database) -> None:
    class Stopped(HandClock):
        def sleep(self, seconds: float) -> None:
            raise TimeoutError

    budgets = Budgets(database, _spec("threads"), Stopped())

    def take(_: int) -> bool:
        try:
            budgets.acquire("threads", Lane.NOTICE)
        except TimeoutError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(30))) == 10
