"""Create custom fields through the Tooling API; they are visible at once, and after a restart."""

from __future__ import annotations

import re
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.state import Duplicate

CUSTOM_TYPES = {
    "Text": "string", "Checkbox": "boolean", "Date": "date", "DateTime": "datetime", "Email": "email", "Phone": "phone",
    "Url": "url", "Number": "double", "LongTextArea": "textarea", "TextArea": "textarea", "Picklist": "picklist",
    "MultiselectPicklist": "multipicklist", "Currency": "currency", "Percent": "percent",
}  # fmt: skip
NEEDED = {
    "Text": ("length",),
    "LongTextArea": ("length", "visibleLines"),
    "Number": ("precision", "scale"),
    "Currency": ("precision", "scale"),
    "Percent": ("precision", "scale"),
    "MultiselectPicklist": ("valueSet", "visibleLines"),
    "Checkbox": ("defaultValue",),
    "Picklist": ("valueSet",),
}
LATER = ("Lookup", "MasterDetail", "AutoNumber", "Html", "Time", "Location", "EncryptedText")
FIXED_LENGTHS = {"TextArea": 255, "Email": 80, "Phone": 40}


def create_field(org: Org, call: Call) -> Answer:
    """POST tooling/sobjects/CustomField {"FullName", "Metadata"}; the field is visible at once."""
    body = call.body if isinstance(call.body, dict) else {}
    full_name, meta = str(body.get("FullName", "")), body.get("Metadata")
    sobject, _, name = full_name.partition(".")
    found = org.object(sobject)
    if found is None:
        text = f"Entity Enumeration Or ID: bad value for restricted picklist field: {sobject}"
        raise Failure(400, Problem("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", text, ("EntityDefinitionId",)))
    if not re.fullmatch(r"[A-Za-z](?:[A-Za-z0-9]|_(?=[A-Za-z0-9]))*__c", name):
        text = "The Field API Name can only contain underscores and alphanumeric characters, and must end with __c."
        raise Failure(400, Problem("FIELD_INTEGRITY_EXCEPTION", text, ("FullName",)))
    if not isinstance(meta, dict):
        raise Failure(400, Problem("REQUIRED_FIELD_MISSING", "Required fields are missing: [Metadata]", ("Metadata",)))
    if any(known.casefold() == name.casefold() for known in org.schema.fields(found)):
        text = f"There is already a field named {name.removesuffix('__c')} on {found}."
        raise Failure(400, Problem("DUPLICATE_DEVELOPER_NAME", text, ("DeveloperName",)))
    try:
        org.add_field(found, custom_field(name, meta))
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise Failure(400, Problem("JSON_PARSER_ERROR", f"The metadata of {name} cannot be read: {error}")) from None
    except Duplicate:
        raise Failure(400, Problem("FIELD_INTEGRITY_EXCEPTION", "The field holds duplicate values.", ())) from None
    made = ids.make("00N", org.state.next_number("custom_field"))
    return Answer(201, {"id": made, "success": True, "errors": [], "warnings": [], "infos": []})


def custom_field(name: str, meta: dict[str, Any]) -> FieldDeclaration:
    """Check the metadata of a custom field and return its declaration."""
    kind = meta.get("type")
    if not isinstance(kind, str) or kind not in CUSTOM_TYPES:
        if kind in LATER:
            raise Unsupported(f"custom fields of type {kind}")
        raise Failure(400, Problem("JSON_PARSER_ERROR", f"Metadata.type is not a field type: {kind}"))
    missing = [key for key in ("label", *NEEDED.get(kind, ())) if meta.get(key) is None]
    if missing:
        text = f"Required field is missing: {', '.join(missing)}"
        raise Failure(400, Problem("FIELD_INTEGRITY_EXCEPTION", text, tuple(missing)))
    length = int(meta["length"]) if kind in ("Text", "LongTextArea") else FIXED_LENGTHS.get(kind)
    if kind == "Text" and not 1 <= (length or 0) <= 255:
        raise Failure(400, Problem("FIELD_INTEGRITY_EXCEPTION", "Length must be between 1 and 255", ("length",)))
    if kind == "LongTextArea" and not 256 <= (length or 0) <= 131072:
        raise Failure(400, Problem("FIELD_INTEGRITY_EXCEPTION", "Length must be between 256 and 131,072", ("length",)))
    keyed = bool(meta.get("externalId") or meta.get("unique"))
    if keyed and kind not in ("Text", "Email", "Number"):
        text = f"A field of type {kind} can be neither unique nor an external ID"
        raise Failure(400, Problem("FIELD_INTEGRITY_EXCEPTION", text, ("externalId",)))
    extra: dict[str, Any] = {"external_id": bool(meta.get("externalId"))}
    if kind in ("Number", "Currency", "Percent"):
        extra |= {"precision": int(meta["precision"]), "scale": int(meta["scale"])}
    options: dict[str, str] = {}
    if kind in ("Picklist", "MultiselectPicklist"):
        definition = meta["valueSet"].get("valueSetDefinition") or {}
        options = {one["fullName"]: one.get("label") or one["fullName"] for one in definition.get("value", [])}
        extra["restricted"] = bool(meta["valueSet"].get("restricted"))
        length = 255
    return FieldDeclaration(
        name,
        CUSTOM_TYPES[kind],
        label=str(meta["label"]),
        max_length=length or (255 if kind == "Url" else None),
        required=bool(meta.get("required")),
        unique=bool(meta.get("unique")),
        options=options,
        default=str(meta["defaultValue"]).casefold() == "true" if kind == "Checkbox" else None,
        extra=extra,
    )
