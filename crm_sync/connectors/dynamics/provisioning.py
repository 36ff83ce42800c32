"""Read and change a table's definition: describe it, and create what syncing needs.

Creating columns or keys, or switching change tracking on, ends all change streams of the table: the next read is a full
one.
Reads say `Consistency: Strong`, as the metadata cache may lag behind our own writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from crm_sync.connectors.dynamics.client import WebApi, query
from crm_sync.errors import BadSettings, ErrorClass, Refused
from crm_sync.ports import Lane
from crm_sync.records import FieldDescription, ObjectDescription, ProvisionStep
from crm_sync.specs.model import FieldMapping, MappingSpec

KEY_LENGTH: Final = 36
POLL_SECONDS: Final = 2.0
POLLS: Final = 60
LANGUAGE: Final = 1033
_LOOKUPS: Final = frozenset({"Lookup", "Customer", "Owner"})
_COLUMNS: Final[Mapping[str, tuple[str, str, Mapping[str, Any]]]] = {
    "text": ("StringAttributeMetadata", "String", {"FormatName": {"Value": "Text"}, "MaxLength": 100}),
    "email": ("StringAttributeMetadata", "String", {"FormatName": {"Value": "Email"}, "MaxLength": 100}),
    "phone": ("StringAttributeMetadata", "String", {"FormatName": {"Value": "Phone"}, "MaxLength": 50}),
    "long_text": ("MemoAttributeMetadata", "Memo", {"Format": "TextArea", "MaxLength": 2000}),
    "boolean": ("BooleanAttributeMetadata", "Boolean", {"DefaultValue": False}),
    "date": (
        "DateTimeAttributeMetadata",
        "DateTime",
        {"Format": "DateOnly", "DateTimeBehavior": {"Value": "DateOnly"}},
    ),
    "number": ("DecimalAttributeMetadata", "Decimal", {"Precision": 4}),
}
"""Transform of the mapping -> (metadata type, attribute type, its further properties)."""


class Metadata:
    """The definitions of one environment's tables."""

    def __init__(self, api: WebApi) -> None:
        self._api = api

    def describe(self, mapping: MappingSpec) -> ObjectDescription:
        """Return the columns; lookups under the name they are read by, column-secured ones as not readable."""
        keys = self._keys(mapping)
        unique = {key["KeyAttributes"][0] for key in keys if len(key["KeyAttributes"]) == 1}
        options = self._options(mapping)
        fields: dict[str, FieldDescription] = {}
        for column in self._columns(mapping):
            logical, kind = column["LogicalName"], column["AttributeType"]
            name = f"_{logical}_value" if kind in _LOOKUPS else logical
            fields[name] = FieldDescription(
                name=name,
                type=kind,
                max_length=column.get("MaxLength"),
                options=options.get(logical, ()),
                # a secured column reads as null for whoever may not see it, which is not to be taken for a null
                readable=bool(column["IsValidForRead"]) and not column.get("IsSecured", False),
                writable=bool(column["IsValidForUpdate"]),
                unique=logical in unique or bool(column.get("IsPrimaryId")),
            )
        return ObjectDescription(mapping.object, fields)

    def provision(self, mapping: MappingSpec, *, apply: bool) -> list[ProvisionStep]:
        """List what the table lacks; with `apply` create it, in this order: columns, key, change tracking."""
        present = {column["LogicalName"] for column in self._columns(mapping)}
        key = self._our_key(mapping)
        tracked = bool(self._definition(mapping, "ChangeTrackingEnabled")["ChangeTrackingEnabled"])
        wanted = {mapping.external_key: _key_column(mapping)}
        wanted |= {field.source: _column(field) for field in mapping.fields if field.provision}
        steps = [
            self._step(mapping, f"column {name}", name not in present, str(body["AttributeType"]))
            for name, body in wanted.items()
        ]
        status = "" if key is None else str(key.get("EntityKeyIndexStatus"))
        steps.append(self._step(mapping, f"alternate key on {mapping.external_key}", status != "Active", status))
        steps.append(self._step(mapping, "change tracking", not tracked, "cannot be switched off again"))
        if apply:
            for name, body in wanted.items():
                if name not in present:
                    self._write(mapping, "POST", f"{_table(mapping)}/Attributes", body)
            if status != "Active":
                self._create_key(mapping, exists=key is not None)
            if not tracked:
                self._track(mapping)
        return steps

    def _step(self, mapping: MappingSpec, what: str, needed: bool, detail: str) -> ProvisionStep:
        return ProvisionStep(self._api.connection.name, mapping.object, what, needed, detail)

    def _create_key(self, mapping: MappingSpec, *, exists: bool) -> None:
        """Create the alternate key and wait for its index, which Dataverse builds in the background."""
        name = f"{mapping.external_key}key"
        if not exists:
            body = {"SchemaName": name, "DisplayName": _label("crm-sync key"), "KeyAttributes": [mapping.external_key]}
            self._write(mapping, "POST", f"{_table(mapping)}/Keys", body)
        for _ in range(POLLS):
            key = self._our_key(mapping)
            status = "missing" if key is None else str(key.get("EntityKeyIndexStatus"))
            if status == "Active":
                return
            if status == "Failed":
                break
            self._api.services.clock.sleep(POLL_SECONDS)
        raise Refused(
            f"{self._api.connection.name}: {mapping.object}: the index of the alternate key on {mapping.external_key} "
            f"is {status}. Where it is Failed, look for two rows with the same value and reactivate the key in the "
            "maker portal; otherwise wait and run `crm-sync provision --apply` again.",
            error_class=ErrorClass.SCHEMA,
            code=f"KEY_{status.upper()}",
        )

    def _track(self, mapping: MappingSpec) -> None:
        """Switch change tracking on: definitions are replaced as a whole, so the present one is sent back changed."""
        definition = self._definition(mapping)
        definition = {name: value for name, value in definition.items() if not name.startswith("@odata.")}
        body = {**definition, "@odata.type": "Microsoft.Dynamics.CRM.EntityMetadata", "ChangeTrackingEnabled": True}
        self._write(mapping, "PUT", _table(mapping), body)
        document = f"<importexportxml><entities><entity>{mapping.singular}</entity></entities></importexportxml>"
        self._write(mapping, "POST", "PublishXml", {"ParameterXml": document})

    def _definition(self, mapping: MappingSpec, select: str | None = None) -> dict[str, Any]:
        return self._read(mapping, _table(mapping) if select is None else query(_table(mapping), select=select))

    def _columns(self, mapping: MappingSpec) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._read(mapping, f"{_table(mapping)}/Attributes")["value"]
        return [column for column in found if column.get("AttributeOf") is None]

    def _keys(self, mapping: MappingSpec) -> list[dict[str, Any]]:
        select = "SchemaName,KeyAttributes,EntityKeyIndexStatus"
        found: list[dict[str, Any]] = self._read(mapping, query(f"{_table(mapping)}/Keys", select=select))["value"]
        return found

    def _our_key(self, mapping: MappingSpec) -> dict[str, Any] | None:
        return next((key for key in self._keys(mapping) if key["KeyAttributes"] == [mapping.external_key]), None)

    def _options(self, mapping: MappingSpec) -> dict[str, tuple[str, ...]]:
        path = f"{_table(mapping)}/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata"
        document = self._read(mapping, query(path, select="LogicalName", expand="OptionSet,GlobalOptionSet"))
        out: dict[str, tuple[str, ...]] = {}
        for column in document["value"]:
            options = (column.get("OptionSet") or column.get("GlobalOptionSet") or {}).get("Options", ())
            out[column["LogicalName"]] = tuple(str(option["Value"]) for option in options)
        return out

    def _read(self, mapping: MappingSpec, target: str) -> dict[str, Any]:
        response = self._api.send(
            "GET",
            target,
            operation=f"describe {mapping.object}",
            lane=Lane.INCREMENTAL,
            idempotent=True,
            headers={"Consistency": "Strong"},
        )
        document: dict[str, Any] = orjson.loads(response.content)
        return document

    def _write(self, mapping: MappingSpec, method: str, target: str, body: Mapping[str, Any]) -> None:
        self._api.send(
            method,
            target,
            operation=f"provision {mapping.object}",
            lane=Lane.OUTBOUND,
            idempotent=method == "PUT",
            headers={"Content-Type": "application/json", "MSCRM.MergeLabels": "true"},
            body=orjson.dumps(body),
        )


def _table(mapping: MappingSpec) -> str:
    return f"EntityDefinitions(LogicalName='{mapping.singular}')"


def _label(text: str) -> dict[str, Any]:
    one = {"@odata.type": "Microsoft.Dynamics.CRM.LocalizedLabel", "Label": text, "LanguageCode": LANGUAGE}
    return {"@odata.type": "Microsoft.Dynamics.CRM.Label", "LocalizedLabels": [one]}


def _key_column(mapping: MappingSpec) -> dict[str, Any]:
    body = _attribute(
        mapping.external_key, "text", "crm-sync id", "Id of the golden record; written by crm-sync, do not edit."
    )
    return {**body, "MaxLength": KEY_LENGTH}


def _column(field: FieldMapping) -> dict[str, Any]:
    if field.transform not in _COLUMNS:
        raise BadSettings(
            f"mapping of {field.field}: crm-sync cannot create a Dataverse column for the transform "
            f"{field.transform!r}; it can for {', '.join(sorted(_COLUMNS))}. Create {field.source} by hand "
            "and remove `provision`."
        )
    body = _attribute(field.source, field.transform, field.field.replace("_", " "), "Created by crm-sync.")
    length = field.options.get("max_length")
    return {**body, "MaxLength": length} if isinstance(length, int) and "MaxLength" in body else body


def _attribute(name: str, transform: str, label: str, description: str) -> dict[str, Any]:
    metadata, kind, further = _COLUMNS[transform]
    body: dict[str, Any] = {
        "@odata.type": f"Microsoft.Dynamics.CRM.{metadata}",
        "AttributeType": kind,
        "AttributeTypeName": {"Value": f"{kind}Type"},
        "SchemaName": name,
        "DisplayName": _label(label),
        "Description": _label(description),
        "RequiredLevel": {
            "Value": "None",
            "CanBeChanged": True,
            "ManagedPropertyLogicalName": "canmodifyrequirementlevelsettings",
        },
        **further,
    }
    if kind == "Boolean":
        body["OptionSet"] = {
            "TrueOption": {"Value": 1, "Label": _label("Yes")},
            "FalseOption": {"Value": 0, "Label": _label("No")},
            "OptionSetType": "Boolean",
        }
    return body
