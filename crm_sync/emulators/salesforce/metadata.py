"""Describe the org: versions, resources, objects and fields, with every key that a real describe has."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.columns import long_text
from crm_sync.emulators.salesforce.failures import Answer, Call
from crm_sync.emulators.salesforce.reading import stream
from crm_sync.emulators.salesforce.schema import Org, relationship_name, targets

MASTER = "012000000000000AAA"
OLDEST, NEWEST = 30, 66  # Spring '14 to Spring '26
REQUIRED = ("Id", "OwnerId", "CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")
SOAP = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double",
    "currency": "xsd:double", "percent": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime",
    "address": "urn:address",
}  # fmt: skip
TRUE = (
    "createable", "deletable", "layoutable", "mergeable", "queryable", "replicateable", "retrieveable", "searchable",
    "triggerable", "undeletable", "updateable",
)  # fmt: skip
FALSE = (
    "activateable", "customSetting", "deepCloneable", "deprecatedAndHidden", "feedEnabled", "hasSubtypes",
    "isInterface", "isSubtype", "mruEnabled",
)  # fmt: skip
EMPTY = ("associateEntityType", "associateParentEntity", "extendedBy", "extendsInterfaces", "implementedBy",
         "implementsInterfaces", "defaultImplementation", "networkScopeFieldName", "listviewable", "lookupLayoutable",
         "searchLayoutable", "sobjectDescribeOption")  # fmt: skip
RESOURCES = ("composite", "jobs", "limits", "query", "queryAll", "search", "sobjects", "tooling")


def versions() -> Answer:
    """GET /services/data; needs no token."""
    found = []
    for version in range(OLDEST, NEWEST + 1):
        years, season = divmod(version - OLDEST, 3)
        name, year = (("Spring", 14), ("Summer", 14), ("Winter", 15))[season]
        label = f"{name} '{year + years}"
        found.append({"label": label, "url": f"/services/data/v{version}.0", "version": f"{version}.0"})
    return Answer(body=found)


def resources(url: str, call: Call) -> Answer:
    """GET /services/data/vNN.N."""
    identity = f"{url}/id/{ids.lengthen(ids.ORG)}/{ids.lengthen(ids.USER)}"
    return Answer(body={**{name: f"{call.base}/{name}" for name in RESOURCES}, "identity": identity})


def flags(org: Org, call: Call, sobject: str) -> dict[str, Any]:
    """Return what the list of objects says of one."""
    base = f"{call.base}/sobjects/{sobject}"
    urls = {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"}
    return {
        "name": sobject,
        "label": org.label(sobject, "label"),
        "labelPlural": org.label(sobject, "plural"),
        "keyPrefix": org.label(sobject, "prefix"),
        **dict.fromkeys(TRUE, True),
        **dict.fromkeys(FALSE, False),
        **dict.fromkeys(org.never(sobject), False),
        "mergeable": bool(org.label(sobject, "merges")),
        "custom": sobject.endswith("__c"),
        **dict.fromkeys(EMPTY, None),
        "urls": urls,
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


def record_count(org: Org, call: Call) -> Answer:
    """GET limits/recordCount?sObjects=A,B: all objects where none is named; unknown ones are left out."""
    named = [one for one in call.query.get("sObjects", "").split(",") if one]
    wanted = [found for one in named if (found := org.object(one.strip()))] if named else list(org.schema.objects)
    sql = "SELECT count(*) FROM record WHERE object = ? AND deleted = 0"
    rows = [{"count": stream(org.state, sql, (one,)).fetchone()[0], "name": one} for one in wanted]
    return Answer(body={"sObjects": rows})


def basic(org: Org, call: Call, sobject: str) -> Answer:
    """GET sobjects/X."""
    return Answer(body={"objectDescribe": flags(org, call, sobject), "recentItems": []})


def describe(org: Org, call: Call, sobject: str) -> Answer:
    """GET sobjects/X/describe."""
    children: list[dict[str, Any]] = [
        {
            "cascadeDelete": bool(field.extra.get("cascade")),
            "childSObject": child,
            "deprecatedAndHidden": False,
            "field": field.name,
            "junctionIdListNames": [],
            "junctionReferenceTo": [],
            "relationshipName": name or None,
            "restrictedDelete": bool(field.extra.get("restrict")),
        }
        for child, field, name in org.children(sobject)
    ]
    master = {
        "active": True, "available": True, "defaultRecordTypeMapping": True, "developerName": "Master",
        "master": True, "name": "Master", "recordTypeId": MASTER, "urls": {"layout": f"{call.base}/sobjects/{sobject}"},
    }  # fmt: skip
    fields = [describe_field(org, sobject, field) for field in org.fields(sobject).values()]
    more = {"fields": fields, "childRelationships": children, "recordTypeInfos": [master], "supportedScopes": []}
    nothing = {"actionOverrides": [], "namedLayoutInfos": [], "compactLayoutable": True}
    return Answer(body={**flags(org, call, sobject), **more, **nothing})


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
        {"active": True, "defaultValue": value == field.default, "label": label, "validFor": None, "value": value}
        for value, label in field.options.items()
    ]
    several = targets(field)
    numbered = bool(extra.get("auto_number"))
    formula = bool(extra.get("via"))
    return {
        "aggregatable": plain and field.type != "boolean",
        "aiPredictionField": False,
        "autoNumber": numbered,
        "byteLength": 3 * length,
        "calculated": formula,
        "calculatedFormula": None,
        "cascadeDelete": bool(extra.get("cascade")),
        "caseSensitive": False,
        "compoundFieldName": extra.get("compound"),
        "controllerName": None,
        "createable": writable,
        "custom": custom,
        "defaultValue": field.default,
        "defaultValueFormula": None,
        "defaultedOnCreate": field.default is not None or field.type == "boolean" or field.read_only,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": int(extra.get("digits", 8)) if field.type == "int" else 0,
        "displayLocationInDecimal": False,
        "encrypted": False,
        "externalId": bool(extra.get("external_id")),
        "extraTypeInfo": None,
        "filterable": plain,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": False,
        "groupable": plain and field.type not in ("datetime", "double", "currency", "percent"),
        "highScaleNumber": False,
        "htmlFormatted": False,
        "idLookup": field.name == "Id" or bool(extra.get("external_id") or extra.get("id_lookup")),
        "inlineHelpText": None,
        "label": field.label,
        "length": length,
        "mask": None,
        "maskType": None,
        "name": field.name,
        "nameField": name_field,
        "namePointing": len(several) > 1,
        "nillable": not field.required and field.type != "boolean" and field.name not in REQUIRED,
        "permissionable": not field.required and writable,
        "picklistValues": options,
        "polymorphicForeignKey": len(several) > 1,
        "precision": int(extra.get("precision", 18)) if numeric else 0,
        "queryByDistance": False,
        "referenceTargetField": None,
        "referenceTo": list(several) if reference else [],
        "relationshipName": relationship_name(field) if reference else None,
        "relationshipOrder": None,
        "restrictedDelete": bool(extra.get("restrict")),
        "restrictedPicklist": bool(extra.get("restricted")),
        "scale": int(extra.get("scale", 0)) if numeric else 0,
        "searchPrefilterable": reference,
        "soapType": SOAP.get(field.type, "xsd:string"),
        "sortable": plain,
        "type": field.type,
        "unique": field.unique,
        "updateable": writable,
        "writeRequiresMasterRead": False,
    }
