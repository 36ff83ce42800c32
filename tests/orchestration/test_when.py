"""When and what: intervals as cron lines, days as reads, backlogs as run keys."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from assets.partitions import days_since, reading, today
from sensors.requests import RETRY_SECONDS, run_key
from sensors.schedules import cron_of

TODAY = date(2026, 3, 1)
FIRST_DAY = "2026-01-15"


@pytest.mark.parametrize(
    ("seconds", "cron"),
    [
        (60, "*/1 * * * *"),
        (90, "*/1 * * * *"),
        (300, "*/5 * * * *"),
        (420, "*/6 * * * *"),
        (3599, "*/30 * * * *"),
        (3600, "0 */1 * * *"),
        (5 * 3600, "0 */4 * * *"),
        (86399, "0 */12 * * *"),
        (86400, "0 0 * * *"),
    ],
)
def test_an_interval_becomes_a_cron_line_that_is_never_slower(seconds: int, cron: str) -> None:
    assert cron_of(seconds) == cron


@pytest.mark.parametrize(
    ("first", "last", "full", "window"),
    [
        ("2026-03-01", "2026-03-01", False, None),
        ("2026-02-27", "2026-02-27", False, ("2026-02-27", "2026-02-28")),
        ("2026-02-28", "2026-02-28", False, ("2026-02-28", "2026-03-01")),
        ("2026-02-01", "2026-03-01", False, ("2026-02-01", "2026-03-02")),
        (FIRST_DAY, "2026-03-01", True, None),
        (FIRST_DAY, "2026-02-28", False, (FIRST_DAY, "2026-03-01")),
        (FIRST_DAY, FIRST_DAY, False, (FIRST_DAY, "2026-01-16")),
    ],
)
def test_days_say_what_is_read(first: str, last: str, full: bool, window: tuple[str, str] | None) -> None:
    assert reading(first, last, False, TODAY, FIRST_DAY) == {"full": full, "window": window}


def test_a_full_read_may_be_asked_for_on_any_day() -> None:
    assert reading("2026-02-27", "2026-02-27", True, TODAY, FIRST_DAY) == {"full": True, "window": None}


@pytest.mark.parametrize("full", [False, True])
def test_on_its_first_day_an_installation_reads_what_changed_unless_all_is_asked_for(full: bool) -> None:
    day = TODAY.isoformat()
    assert reading(day, day, full, TODAY, day) == {"full": full, "window": None}


def test_the_days_are_those_of_the_installation_and_the_current_one_is_there_before_it_is_over() -> None:
    assert days_since(today()).get_partition_keys() == [today().isoformat()]
    ago = today() - timedelta(days=2)
    assert days_since(ago).get_partition_keys() == [(ago + timedelta(days=n)).isoformat() for n in range(3)]


def test_the_same_backlog_asks_once_and_again_later() -> None:
    at = 1_800_000_000.0
    assert run_key("hubspot", 7, 3, at) == run_key("hubspot", 7, 3, at + 1)
    assert run_key("hubspot", 7, 3, at) != run_key("hubspot", 8, 3, at)
    assert run_key("hubspot", 7, 3, at) != run_key("hubspot", 7, 3, at + RETRY_SECONDS)
    assert run_key("hubspot", 7, 3, at) != run_key("dynamics", 7, 3, at)
