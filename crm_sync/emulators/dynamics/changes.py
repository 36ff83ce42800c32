"""Read request bodies: which columns change, which rows are created with a row, which are linked.

A body may hold columns, binds (`nav@odata.bind`), and with a create whole related rows: an object under a lookup's
navigation property, or a list under a collection's (deep insert; Web API guide, Create related rows).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_sync.emulators.dynamics.addressing import Addresses
from crm_sync.emulators.dynamics.protocol import payload_error
from crm_sync.emulators.dynamics.tables import LOOKUPS, Collection, Column, Table, Tables
from crm_sync.emulators.dynamics.values import incoming, moment_us, no_such_property


@dataclass(slots=True)
class Change:
    """A request body, checked.

    values      what is stored, by logical name
    id          the row's id, where the client chose one
    created_us  when it was created, where the client says so (overriddencreatedon)
    parents     lookup column -> (target table, its row) that is created first
    children    rows of collections that are created with it
    links       rows of collections that exist and are linked
    """

    values: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    created_us: int | None = None
    parents: list[tuple[Column, Table, Change]] = field(default_factory=list)
    children: list[tuple[Collection, Table, list[Mapping[str, Any]]]] = field(default_factory=list)
    links: list[tuple[Collection, str, str]] = field(default_factory=list)

    def point(self, column: Column, target: str, id: str | None) -> None:
        """Let a lookup point to a row, or to none."""
        self.values[column.logical] = id
        tables = list(column.targets.values())
        if len(tables) > 1:
            self.values[f"{column.logical}@type"] = None if id is None or target == tables[0] else target


class Bodies:
    """Reads the bodies of one environment."""

    def __init__(self, tables: Tables, addresses: Addresses) -> None:
        self._tables = tables
        self._addresses = addresses

    def read(self, table: Table, body: Mapping[str, Any], *, creating: bool) -> Change:
        """Check a request body. Raises ODataError."""
        out = Change()
        for name, value in body.items():
            if name.endswith("@odata.bind"):
                self._bind(table, name.removesuffix("@odata.bind"), value, out, creating=creating)
            elif "@" in name:
                continue
            elif name in table.navigation and isinstance(value, Mapping):
                column, target = table.navigation[name]
                if _writable(column, creating=creating):
                    other = self._tables.table(target)
                    out.parents.append((column, other, self.read(other, value, creating=True)))
            elif isinstance(value, list) and name in self._tables.collections(table.logical):
                collection = self._tables.collections(table.logical)[name]
                self._children(table, collection, value, out, creating=creating)
            else:
                self._column(table, name, value, out, creating=creating)
        return out

    def _column(self, table: Table, name: str, value: Any, out: Change, *, creating: bool) -> None:
        column = table.columns.get(name)
        if column is None or column.kind in LOOKUPS:
            raise no_such_property(table, name)
        stored = incoming(table, column, value)
        if name == table.id:
            out.id = stored
            return
        if not _writable(column, creating=creating):
            return
        out.values[name] = stored
        if name == "overriddencreatedon" and stored is not None:
            out.created_us = moment_us(stored)

    def _bind(self, table: Table, name: str, value: Any, out: Change, *, creating: bool) -> None:
        found = table.navigation.get(name)
        collection = self._tables.collections(table.logical).get(name)
        if found is not None:
            column, target = found
            id = None if value is None else self._addresses.target(value, target)
            if _writable(column, creating=creating):
                out.point(column, target, id)
        elif collection is not None and isinstance(value, list):
            for one in value:
                other, record = self._addresses.row(one)
                out.links.append((collection, other.logical, record.id))
        else:
            raise payload_error(
                f"An undeclared property '{name}' which only has property "
                "annotations in the payload but no property value was found in the payload."
            )

    def _children(self, table: Table, collection: Collection, rows: list[Any], out: Change, *, creating: bool) -> None:
        if not creating and not collection.schema_name.endswith("_activity_parties"):
            raise payload_error(
                f"Related rows can only be created with their row: '{collection.schema_name}' in an update of "
                f"{table.logical}."
            )
        if not all(isinstance(one, Mapping) for one in rows):
            raise payload_error(f"'{collection.schema_name}' must be a list of rows.")
        other = self._tables.table(self._far(table, collection))
        out.children.append((collection, other, rows))

    @staticmethod
    def _far(table: Table, collection: Collection) -> str:
        if hasattr(collection, "referencing"):
            return str(collection.referencing)
        return str(collection.other(table.logical))


def _writable(column: Column, *, creating: bool) -> bool:
    """Tell whether a write sets a column; what is not valid for the operation is ignored (Column definitions)."""
    one = column.declaration
    if one.read_only or column.name in ("createdon", "modifiedon", "versionnumber"):
        return False
    return column.kind != "State" if creating else not one.extra.get("create_only")
