"""Read the JSON of a record: names and types (errors of the whole request), then the org's rules (of the row)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Failure, Invalid, Problem, malformed_json
from crm_sync.emulators.salesforce.keys import find_by_key
from crm_sync.emulators.salesforce.moments import microseconds, stamp
from crm_sync.emulators.salesforce.schema import Org, key_field, targets

EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z]{2,}")
TEXTS = frozenset(("string", "textarea", "phone", "url", "email", "picklist", "multipicklist", "combobox"))
JSON_WORDS = {bool: "VALUE_BOOLEAN", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}
INT_MAX = 2**31 - 1


def deserialize(org: Org, sobject: str, body: Any) -> dict[str, Any]:
    """Return declared field name -> value in stored form.

    Raises Failure for a wrong name or JSON type (the whole request fails), Invalid for a parent that is not there.
    """
    if not isinstance(body, dict):
        raise malformed_json("The HTTP entity body is required, but was not an object")
    out: dict[str, Any] = {}
    for name, value in body.items():
        if name == "attributes":
            continue
        field = org.field(sobject, name)
        if field is not None:
            out[field.name] = convert(field, value)
            continue
        reference = org.relationship(sobject, name)
        if reference is None or not isinstance(value, dict):
            raise Failure(400, Problem("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject}"))
        out[reference.name] = resolve(org, reference, value)
    return out


def convert(field: FieldDeclaration, value: Any) -> Any:
    """Convert one JSON value; texts lose their outer whitespace, and an empty text is null."""
    wanted = field.type
    if value is None:
        if wanted == "boolean":
            raise wrong_type(wanted, value)
        return None
    if wanted == "boolean":
        if not isinstance(value, bool):
            raise wrong_type(wanted, value)
        return value
    if wanted in ("int", "double", "currency", "percent"):
        return number(field, value)
    if not isinstance(value, str):
        raise wrong_type("string" if wanted in TEXTS else wanted, value)
    if wanted == "date":
        return day(value)
    if wanted == "datetime":
        return moment(value)
    return value.strip() or None


def number(field: FieldDeclaration, value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(field.type, value)
    if field.type == "int":
        if isinstance(value, float) and not value.is_integer():
            raise wrong_type("int", value)
        if abs(value) > INT_MAX:
            raise wrong_type("int", value)
        return int(value)
    scale = int(field.extra.get("scale", 0))
    return round(float(value), scale)


def day(value: str) -> str:
    try:
        found = date.fromisoformat(value) if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else None
    except ValueError:
        found = None
    if found is None:
        raise wrong_type("date", value)
    return found.isoformat()


def moment(value: str) -> str:
    try:
        found = microseconds(value)
    except ValueError:
        raise wrong_type("datetime", value) from None
    return stamp(found - found % 1_000_000)


def wrong_type(wanted: str, value: Any) -> Failure:
    """Return the failure of a value that is not of the field's type."""
    word = "VALUE_NULL" if value is None else JSON_WORDS.get(type(value), "START_OBJECT")
    shown = "null" if value is None else value
    return malformed_json(
        f"Cannot deserialize instance of {wanted} from {word} value {shown} or request may be missing a required field"
    )


def resolve(org: Org, reference: FieldDeclaration, value: Mapping[str, Any]) -> str:
    """Return the id of a parent named by its external id, such as {"Account": {"Ext__c": "A1"}}."""
    keys = {name: key for name, key in value.items() if name != "attributes"}
    several = targets(reference)
    wanted = (value.get("attributes") or {}).get("type") if len(several) > 1 else several[0]
    target = org.object(str(wanted))
    if len(keys) == 1 and target in several:
        ((name, key),) = keys.items()
        found = parent_by_key(org, str(target), name, key)
        if found is not None:
            return found
    text = f"{reference.extra.get('relationship')} names no external id of {' or '.join(several)}"
    raise Failure(400, Problem("INVALID_FIELD", text))


def parent_by_key(org: Org, target: str, name: str, key: Any) -> str | None:
    """Return the id of the one record that has a key; None where the field is no key. Raises Invalid."""
    field = org.field(target, name)
    if field is None or not (key_field(field) or field.name == "Id"):
        return None
    found = find_by_key(org, target, field, key)
    if len(found) == 1:
        return found[0]
    if found:
        text = f"More than one record found for external id field: {found}"
        raise Invalid(Problem("INVALID_FIELD", text, ()))
    text = f"Foreign key external ID: {key} not found for field {field.name} in entity {target}"
    raise Invalid(Problem("INVALID_FIELD", text, ()))


def check(org: Org, sobject: str, values: Mapping[str, Any], *, creating: bool) -> None:
    """Hold a record to the org's rules. Raises Invalid with every problem of the gravest kind."""
    fields = org.fields(sobject)
    locked = [name for name in values if fields[name].read_only]
    if locked:
        text = (
            f"Unable to create/update fields: {', '.join(locked)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set."
        )
        raise Invalid(Problem("INVALID_FIELD_FOR_INSERT_UPDATE", text, tuple(locked)))
    required = [f.name for f in fields.values() if f.required and (creating or f.name in values)]
    missing = tuple(name for name in required if values.get(name) is None)
    if missing:
        text = f"Required fields are missing: [{', '.join(missing)}]"
        raise Invalid(Problem("REQUIRED_FIELD_MISSING", text, missing))
    filled = {name: value for name, value in values.items() if value is not None}
    problems = [found for name, value in filled.items() if (found := problem(fields[name], value))]
    if problems:
        raise Invalid(*problems)
    for name, value in filled.items():
        if fields[name].type == "reference":
            check_reference(org, fields[name], value)


def problem(field: FieldDeclaration, value: Any) -> Problem | None:
    """Return what is wrong with one value by itself."""
    label, name = field.label, (field.name,)
    if field.type in TEXTS and field.max_length and len(value) > field.max_length:
        text = f"{label}: data value too large: {value} (max length={field.max_length})"
        return Problem("STRING_TOO_LONG", text, name)
    if "max_bytes" in field.extra and len(value.encode()) > field.extra["max_bytes"]:
        text = f"{label}: data value too large: {value} (max length={field.extra['max_bytes']})"
        return Problem("STRING_TOO_LONG", text, name)
    if field.type == "email" and not EMAIL.fullmatch(value):
        return Problem("INVALID_EMAIL_ADDRESS", f"{label}: invalid email address: {value}", name)
    if field.type == "picklist" and field.extra.get("restricted") and value not in field.options:
        text = f"{label}: bad value for restricted picklist field: {value}"
        return Problem("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", text, name)
    digits = field.extra.get("digits") or int(field.extra.get("precision", 0)) - int(field.extra.get("scale", 0))
    if field.type in ("int", "double", "currency", "percent") and digits and abs(value) >= 10**digits:
        return Problem("NUMBER_OUTSIDE_VALID_RANGE", f"{label}: value outside of valid range: {value}", name)
    if field.type == "date" and not "1700-01-01" <= value <= "4000-12-31":
        return Problem("NUMBER_OUTSIDE_VALID_RANGE", f"{label}: invalid date: {value}", name)
    return None


def check_reference(org: Org, field: FieldDeclaration, value: str) -> None:
    """Hold a reference to an existing live record of the right object."""
    parsed = ids.parse(value)
    target = org.prefix_object(parsed) if parsed else None
    if parsed is None or target not in targets(field):
        raise Invalid(Problem("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", (field.name,)))
    found = org.state.get(target, parsed)
    if found is None:
        raise Invalid(Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ()))
    if found.deleted:
        raise Invalid(Problem("ENTITY_IS_DELETED", "entity is deleted", ()))


def full_ids(org: Org, sobject: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with every reference in its 18-character form."""
    fields = org.fields(sobject)
    return {
        name: ids.parse(value) if value is not None and fields[name].type == "reference" else value
        for name, value in values.items()
    }
