"""One request as handlers see it, and how object names in paths are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from crm_sync.emulators.hubspot.refusals import invalid, not_supported

OBJECTS = {
    "contacts": "contacts", "contact": "contacts", "0-1": "contacts",
    "companies": "companies", "company": "companies", "0-2": "companies",
}  # fmt: skip
ELSEWHERE = frozenset(
    {
        "deals", "deal", "tickets", "ticket", "notes", "note", "meetings", "meeting", "calls", "call", "emails",
        "email", "tasks", "task", "products", "product", "line_items", "line_item", "quotes", "quote", "leads", "lead",
        "0-3", "0-5", "0-7", "0-8", "0-14", "0-27", "0-46", "0-47", "0-48", "0-49", "0-136",
    }
)  # fmt: skip
"""Objects that HubSpot has and this emulator has not."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `query` keeps repeated parameters, `base` is the address that links start with."""

    method: str
    path: str
    params: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: bytes
    base: str

    def object(self, name: str = "object") -> str:
        """Return the object that a path parameter names, in any of HubSpot's spellings."""
        return self.object_named(self.params[name])

    def object_named(self, name: str) -> str:
        """Return the object of that name; 501 where only this emulator lacks it, 400 where HubSpot does too."""
        given = name.lower()
        if given in OBJECTS:
            return OBJECTS[given]
        if given in ELSEWHERE or given.startswith(("2-", "p_")):
            raise not_supported(f"the object {given} ({self.method} {self.path})")
        raise invalid(f"Unable to infer object type from: {given}")

    def one(self, name: str, default: str | None = None) -> str | None:
        """Return the last value of a query parameter."""
        return next((value for key, value in reversed(self.query) if key == name), default)

    def many(self, name: str) -> list[str]:
        """Return a list parameter, repeated or comma-separated."""
        texts = [value for key, value in self.query if key == name]
        return list(dict.fromkeys(one.strip() for text in texts for one in text.split(",") if one.strip()))

    def flag(self, name: str) -> bool:
        """Return a boolean parameter; clients write True, true, False, false."""
        return (self.one(name) or "false").lower() == "true"

    def whole(self, name: str, default: int) -> int:
        """Return a whole number parameter."""
        text = self.one(name)
        if text is None or text == "":
            return default
        if not text.isdigit():
            raise invalid(f"{name} must be a whole number.")
        return int(text)

    def document(self) -> Any:
        """Return the JSON body; 400 where it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise invalid("Invalid input JSON: the body could not be parsed.") from None
