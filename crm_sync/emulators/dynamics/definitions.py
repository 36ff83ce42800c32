"""Show and change definitions: EntityDefinitions, Attributes, Keys. Never paged; MetadataId is always shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from crm_sync.emulators.declarations import FieldDeclaration, Schema
from crm_sync.emulators.dynamics.addressing import Resource, resource
from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.protocol import SERVICE_PATH, Answer, Call, ODataError, Unsupported, payload_error
from crm_sync.emulators.dynamics.tables import CHOICES, LOOKUPS, Column, Table, Tables

TYPE: Final = "Microsoft.Dynamics.CRM."
CREATABLE: Final = frozenset({"String", "Memo", "Boolean", "DateTime", "Integer", "Decimal", "Money", "Double"})
BY_NAME: Final = re.compile(r"LogicalName='([^']*)'")
SCHEMA_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{1,7}_[A-Za-z0-9_]+")
LONGEST: Final = {"String": 4000, "Memo": 1048576}


class Definitions:
    """The definitions of one environment's tables."""

    def __init__(self, schema: Schema, tables: Tables, keys: Keys, url: str) -> None:
        self._schema = schema
        self._tables = tables
        self._keys = keys
        self._root = url + SERVICE_PATH

    def answer(self, call: Call, found: Resource) -> Answer:
        """Answer a request below EntityDefinitions."""
        if found.key is None:
            return self._list(call, found)
        table = self._table(found.key)
        if not found.rest:
            return self._entity(call, table)
        below = resource(found.rest)
        if below.name == "Attributes":
            return self._attributes(call, table, below)
        if below.name == "Keys":
            return self._key_list(call, table, below)
        raise Unsupported(f"EntityDefinitions/{below.name}")

    def _table(self, key: str) -> Table:
        match = BY_NAME.fullmatch(key)
        for logical in self._tables.names:
            if (match is not None and match.group(1) == logical) or key.lower() == metadata_id(logical):
                return self._tables.table(logical)
        raise ODataError(
            404, "0x80060888", f"The entity with a name = '{match.group(1) if match else key}' was not found"
        )

    # -- tables

    def _list(self, call: Call, found: Resource) -> Answer:
        if call.method != "GET" or found.rest:
            raise Unsupported("this on EntityDefinitions")
        options = _options(call, {"$select", "$filter"})
        tables = [self._tables.table(logical) for logical in self._tables.names]
        if "$filter" in options:
            match = re.fullmatch(r"\s*LogicalName\s+eq\s+'(\w+)'\s*", options["$filter"])
            if match is None:
                raise Unsupported("filters on EntityDefinitions other than LogicalName eq")
            tables = [table for table in tables if table.logical == match.group(1)]
        rows = [_chosen(self._entity_row(table), options) for table in tables]
        return Answer.of({"@odata.context": f"{self._root}$metadata#EntityDefinitions", "value": rows})

    def _entity(self, call: Call, table: Table) -> Answer:
        if call.method == "GET":
            row = _chosen(self._entity_row(table), _options(call, {"$select"}))
            return Answer.of({"@odata.context": f"{self._root}$metadata#EntityDefinitions/$entity", **row})
        if call.method != "PUT":
            # definitions are replaced as a whole
            raise ODataError(405, "0x80060888", "The requested resource does not support this http method.")
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

    def _entity_row(self, table: Table) -> dict[str, Any]:
        extra = table.extra
        return {
            "MetadataId": metadata_id(table.logical),
            "LogicalName": table.logical,
            "SchemaName": extra["schema_name"],
            "EntitySetName": table.set_name,
            "LogicalCollectionName": table.set_name,
            "PrimaryIdAttribute": table.id,
            "PrimaryNameAttribute": extra["primary_name"],
            "PrimaryImageAttribute": None,
            "ObjectTypeCode": extra["type_code"],
            "IsActivity": False,
            "IsCustomEntity": False,
            "IsOptimisticConcurrencyEnabled": True,
            "ChangeTrackingEnabled": self._keys.tracked(table.logical),
            "CanChangeTrackingBeEnabled": _managed(True, "canchangetrackingbeenabled"),
            "DisplayName": label(extra["schema_name"]),
        }

    # -- columns

    def _attributes(self, call: Call, table: Table, below: Resource) -> Answer:
        if call.method == "POST":
            if below.key is not None or below.rest:
                raise Unsupported("this on Attributes")
            return self._create_column(call, table)
        if call.method != "GET":
            raise Unsupported("changing and deleting columns")
        options = _options(call, {"$select", "$expand"})
        cast = below.rest.removeprefix(TYPE).removesuffix("AttributeMetadata") if below.rest else None
        rows = [
            self._column_row(table, column, expand=options.get("$expand", ""), typed=cast is None)
            for column in table.columns.values()
            if cast in (None, column.kind) or (cast == "Lookup" and column.kind in LOOKUPS)
        ]
        if below.key is not None:
            match = BY_NAME.fullmatch(below.key)
            rows = [row for row in rows if match is not None and row["LogicalName"] == match.group(1)]
            if not rows:
                raise ODataError(404, "0x80060888", f"Could not find an attribute with specified name: {below.key}")
            return Answer.of({"@odata.context": f"{self._root}$metadata#attribute", **_chosen(rows[0], options)})
        context = f"{self._root}$metadata#EntityDefinitions('{table.logical}')/Attributes"
        return Answer.of({"@odata.context": context, "value": [_chosen(row, options) for row in rows]})

    def _column_row(self, table: Table, column: Column, *, expand: str, typed: bool) -> dict[str, Any]:
        one, kind = column.declaration, column.kind
        writable = not one.read_only and kind not in ("Uniqueidentifier", "BigInt")
        row: dict[str, Any] = {"@odata.type": f"#{TYPE}{metadata_type(kind)}"} if typed else {}
        row |= {
            "MetadataId": metadata_id(f"{table.logical}.{column.logical}"),
            "LogicalName": column.logical,
            "SchemaName": one.extra.get("schema_name", column.logical),
            "EntityLogicalName": table.logical,
            "AttributeType": kind,
            "AttributeTypeName": {"Value": f"{kind}Type"},
            "AttributeOf": None,
            "IsPrimaryId": column.name == table.id,
            "IsPrimaryName": column.name == table.extra["primary_name"],
            "IsValidForRead": True,
            "IsValidForCreate": writable and kind != "State",
            "IsValidForUpdate": writable,
            "IsSecured": False,
            "IsCustomAttribute": bool(one.extra.get("custom")),
            "RequiredLevel": _managed("None", "canmodifyrequirementlevelsettings"),
            "DisplayName": label(one.label or column.logical),
        }
        if kind in LONGEST:
            row["MaxLength"] = one.max_length
        if kind == "String":
            row["FormatName"] = {"Value": one.extra.get("format", "Text")}
        if kind == "DateTime":
            row["DateTimeBehavior"] = {"Value": one.extra.get("behavior", "UserLocal")}
        if kind in ("Integer", "Decimal"):
            row["MinValue"], row["MaxValue"] = one.extra.get("minimum"), one.extra.get("maximum")
        if kind in LOOKUPS:
            row["Targets"] = list(column.targets.values())
        if kind in CHOICES and "OptionSet" in expand:
            options = [{"Value": int(v), "Label": label(text), "Color": None} for v, text in one.options.items()]
            row["OptionSet"] = {"Name": f"{table.logical}_{column.logical}", "IsGlobal": False, "Options": options}
            row["GlobalOptionSet"] = None
        return row

    def _create_column(self, call: Call, table: Table) -> Answer:
        body = call.json()
        kind = str(body.get("@odata.type", "")).removeprefix("#").removeprefix(TYPE).removesuffix("AttributeMetadata")
        if kind not in CREATABLE:
            raise Unsupported(f"creating columns of the type {body.get('@odata.type')}")
        name = str(body.get("SchemaName", ""))
        if not SCHEMA_NAME.fullmatch(name):
            raise ODataError(400, "0x80047013", "The SchemaName of a new column needs a valid customization prefix.")
        if name.lower() in self._schema.fields(table.logical):
            raise ODataError(400, "0x80047013", f"Attribute {name.lower()} already exists for entity {table.logical}.")
        for needed in ("DisplayName", "RequiredLevel"):
            if not isinstance(body.get(needed), dict):
                raise payload_error(f"Required field '{needed}' is missing.")
        length = body.get("MaxLength")
        if kind in LONGEST and not (isinstance(length, int) and 0 < length <= LONGEST[kind]):
            raise ODataError(400, "0x80044331", f"MaxLength must be between 1 and {LONGEST[kind]}.")
        extra: dict[str, Any] = {"schema_name": name, "custom": True}
        if kind == "DateTime":
            extra["behavior"] = (body.get("DateTimeBehavior") or {}).get("Value", "UserLocal")
        if kind in ("Integer", "Decimal", "Double", "Money"):
            extra |= {
                "minimum": body.get("MinValue") or -100_000_000_000,
                "maximum": body.get("MaxValue") or 100_000_000_000,
            }
        default = bool(body.get("DefaultValue")) if kind == "Boolean" else None
        text = _text(body["DisplayName"]) or name
        declaration = FieldDeclaration(name.lower(), kind, label=text, max_length=length, default=default, extra=extra)
        self._schema.add_field(table.logical, declaration)
        self._keys.redefined(table.logical)
        id = metadata_id(f"{table.logical}.{name.lower()}")
        where = f"{self._root}EntityDefinitions({metadata_id(table.logical)})/Attributes({id})"
        return Answer(204, b"", {"OData-EntityId": where})

    # -- keys

    def _key_list(self, call: Call, table: Table, below: Resource) -> Answer:
        if call.method == "POST" and below.key is None:
            return self._create_key(call, table)
        if call.method != "GET":
            raise Unsupported("changing and deleting keys")
        options = _options(call, {"$select"})
        rows = [_chosen(key, options) for key in self._keys.all(table.logical)]
        if below.key is not None:
            match = BY_NAME.fullmatch(below.key)
            rows = [
                _chosen(key, options)
                for key in self._keys.all(table.logical)
                if match and key["LogicalName"] == match.group(1)
            ]
            if not rows:
                raise ODataError(404, "0x80060888", f"Could not find a key with specified name: {below.key}")
            return Answer.of({"@odata.context": f"{self._root}$metadata#key", **rows[0]})
        context = f"{self._root}$metadata#EntityDefinitions('{table.logical}')/Keys"
        return Answer.of({"@odata.context": context, "value": rows})

    def _create_key(self, call: Call, table: Table) -> Answer:
        body = call.json()
        name, columns = str(body.get("SchemaName", "")), body.get("KeyAttributes")
        if not SCHEMA_NAME.fullmatch(name) or not isinstance(columns, list) or not columns:
            raise payload_error("A key needs a SchemaName with a customization prefix, and KeyAttributes.")
        if len(columns) > 1:
            raise Unsupported("alternate keys of several columns")
        column = table.columns.get(columns[0])
        if column is None or column.kind not in ("String", "Integer", "Decimal", "DateTime", "Picklist"):
            raise ODataError(400, "0x80060888", f"'{columns[0]}' cannot be part of a key of {table.logical}.")
        present = self._keys.all(table.logical)
        if (
            any(key["LogicalName"] == name.lower() or key["KeyAttributes"] == columns for key in present)
            or len(present) >= 10
        ):
            raise ODataError(
                400, "0x80048406", f"A key of this name or for this column exists for {table.logical}, or 10 do."
            )
        id = self._keys.create(table.logical, name, column.logical, body.get("DisplayName"))
        where = f"{self._root}EntityDefinitions({metadata_id(table.logical)})/Keys({id})"
        return Answer(204, b"", {"OData-EntityId": where})


def metadata_id(name: str) -> str:
    """Return the MetadataId of a table or column: stable over restarts."""
    return str(uuid5(NAMESPACE_URL, f"dataverse:{name}"))


def metadata_type(kind: str) -> str:
    """Return the metadata type of an attribute type."""
    return {"Customer": "Lookup", "Owner": "Lookup", "Uniqueidentifier": ""}.get(kind, kind) + "AttributeMetadata"


def label(text: str) -> dict[str, Any]:
    """Return a label in Dataverse's shape."""
    one = {"Label": text, "LanguageCode": 1033, "IsManaged": False}
    return {"LocalizedLabels": [one], "UserLocalizedLabel": one}


def _text(given: Mapping[str, Any]) -> str:
    labels = given.get("LocalizedLabels") or [{}]
    return str(labels[0].get("Label", ""))


def _managed(value: Any, name: str) -> dict[str, Any]:
    return {"Value": value, "CanBeChanged": True, "ManagedPropertyLogicalName": name}


def _options(call: Call, known: set[str]) -> dict[str, str]:
    options = call.options()
    for name in options:
        if name not in known:
            raise Unsupported(f"the query option {name} on definitions")
    return options


def _chosen(row: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
    """Return what $select leaves of a definition: MetadataId and what is expanded always stay."""
    if "$select" not in options:
        return dict(row)
    kept = {"MetadataId", "@odata.type", *(name.strip() for name in options["$select"].split(","))}
    kept |= {name.strip() for name in options.get("$expand", "").split(",")}
    return {name: value for name, value in row.items() if name in kept}
