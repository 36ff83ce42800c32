"""Transforms of numbers, dates, instants and references.

Belongs here: reading and writing single values without loss. Not here: time zones of people (a date is not an instant).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from datetime import date as day
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from crm_sync.records import NULL
from crm_sync.specs.model import FieldSpec
from crm_sync.steps.codec import REFUSED, Codec

_NUMBER: Final = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})", re.ASCII)
_EPOCH: Final = re.compile(r"-?\d{9,15}", re.ASCII)
_DAY_MS: Final = 86_400_000
_ZERO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT: Final = Context(prec=200, rounding=ROUND_HALF_EVEN)
_LARGEST: Final = Decimal(10**17)
"""Canonical numbers stay within, so that whole ones are exact in JSON (64 bits); no rounding leaves a whole bound."""
_FINEST: Final = 40
"""Digits after the point that a canonical number may have."""


def number_text(value: int | float) -> str | None:
    """Return a JSON number as a normalised decimal, None for NaN and infinities."""
    if isinstance(value, int):
        return str(value)
    if value != value or value in (float("inf"), float("-inf")):
        return None
    return _decimal(Decimal(repr(value)))


def _decimal(value: Decimal) -> str:
    found = format(value, "f")
    if "." in found:
        found = found.rstrip("0").rstrip(".")
    return "0" if found in ("-0", "") else found


def number(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of numbers. `places` rounds outward (half to even), `as: text` writes a decimal text.

    Fractions written as JSON numbers carry what a double carries (15 digits); texts are exact.
    """
    places = options.get("places")
    as_text = options.get("as") == "text"
    step = Decimal(1).scaleb(-places) if isinstance(places, int) else None

    def lift(value: Any) -> str:
        if isinstance(value, bool):
            return f"{REFUSED}number_invalid"
        if isinstance(value, str):
            stripped = value.strip()
            if not stripped:
                return NULL
            found = _decimal(Decimal(stripped)) if _NUMBER.fullmatch(stripped) else None
        else:
            found = number_text(value) if isinstance(value, int | float) else None
        if found is None or abs(Decimal(found)) > _LARGEST or len(found.partition(".")[2]) > _FINEST:
            return f"{REFUSED}number_invalid"
        return f"n:{found}"

    def project(text: str) -> int | float | str:
        exact = text[2:]
        if step is not None:
            exact = _decimal(Decimal(exact).quantize(step, context=_EXACT))
        if as_text:
            return exact
        if "." not in exact:
            return int(exact)
        carried = float(exact)
        # A double that keeps nothing of the fraction is sent as the whole number it is read back as.
        return int(_decimal(Decimal(repr(carried)))) if carried.is_integer() else carried

    return Codec(lift, project)


def _instant(value: Any) -> datetime | None:
    """Return an instant in UTC from ISO text with a zone, or from epoch milliseconds; else None."""
    try:
        if isinstance(value, str):
            stripped = value.strip()
            if _INSTANT.fullmatch(stripped):
                return datetime.fromisoformat(stripped).astimezone(UTC)
            if not _EPOCH.fullmatch(stripped):
                return None
            value = int(stripped)
        if isinstance(value, int) and not isinstance(value, bool):
            return _ZERO + timedelta(milliseconds=value)
    except (ValueError, OverflowError):
        return None
    return None


def date(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of dates: YYYY-MM-DD, also read from an instant that is midnight UTC."""

    def lift(value: Any) -> str:
        if isinstance(value, str):
            stripped = value.strip()
            if not stripped:
                return NULL
            if _DATE.fullmatch(stripped):
                try:
                    day.fromisoformat(stripped)
                except ValueError:
                    return f"{REFUSED}date_invalid"
                return f"d:{stripped}"
        found = _instant(value)
        if found is None or found.time() != _ZERO.time():
            return f"{REFUSED}date_invalid"
        return f"d:{found.date().isoformat()}"

    def project(text: str) -> str:
        return text[2:]

    return Codec(lift, project)


def datetime_(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of instants: ISO text with a zone or epoch milliseconds; `truncate` cuts outward."""
    digits = {"seconds": 0, "milliseconds": 3}.get(str(options.get("truncate")), 6)

    def lift(value: Any) -> str:
        if isinstance(value, str) and not value.strip():
            return NULL
        found = _instant(value)
        return f"{REFUSED}datetime_invalid" if found is None else f"i:{found.replace(tzinfo=None).isoformat()}Z"

    def project(text: str) -> str:
        whole, _, fraction = text[2:].removesuffix("Z").partition(".")
        kept = fraction[:digits]
        return f"{whole}.{kept}Z" if kept.strip("0") else f"{whole}Z"

    return Codec(lift, project)


def reference(spec: FieldSpec, options: Mapping[str, object]) -> Codec:
    """Build the transform of references: the target's record id as text, and back."""

    def lift(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            return f"{REFUSED}reference_invalid"
        found = str(value).strip()
        return f"r:{found}" if found else NULL

    def project(text: str) -> str:
        return text[2:]

    return Codec(lift, project)
