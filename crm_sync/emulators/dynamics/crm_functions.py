"""The query functions of Dataverse in a $filter: dates relative to now, ranges, choices (Web API query functions).

Days, weeks (from Sunday), months and years are those of UTC. Fiscal periods and hierarchies are Unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from crm_sync.emulators.dynamics.columns import Column
from crm_sync.emulators.dynamics.expressions import CrmFunction, Literal, bad_syntax
from crm_sync.emulators.dynamics.protocol import Unsupported

Convert = Callable[[Column, Literal], Any]
Span = tuple[datetime | None, datetime | None]
WHOLE: Final = re.compile(r"\d{1,9}")
NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
UNITS: Final = ("Minutes", "Hours", "Days", "Weeks", "Months", "Years")


def crm_function(
    node: CrmFunction, column: Column, sql: str, now_us: int, convert: Convert
) -> tuple[str, tuple[Any, ...]]:
    """Return a function over a column as SQL with parameters."""
    name = node.name
    if name in ("Between", "NotBetween"):
        low, high = _two(node)
        bounds = (convert(column, _literal(column, low)), convert(column, _literal(column, high)))
        return f"{sql} {'NOT ' if name.startswith('Not') else ''}BETWEEN ? AND ?", bounds
    if name in ("ContainValues", "DoesNotContainValues"):
        return _choices(node, sql, negated=name.startswith("Does"))
    if column.kind != "DateTime":
        raise Unsupported(f"the query function {name} over the column {column.name}")
    try:
        span = _span(node, datetime.fromtimestamp(now_us / 1_000_000, UTC))
    except (OverflowError, ValueError):
        raise bad_syntax(f"the function {name} leads to a moment that no date can hold") from None
    return _within(column, sql, span)


def _two(node: CrmFunction) -> tuple[str, str]:
    values = node.arguments.get("PropertyValues")
    if isinstance(values, tuple) and len(values) == 2:
        return values[0], values[1]
    one, two = node.arguments.get("PropertyValue1"), node.arguments.get("PropertyValue2")
    if isinstance(one, str) and isinstance(two, str):
        return one, two
    raise bad_syntax(f"the function {node.name} needs two values")


def _literal(column: Column, text: str) -> Literal:
    if column.textual:
        return Literal("text", text)
    if column.kind == "DateTime":
        return Literal("date" if len(text) == 10 else "stamp", text)
    return Literal("number" if NUMBER.fullmatch(text) else "text", text)


def _choices(node: CrmFunction, sql: str, *, negated: bool) -> tuple[str, tuple[Any, ...]]:
    values = node.arguments.get("PropertyValues")
    if not isinstance(values, tuple):
        raise bad_syntax(f"the function {node.name} needs PropertyValues, a list")
    parts = " OR ".join(f"instr(',' || {sql} || ',', ?)" for _ in values)
    params = tuple(f",{value}," for value in values)
    return (f"NOT coalesce({parts}, 0)" if negated else f"({parts})"), params


def _within(column: Column, sql: str, span: Span) -> tuple[str, tuple[Any, ...]]:
    conditions, params = [f"{sql} IS NOT NULL"], []
    for sign, bound in ((">=", span[0]), ("<", span[1])):
        if bound is not None:
            conditions.append(f"{sql} {sign} ?")
            params.append(_bound(column, bound))
    return "(" + " AND ".join(conditions) + ")", tuple(params)


def _bound(column: Column, moment: datetime) -> Any:
    if column.moment:
        return int(moment.timestamp()) * 1_000_000
    return moment.strftime("%Y-%m-%d" if column.date_only else "%Y-%m-%dT%H:%M:%SZ")


def _span(node: CrmFunction, now: datetime) -> Span:
    """Return [from, to) of a date function."""
    name = node.name
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if name in ("On", "OnOrAfter", "OnOrBefore"):
        given = _day(node)
        after = given + timedelta(days=1)
        return {"On": (given, after), "OnOrAfter": (given, None), "OnOrBefore": (None, after)}[name]
    if name in ("Today", "Yesterday", "Tomorrow"):
        start = day + timedelta(days={"Today": 0, "Yesterday": -1, "Tomorrow": 1}[name])
        return start, start + timedelta(days=1)
    if name == "Last7Days":
        return day - timedelta(days=6), day + timedelta(days=1)
    if name == "Next7Days":
        return day, day + timedelta(days=8)
    for unit in ("Week", "Month", "Year"):
        for shift, word in ((-1, "Last"), (0, "This"), (1, "Next")):
            if name == f"{word}{unit}":
                start = _start(day, unit)
                return _shift(start, f"{unit}s", shift), _shift(start, f"{unit}s", shift + 1)
    for unit in UNITS:
        if name == f"LastX{unit}" and unit != "Minutes":
            return _shift(now if unit == "Hours" else day, unit, -_number(node)), now + timedelta(seconds=1)
        if name == f"NextX{unit}" and unit != "Minutes":
            return now, _shift(now if unit == "Hours" else day + timedelta(days=1), unit, _number(node))
        if name == f"OlderThanX{unit}":
            return None, _shift(now if unit in ("Minutes", "Hours") else day, unit, -_number(node))
    raise Unsupported(f"the query function {name}")


def _day(node: CrmFunction) -> datetime:
    text = node.arguments.get("PropertyValue")
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        raise bad_syntax(f"the function {node.name} needs a date, {text!r} found") from None
    return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)


def _number(node: CrmFunction) -> int:
    text = node.arguments.get("PropertyValue")
    if not isinstance(text, str) or not WHOLE.fullmatch(text):
        raise bad_syntax(f"the function {node.name} needs a whole number, {text!r} found")
    return int(text)


def _start(day: datetime, unit: str) -> datetime:
    if unit == "Week":
        return day - timedelta(days=(day.weekday() + 1) % 7)
    return day.replace(day=1) if unit == "Month" else day.replace(month=1, day=1)


def _shift(moment: datetime, unit: str, count: int) -> datetime:
    if unit in ("Minutes", "Hours", "Days", "Weeks"):
        return moment + timedelta(**{unit.lower(): count})
    months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "Years" else 1)
    year, month = divmod(months, 12)
    last = (datetime(year + (month == 11), (month + 1) % 12 + 1, 1, tzinfo=UTC) - timedelta(days=1)).day
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
