"""Answer actions: CreateMultiple, UpdateMultiple, UpsertMultiple (on standard tables all rows or none), and Merge."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.dynamics.addressing import Addresses, resource
from crm_sync.emulators.dynamics.protocol import SERVICE_PATH, Answer, Call, Unsupported, payload_error
from crm_sync.emulators.dynamics.rows import Rows
from crm_sync.emulators.dynamics.tables import Table, Tables
from crm_sync.emulators.state import Record, State

PREFIX = "Microsoft.Dynamics.CRM."


class Actions:
    """The actions of one environment."""

    def __init__(self, state: State, tables: Tables, rows: Rows, addresses: Addresses, url: str) -> None:
        self._state = state
        self._tables = tables
        self._rows = rows
        self._addresses = addresses
        self._root = url + SERVICE_PATH

    def multiple(self, call: Call, table: Table, action: str) -> Answer:
        """Carry out POST set/Microsoft.Dynamics.CRM.<action>."""
        if call.method != "POST" or action not in ("CreateMultiple", "UpdateMultiple", "UpsertMultiple"):
            raise Unsupported(f"the action {action}")
        targets = call.json().get("Targets")
        if not isinstance(targets, list):
            raise payload_error("The parameter Targets is missing or not a list.")
        for target in targets:
            if not isinstance(target, dict) or target.get("@odata.type") != f"{PREFIX}{table.logical}":
                raise payload_error(f"Each of Targets needs the @odata.type {PREFIX}{table.logical}.")
        with self._state.transaction():
            if action == "CreateMultiple":
                ids = [self._rows.insert(table, self._rows.change(table, one, creating=True)).id for one in targets]
                context = f"{self._root}$metadata#{PREFIX}CreateMultipleResponse"
                return Answer.of({"@odata.context": context, "Ids": ids})
            for one in targets:
                self._write(call, table, one, create=action == "UpsertMultiple")
        return Answer()

    def merge(self, call: Call) -> Answer:
        """Carry out Merge: the loser becomes inactive and points to the winner, what pointed to it moves over."""
        body = call.json()
        table, winner = self._entity(body.get("Target"), "Target")
        other, loser = self._entity(body.get("Subordinate"), "Subordinate")
        if table.logical != other.logical or winner.id == loser.id:
            raise payload_error("Target and Subordinate must be two rows of one table.")
        content = body.get("UpdateContent") or {}
        with self._state.transaction():
            change = self._rows.change(table, {k: v for k, v in content.items() if k != table.id}, creating=False)
            self._rows.update(table, winner, change)
            self._rows.repoint(table, loser.id, winner.id)
            lost = {"statecode": 1, "statuscode": 2, "merged": True, "masterid": winner.id}
            self._state.update(table.logical, loser.id, lost)
        return Answer()

    def _entity(self, given: Any, name: str) -> tuple[Table, Record]:
        kind = given.get("@odata.type", "") if isinstance(given, dict) else ""
        logical = kind.removeprefix("#").removeprefix(PREFIX)
        if logical not in self._tables.names:
            raise payload_error(f"The parameter {name} needs an @odata.type.")
        table = self._tables.table(logical)
        return table, self._addresses.existing(table, self._addresses.row_key(table, str(given.get(table.id))))

    def _write(self, call: Call, table: Table, target: dict[str, Any], *, create: bool) -> None:
        address = target.get("@odata.id")
        text = resource(address.removeprefix("/")).key if isinstance(address, str) else target.get(table.id)
        if not isinstance(text, str):
            raise payload_error(f"Each of Targets needs {table.id} or @odata.id.")
        key = self._addresses.row_key(table, text)
        record = self._addresses.find(table, key) if create else self._addresses.existing(table, key)
        change = self._rows.change(table, target, creating=record is None)
        if key.column is not None:
            if record is None:
                change.values.setdefault(key.column.logical, key.value)
            else:
                change.values.pop(key.column.logical, None)
        if record is None:
            change.id = key.id or change.id
            self._rows.insert(table, change)
        else:
            self._rows.update(table, record, change)
