"""Turn date literals such as LAST_N_DAYS:3 into days; weeks begin on Sunday, years are calendar years, time is UTC.

Source: SOQL and SOSL Reference, Date Formats and Date Literals.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

NAMED = re.compile(
    r"(?P<when>last|this|next)_(?P<n>n_)?(?P<fiscal>fiscal_)?(?P<unit>day|week|month|quarter|year|90_day)s?"
    r"|n_(?P<ago>day|week|month|quarter|year|fiscal_quarter|fiscal_year)s_ago"
    r"|(?P<day>today|yesterday|tomorrow)",
    re.IGNORECASE,
)


def takes_number(word: str) -> bool | None:
    """Tell whether a date literal wants `:n` behind it; None where the word is no date literal."""
    match = NAMED.fullmatch(word)
    if match is None:
        return None
    folded = word.casefold()
    bare_day = match["unit"] == "day" and not match["n"]
    plural = folded.endswith("s") and not match["n"] and not match["ago"] and "90_day" not in folded
    if bare_day or plural or (match["when"] == "this" and match["n"]) or (match["n"] and not folded.endswith("s")):
        return None
    return bool(match["n"] or match["ago"])


def span(word: str, number: int | None, now_us: int) -> tuple[date, date]:
    """Return the first day of a date literal and the day after its last."""
    today = datetime.fromtimestamp(now_us / 1_000_000, UTC).date()
    match = NAMED.fullmatch(word)
    assert match is not None, word
    one = timedelta(days=1)
    if match["day"]:
        first = today + {"today": 0, "yesterday": -1, "tomorrow": 1}[match["day"].casefold()] * one
        return first, first + one
    count = number or 0
    if match["ago"]:
        unit = match["ago"].casefold().removeprefix("fiscal_")
        first = start_of(unit, today)
        return shift(unit, first, -count), shift(unit, first, 1 - count)
    unit, when = match["unit"].casefold(), match["when"].casefold()
    if unit == "90_day":
        unit, count = "day", 90
    elif not match["n"]:
        first = shift(unit, start_of(unit, today), {"last": -1, "this": 0, "next": 1}[when])
        return first, shift(unit, first, 1)
    first = start_of(unit, today)
    if when == "last":  # LAST_N_DAYS ends today, the others end before the present week, month, ...
        return shift(unit, first, -count), today + one if unit == "day" else first
    return shift(unit, first, 1), shift(unit, first, count + 1)


def start_of(unit: str, day: date) -> date:
    """Return the first day of the unit that a day is in."""
    if unit == "week":
        return day - timedelta(days=(day.weekday() + 1) % 7)
    if unit == "month":
        return day.replace(day=1)
    if unit == "quarter":
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return day.replace(month=1, day=1) if unit == "year" else day


def shift(unit: str, first: date, count: int) -> date:
    """Move the first day of a unit by a count of units."""
    if unit in ("day", "week"):
        return first + timedelta(days=count * (7 if unit == "week" else 1))
    months = first.year * 12 + first.month - 1 + count * {"month": 1, "quarter": 3, "year": 12}[unit]
    return date(months // 12, months % 12 + 1, 1)


def microseconds(day: date) -> int:
    """Return the beginning of a day as microseconds since 1970 UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
