"""Time that a test moves by hand."""

from __future__ import annotations


class Time:
    """Microseconds since 1970 UTC; callable as a clock."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_123_456

    def __call__(self) -> int:
        return self.now
