"""Days of an installation, and what a materialisation of them reads.

Belongs here: the partitions of landing and reconciliation, and their translation into a read.
Not here: the read (crm_sync/flows/ingest.py).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TypedDict

from dagster import AssetExecutionContext, Config, DailyPartitionsDefinition
from pydantic import Field


class ReadingConfig(Config):
    """How to read a CRM."""

    full: bool = Field(default=False, description="Read every record, whatever the partition says.")


class Reading(TypedDict):
    """The arguments of `ingest` that a partition decides."""

    full: bool
    window: tuple[str, str] | None


def days_since(first_day: date) -> DailyPartitionsDefinition:
    """Return the days of an installation, from its first to the current one.

    Records that were modified before belong to no day of the graph; a full read reads them as well.
    """
    # end_offset: the current day is a partition from its first second, not only when it is over.
    return DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone="UTC", end_offset=1)


def today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def reading(first: str, last: str, full: bool, current: date, oldest: str) -> Reading:
    """Say what to read for the days `first` to `last` (ISO, inclusive) of an installation whose first day is `oldest`.

    The current day alone is an incremental read from the watermark, also where it is the only day there is; every day
    of several, or `full`, is a full read; any other days are read again as the window [first, last + 1 day).
    """
    if full:
        return {"full": True, "window": None}
    if first >= current.isoformat():
        return {"full": False, "window": None}
    if first <= oldest and last >= current.isoformat():
        return {"full": True, "window": None}
    return {"full": False, "window": (first, (date.fromisoformat(last) + timedelta(days=1)).isoformat())}


def reading_of(context: AssetExecutionContext, config: ReadingConfig, first_day: date) -> Reading:
    """Say what this materialisation must read."""
    days = context.partition_key_range
    return reading(days.start, days.end, config.full, today(), first_day.isoformat())
