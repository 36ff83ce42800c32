"""Check values of request bodies, and write moments as Dataverse does.

Lengths, ranges and options are enforced with the codes of Dataverse's error reference; an empty text is stored as null.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from crm_sync.emulators.dynamics.protocol import ODataError, payload_error
from crm_sync.emulators.dynamics.tables import CHOICES, EPOCH, GUID, Column, Table

FIRST_DAY: Final = date(1753, 1, 1)
MOST_CHOICES: Final = 150
CHOICE: Final = re.compile(r"-?\d{1,10}")


def moment_us(text: str) -> int | None:
    """Parse a DateTimeOffset with its zone; None where it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or "T" not in text:
        return None
    return (moment - EPOCH) // timedelta(microseconds=1)


def stamp(us: int) -> str:
    """Return a moment as Dataverse writes it: whole seconds, UTC."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).isoformat()[:19] + "Z"


def incoming(table: Table, column: Column, value: Any) -> Any:
    """Check a value of a request body and return it as stored. Raises ODataError."""
    if value is None:
        return None
    kind = column.kind
    if kind == "MultiSelectPicklist":
        return _choices(table, column, value)
    if column.textual:
        return _text(table, column, value)
    if kind == "Boolean":
        if not isinstance(value, bool):
            raise _wrong_type(table, column, value)
        return value
    if kind == "DateTime":
        return _date(table, column, value)
    if kind in ("Integer", "BigInt", *CHOICES):
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_type(table, column, value)
        return _option(table, column, value) if kind in CHOICES else _number(table, column, value)
    if kind in ("Decimal", "Double", "Money"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong_type(table, column, value)
        return _number(table, column, value)
    if kind == "Uniqueidentifier":
        if not isinstance(value, str) or not GUID.fullmatch(value):
            raise _wrong_type(table, column, value)
        return str(UUID(value))
    raise no_such_property(table, column.name)


def no_such_property(table: Table, name: str) -> ODataError:
    """Return the refusal of a property that the type has not, in a body."""
    return payload_error(f"Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{table.logical}'.")


def _text(table: Table, column: Column, value: Any) -> str | None:
    if not isinstance(value, str):
        raise _wrong_type(table, column, value)
    limit = column.declaration.max_length
    if limit is not None and len(value) > limit:
        raise ODataError(
            400,
            "0x80044331",
            (
                f"A validation error occurred.  The length of the '{column.logical}' attribute of the "
                f"'{table.logical}' entity exceeded the maximum allowed length of '{limit}'."
            ),
        )
    return value or None


def _date(table: Table, column: Column, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_type(table, column, value)
    if column.date_only:
        try:
            day = datetime.strptime(value, "%Y-%m-%d").date() if len(value) == 10 else None
        except ValueError:
            day = None
        stored = value
    else:
        us = moment_us(value)
        day = None if us is None else (EPOCH + timedelta(microseconds=us)).date()
        stored = "" if us is None else stamp(us)
    if day is None:
        raise _wrong_type(table, column, value)
    if day < FIRST_DAY:
        raise ODataError(
            400,
            "0x80040239",
            (
                "DateTime is less than minumum value supported by CrmDateTime. Actual value: "
                f"{value}, Minimum value supported: 01/01/1753 00:00:00"
            ),
        )
    return stored


def _option(table: Table, column: Column, value: int) -> int:
    options = column.declaration.options
    if str(value) not in options:
        raise ODataError(
            400,
            "0x8004431A",
            (
                f"A validation error occurred.  The value {value} of '{column.logical}' on record of type "
                f"'{table.logical}' is outside the valid range. Accepted Values: {','.join(options)}"
            ),
        )
    return value


def _choices(table: Table, column: Column, value: Any) -> str | None:
    """Return a text of several options, "1,3", in the order of the options."""
    if not isinstance(value, str):
        raise _wrong_type(table, column, value)
    parts = [one.strip() for one in value.split(",") if one.strip()]
    if not all(CHOICE.fullmatch(one) for one in parts) or len(parts) > MOST_CHOICES:
        raise _wrong_type(table, column, value)
    chosen = sorted({_option(table, column, int(one)) for one in parts})
    return ",".join(map(str, chosen)) or None


def _number(table: Table, column: Column, value: float) -> float:
    low = column.declaration.extra.get("minimum", -(2**31))
    high = column.declaration.extra.get("maximum", 2**31 - 1)
    if not low <= value <= high:
        raise ODataError(
            400,
            "0x80044330",
            (
                f"A validation error occurred.  The value of '{column.logical}' on record of type '{table.logical}' "
                "is outside the valid range."
            ),
        )
    return value


def _wrong_type(table: Table, column: Column, value: Any) -> ODataError:
    return payload_error(
        f"Cannot convert the literal '{value}' to the expected type of property '{column.name}' of "
        f"'Microsoft.Dynamics.CRM.{table.logical}' ({column.kind})."
    )
