"""People at the screens of the pretend CRMs, and the trouble that the CRMs make on demand."""

from __future__ import annotations

import json
import re
import ssl
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What is posted only to ask for something.
_ASKING = re.compile(r"/(search|batch/read|token)$")

Records = dict[str, dict[str, Any]]


class Screen:
    """One pretend CRM as its users see it; object names as the emulator knows them."""

    def __init__(self, url: str, ca_bundle: Path) -> None:
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca_bundle)))
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
        self._url = url

    def create(
        self, object_name: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]] | None = None
    ) -> str:
        """Create a record and return its id."""
        body = {"object": object_name, "values": dict(values), "associations": dict(associations or {})}
        return str(self._call("create", body)["id"])

    def edit(
        self,
        object_name: str,
        record_id: str,
        values: Mapping[str, Any],
        associations: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Change fields, and replace the associations to each object named."""
        body = {"object": object_name, "id": record_id, "values": dict(values)}
        self._call("edit", {**body, "associations": dict(associations or {})})

    def delete(self, object_name: str, record_id: str) -> None:
        """Delete a record."""
        self._call("delete", {"object": object_name, "id": record_id})

    def records(self, object_name: str) -> Records:
        """Return record id -> the whole record (values, seq, associations) of every live record."""
        return {r["id"]: r for r in self._call("dump", query={"object": object_name})["records"]}

    def values(self, object_name: str, record_id: str) -> dict[str, Any]:
        """Return the values of one live record."""
        found = self._call("find", query={"object": object_name, "field": "id", "value": record_id})["records"]
        if not found:
            raise LookupError(f"no live {object_name} {record_id}")
        return dict(found[0]["values"])

    def calls(self) -> dict[str, int]:
        """Return route -> API calls since the last reset."""
        return dict(self._call("calls")["by"])

    def reset_calls(self) -> None:
        """Count from zero."""
        self._call("calls/reset", {})

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """Plan trouble (crm_sync/emulators/faults.py)."""
        self._call("faults", [dict(f) for f in faults])

    def faults_left(self) -> list[dict[str, Any]]:
        """Return the trouble that has not come yet."""
        return list(self._call("faults")["faults"])

    def no_more_faults(self) -> None:
        """Forget what is left of the trouble."""
        self._call("faults", method="DELETE")

    def down(self, down: bool) -> None:
        """Let the CRM answer nobody, or again everybody."""
        self._call("down", {"down": down})

    def expire_tokens(self) -> None:
        """End all access tokens now."""
        self._call("tokens/expire", {})

    def turn(self, **knobs: Any) -> None:
        """Turn knobs of the CRM, such as limits=True."""
        self._call("knobs", knobs)

    def _call(self, path: str, body: Any = None, query: Mapping[str, str] | None = None, method: str = "") -> Any:
        address = f"{self._url}/__emulator__/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(address, data=data, headers=headers, method=method or None)
        with self._opener.open(request, timeout=60) as response:
            return json.load(response)


def writing(calls: Mapping[str, int]) -> dict[str, int]:
    """Return those of counted calls that write."""
    return {r: n for r, n in calls.items() if not r.startswith("GET ") and not _ASKING.search(r)}
