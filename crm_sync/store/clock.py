"""The real clock. Implements ports.Clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait; no time at all where `seconds` is not positive."""
        if seconds > 0:
            time.sleep(seconds)
