"""Property definitions: list, create, and hold values to them.

Values are kept as the texts that HubSpot answers with; an empty text or null clears.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration, ObjectDeclaration, Schema, field_declaration
from crm_sync.emulators.hubspot.refusals import Problem, invalid, not_supported, problem, refusal
from crm_sync.emulators.state import Duplicate

MAX_TEXT = 65_536
MAX_UNIQUE = 10
TYPES = {
    "string": {"text", "textarea", "phonenumber", "html", "file", "calculation_equation"},
    "number": {"number", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date"},
    "bool": {"booleancheckbox", "calculation_equation"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox", "calculation_equation"},
}
EMAIL = re.compile(r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}$")
NAME = re.compile(r"^[a-z][a-z0-9_]{0,99}$")
DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
DAY_MS = 86_400_000


class BadValue(Exception):
    """A value that its property does not take."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code, self.message = code, message


def milliseconds(value: Any) -> int | None:
    """Read an instant given as ISO 8601 or as epoch milliseconds; None where it is neither."""
    text = str(value).strip()
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1000)


def instant(us: int) -> str:
    """Write microseconds since 1970 as HubSpot does: UTC, three decimals, none where they are zero."""
    ms = us // 1000
    text = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ms % 1000:03d}Z" if ms % 1000 else f"{text}Z"


def _number(text: str) -> str:
    if not re.fullmatch(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", text):
        raise BadValue("INVALID_LONG", f"{text} was not a valid number.")
    try:
        plain = format(Decimal(text), "f")
    except InvalidOperation:
        raise BadValue("INVALID_LONG", f"{text} was not a valid number.") from None
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _date(text: str) -> str:
    ms = milliseconds(text)
    if ms is None or ms % DAY_MS or not (DATE.match(text) or re.fullmatch(r"-?\d+", text)):
        raise BadValue("INVALID_DATE", f"{text} is at a time of day that is not midnight UTC, or is no date.")
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def _option(declared: FieldDeclaration, text: str, old: str | None) -> str:
    if declared.extra.get("external_options"):
        return text
    several = declared.extra.get("field_type") == "checkbox"
    chosen = [one for one in text.split(";") if one] if several else [text]
    unknown = [one for one in chosen if one not in declared.options]
    if unknown:
        allowed = ", ".join(declared.options)
        raise BadValue("INVALID_OPTION", f"{unknown[0]} was not one of the allowed options: [{allowed}]")
    if several and text.startswith(";"):
        chosen = [*(old or "").split(";"), *chosen]
    return ";".join(dict.fromkeys(one for one in chosen if one))


def converted(declared: FieldDeclaration, value: Any, old: str | None) -> str | None:
    """Return the text that a property keeps for a value. Raises BadValue."""
    if value is None or value == "":
        return None
    if isinstance(value, list | dict):
        raise BadValue("INVALID_VALUE", "An object or array is not a property value.")
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    match declared.type:
        case "number":
            return _number(text)
        case "date":
            return _date(text)
        case "datetime":
            ms = milliseconds(text)
            if ms is None:
                raise BadValue("INVALID_DATE", f"{text} was not a valid date.")
            return instant(ms * 1000)
        case "bool":
            if text not in ("true", "false"):
                raise BadValue("INVALID_OPTION", f"{text} was not one of the allowed options: [true, false]")
        case "enumeration":
            return _option(declared, text, old)
        case _:
            if len(text) > MAX_TEXT:
                raise BadValue("INVALID_LENGTH", f"The value is longer than {MAX_TEXT} characters.")
            if declared.extra.get("format") == "email":
                if not EMAIL.match(text):
                    raise BadValue("INVALID_EMAIL", f"Email address {text} is invalid")
                return text.lower()
    return text


class Properties:
    """The property definitions of all objects."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def object(self, name: str) -> ObjectDeclaration:
        """Return one object as declared."""
        return self._schema.object(name)

    def fields(self, name: str) -> Mapping[str, FieldDeclaration]:
        """Return the properties of an object."""
        return self._schema.fields(name)

    def convert(
        self, object: str, given: Mapping[str, Any], old: Mapping[str, Any]
    ) -> tuple[dict[str, str | None], list[Problem]]:
        """Return the texts to keep for the given values, and what is wrong with the others."""
        fields, kept, problems = self.fields(object), {}, []
        for name, value in given.items():
            declared = fields.get(name)
            if declared is None:
                problems.append(problem(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
            elif declared.read_only:
                problems.append(problem(name, "READ_ONLY_VALUE", f'"{name}" is a read only property'))
            else:
                try:
                    kept[name] = converted(declared, value, old.get(name))
                except BadValue as error:
                    problems.append(problem(name, error.code, error.message))
        return kept, problems

    def list(self, object: str) -> list[dict[str, Any]]:
        """Return all definitions of an object as HubSpot shows them."""
        return [self.show(object, one) for one in self.fields(object).values()]

    def get(self, object: str, name: str) -> dict[str, Any]:
        """Return one definition."""
        declared = self.fields(object).get(name)
        if declared is None:
            raise refusal(404, "OBJECT_NOT_FOUND", f"Property {name} does not exist", context={"propertyName": [name]})
        return self.show(object, declared)

    def create(self, object: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Create a property by HubSpot's rules and return its definition."""
        missing = [key for key in ("groupName", "name", "label", "type", "fieldType") if not given.get(key)]
        if missing:
            raise invalid(
                f"Invalid input JSON: some required fields were not set: [{', '.join(missing)}]",
                context={"properties": missing},
            )
        name, kind, field_type = str(given["name"]), str(given["type"]), str(given["fieldType"])
        if kind == "phone_number" or given.get("calculationFormula") or given.get("externalOptions"):
            raise not_supported("properties of type phone_number, with a formula or with external options")
        if not NAME.match(name):
            raise invalid("Property names start with a lower case letter and hold lower case letters, digits and _.")
        if field_type not in TYPES.get(kind, set()):
            raise invalid(f"fieldType {field_type} does not go with type {kind}.")
        if given["groupName"] != self.object(object).extra["group"]:
            raise invalid(f"Property group {given['groupName']} does not exist.")
        if name in self.fields(object):
            raise refusal(409, "OBJECT_ALREADY_EXISTS", f"A property named '{name}' already exists.")
        unique = bool(given.get("hasUniqueValue"))
        if unique and kind not in ("string", "number"):
            raise invalid("Only text and number properties can have unique values.")
        if unique and sum(one.unique for one in self.fields(object).values()) >= MAX_UNIQUE:
            raise invalid(f"An object can have {MAX_UNIQUE} unique properties at most.")
        self._keep(object, given, unique)
        return self.get(object, name)

    def _keep(self, object: str, given: Mapping[str, Any], unique: bool) -> None:
        options = {str(one["value"]): str(one.get("label", one["value"])) for one in given.get("options") or []}
        if given["type"] in ("bool", "enumeration") and not options:
            raise invalid(f"A property of type {given['type']} needs options.")
        if given["type"] == "bool" and set(options) != {"true", "false"}:
            raise invalid("A bool property has exactly the options true and false.")
        raw = {
            "type": given["type"], "label": given["label"], "unique": unique, "options": options,
            "field_type": given["fieldType"], "description": given.get("description") or "", "custom": True,
        }  # fmt: skip
        try:
            self._schema.add_field(object, field_declaration(str(given["name"]), raw))
        except Duplicate as error:
            raise refusal(409, "CONFLICT", str(error)) from None

    def show(self, object: str, declared: FieldDeclaration) -> dict[str, Any]:
        """Return one definition as HubSpot shows it."""
        custom = bool(declared.extra.get("custom"))
        return {
            "name": declared.name,
            "label": declared.label,
            "type": declared.type,
            "fieldType": declared.extra["field_type"],
            "description": declared.extra.get("description", ""),
            "groupName": self.object(object).extra["group"],
            "options": [
                {"label": label, "value": value, "displayOrder": at, "hidden": False}
                for at, (value, label) in enumerate(declared.options.items())
            ],
            "displayOrder": -1,
            "calculated": False,
            "externalOptions": bool(declared.extra.get("external_options")),
            "hasUniqueValue": declared.unique,
            "hidden": False,
            "hubspotDefined": not custom,
            "modificationMetadata": {
                "archivable": custom,
                "readOnlyDefinition": not custom,
                "readOnlyValue": declared.read_only,
            },
            "formField": not declared.read_only,
        }
