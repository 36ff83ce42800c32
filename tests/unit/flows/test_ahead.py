"""Work ahead: one at a time, in order, and what went wrong is told in its turn."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from crm_sync.flows.ahead import Ahead, at_work, one_ahead


def counting(taken: list[int], last: int, error: Exception | None = None) -> Iterator[int]:
    for number in range(1, last + 1):
        taken.append(number)
        yield number
    if error is not None:
        raise error


def settled() -> bool:
    return not any(t.name.startswith("ahead") for t in threading.enumerate())


def test_all_items_come_in_order_and_never_more_than_one_ahead() -> None:
    taken: list[int] = []
    seen = []
    with closing(one_ahead(counting(taken, 20))) as items:
        for item in items:
            assert len(taken) <= item + 1
            seen.append(item)
    assert seen == list(range(1, 21))
    assert settled()


def test_what_the_source_raises_comes_after_the_items_before_it() -> None:
    seen = []
    with (
        pytest.raises(LookupError, match="page three"),
        closing(one_ahead(counting([], 2, LookupError("page three")))) as items,
    ):
        for item in items:
            seen.append(item)  # noqa: PERF402 - the items seen before the error
    assert seen == [1, 2]
    assert settled()


def test_who_stops_early_leaves_no_thread_behind() -> None:
    taken: list[int] = []
    with closing(one_ahead(counting(taken, 20))) as items:
        assert next(items) == 1
    assert settled()
    assert len(taken) <= 2


def test_a_thing_made_ahead_is_not_made_again() -> None:
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    with Ahead(make) as ahead:
        ahead.start("one")
        ahead.start("one")
        assert ahead.take("one") == "ONE"
        assert ahead.take("two") == "TWO"
        ahead.start("three")
        assert ahead.take("four") == "FOUR"
    assert made.count("one") == made.count("two") == made.count("four") == 1
    assert settled()


def test_what_went_wrong_ahead_is_raised_when_it_is_taken() -> None:
    def make(name: str) -> str:
        raise LookupError(name)

    with Ahead(make) as ahead:
        ahead.start("one")
        with pytest.raises(LookupError, match="one"):
            ahead.take("one")


def test_after_work_the_interpreter_is_as_before() -> None:
    before = gc.isenabled(), sys.getswitchinterval()
    with pytest.raises(LookupError), at_work():
        with at_work():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise LookupError
    assert (gc.isenabled(), sys.getswitchinterval()) == before
