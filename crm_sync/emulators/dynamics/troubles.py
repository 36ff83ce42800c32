"""Faults that strike where rows are written: a refused row, a locked row, a duplicate rule, an automation.

Also the real duplicate detection, which the header MSCRM.SuppressDuplicateDetection: false turns on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crm_sync.emulators.dynamics.protocol import ODataError
from crm_sync.emulators.dynamics.tables import Table
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.state import State

DUPLICATE: Final = "0x80040333"
RULES: Final = {"account": ("name", "emailaddress1"), "contact": ("emailaddress1",), "lead": ("emailaddress1",)}
"""The columns whose equality the published rules of a new environment call a duplicate."""


class Troubles:
    """What may go wrong with a row."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults

    def strike(self, table: Table, id: str) -> None:
        """Raise what a waiting fault makes of a write to this row."""
        name = table.logical
        if self._faults.strike("row_lock", object=name, target=id):
            raise ODataError(
                500,
                "0x80044150",
                "SQL error: Transaction was deadlocked on lock resources with another process and has been chosen as "
                "the deadlock victim. Rerun the transaction.",
            )
        if self._faults.strike("bad_record", object=name, target=id):
            raise ODataError(400, "0x80040265", f"A plug-in refused the {name}: its values are not acceptable.")
        if self._faults.strike("duplicate_rule", object=name, target=id):
            raise _duplicate()

    def detect(self, table: Table, values: Mapping[str, Any], id: str | None) -> None:
        """Apply the rules against duplicates. Raises ODataError 412."""
        for column in RULES.get(table.logical, ()):
            value = values.get(column)
            if not isinstance(value, str):
                continue
            found = self._state.scan(
                table.logical,
                where=f"{table.column(column).at()} = ? COLLATE NOCASE AND record.id IS NOT ?",
                params=(value, id),
                limit=1,
            )
            if found:
                raise _duplicate()

    def automation(self, table: Table, id: str) -> dict[str, Any]:
        """Return the values that a workflow sets after a write to this row; empty where none does."""
        out: dict[str, Any] = {}
        while fault := self._faults.strike("automation", object=table.logical, target=id):
            out[table.column(str(fault.options["field"])).logical] = fault.options["value"]
        return out


def _duplicate() -> ODataError:
    return ODataError(
        412,
        DUPLICATE,
        "A record was not created or updated because a duplicate of the current record already exists.",
    )
