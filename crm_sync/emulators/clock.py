"""Tell the time of one pretend CRM: that of the machine, until a test freezes, sets or advances it.

Every moment of an emulator comes from here by way of `State.now_us()`: stamps, lives of tokens, windows of limits, due
times of webhooks. What waits for such a moment waits here, and wakes when the clock is moved. Only what a client itself
feels (a `delay` fault, the timeout of a webhook's receiver) is real time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Clock = Callable[[], int]
"""Return now in microseconds since 1970 UTC."""

LONGEST_NAP_SECONDS = 1.0


def system_clock() -> int:
    """Return now in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def iso(moment_us: int) -> str:
    """Return a moment as ISO 8601 with microseconds."""
    return datetime.fromtimestamp(moment_us // 1_000_000, UTC).replace(microsecond=moment_us % 1_000_000).isoformat()


def moment(text: str) -> int:
    """Read ISO 8601 (UTC where no offset is given) as microseconds since 1970 UTC. Raises ValueError."""
    read = datetime.fromisoformat(text)
    at = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class VirtualClock:
    """A clock that runs beside another one. All methods may be called from any thread."""

    def __init__(self, base: Clock = system_clock) -> None:
        """Run with `base` until told otherwise."""
        self._base = base
        self._offset_us = 0
        self._frozen_us: int | None = None
        self._moved = threading.Condition()

    def __call__(self) -> int:
        """Return now in microseconds since 1970 UTC."""
        with self._moved:
            return self._now()

    def _now(self) -> int:
        return self._base() + self._offset_us if self._frozen_us is None else self._frozen_us

    def freeze(self, frozen: bool = True) -> None:
        """Stop the clock where it is, or let it go on from there."""
        with self._moved:
            now = self._now()
            self._frozen_us = now if frozen else None
            self._offset_us = now - self._base()
            self._moved.notify_all()

    def set(self, moment_us: int) -> None:
        """Put the clock to a moment; it stays frozen if it was."""
        with self._moved:
            if self._frozen_us is not None:
                self._frozen_us = moment_us
            self._offset_us = moment_us - self._base()
            self._moved.notify_all()

    def advance(self, seconds: float) -> None:
        """Put the clock forward."""
        with self._moved:
            self.set(self._now() + round(seconds * 1_000_000))

    def wait_until(self, moment_us: int | None, woken: Callable[[], bool]) -> None:
        """Return once this clock has reached the moment (None: never), or `woken` is true; `wake` makes it look."""
        with self._moved:
            while not woken():
                left = None if moment_us is None else (moment_us - self._now()) / 1_000_000
                if left is not None and left <= 0:
                    return
                runs = self._frozen_us is None and left is not None
                self._moved.wait(min(left, LONGEST_NAP_SECONDS) if runs and left is not None else LONGEST_NAP_SECONDS)

    def wake(self) -> None:
        """Let all that wait look again."""
        with self._moved:
            self._moved.notify_all()

    def kept(self) -> dict[str, Any]:
        """Return what a restart must know."""
        with self._moved:
            return {"offset_us": self._offset_us, "frozen_us": self._frozen_us}

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on as `kept` said."""
        with self._moved:
            self._offset_us, self._frozen_us = kept["offset_us"], kept["frozen_us"]
            self._moved.notify_all()
