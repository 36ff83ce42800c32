"""Virtual time: frozen, set, advanced; kept across a restart; what waits for it wakes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from crm_sync.emulators.clock import VirtualClock, iso, moment
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import TokenBook, Window
from tests.unit.emulators.base_clock import Time

SECOND = 1_000_000


def test_a_clock_runs_stands_and_jumps() -> None:
    time = Time()
    clock, begun = VirtualClock(time), time.now
    time.now += SECOND
    assert clock() == begun + SECOND
    clock.freeze()
    time.now += SECOND
    clock.advance(60)
    assert clock() == begun + 61 * SECOND
    clock.freeze(False)
    time.now += SECOND
    assert clock() == begun + 62 * SECOND
    clock.set(5)
    assert clock() == 5


def test_moments_are_read_and_written() -> None:
    assert iso(moment("2026-01-02T03:04:05.678901Z")) == "2026-01-02T03:04:05.678901+00:00"
    assert moment("2026-01-02T03:04:05") == moment("2026-01-02T05:04:05+02:00")


def test_stamps_tokens_and_windows_follow_the_clock(tmp_path: Path) -> None:
    state = State(tmp_path / "crm.sqlite", resolution_us=SECOND)
    now = state.move_clock(freeze=True, set_us=moment("2026-01-01T00:00:00"))
    assert state.insert("c", "1", {}).modified_us == now == moment("2026-01-01T00:00:00")
    token, window = TokenBook(state).issue(1800).token, Window(state, 1, 10)
    assert window.take()[0] and not window.take()[0]
    state.move_clock(advance_seconds=1799)
    assert TokenBook(state).valid(token) and window.take()[0]
    assert state.move_clock(advance_seconds=1) == now + 1800 * SECOND
    assert not TokenBook(state).valid(token)
    with pytest.raises(ValueError, match="expected 0 or more"):
        state.move_clock(advance_seconds=-1)
    state.close()
    again = State(tmp_path / "crm.sqlite")
    assert again.now_us() == now + 1800 * SECOND
    again.close()


def test_what_waits_wakes_when_the_clock_is_moved() -> None:
    clock = VirtualClock(Time())
    clock.freeze()
    due = clock() + 3600 * SECOND
    waiting = threading.Thread(target=clock.wait_until, args=(due, lambda: False))
    waiting.start()
    clock.advance(3600)
    waiting.join(30)
    assert not waiting.is_alive()
