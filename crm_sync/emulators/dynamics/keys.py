"""Alternate keys, change tracking, and when a table's definition last changed: metadata that reads and writes need.

A key of one column is held unique by the state under the column's name; one of several columns under the value that
`filled` puts beside the row's own ("@key:<name>"), so that it can be looked up in one step too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import orjson

from crm_sync.emulators.state import Duplicate, State, field_sql

BUILDING: Final = frozenset({"Pending", "InProgress"})
Key = dict[str, Any]


class Keys:
    """The keys and tracking of one environment; kept across restarts."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._building = True
        self._known: dict[str, list[Key]] | None = None
        state.after_restore(self._forget)

    def _forget(self) -> None:
        self._building, self._known = True, None

    def all(self, logical: str) -> list[Key]:
        """Return the keys of a table."""
        if self._known is None:
            known: dict[str, list[Key]] = {}
            for key in self._state.list_meta("key:").values():
                known.setdefault(key["EntityLogicalName"], []).append(key)
            self._known = known
        return list(self._known.get(logical, ()))

    def tick(self) -> None:
        """Let the index jobs get on by one step: Pending, InProgress, then Active or Failed.

        Every request ticks once, before its transaction.
        """
        if not self._building:
            return
        found = self._state.list_meta("key:")
        waiting = {name: key for name, key in found.items() if key["EntityKeyIndexStatus"] in BUILDING}
        self._building = bool(waiting)
        for name, key in waiting.items():
            self._advance(name, key)

    def active(self, logical: str) -> list[Key]:
        """Return the keys of a table that can be used."""
        return [key for key in self.all(logical) if key["EntityKeyIndexStatus"] == "Active"]

    def active_columns(self, logical: str) -> list[str]:
        """Return the columns that an active key alone makes unique."""
        return [key["KeyAttributes"][0] for key in self.active(logical) if len(key["KeyAttributes"]) == 1]

    def find(self, logical: str, columns: frozenset[str]) -> Key | None:
        """Return the active key of exactly these columns."""
        return next((key for key in self.active(logical) if frozenset(key["KeyAttributes"]) == columns), None)

    def create(self, logical: str, schema_name: str, columns: list[str], label: Any) -> str:
        """Create a key, whose index is then built in the background, and return its MetadataId."""
        id = str(uuid4())
        key = {
            "MetadataId": id,
            "SchemaName": schema_name,
            "LogicalName": schema_name.lower(),
            "EntityLogicalName": logical,
            "KeyAttributes": columns,
            "EntityKeyIndexStatus": "Pending",
            "DisplayName": label,
            "IsManaged": False,
        }
        self._keep(f"key:{logical}:{schema_name.lower()}", key)
        self.redefined(logical)
        return id

    def filled(self, logical: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values under which the keys of several columns find a row; `values` are all of the row's."""
        out: dict[str, Any] = {}
        for key in self.all(logical):
            if len(key["KeyAttributes"]) > 1:
                out[marker(key)] = joined([values.get(name) for name in key["KeyAttributes"]])
        return out

    def _keep(self, name: str, key: Key | None) -> None:
        self._state.set_meta(name, key)
        self._forget()

    def _advance(self, name: str, key: Key) -> None:
        logical = key["EntityLogicalName"]
        status = "InProgress"
        if key["EntityKeyIndexStatus"] == "InProgress":
            try:
                self._index(logical, key)
                status = "Active"
            except Duplicate:
                status = "Failed"
        self._keep(name, {**key, "EntityKeyIndexStatus": status})

    def _index(self, logical: str, key: Key) -> None:
        if len(key["KeyAttributes"]) == 1:
            self._state.declare_unique(logical, key["KeyAttributes"][0], fold=True)
            return
        with self._state.transaction():
            for record in self._state.scan(logical, where=f"{field_sql(marker(key))} IS NULL"):
                self._state.update(logical, record.id, self.filled(logical, record.values), touch=False)
            self._state.declare_unique(logical, marker(key), fold=True)

    def tracked(self, logical: str) -> bool:
        """Tell whether change tracking is on."""
        return bool(self._state.get_meta(f"tracked:{logical}", False))

    def track(self, logical: str) -> None:
        """Switch change tracking on."""
        if not self.tracked(logical):
            self._state.set_meta(f"tracked:{logical}", True)
            self.redefined(logical)

    def redefined(self, logical: str) -> None:
        """Note that a table's definition changed: all its delta tokens are dead."""
        version = self._state.next_number("seq")
        self._state.set_meta(f"defined_at:{logical}", version)
        self._state.set_meta("defined_at", version)

    def defined_at(self, logical: str) -> int:
        """Return the sequence number of the last change of definition."""
        return int(self._state.get_meta(f"defined_at:{logical}", 0))

    def last_defined(self) -> int:
        """Return the sequence number of the last change of any definition."""
        return int(self._state.get_meta("defined_at", 0))


def marker(key: Key) -> str:
    """Return the name under which the value of a key of several columns is stored."""
    return f"@key:{key['LogicalName']}"


def joined(values: list[Any]) -> str | None:
    """Return the values of several columns as one text, None where one is missing (such rows are not held unique)."""
    if any(value is None for value in values):
        return None
    return orjson.dumps([str(value) for value in values]).decode()
