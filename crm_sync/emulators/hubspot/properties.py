"""Hold property values to their definitions, in the texts that HubSpot keeps and answers with.

An empty text or null clears. Source: properties guide (value formats), object APIs (validation errors).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.hubspot.catalog import Catalog
from crm_sync.emulators.hubspot.refusals import Problem, problem

MAX_TEXT = 65_536
EMAIL = re.compile(r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}$")
DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
DAY_MS = 86_400_000
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999."""

Picks = Callable[[str, str], list[str] | None]
"""(object, "pipeline" | "stage" | "owner") -> the values that the portal has now; None: any."""


class BadValue(Exception):
    """A value that its property does not take."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code, self.message = code, message


def milliseconds(value: Any) -> int | None:
    """Read an instant given as ISO 8601 or as epoch milliseconds; None where it is neither."""
    text = str(value).strip()
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return int(text) if FIRST_MS <= int(text) <= LAST_MS else None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1000)


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def instant(us: int) -> str:
    """Write microseconds since 1970 as HubSpot does: UTC, three decimals, none where they are zero."""
    seconds, ms = divmod(us // 1000, 1000)
    return f"{_second(seconds)}.{ms:03d}Z" if ms else f"{_second(seconds)}Z"


def _number(text: str) -> str:
    if not re.fullmatch(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", text):
        raise BadValue("INVALID_LONG", f"{text} was not a valid number.")
    try:
        plain = format(Decimal(text), "f")
    except InvalidOperation:
        raise BadValue("INVALID_LONG", f"{text} was not a valid number.") from None
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _date(text: str) -> str:
    ms = milliseconds(text)
    if ms is None or ms % DAY_MS or not (DATE.match(text) or re.fullmatch(r"-?\d+", text)):
        raise BadValue("INVALID_DATE", f"{text} is at a time of day that is not midnight UTC, or is no date.")
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def _option(declared: FieldDeclaration, text: str, old: str | None) -> str:
    several = declared.extra.get("field_type") == "checkbox"
    if declared.extra.get("external_options") and not several:
        return text
    chosen = [one for one in text.split(";") if one] if several else [text]
    unknown = [one for one in chosen if one not in declared.options]
    if unknown and not declared.extra.get("external_options"):
        allowed = ", ".join(declared.options)
        raise BadValue("INVALID_OPTION", f"{unknown[0]} was not one of the allowed options: [{allowed}]")
    if several and text.startswith(";"):
        chosen = [*(old or "").split(";"), *chosen]
    return ";".join(dict.fromkeys(one for one in chosen if one))


def converted(declared: FieldDeclaration, value: Any, old: str | None) -> str | None:
    """Return the text that a property keeps for a value. Raises BadValue."""
    if value is None or value == "":
        return None
    if isinstance(value, list | dict):
        raise BadValue("INVALID_VALUE", "An object or array is not a property value.")
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    match declared.type:
        case "number":
            return _number(text)
        case "date":
            return _date(text)
        case "datetime":
            ms = milliseconds(text)
            if ms is None:
                raise BadValue("INVALID_DATE", f"{text} was not a valid date.")
            return instant(ms * 1000)
        case "bool":
            if text not in ("true", "false"):
                raise BadValue("INVALID_OPTION", f"{text} was not one of the allowed options: [true, false]")
        case "enumeration":
            return _option(declared, text, old) if "picks" not in declared.extra else text
        case _:
            if len(text) > MAX_TEXT:
                raise BadValue("INVALID_LENGTH", f"The value is longer than {MAX_TEXT} characters.")
            if declared.extra.get("format") == "email":
                if not EMAIL.match(text):
                    raise BadValue("INVALID_EMAIL", f"Email address {text} is invalid")
                return text.lower()
    return text


class Properties:
    """The values that the properties of all objects take."""

    def __init__(self, catalog: Catalog, picks: Picks) -> None:
        self.catalog = catalog
        self._picks = picks

    def fields(self, name: str) -> Mapping[str, FieldDeclaration]:
        """Return the properties of an object, archived ones too."""
        return self.catalog.fields(name)

    def convert(
        self, object: str, given: Mapping[str, Any], old: Mapping[str, Any]
    ) -> tuple[dict[str, str | None], list[Problem]]:
        """Return the texts to keep for the given values, and what is wrong with the others."""
        fields, problems = self.fields(object), []
        kept: dict[str, str | None] = {}
        for name, value in given.items():
            declared = fields.get(name)
            if declared is None or declared.extra.get("archived"):
                problems.append(problem(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
            elif declared.read_only:
                problems.append(problem(name, "READ_ONLY_VALUE", f'"{name}" is a read only property'))
            else:
                try:
                    kept[name] = converted(declared, value, old.get(name))
                    self._pick(object, declared, kept[name])
                except BadValue as error:
                    problems.append(problem(name, error.code, error.message))
        self._forward(object, kept, old)
        return kept, problems

    def _pick(self, object: str, declared: FieldDeclaration, text: str | None) -> None:
        kind = declared.extra.get("picks")
        if kind is None or text is None:
            return
        values = self._picks(object, kind)
        if values is not None and text not in values:
            raise BadValue("INVALID_OPTION", f"{text} was not one of the allowed options: [{', '.join(values)}]")

    def _forward(self, object: str, kept: dict[str, str | None], old: Mapping[str, Any]) -> None:
        """Let a lifecycle stage only move forward: an earlier one leaves it as it is (properties guide)."""
        new, before = kept.get("lifecyclestage"), old.get("lifecyclestage")
        if new is not None and before:
            stages = list(self.fields(object)["lifecyclestage"].options)
            if before in stages and stages.index(new) < stages.index(before):
                del kept["lifecyclestage"]
