"""Describe the org: versions, resources, limits, objects and fields; create custom fields (Tooling API)."""

from __future__ import annotations

import re
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.compiling import long_text
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.state import Duplicate

OLDEST, NEWEST = 30, 66  # Spring '14 to Spring '26
SOAP = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double",
    "currency": "xsd:double", "percent": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime",
}  # fmt: skip
CUSTOM_TYPES = {
    "Text": "string", "Checkbox": "boolean", "Date": "date", "DateTime": "datetime", "Email": "email", "Phone": "phone",
    "Url": "url", "Number": "double", "LongTextArea": "textarea", "TextArea": "textarea", "Picklist": "picklist",
}  # fmt: skip
NEEDED = {
    "Text": ("length",),
    "LongTextArea": ("length", "visibleLines"),
    "Number": ("precision", "scale"),
    "Checkbox": ("defaultValue",),
    "Picklist": ("valueSet",),
}
TRUE = (
    "createable", "deletable", "layoutable", "mergeable", "queryable", "replicateable", "retrieveable", "searchable",
    "triggerable", "undeletable", "updateable",
)  # fmt: skip
FALSE = ("activateable", "custom", "customSetting", "deepCloneable", "deprecatedAndHidden", "hasSubtypes")
FIXED_LENGTHS = {"TextArea": 255, "Email": 80, "Phone": 40}
RESOURCES = ("composite", "limits", "query", "queryAll", "sobjects", "tooling")


def versions() -> Answer:
    """GET /services/data; needs no token."""
    found = []
    for version in range(OLDEST, NEWEST + 1):
        years, season = divmod(version - OLDEST, 3)
        name, year = (("Spring", 14), ("Summer", 14), ("Winter", 15))[season]
        label = f"{name} '{year + years}"
        found.append({"label": label, "url": f"/services/data/v{version}.0", "version": f"{version}.0"})
    return Answer(body=found)


def resources(call: Call) -> Answer:
    """GET /services/data/vNN.N."""
    return Answer(body={name: f"{call.base}/{name}" for name in RESOURCES})


def flags(org: Org, call: Call, sobject: str) -> dict[str, Any]:
    """Return what the list of objects says of one."""
    base = f"{call.base}/sobjects/{sobject}"
    return {
        "name": sobject,
        "label": org.label(sobject, "label"),
        "labelPlural": org.label(sobject, "plural"),
        "keyPrefix": org.label(sobject, "prefix"),
        **dict.fromkeys(TRUE, True),
        **dict.fromkeys(FALSE, False),
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
    }


def all_objects(org: Org, call: Call) -> Answer:
    """GET sobjects."""
    return Answer(
        body={
            "encoding": "UTF-8",
            "maxBatchSize": 200,
            "sobjects": [flags(org, call, sobject) for sobject in org.schema.objects],
        }
    )


def basic(org: Org, call: Call, sobject: str) -> Answer:
    """GET sobjects/X."""
    return Answer(body={"objectDescribe": flags(org, call, sobject), "recentItems": []})


def describe(org: Org, call: Call, sobject: str) -> Answer:
    """GET sobjects/X/describe."""
    children = [
        {
            "childSObject": child,
            "field": field.name,
            "relationshipName": f"{child}s",
            "cascadeDelete": bool(field.extra.get("cascade")),
            "deprecatedAndHidden": False,
            "restrictedDelete": False,
        }
        for child in org.schema.objects
        for field in org.schema.fields(child).values()
        if field.extra.get("target") == sobject
    ]
    fields = [describe_field(org, sobject, field) for field in org.fields(sobject).values()]
    return Answer(
        body={**flags(org, call, sobject), "fields": fields, "childRelationships": children, "recordTypeInfos": []}
    )


def describe_field(org: Org, sobject: str, field: FieldDeclaration) -> dict[str, Any]:
    """Return one field; all keys are always there."""
    extra = field.extra
    length = field.max_length or (18 if field.type in ("id", "reference") else 0)
    reference = field.type == "reference"
    plain = not long_text(field)
    custom = field.name.endswith("__c")
    writable = not field.read_only
    name_field = org.label(sobject, "name_field") == field.name
    numeric = field.type in ("currency", "double", "percent")
    options = [
        {"active": True, "defaultValue": False, "label": label, "validFor": None, "value": value}
        for value, label in field.options.items()
    ]
    return {
        "aggregatable": plain,
        "autoNumber": False,
        "byteLength": 3 * length,
        "calculated": False,
        "caseSensitive": False,
        "compoundFieldName": extra.get("compound"),
        "controllerName": None,
        "createable": writable,
        "custom": custom,
        "defaultValue": field.default,
        "defaultedOnCreate": field.default is not None or field.type == "boolean" or field.read_only,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": int(extra.get("digits", 8)) if field.type == "int" else 0,
        "encrypted": False,
        "externalId": bool(extra.get("external_id")),
        "extraTypeInfo": None,
        "filterable": plain,
        "groupable": plain and field.type not in ("datetime", "double", "currency"),
        "htmlFormatted": False,
        "idLookup": field.name == "Id" or bool(extra.get("external_id") or extra.get("id_lookup")),
        "inlineHelpText": None,
        "label": field.label,
        "length": length,
        "name": field.name,
        "nameField": name_field,
        "namePointing": False,
        "nillable": not field.required and field.type != "boolean" and field.name not in ("Id", "OwnerId"),
        "permissionable": not field.required and writable,
        "picklistValues": options,
        "polymorphicForeignKey": False,
        "precision": int(extra.get("precision", 18)) if numeric else 0,
        "referenceTo": [extra["target"]] if reference else [],
        "relationshipName": extra.get("relationship") if reference else None,
        "restrictedPicklist": bool(extra.get("restricted")),
        "scale": int(extra.get("scale", 0)) if numeric else 0,
        "soapType": SOAP.get(field.type, "xsd:string"),
        "sortable": plain,
        "type": field.type,
        "unique": field.unique,
        "updateable": writable,
    }


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
        org.schema.add_field(found, custom_field(name, meta))
    except Duplicate:
        raise Failure(400, Problem("FIELD_INTEGRITY_EXCEPTION", "The field holds duplicate values.", ())) from None
    made = ids.make("00N", org.state.next_number("custom_field"))
    return Answer(201, {"id": made, "success": True, "errors": [], "warnings": [], "infos": []})


def custom_field(name: str, meta: dict[str, Any]) -> FieldDeclaration:
    """Check the metadata of a custom field and return its declaration."""
    kind = meta.get("type")
    if not isinstance(kind, str) or kind not in CUSTOM_TYPES:
        if isinstance(kind, str) and kind in ("Lookup", "MasterDetail", "AutoNumber", "Currency", "Percent", "Html"):
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
    if kind == "Number":
        extra |= {"precision": int(meta["precision"]), "scale": int(meta["scale"])}
    options: dict[str, str] = {}
    if kind == "Picklist":
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
