"""A person at the Dynamics screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from crm_sync.emulators.desk import Desk
from crm_sync.emulators.dynamics.rows import Rows
from crm_sync.emulators.dynamics.tables import LOOKUPS, Tables
from crm_sync.emulators.state import Record, State


class DynamicsDesk(Desk):
    """Takes values by logical name, a lookup also as `_parentcustomerid_value` or `parentcustomerid_contact`."""

    def __init__(self, state: State, tables: Tables, rows: Rows) -> None:
        super().__init__(state)
        self._tables = tables
        self._rows = rows

    def new_id(self, object: str) -> str:
        """Return a new guid."""
        return str(uuid4())

    def create(self, object: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> str:
        """Create a row with Dataverse's defaults."""
        table = self._tables.table(object)
        defaults = {
            one.logical: one.declaration.default
            for one in table.columns.values()
            if one.declaration.default is not None
        }
        return super().create(object, {**defaults, **self._stored(object, values)}, associations)

    def edit(self, object: str, id: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> bool:
        """Change a row."""
        return super().edit(object, id, self._stored(object, values), associations)

    def delete(self, object: str, id: str) -> bool:
        """Delete a row and clear the lookups that point to it."""
        return self._rows.remove(self._tables.table(object), id)

    def show(self, record: Record) -> dict[str, Any]:
        """Return a row under the names it is read by, lookups under their logical name too."""
        shown = super().show(record)
        table = self._tables.table(record.object)
        values = {one.name: self._tables.value(record, one) for one in table.columns.values() if one.kind != "Owner"}
        values |= {one.logical: values[one.name] for one in table.columns.values() if one.kind in LOOKUPS}
        return {**shown, "values": values}

    def find(self, object: str, field: str, value: str) -> list[dict[str, Any]]:
        """Return the live rows whose column reads `value`; columns by any of their names."""
        column = self._tables.table(object).columns.get(field)
        if column is None or column.sql == "id":
            return super().find(object, "id" if column else field, value)
        return list(self.live(object, f"CAST({column.sql} AS TEXT) = ?", [value]))

    def _stored(self, object: str, values: Mapping[str, Any]) -> dict[str, Any]:
        table = self._tables.table(object)
        navigation = table.navigation
        out: dict[str, Any] = {}
        for name, value in values.items():
            if name in navigation and navigation[name][0].logical != name:
                column, target = navigation[name]
                first = next(iter(column.targets.values()))
                out[column.logical] = value
                out[f"{column.logical}@type"] = None if value is None or target == first else target
            elif name in table.columns and table.columns[name].kind in LOOKUPS:
                out[table.columns[name].logical] = value
                out[f"{table.columns[name].logical}@type"] = None
            else:
                out[name] = value or None if isinstance(value, str) else value
        return out
