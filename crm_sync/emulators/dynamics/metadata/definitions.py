"""Answer below EntityDefinitions, RelationshipDefinitions and GlobalOptionSetDefinitions.

Never paged; MetadataId is always shown. Definitions are replaced as a whole (PUT), of which only ChangeTrackingEnabled
can change here.
"""

from __future__ import annotations

import re
from typing import Any, Final

from crm_sync.emulators.dynamics.addressing import Resource, resource
from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.metadata.attributes import SCHEMA_NAME, column_row, options_of, read_column
from crm_sync.emulators.dynamics.metadata.choices import Choices
from crm_sync.emulators.dynamics.metadata.customizing import Customizing, read_table
from crm_sync.emulators.dynamics.metadata.entities import entity_row
from crm_sync.emulators.dynamics.metadata.evaluating import Document, shaped
from crm_sync.emulators.dynamics.metadata.relationships import Relationships
from crm_sync.emulators.dynamics.metadata.shapes import TYPE, metadata_id, metadata_type
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported, no_method, payload_error
from crm_sync.emulators.dynamics.system import install_messages
from crm_sync.emulators.dynamics.tables import CHOICES, Column, Table, Tables
from crm_sync.emulators.state import State

BY_NAME: Final = re.compile(r"(?:LogicalName|SchemaName|Name)='([^']*)'")
KEYED: Final = frozenset({"String", "Memo", "Integer", "Decimal", "DateTime", "Picklist", "Lookup"})
MOST_KEYS, MOST_KEY_COLUMNS = 10, 16


class Definitions:
    """The definitions of one environment."""

    def __init__(self, state: State, schema: Customizing, tables: Tables, keys: Keys) -> None:
        self._state = state
        self._schema = schema
        self._tables = tables
        self._keys = keys
        self._choices = Choices(state)
        self._relationships = Relationships(state, schema, tables, keys)

    def answer(self, call: Call, found: Resource) -> Answer:
        """Answer a request below one of the three roots."""
        if found.name == "GlobalOptionSetDefinitions":
            return self._choices.answer(call, found)
        if found.name == "RelationshipDefinitions":
            return self._relations(call, found)
        if found.key is None:
            if call.method == "POST" and not found.rest:
                return self._create_table(call)
            if call.method != "GET" or found.rest:
                raise Unsupported("this on EntityDefinitions")
            rows = [self._entity_row(self._tables.table(logical)) for logical in self._tables.names]
            return self._list(call, "EntityDefinitions", rows)
        table = self._table(found.key)
        if not found.rest:
            return self._entity(call, table)
        below = resource(found.rest)
        if below.name == "Attributes":
            return self._attributes(call, table, below)
        if below.name == "Keys":
            return self._key_list(call, table, below)
        lists = {
            "OneToManyRelationships": self._relationships.one_to_many,
            "ManyToOneRelationships": self._relationships.many_to_one,
            "ManyToManyRelationships": self._relationships.many_to_many,
        }
        if below.name not in lists or call.method != "GET":
            raise Unsupported(f"{call.method} on EntityDefinitions/{below.name}")
        rows = lists[below.name](table.logical)
        if below.key is None:
            return self._list(call, f"EntityDefinitions('{table.logical}')/{below.name}", rows)
        return self._single(call, "relationship", below.key, rows, "SchemaName")

    def _table(self, key: str) -> Table:
        match = BY_NAME.fullmatch(key)
        wanted = key.removeprefix("MetadataId=").lower()
        for logical in self._tables.names:
            if (match is not None and match.group(1) == logical) or wanted == metadata_id(logical):
                return self._tables.table(logical)
        raise ODataError(
            404, "0x80060888", f"The entity with a name = '{match.group(1) if match else key}' was not found"
        )

    def _list(self, call: Call, name: str, rows: list[Document]) -> Answer:
        shown = shaped(call, rows, self._expand)
        return Answer.of({"@odata.context": f"{call.root}$metadata#{name}", "value": shown})

    def _single(self, call: Call, what: str, key: str, rows: list[Document], by: str) -> Answer:
        match = BY_NAME.fullmatch(key)
        wanted = match.group(1) if match else key.removeprefix("MetadataId=").lower()
        found = [row for row in rows if wanted in (row.get(by), row["MetadataId"])]
        if not found:
            raise ODataError(404, "0x80060888", f"Could not find a {what} with specified name: {key}")
        row = shaped(call, found[:1], self._expand)[0]
        return Answer.of({"@odata.context": f"{call.root}$metadata#{what}", **row})

    def _expand(self, row: Document, name: str) -> Any:
        """Return what an expanded property of a definition holds."""
        logical = row.get("EntityLogicalName") or row.get("LogicalName")
        if name in ("OptionSet", "GlobalOptionSet"):
            return self._expanded_options(row, name)
        if logical not in self._tables.names:
            raise Unsupported(f"$expand={name} here")
        table = self._tables.table(str(logical))
        if name == "Attributes":
            return [column_row(table, one, typed=True) for one in table.columns.values()]
        if name == "Keys":
            return self._keys.all(table.logical)
        lists = {
            "OneToManyRelationships": self._relationships.one_to_many,
            "ManyToOneRelationships": self._relationships.many_to_one,
            "ManyToManyRelationships": self._relationships.many_to_many,
        }
        if name not in lists:
            raise Unsupported(f"$expand={name} on a definition")
        return lists[name](table.logical)

    def _expanded_options(self, row: Document, name: str) -> Any:
        table = self._tables.table(row["EntityLogicalName"])
        column = table.logical_column(row["LogicalName"])
        if column is None or (column.kind not in CHOICES and column.kind not in ("Boolean", "MultiSelectPicklist")):
            raise ODataError(
                400, "0x80060888", f"The column {row['LogicalName']} has no property {name}; cast its type."
            )
        shared = column.declaration.extra.get("global")
        if name == "GlobalOptionSet":
            return self._choices.shown_by_options(column.declaration.options) if shared else None
        return options_of(table, column)

    # -- tables

    def _entity_row(self, table: Table) -> Document:
        return entity_row(table, tracked=self._keys.tracked(table.logical))

    def _entity(self, call: Call, table: Table) -> Answer:
        if call.method == "GET":
            row = shaped(call, [self._entity_row(table)], self._expand)[0]
            return Answer.of({"@odata.context": f"{call.root}$metadata#EntityDefinitions/$entity", **row})
        if call.method == "DELETE":
            self._schema.remove_table(table.logical)
            return Answer()
        if call.method != "PUT":
            # definitions are replaced as a whole
            raise no_method()
        body = call.json()
        row = self._entity_row(table)
        for name in ("MetadataId", "SchemaName", "LogicalName"):
            if body.get(name) != row[name]:
                raise payload_error(f"A definition is replaced as a whole: {name} must be that of {table.logical}.")
        wanted = body.get("ChangeTrackingEnabled", False)
        if not isinstance(wanted, bool):
            raise payload_error("ChangeTrackingEnabled is a Boolean.")
        if self._keys.tracked(table.logical) and not wanted:
            raise ODataError(400, "0x80040203", "Change tracking cannot be switched off once it is on.")
        if wanted:
            self._keys.track(table.logical)
        return Answer()

    def _create_table(self, call: Call) -> Answer:
        one = read_table(call.json(), self._state.next_number("table"))
        if one.name in self._schema.objects:
            raise ODataError(400, "0x80047013", f"An entity with the name {one.name} exists already.")
        self._schema.add_table(one)
        install_messages(self._state, self._tables)
        where = f"{call.root}EntityDefinitions({metadata_id(one.name)})"
        return Answer(204, b"", {"OData-EntityId": where})

    # -- columns

    def _attributes(self, call: Call, table: Table, below: Resource) -> Answer:
        if call.method == "POST":
            if below.key is not None or below.rest:
                raise Unsupported("this on Attributes")
            return self._create_column(call, table)
        if call.method == "DELETE" and below.key is not None and not below.rest:
            return self._delete_column(table, below.key)
        if call.method != "GET":
            raise Unsupported("changing columns")
        cast, _, inner = below.rest.partition("/")
        if cast and not cast.startswith(TYPE):
            cast, inner = "", below.rest
        columns = [one for one in table.columns.values() if not cast or _is(one, cast)]
        rows = [column_row(table, one, typed=not cast) for one in columns]
        if below.key is None:
            if inner:
                raise Unsupported(f"Attributes/{below.rest}")
            return self._list(
                call, f"EntityDefinitions('{table.logical}')/Attributes{f'/{cast}' if cast else ''}", rows
            )
        if inner in ("OptionSet", "GlobalOptionSet"):
            return self._options(call, table, rows, below.key, inner)
        if inner:
            raise Unsupported(f"Attributes/{below.rest}")
        return self._single(call, "attribute", below.key, rows, "LogicalName")

    def _options(self, call: Call, table: Table, rows: list[Document], key: str, inner: str) -> Answer:
        match = BY_NAME.fullmatch(key)
        found = [row for row in rows if match is not None and row["LogicalName"] == match.group(1)]
        shown = self._expanded_options(found[0], inner) if found else None
        if shown is None:
            raise ODataError(404, "0x80060888", f"Could not find an {inner} of the attribute {key} of {table.logical}.")
        return Answer.of({"@odata.context": f"{call.root}$metadata#{inner}", **shown})

    def _create_column(self, call: Call, table: Table) -> Answer:
        body = call.json()
        bound = body.get("GlobalOptionSet@odata.bind")
        one = read_column(body, None if bound is None else self._choices.bound(str(bound)))
        if one.name in self._schema.fields(table.logical):
            raise ODataError(400, "0x80047013", f"Attribute {one.name} already exists for entity {table.logical}.")
        self._schema.add_field(table.logical, one)
        self._keys.redefined(table.logical)
        id = metadata_id(f"{table.logical}.{one.name}")
        where = f"{call.root}EntityDefinitions({metadata_id(table.logical)})/Attributes({id})"
        return Answer(204, b"", {"OData-EntityId": where})

    def _delete_column(self, table: Table, key: str) -> Answer:
        match = BY_NAME.fullmatch(key)
        wanted = match.group(1) if match else key.lower()
        for column in table.columns.values():
            if wanted in (column.logical, metadata_id(f"{table.logical}.{column.logical}")):
                if any(column.logical in one["KeyAttributes"] for one in self._keys.all(table.logical)):
                    raise ODataError(400, "0x8004f01f", f"The attribute {column.logical} is part of a key.")
                self._schema.remove_field(table.logical, column.logical)
                self._keys.redefined(table.logical)
                return Answer()
        raise ODataError(404, "0x80060888", f"Could not find an attribute with specified name: {key}")

    # -- keys

    def _key_list(self, call: Call, table: Table, below: Resource) -> Answer:
        if call.method == "POST" and below.key is None:
            return self._create_key(call, table)
        if call.method != "GET":
            raise Unsupported("changing and deleting keys")
        rows = self._keys.all(table.logical)
        if below.key is not None:
            return self._single(call, "key", below.key, rows, "LogicalName")
        return self._list(call, f"EntityDefinitions('{table.logical}')/Keys", rows)

    def _create_key(self, call: Call, table: Table) -> Answer:
        body = call.json()
        name, columns = str(body.get("SchemaName", "")), body.get("KeyAttributes")
        if not SCHEMA_NAME.fullmatch(name) or not isinstance(columns, list) or not columns:
            raise payload_error("A key needs a SchemaName with a customization prefix, and KeyAttributes.")
        for one in columns:
            column = table.logical_column(str(one))
            if column is None or column.kind not in KEYED or len(columns) > MOST_KEY_COLUMNS:
                raise ODataError(400, "0x80060888", f"'{one}' cannot be part of a key of {table.logical}.")
        present = self._keys.all(table.logical)
        taken = any(key["LogicalName"] == name.lower() or key["KeyAttributes"] == columns for key in present)
        if taken or len(present) >= MOST_KEYS:
            raise ODataError(
                400, "0x80048406", f"A key of this name or for this column exists for {table.logical}, or 10 do."
            )
        id = self._keys.create(table.logical, name, columns, body.get("DisplayName"))
        where = f"{call.root}EntityDefinitions({metadata_id(table.logical)})/Keys({id})"
        return Answer(204, b"", {"OData-EntityId": where})

    # -- relationships

    def _relations(self, call: Call, found: Resource) -> Answer:
        if call.method == "POST" and found.key is None:
            return self._relationships.create(call)
        if call.method != "GET":
            raise Unsupported("changing and deleting relationships")
        rows = self._relationships.all()
        if found.rest:
            rows = [row for row in rows if row["@odata.type"] == f"#{found.rest}"]
        if found.key is None:
            return self._list(call, "RelationshipDefinitions", rows)
        return self._single(call, "relationship", found.key, rows, "SchemaName")


def _is(column: Column, cast: str) -> bool:
    return cast.removeprefix(TYPE) == metadata_type(column.kind)
