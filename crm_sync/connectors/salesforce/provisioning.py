"""Create what an org lacks before syncing: our unique external-id field, and mapped fields marked `provision`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crm_sync.connectors.salesforce.calls import Calls
from crm_sync.errors import ErrorClass, Refused
from crm_sync.ports import Lane
from crm_sync.records import ProvisionStep
from crm_sync.specs.model import FieldMapping, MappingSpec

KEY_LENGTH: Final = 36
TEXT_LENGTH: Final = 255
VISIBILITY: Final = (
    "The integration user must be allowed to read and edit it: grant field-level security by a permission set."
)
_TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "boolean": {"type": "Checkbox", "defaultValue": "false"},
    "date": {"type": "Date"},
    "datetime": {"type": "DateTime"},
    "email": {"type": "Email"},
    "long_text": {"type": "LongTextArea", "length": 32000, "visibleLines": 5},
    "number": {"type": "Number", "precision": 18, "scale": 0},
    "phone": {"type": "Phone"},
}


def provision(calls: Calls, mapping: MappingSpec, *, apply: bool) -> list[ProvisionStep]:
    """List what the object must have; with `apply`, create what is missing.

    Raises Refused where a field of that name exists but is hidden or of another kind: a person must mend it.
    """
    name = calls.connection.name
    described = {field["name"]: field for field in calls.describe(mapping.object)["fields"]}
    steps: list[ProvisionStep] = []
    for source, definition in _wanted(mapping):
        what = f"field {source} ({definition['type']}{', unique external id' if definition.get('unique') else ''})"
        present = described.get(source)
        if present is None:
            if apply:
                _create(calls, mapping, source, definition)
            steps.append(ProvisionStep(name, mapping.object, what, needed=True, detail=VISIBILITY))
            continue
        if definition.get("unique") and not (present["unique"] and present["externalId"]):
            raise Refused(
                f"{name}: {mapping.object}.{source} exists, but is no unique external id. Tick both in Setup, or "
                "name another field as external_key in the mapping.",
                error_class=ErrorClass.SCHEMA,
            )
        steps.append(ProvisionStep(name, mapping.object, what, needed=False))
    return steps


def _wanted(mapping: MappingSpec) -> list[tuple[str, dict[str, Any]]]:
    key = {
        "type": "Text",
        "label": _label(mapping.external_key),
        "length": KEY_LENGTH,
        "externalId": True,
        "unique": True,
        "caseSensitive": False,
        "required": False,
    }
    return [(mapping.external_key, key), *((f.source, _definition(f)) for f in mapping.fields if f.provision)]


def _definition(field: FieldMapping) -> dict[str, Any]:
    base = {"label": _label(field.source), "required": False}
    if field.transform == "picklist":
        values = field.options.get("values")
        sent: list[object] = []
        for given in values.values() if isinstance(values, Mapping) else ():
            sent += given if isinstance(given, list | tuple) else [given]
        entries = [{"fullName": str(v), "label": str(v), "default": False} for v in dict.fromkeys(sent)]
        return {**base, "type": "Picklist", "valueSet": {"valueSetDefinition": {"sorted": False, "value": entries}}}
    known = _TYPES.get(field.transform)
    if known is not None:
        return {**base, **known}
    length = field.options.get("max_length")
    if isinstance(length, int) and length > TEXT_LENGTH:
        return {**base, **_TYPES["long_text"], "length": max(256, length)}
    return {**base, "type": "Text", "length": length if isinstance(length, int) else TEXT_LENGTH}


def _label(source: str) -> str:
    return source.removesuffix("__c").replace("_", " ")


def _create(calls: Calls, mapping: MappingSpec, source: str, definition: Mapping[str, Any]) -> None:
    try:
        calls.create_field({"FullName": f"{mapping.object}.{source}", "Metadata": dict(definition)}, lane=Lane.OUTBOUND)
    except Refused as refused:
        if refused.code != "DUPLICATE_DEVELOPER_NAME":
            raise
        raise Refused(
            f"{calls.connection.name}: {mapping.object}.{source} exists, but is hidden from us. {VISIBILITY}",
            error_class=ErrorClass.PERMISSION,
            code=refused.code,
        ) from None
