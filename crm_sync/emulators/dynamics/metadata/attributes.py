"""Show columns as AttributeMetadata, and read the columns that clients create."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.dynamics.metadata.shapes import (
    TYPE,
    boolean_set,
    label,
    label_text,
    managed,
    metadata_id,
    metadata_type,
    option_set,
)
from crm_sync.emulators.dynamics.protocol import ODataError, Unsupported, payload_error
from crm_sync.emulators.dynamics.tables import CHOICES, LOOKUPS, Column, Table

CREATABLE: Final = frozenset(
    {
        "String",
        "Memo",
        "Boolean",
        "DateTime",
        "Integer",
        "Decimal",
        "Money",
        "Double",
        "Picklist",
        "MultiSelectPicklist",
    }
)
SCHEMA_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{1,7}_[A-Za-z0-9_]+")
LONGEST: Final = {"String": 4000, "Memo": 1048576}
OPTION_KINDS: Final = {"Picklist": "Picklist", "MultiSelectPicklist": "Picklist", "State": "State", "Status": "Status"}


def column_row(table: Table, column: Column, *, typed: bool) -> dict[str, Any]:
    """Return one column's definition; `typed` names its type, which a cast makes needless."""
    one, kind = column.declaration, column.kind
    locked = one.read_only or column.name in ("createdon", "modifiedon", "versionnumber")
    shown_kind = "Virtual" if kind == "MultiSelectPicklist" else kind
    row: dict[str, Any] = {"@odata.type": f"#{TYPE}{metadata_type(kind)}"} if typed else {}
    row |= {
        "MetadataId": metadata_id(f"{table.logical}.{column.logical}"),
        "LogicalName": column.logical,
        "SchemaName": one.extra.get("schema_name", column.logical),
        "EntityLogicalName": table.logical,
        "AttributeType": shown_kind,
        "AttributeTypeName": {"Value": f"{kind}Type"},
        "AttributeOf": None,
        "IsPrimaryId": column.name == table.id,
        "IsPrimaryName": column.name == table.primary_name,
        "IsLogical": False,
        "IsValidForRead": not one.extra.get("write_only", False),
        "IsValidForCreate": not locked and kind != "State",
        "IsValidForUpdate": not locked and column.name != table.id and not one.extra.get("create_only", False),
        "IsValidForAdvancedFind": managed(True, "canmodifysearchsettings"),
        "IsSecured": False,
        "IsCustomAttribute": bool(one.extra.get("custom")),
        "IsManaged": not one.extra.get("custom"),
        "IsCustomizable": managed(True, "iscustomizable"),
        "IsFilterable": False,
        "IsSearchable": False,
        "IsRetrievable": False,
        "RequiredLevel": managed(_level(table, column), "canmodifyrequirementlevelsettings"),
        "DisplayName": label(one.label or column.logical),
        "Description": label(""),
        "SourceType": 0 if kind in ("String", "Integer", "Money", "Decimal") else None,
    }
    return row | _typed(table, column)


def _level(table: Table, column: Column) -> str:
    if column.declaration.required or column.name == table.id:
        return "SystemRequired"
    return "ApplicationRequired" if column.name == table.primary_name and column.name == "name" else "None"


def _typed(table: Table, column: Column) -> dict[str, Any]:
    """Return the properties that only columns of this type have."""
    one, kind = column.declaration, column.kind
    out: dict[str, Any] = {}
    if kind in LONGEST:
        out |= {
            "MaxLength": one.max_length,
            "Format": one.extra.get("format", "Text" if kind == "String" else "TextArea"),
        }
    if kind == "String":
        out["FormatName"] = {"Value": one.extra.get("format", "Text")}
    if kind == "DateTime":
        behavior = one.extra.get("behavior", "UserLocal")
        out["DateTimeBehavior"] = {"Value": behavior}
        out["Format"] = "DateOnly" if behavior == "DateOnly" else "DateAndTime"
    if kind in ("Integer", "Decimal", "Double", "Money"):
        out |= {"MinValue": one.extra.get("minimum"), "MaxValue": one.extra.get("maximum")}
    if kind in ("Decimal", "Double", "Money"):
        out["Precision"] = one.extra.get("precision", 2)
    if kind == "Money":
        out |= {"PrecisionSource": 2, "IsBaseCurrency": column.name.endswith("_base")}
    if kind in LOOKUPS:
        out["Targets"] = list(dict.fromkeys(column.targets.values()))
    if kind in CHOICES or kind == "MultiSelectPicklist":
        out["DefaultFormValue"] = -1 if one.default is None else one.default
    if kind == "Boolean":
        out["DefaultValue"] = bool(one.default)
    return out


def options_of(table: Table, column: Column) -> dict[str, Any] | None:
    """Return the option set of a column, None where it has none of its own."""
    one, name = column.declaration, f"{table.logical}_{column.logical}"
    if column.kind == "Boolean":
        false, true = one.extra.get("labels", ("No", "Yes"))
        return boolean_set(name, (false, true))
    if column.kind not in OPTION_KINDS or one.extra.get("global"):
        return None
    return option_set(name, one.options, OPTION_KINDS[column.kind], one.extra.get("state_of"))


def read_column(body: Mapping[str, Any], options: Mapping[str, str] | None) -> FieldDeclaration:
    """Return the column that a client creates; `options` are those of a global choice. Raises ODataError."""
    kind = str(body.get("@odata.type", "")).removeprefix("#").removeprefix(TYPE).removesuffix("AttributeMetadata")
    if kind not in CREATABLE:
        raise Unsupported(f"creating columns of the type {body.get('@odata.type')}")
    name = str(body.get("SchemaName", ""))
    if not SCHEMA_NAME.fullmatch(name):
        raise ODataError(400, "0x80047013", "The SchemaName of a new column needs a valid customization prefix.")
    for needed in ("DisplayName", "RequiredLevel"):
        if not isinstance(body.get(needed), Mapping):
            raise payload_error(f"Required field '{needed}' is missing.")
    length = body.get("MaxLength")
    if kind in LONGEST and not (isinstance(length, int) and 0 < length <= LONGEST[kind]):
        raise ODataError(400, "0x80044331", f"MaxLength must be between 1 and {LONGEST[kind]}.")
    extra: dict[str, Any] = {"schema_name": name, "custom": True}
    if kind == "String":
        extra["format"] = _inner(body.get("FormatName"), "Text")
    if kind == "DateTime":
        extra["behavior"] = _inner(body.get("DateTimeBehavior"), "UserLocal")
    if kind in ("Integer", "Decimal", "Double", "Money"):
        extra |= {
            "minimum": -100_000_000_000 if body.get("MinValue") is None else body["MinValue"],
            "maximum": 100_000_000_000 if body.get("MaxValue") is None else body["MaxValue"],
        }
    chosen: Mapping[str, str] = {}
    if kind in ("Picklist", "MultiSelectPicklist"):
        chosen = read_options(body.get("OptionSet")) if options is None else options
        extra |= {"global": options is not None}
    text = label_text(body["DisplayName"]) or name
    default = bool(body.get("DefaultValue")) if kind == "Boolean" else None
    return FieldDeclaration(
        name.lower(), kind, label=text, max_length=length, default=default, options=chosen, extra=extra
    )


def _inner(given: Any, default: str) -> str:
    """Return the Value of a wrapped property."""
    return str(given.get("Value", default)) if isinstance(given, Mapping) else default


def read_options(given: Any) -> dict[str, str]:
    """Return value -> label of the options that a client writes. Raises ODataError."""
    rows = given.get("Options") if isinstance(given, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(one, Mapping) and "Value" in one for one in rows):
        raise payload_error("An OptionSet needs Options, each with a Value.")
    return {str(one["Value"]): label_text(one.get("Label")) or str(one["Value"]) for one in rows}
