"""Service protection limits, on when the knob "limits" is: requests in a window, and how many run at once."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from crm_sync.emulators.dynamics.protocol import ODataError
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import Window

WINDOW_SECONDS = 300.0
REQUESTS = 6000
CONCURRENT = 52


class Protection:
    """Counts requests; knobs "window_requests", "window_seconds" and "concurrent" change the sizes."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults
        self._lock = threading.Lock()
        self._running = 0
        self._window = Window(state, REQUESTS, WINDOW_SECONDS)

    @contextmanager
    def request(self) -> Iterator[dict[str, str]]:
        """Count one request while it runs and yield its limit headers. Raises ODataError 429."""
        limited = bool(self._faults.knob("limits", False))
        with self._lock:
            self._running += 1
            running = self._running
        try:
            yield self._headers(running) if limited else {}
        finally:
            with self._lock:
                self._running -= 1

    def _headers(self, running: int) -> dict[str, str]:
        most = int(self._faults.knob("concurrent", CONCURRENT))
        if running > most:
            raise ODataError(
                429, "0x80072326", f"Number of concurrent requests exceeded the limit of {most}.", {"Retry-After": "1"}
            )
        limit = int(self._faults.knob("window_requests", REQUESTS))
        seconds = float(self._faults.knob("window_seconds", WINDOW_SECONDS))
        with self._lock:
            if (self._window.limit, self._window.seconds) != (limit, seconds):
                self._window = Window(self._state, limit, seconds)
            window = self._window
        allowed, remaining, wait = window.take()
        if not allowed:
            raise ODataError(
                429,
                "0x80072322",
                f"Number of requests exceeded the limit of {limit} over time window of {seconds:g} seconds.",
                {"Retry-After": str(max(1, math.ceil(wait)))},
            )
        return {
            "x-ms-ratelimit-burst-remaining-xrm-requests": str(remaining),
            "x-ms-ratelimit-time-remaining-xrm-requests": "1,200.00",
            "x-ms-dop-hint": "4",
        }
