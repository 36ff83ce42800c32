"""Alternate keys, change tracking, and when a table's definition last changed: metadata that reads and writes need."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from crm_sync.emulators.state import Duplicate, State

BUILDING: Final = frozenset({"Pending", "InProgress"})


class Keys:
    """The keys and tracking of one environment; kept across restarts."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._building = True

    def all(self, logical: str) -> list[dict[str, Any]]:
        """Return the keys of a table."""
        return list(self._state.list_meta(f"key:{logical}:").values())

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

    def active_columns(self, logical: str) -> list[str]:
        """Return the columns that an active key makes unique."""
        return [key["KeyAttributes"][0] for key in self.all(logical) if key["EntityKeyIndexStatus"] == "Active"]

    def create(self, logical: str, schema_name: str, column: str, label: Any) -> str:
        """Create a key, whose index is then built in the background, and return its MetadataId."""
        id = str(uuid4())
        key = {
            "MetadataId": id,
            "SchemaName": schema_name,
            "LogicalName": schema_name.lower(),
            "EntityLogicalName": logical,
            "KeyAttributes": [column],
            "EntityKeyIndexStatus": "Pending",
            "DisplayName": label,
        }
        self._state.set_meta(f"key:{logical}:{schema_name.lower()}", key)
        self._building = True
        self.redefined(logical)
        return id

    def _advance(self, name: str, key: dict[str, Any]) -> None:
        logical = key["EntityLogicalName"]
        status = "InProgress"
        if key["EntityKeyIndexStatus"] == "InProgress":
            try:
                self._state.declare_unique(logical, key["KeyAttributes"][0], fold=True)
                status = "Active"
            except Duplicate:
                status = "Failed"
        self._state.set_meta(name, {**key, "EntityKeyIndexStatus": status})

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
        self._state.set_meta(f"defined_at:{logical}", self._state.next_number("seq"))

    def defined_at(self, logical: str) -> int:
        """Return the sequence number of the last change of definition."""
        return int(self._state.get_meta(f"defined_at:{logical}", 0))
