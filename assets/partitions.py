"""Days of modification, and what a materialisation of them reads.

Belongs here: the partitions of landing, and their translation into a read.
Not here: the read (crm_sync/flows/ingest.py).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final, TypedDict

from dagster import AssetExecutionContext, Config, DailyPartitionsDefinition
from pydantic import Field

FIRST_DAY: Final = "2020-01-01"
"""Older records belong to no day of the graph; reading every day reads them as well."""

# end_offset: the current day is a partition from its first second, not only when it is over.
DAYS: Final = DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC", end_offset=1)


class ReadingConfig(Config):
    """How to read a CRM."""

    full: bool = Field(default=False, description="Read every record, whatever the partition says.")


class Reading(TypedDict):
    """The arguments of `ingest` that a partition decides."""

    full: bool
    window: tuple[str, str] | None


def today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def reading(first: str, last: str, full: bool, current: date) -> Reading:
    """Say what to read for the days `first` to `last` (ISO, inclusive).

    The current day alone is an incremental read from the watermark; every day there is, or `full`, is a full read; any
    other days are read again as the window [first, last + 1 day).
    """
    if full or (first == FIRST_DAY and last >= current.isoformat()):
        return {"full": True, "window": None}
    if first >= current.isoformat():
        return {"full": False, "window": None}
    return {"full": False, "window": (first, (date.fromisoformat(last) + timedelta(days=1)).isoformat())}


def reading_of(context: AssetExecutionContext, config: ReadingConfig) -> Reading:
    """Say what this materialisation must read."""
    days = context.partition_key_range
    return reading(days.start, days.end, config.full, today())
