"""Write and read moments as the APIs do: microseconds inside, UTC outside."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=8192)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def stamp(microseconds: int) -> str:
    """Write a moment as JSON has it: UTC, milliseconds, +0000."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{rest // 1000:03d}+0000"


def zulu(microseconds: int) -> str:
    """Write a moment as CSV and XML have it: UTC, milliseconds, Z."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{rest // 1000:03d}Z"


def microseconds(text: str) -> int:
    """Read ISO 8601; a moment without an offset is UTC. Raises ValueError."""
    found = datetime.fromisoformat(text)
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 1_000_000 + aware.microsecond
