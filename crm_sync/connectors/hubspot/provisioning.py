"""Describe properties, and create those that syncing needs: the unique external key and fields of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crm_sync.connectors.hubspot.client import Client
from crm_sync.connectors.hubspot.errors import Rejected
from crm_sync.errors import ErrorClass, Refused
from crm_sync.ports import Lane
from crm_sync.records import FieldDescription, ObjectDescription, ProvisionStep
from crm_sync.specs.model import FieldMapping, MappingSpec

TEXT_LENGTH: Final = 65536
GROUPS: Final[Mapping[str, str]] = {
    "contacts": "contactinformation",
    "companies": "companyinformation",
    "deals": "dealinformation",
    "tickets": "ticketinformation",
}
TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "text": ("string", "text"),
    "email": ("string", "text"),
    "phone": ("string", "phonenumber"),
    "long_text": ("string", "textarea"),
    "boolean": ("bool", "booleancheckbox"),
    "date": ("date", "date"),
    "datetime": ("datetime", "date"),
    "number": ("number", "number"),
    "picklist": ("enumeration", "select"),
}
"""Transform -> (type, fieldType) of the property that holds it."""

Definition = dict[str, Any]


class Provisioning:
    """Reads and creates the property definitions of one HubSpot account."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def describe(self, mapping: MappingSpec) -> ObjectDescription:
        """Return all properties of the object as HubSpot describes them now."""
        fields = {name: _described(one) for name, one in self._existing(mapping).items()}
        return ObjectDescription(mapping.object, fields)

    def provision(self, mapping: MappingSpec, *, apply: bool) -> list[ProvisionStep]:
        """List what must exist; with `apply` create what does not."""
        existing = self._existing(mapping)
        steps: list[ProvisionStep] = []
        for wanted in wanted_by(mapping):
            name = wanted["name"]
            present = existing.get(name)
            if present is not None and wanted.get("hasUniqueValue") and not present.get("hasUniqueValue"):
                raise Refused(
                    f"{self._client.connection.name}: the property {name} of {mapping.object} exists but is not "
                    "unique, and HubSpot cannot change that. Rename it there, or name another external_key in the "
                    "mapping.",
                    error_class=ErrorClass.SCHEMA,
                    code="NOT_UNIQUE",
                )
            if present is None and apply:
                self._create(mapping, wanted)
            kind = "unique property" if wanted.get("hasUniqueValue") else "property"
            steps.append(
                ProvisionStep(
                    self._client.connection.name,
                    mapping.object,
                    f"{kind} {name}",
                    needed=present is None,
                    detail=f"{wanted['type']}/{wanted['fieldType']} in group {wanted['groupName']}",
                )
            )
        return steps

    def _existing(self, mapping: MappingSpec) -> dict[str, Definition]:
        listed = self._client.call(
            f"{mapping.object}/properties", self._client.properties.get_all, mapping.object, lane=Lane.RECONCILE
        )
        return {str(one["name"]): one for one in listed.get("results") or []}

    def _create(self, mapping: MappingSpec, wanted: Definition) -> None:
        try:
            self._client.call(
                f"{mapping.object}/properties/create",
                self._client.properties.create,
                mapping.object,
                wanted,
                lane=Lane.RECONCILE,
                idempotent=True,
            )
        except Rejected as error:
            # An attempt that lost its answer, or another process, has created it.
            if error.error_class is not ErrorClass.DUPLICATE or wanted["name"] not in self._existing(mapping):
                raise


def wanted_by(mapping: MappingSpec) -> list[Definition]:
    group = GROUPS.get(mapping.object, f"{mapping.singular}information")
    key: Definition = {
        "groupName": group,
        "name": mapping.external_key,
        "label": "CRM sync id",
        "type": "string",
        "fieldType": "text",
        "hasUniqueValue": True,
        "formField": False,
        "description": "The id of this record in the customer hub. Do not edit.",
    }
    return [key, *(_definition(one, group) for one in mapping.fields if one.provision and one.association is None)]


def _definition(field: FieldMapping, group: str) -> Definition:
    type_, field_type = TYPES.get(field.transform, TYPES["text"])
    definition: Definition = {
        "groupName": group,
        "name": field.source,
        "label": field.field.replace("_", " ").capitalize(),
        "type": type_,
        "fieldType": field_type,
        "formField": False,
        "description": "Kept by the customer sync.",
    }
    if type_ == "bool":
        definition["options"] = [_option("true", "Yes", 0), _option("false", "No", 1)]
    elif type_ == "enumeration":
        values = field.options.get("values")
        given = list(values.values()) if isinstance(values, Mapping) else []
        # Several of the CRM's values may stand for one of ours; the first is the one that we write.
        flat = [one for entry in given for one in (entry if isinstance(entry, list | tuple) else [entry])]
        texts = list(dict.fromkeys(str(one) for one in flat))
        definition["options"] = [_option(text, text, at) for at, text in enumerate(texts)]
    return definition


def _option(value: str, label: str, order: int) -> dict[str, Any]:
    return {"value": value, "label": label, "displayOrder": order, "hidden": False}


def _described(definition: Mapping[str, Any]) -> FieldDescription:
    fixed = (definition.get("modificationMetadata") or {}).get("readOnlyValue") or definition.get("calculated")
    return FieldDescription(
        name=str(definition["name"]),
        type=str(definition["type"]),
        max_length=TEXT_LENGTH if definition["type"] == "string" else None,
        options=tuple(str(one["value"]) for one in definition.get("options") or []),
        writable=not fixed,
        unique=bool(definition.get("hasUniqueValue")),
    )
