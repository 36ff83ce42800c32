"""A person at the Dynamics screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from crm_sync.emulators.desk import Desk
from crm_sync.emulators.dynamics.actions import LOST, Actions
from crm_sync.emulators.dynamics.changes import Change
from crm_sync.emulators.dynamics.tables import LOOKUPS, Tables
from crm_sync.emulators.dynamics.writing import Writer
from crm_sync.emulators.state import Record, State


class DynamicsDesk(Desk):
    """Takes values by logical name, a lookup also as `_parentcustomerid_value` or `parentcustomerid_contact`.

    A person's screen refuses nothing: values are stored as they are given.
    """

    def __init__(self, state: State, tables: Tables, writer: Writer, actions: Actions) -> None:
        super().__init__(state)
        self._tables = tables
        self._writer = writer
        self._actions = actions

    def new_id(self, object: str) -> str:
        """Return a new guid."""
        return str(uuid4())

    def create(self, object: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> str:
        """Create a row with Dataverse's defaults."""
        table = self._tables.table(object)
        with self.state.transaction():
            record = self._writer.insert(table, Change(self._stored(object, values), self.new_id(object)))
            self.associate(object, record.id, associations)
        return record.id

    def edit(self, object: str, id: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> bool:
        """Change a row; a person may set any state."""
        with self.state.transaction():
            record = self.state.get(object, id)
            if record is None or record.deleted:
                return False
            if values:
                self._writer.close(self._tables.table(object), record, self._stored(object, values))
            self.associate(object, id, associations)
        return True

    def delete(self, object: str, id: str) -> bool:
        """Delete a row, and what goes with it."""
        return self._writer.remove(self._tables.table(object), id)

    def merge(self, object: str, winner: str, loser: str) -> bool:
        """Merge a row into another: the loser stays, inactive."""
        found = self.state.get_many(object, [winner, loser])
        rows = [found[id] for id in (winner, loser) if id in found and not found[id].deleted]
        if len(rows) < 2 or object not in LOST or any(row.values.get("merged") for row in rows):
            return False
        table = self._tables.table(object)
        self._actions.join(table, rows[0], table, rows[1], {})
        return True

    def show(self, record: Record) -> dict[str, Any]:
        """Return a row under the names it is read by, lookups under their logical name too."""
        shown = super().show(record)
        table = self._tables.table(record.object)
        values = {one.name: one.read(record) for one in table.columns.values() if one.kind != "Owner"}
        values |= {one.logical: values[one.name] for one in table.columns.values() if one.name in values}
        return {**shown, "values": values}

    def find(self, object: str, field: str, value: str) -> list[dict[str, Any]]:
        """Return the live rows whose column reads `value`; columns by any of their names."""
        table = self._tables.table(object)
        column = table.columns.get(field)
        if column is None or column.name == table.id:
            return super().find(object, "id" if column else field, value)
        return list(self.live(object, f"CAST({column.at()} AS TEXT) = ?", [value]))

    def _stored(self, object: str, values: Mapping[str, Any]) -> dict[str, Any]:
        table = self._tables.table(object)
        change = Change()
        for name, value in values.items():
            if name in table.navigation and table.navigation[name][0].logical != name:
                column, target = table.navigation[name]
                change.point(column, target, value)
            elif name in table.columns and table.columns[name].kind in LOOKUPS:
                column = table.columns[name]
                change.point(column, next(iter(column.targets.values())), value)
            else:
                change.values[name] = value or None if isinstance(value, str) else value
        return change.values
