"""A person at the screen of a pretend CRM: edits that no sync made, and a look at what stands there.

Belongs here: calls of the emulators' control API. Not here: the CRMs' own APIs (connectors/).
"""

from __future__ import annotations

import json
import ssl
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Desk:
    """One pretend CRM, as its users see it."""

    def __init__(self, url: str, ca_bundle: Path) -> None:
        """Open a desk at `url` (https://localhost:PORT)."""
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca_bundle)))
        # The machine's proxy has no business with localhost.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
        self._url = url

    def edit(self, object_name: str, record_id: str, values: Mapping[str, Any]) -> None:
        """Change fields of a record."""
        self._call("edit", {"object": object_name, "id": record_id, "values": dict(values)})

    def records(self, object_name: str) -> dict[str, dict[str, Any]]:
        """Return record id -> values of every live record."""
        found = self._call("dump", query={"object": object_name})["records"]
        return {record["id"]: record["values"] for record in found}

    def calls(self) -> int:
        """Return how many API calls arrived since the last reset."""
        return int(self._call("calls")["total"])

    def reset_calls(self) -> None:
        """Count API calls from zero."""
        self._call("calls/reset", {})

    def _call(self, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None) -> Any:
        address = f"{self._url}/__emulator__/{path}"
        if query:
            address += "?" + urllib.parse.urlencode(query)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data=data, headers={"Content-Type": "application/json"})  # noqa: S310
        with self._opener.open(request, timeout=60) as response:
            return json.load(response)
