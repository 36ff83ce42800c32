"""Tables, columns and relationships as the Web API shows them, and how a column is read: from a record, and in SQL.

A row is stored under logical names; a lookup as the target's guid under the lookup's logical name, with the target's
table under "<name>@type" where it is not the first one declared. Defaults and computed columns need not be stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import uuid4

from crm_sync.emulators.declarations import FieldDeclaration, Schema
from crm_sync.emulators.dynamics.columns import Column, columns_of
from crm_sync.emulators.dynamics.elsewhere import elsewhere
from crm_sync.emulators.dynamics.protocol import Unsupported, no_property, no_segment
from crm_sync.emulators.state import Record, State

LOOKUPS = frozenset({"Lookup", "Customer", "Owner"})
CHOICES = frozenset({"Picklist", "State", "Status"})
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
__all__ = ["CHOICES", "EPOCH", "GUID", "LOOKUPS", "Column", "ManyToMany", "OneToMany", "Table", "Tables"]


@dataclass(frozen=True, slots=True)
class OneToMany:
    """A lookup seen from its target: `collection` is the navigation property of the referenced table."""

    schema_name: str
    referenced: str
    referencing: str
    column: Column
    navigation: str
    collection: str


@dataclass(frozen=True, slots=True)
class ManyToMany:
    """Two tables linked by an intersect table; both see it under its schema name."""

    schema_name: str
    entity1: str
    entity2: str
    intersect: str

    def other(self, logical: str) -> str:
        """Return the table at the other end."""
        return self.entity2 if logical == self.entity1 else self.entity1


Collection = OneToMany | ManyToMany


@dataclass(frozen=True)
class Table:
    """One table as it is now."""

    logical: str
    set_name: str
    id: str
    columns: Mapping[str, Column]
    extra: Mapping[str, Any] = field(hash=False)

    def column(self, name: str) -> Column:
        """Return the column of that name in $select form; ODataError where there is none."""
        found = self.columns.get(name)
        if found is None:
            raise no_property(name, self.logical)
        return found

    def logical_column(self, logical: str) -> Column | None:
        """Return a column by its logical name (a lookup's is not the one of $select)."""
        return self._by_logical.get(logical)

    @cached_property
    def _by_logical(self) -> dict[str, Column]:
        return {one.logical: one for one in self.columns.values()}

    @cached_property
    def navigation(self) -> dict[str, tuple[Column, str]]:
        """Return navigation property -> (its lookup column, target table)."""
        return {nav: (one, target) for one in self.columns.values() for nav, target in one.targets.items()}

    @property
    def activity(self) -> bool:
        """Tell whether it is a kind of activity."""
        return bool(self.extra.get("activity"))

    @property
    def primary_name(self) -> str:
        """Return the column that names a row."""
        found: str = self.extra["primary_name"]
        return found

    @cached_property
    def money(self) -> tuple[str, ...]:
        """Return the logical names of its columns of money; with any it has a currency."""
        return tuple(one.logical for one in self.columns.values() if one.kind == "Money")

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """Return logical name -> the value that a new row has by itself."""
        every = ((one.logical, one.declaration.default) for one in self.columns.values())
        return {name: default for name, default in every if default is not None}

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Return the logical names of the columns that no row is without."""
        return tuple(one.logical for one in self.columns.values() if one.declaration.required)


class Tables:
    """All tables of the environment."""

    def __init__(self, state: State, schema: Schema, links: Mapping[str, Mapping[str, str]]) -> None:
        """Take the declared tables; `links` is schema name -> entity1, entity2, intersect of each N:N relationship."""
        self._schema = schema
        self._built: dict[str, tuple[Mapping[str, FieldDeclaration], Table]] = {}
        self._collections: tuple[list[int], dict[str, dict[str, Collection]]] = ([], {})
        self._state = state
        self._own_links = {name: ManyToMany(name, **one) for name, one in links.items()}
        self.links: dict[str, ManyToMany] = {}
        self._read_links()
        state.after_restore(self._read_links)
        self.user = _kept(state, "user")
        self.organization = _kept(state, "organization")
        self.business_unit = _kept(state, "business_unit")
        self.currency = _kept(state, "currency")

    def _read_links(self) -> None:
        """Join the declared N:N relationships with those that clients created."""
        created = self._state.list_meta("link:").values()
        self.links = {**self._own_links, **{one["schema_name"]: ManyToMany(**one) for one in created}}

    @property
    def names(self) -> list[str]:
        """Return the logical names."""
        return self._schema.objects

    def table(self, logical: str) -> Table:
        """Return a table by its logical name; KeyError where there is none."""
        fields = self._schema.fields(logical)
        built = self._built.get(logical)
        if built is None or built[0] is not fields:
            built = self._built[logical] = (fields, self._build(logical, fields))
        return built[1]

    def by_set(self, set_name: str) -> Table:
        """Return a table by its set name. Raises ODataError 404, or Unsupported for one of a real environment."""
        for logical in self.names:
            if self.table(logical).set_name == set_name:
                return self.table(logical)
        if elsewhere(set_name):
            raise Unsupported(f"the table, function or action {set_name}")
        raise no_segment(set_name)

    def _build(self, logical: str, fields: Mapping[str, FieldDeclaration]) -> Table:
        extra = self._schema.object(logical).extra
        fixed = {"systemuser": self.user, "businessunit": self.business_unit, "transactioncurrency": self.currency}
        columns = columns_of(logical, extra, fields, fixed)
        return Table(logical, extra["set_name"], extra["id"], {one.name: one for one in columns}, extra)

    # -- relationships

    def collections(self, logical: str) -> Mapping[str, Collection]:
        """Return collection-valued navigation property -> relationship of a table."""
        stamp = [id(self.table(name)) for name in self.names] + [len(self.links)]
        if self._collections[0] != stamp:
            self._collections = (stamp, self._relate())
        return self._collections[1].get(logical, {})

    def _relate(self) -> dict[str, dict[str, Collection]]:
        out: dict[str, dict[str, Collection]] = {}
        for logical in self.names:
            for navigation, (column, target) in self.table(logical).navigation.items():
                name = column.declaration.extra.get("collections", {}).get(target)
                if name is not None:
                    one = OneToMany(name, target, logical, column, navigation, name)
                    out.setdefault(target, {})[name] = one
        for link in self.links.values():
            out.setdefault(link.entity1, {})[link.schema_name] = link
            out.setdefault(link.entity2, {})[link.schema_name] = link
        return out

    # -- values out

    def value(self, record: Record, column: Column) -> Any:
        """Return the value of a column as JSON."""
        return column.read(record)

    def target(self, record: Record, column: Column) -> str:
        """Return the table that a filled lookup points to."""
        stored: str = record.values.get(f"{column.logical}@type") or next(iter(column.targets.values()))
        return stored

    def name_of(self, record: Record) -> str:
        """Return what a row is called: the value of its primary name column."""
        table = self.table(record.object)
        return str(table.column(table.primary_name).read(record) or "")


def _kept(state: State, name: str) -> str:
    """Return an id of the environment that is made once."""
    kept: str | None = state.get_meta(f"id:{name}")
    if kept is None:
        kept = str(uuid4())
        state.set_meta(f"id:{name}", kept)
    return kept
