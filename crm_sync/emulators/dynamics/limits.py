"""Service protection limits, on when the knob "limits" is: requests and work in a window, and how many run at once.

The fault `limit` answers as one of them without their being reached: kind requests, time or concurrent.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time
from typing import Final

from crm_sync.emulators.dynamics.protocol import ODataError
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import Window

WINDOW_SECONDS: Final = 300.0
REQUESTS: Final = 6000
WORK_SECONDS: Final = 1200.0
CONCURRENT: Final = 52


class Protection:
    """Counts requests; knobs "window_requests", "window_seconds", "work_seconds", "concurrent" change the sizes."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults
        self._lock = threading.Lock()
        self._running = 0
        self._window = Window(state, REQUESTS, WINDOW_SECONDS)
        self._work: deque[tuple[int, float]] = deque()

    @contextmanager
    def request(self) -> Iterator[dict[str, str]]:
        """Count one request while it runs and yield its limit headers. Raises ODataError 429."""
        limited = bool(self._faults.knob("limits", False))
        for kind in ("requests", "time", "concurrent"):
            if self._faults.strike("limit", kind=kind):
                raise self._refusal(kind, WINDOW_SECONDS if kind == "time" else 1)
        with self._lock:
            self._running += 1
            running = self._running
        began = thread_time()
        try:
            yield self._headers(running) if limited else {}
        finally:
            with self._lock:
                self._running -= 1
                if limited:
                    self._work.append((self._state.now_us(), thread_time() - began))

    def _headers(self, running: int) -> dict[str, str]:
        if running > int(self._faults.knob("concurrent", CONCURRENT)):
            raise self._refusal("concurrent", 1)
        limit = int(self._faults.knob("window_requests", REQUESTS))
        seconds = float(self._faults.knob("window_seconds", WINDOW_SECONDS))
        left = float(self._faults.knob("work_seconds", WORK_SECONDS)) - self._worked(seconds)
        if left <= 0:
            raise self._refusal("time", seconds)
        with self._lock:
            if (self._window.limit, self._window.seconds) != (limit, seconds):
                self._window = Window(self._state, limit, seconds)
            window = self._window
        allowed, remaining, wait = window.take()
        if not allowed:
            raise self._refusal("requests", wait)
        return {
            "x-ms-ratelimit-burst-remaining-xrm-requests": str(remaining),
            "x-ms-ratelimit-time-remaining-xrm-requests": f"{left:,.2f}",
            "x-ms-dop-hint": "4",
        }

    def _worked(self, seconds: float) -> float:
        """Return the summed execution time of the requests in the window."""
        with self._lock:
            since = self._state.now_us() - int(seconds * 1_000_000)
            while self._work and self._work[0][0] <= since:
                self._work.popleft()
            return sum(work for _, work in self._work)

    def _refusal(self, kind: str, wait: float) -> ODataError:
        limit = int(self._faults.knob("window_requests", REQUESTS))
        seconds = float(self._faults.knob("window_seconds", WINDOW_SECONDS))
        work = float(self._faults.knob("work_seconds", WORK_SECONDS))
        most = int(self._faults.knob("concurrent", CONCURRENT))
        window = f"over time window of {seconds:g} seconds"
        code, text = {
            "requests": ("0x80072322", f"Number of requests exceeded the limit of {limit} {window}."),
            "time": (
                "0x80072321",
                f"Combined execution time of incoming requests exceeded limit of {work:g} {window}.",
            ),
            "concurrent": ("0x80072326", f"Number of concurrent requests exceeded the limit of {most}."),
        }[kind]
        return ODataError(429, code, text, {"Retry-After": str(max(1, math.ceil(wait)))})
