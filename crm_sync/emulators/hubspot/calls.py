"""One request as handlers see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from crm_sync.emulators.hubspot.catalog import Catalog
from crm_sync.emulators.hubspot.refusals import invalid


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `query` keeps repeated parameters, `base` is the address that links start with."""

    method: str
    path: str
    params: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: bytes
    base: str
    catalog: Catalog

    def object(self, name: str = "object") -> str:
        """Return the object that a path parameter names, in any of HubSpot's spellings."""
        return self.catalog.resolve(self.params[name])

    def pair(self) -> tuple[str, str]:
        """Return the two objects that the path of an association names."""
        return self.object(), self.object("to_object")

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
        if not text.isdigit() or len(text) > 18:
            raise invalid(f"{name} must be a whole number.")
        return int(text)

    def document(self) -> Any:
        """Return the JSON body; 400 where it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise invalid("Invalid input JSON: the body could not be parsed.") from None

    def mapping(self) -> dict[str, Any]:
        """Return the JSON body, which must be an object."""
        found = self.document()
        if not isinstance(found, dict):
            raise invalid("Invalid input JSON: an object is expected.")
        return found

    def form(self) -> dict[str, str]:
        """Return the fields of a form-encoded (or JSON) body."""
        if self.body.lstrip().startswith(b"{"):
            return {key: str(value) for key, value in self.mapping().items()}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def following(self, after: str) -> dict[str, Any]:
        """Return the `paging` of a page: where the next one starts, with the link that clients follow as it is."""
        query = urlencode([*((k, v) for k, v in self.query if k != "after"), ("after", after)])
        return {"next": {"after": after, "link": f"{self.base}{self.path}?{query}"}}
