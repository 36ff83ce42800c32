"""The properties API: definitions and groups, created, changed, archived.

Source: properties guide and API reference (v3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration, field_declaration
from crm_sync.emulators.hubspot.bodies import mappings, whole
from crm_sync.emulators.hubspot.catalog import BORN, Catalog
from crm_sync.emulators.hubspot.pipelines import Pipelines
from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.refusals import Refusal, invalid, not_supported, refusal
from crm_sync.emulators.state import Duplicate, State

MAX_UNIQUE = 10
TYPES = {
    "string": {"text", "textarea", "phonenumber", "html", "file", "calculation_equation"},
    "number": {"number", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date"},
    "bool": {"booleancheckbox", "calculation_equation"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox", "calculation_equation"},
}
NAME = re.compile(r"^[a-z][a-z0-9_]{0,99}$")
NEEDED = ("groupName", "name", "label", "type", "fieldType")
LEGACY = (
    "name", "label", "description", "groupName", "type", "fieldType", "options", "displayOrder", "hidden",
    "calculated", "externalOptions", "hubspotDefined", "formField",
)  # fmt: skip
TOLD = ("displayOrder", "hidden", "formField")
"""What clients say of a property and only read back."""
Shown = dict[str, Any]
Group = dict[str, Any]


class Definitions:
    """The property definitions and property groups of all objects."""

    def __init__(self, state: State, catalog: Catalog, pipelines: Pipelines) -> None:
        self._state, self._catalog, self._pipelines = state, catalog, pipelines

    # -- properties

    def all(self, object: str, *, archived: bool = False, sensitivity: str | None = None) -> list[Shown]:
        """Return all live (or all archived) definitions of an object; none of the portal's are sensitive."""
        fields = self._catalog.fields(object).values()
        if sensitivity not in (None, "non_sensitive", "sensitive", "highly_sensitive"):
            raise invalid(f"Unknown dataSensitivity {sensitivity}.")
        if sensitivity in ("sensitive", "highly_sensitive"):
            return []
        return [self.show(object, one) for one in fields if bool(one.extra.get("archived")) == archived]

    def legacy(self, object: str) -> list[Shown]:
        """Return all live definitions as the legacy API (properties v1 and v2) shows them."""
        out = []
        for one in self.all(object):
            told = one["modificationMetadata"]
            read_only = {name: told[name] for name in ("readOnlyValue", "readOnlyDefinition")}
            out.append({name: one[name] for name in LEGACY} | read_only | {"deleted": False})
        return out

    def _find(self, object: str, name: str, *, archived: bool = False) -> FieldDeclaration:
        declared = self._catalog.fields(object).get(name)
        if declared is None or bool(declared.extra.get("archived")) != archived:
            raise refusal(404, "OBJECT_NOT_FOUND", f"Property {name} does not exist", context={"propertyName": [name]})
        return declared

    def get(self, object: str, name: str, *, archived: bool = False) -> Shown:
        """Return one definition."""
        return self.show(object, self._find(object, name, archived=archived))

    def create(self, object: str, given: Mapping[str, Any]) -> Shown:
        """Create a property by HubSpot's rules and return its definition."""
        missing = [key for key in NEEDED if not given.get(key)]
        if missing:
            raise invalid(
                f"Invalid input JSON: some required fields were not set: [{', '.join(missing)}]",
                context={"properties": missing},
            )
        name, kind, field_type = str(given["name"]), str(given["type"]), str(given["fieldType"])
        if kind in ("phone_number", "json", "object_coordinates") or given.get("calculationFormula"):
            raise not_supported(f"a property of type {kind}, or one with a formula")
        if not NAME.match(name):
            raise invalid("Property names start with a lower case letter and hold lower case letters, digits and _.")
        if field_type not in TYPES.get(kind, set()):
            raise invalid(f"fieldType {field_type} does not go with type {kind}.")
        if str(given["groupName"]) not in {one["name"] for one in self.groups(object)}:
            raise invalid(f"Property group {given['groupName']} does not exist.")
        present = self._catalog.fields(object).get(name)
        if present is not None and not present.extra.get("archived"):
            raise refusal(409, "OBJECT_ALREADY_EXISTS", f"A property named '{name}' already exists.")
        unique = bool(given.get("hasUniqueValue"))
        if unique and kind not in ("string", "number"):
            raise invalid("Only text and number properties can have unique values.")
        if unique and sum(one.unique for one in self._catalog.fields(object).values()) >= MAX_UNIQUE:
            raise invalid(f"An object can have {MAX_UNIQUE} unique properties at most.")
        self._keep(object, given, unique)
        return self.get(object, name)

    def _keep(self, object: str, given: Mapping[str, Any], unique: bool) -> None:
        now = instant(self._state.now_us())
        raw = {
            "type": given["type"], "label": given["label"], "unique": unique, "options": _options(given),
            "field_type": given["fieldType"], "description": given.get("description") or "", "custom": True,
            "group": given["groupName"], "createdAt": now, "updatedAt": now,
            "external_options": bool(given.get("externalOptions")),
            "option_details": _option_details(given), **{key: given[key] for key in TOLD if given.get(key) is not None},
            **({"picks": "owner"} if given.get("referencedObjectType") == "OWNER" else {}),
        }  # fmt: skip
        try:
            self._catalog.add_field(object, field_declaration(str(given["name"]), raw))
        except Duplicate as error:
            raise refusal(409, "CONFLICT", str(error)) from None

    def update(self, object: str, name: str, given: Mapping[str, Any]) -> Shown:
        """Change label, group, description or options of a property; hasUniqueValue never changes."""
        declared = self._find(object, name)
        options = _options({**given, "type": declared.type}) if "options" in given else declared.options
        changed = FieldDeclaration(
            declared.name, declared.type, str(given.get("label") or declared.label), declared.max_length,
            declared.required, declared.read_only, declared.unique, options, declared.default, declared.extra,
        )  # fmt: skip
        extra: dict[str, Any] = {"updatedAt": instant(self._state.now_us())}
        extra |= {key: given[key] for key in ("description", *TOLD) if given.get(key) is not None}
        extra |= {"option_details": _option_details(given)} if "options" in given else {}
        extra |= {"group": given["groupName"]} if given.get("groupName") else {}
        extra |= {"field_type": given["fieldType"]} if given.get("fieldType") else {}
        return self.show(object, self._catalog.replace_field(object, changed, **extra))

    def archive(self, object: str, name: str) -> None:
        """Move a property to the recycle bin; 400 for one of HubSpot's own."""
        declared = self._catalog.fields(object).get(name)
        if declared is None or declared.extra.get("archived"):
            return
        if not declared.extra.get("custom"):
            raise invalid(f"The property {name} is defined by HubSpot and cannot be archived.")
        self._catalog.replace_field(object, declared, archived=True, archivedAt=instant(self._state.now_us()))

    def show(self, object: str, declared: FieldDeclaration) -> Shown:
        """Return one definition as HubSpot shows it."""
        extra = declared.extra
        custom, archived = bool(extra.get("custom")), bool(extra.get("archived"))
        out = {
            "name": declared.name,
            "label": declared.label,
            "type": declared.type,
            "fieldType": extra["field_type"],
            "description": extra.get("description", ""),
            "groupName": extra.get("group") or self._catalog.traits(object)["group"],
            "options": self._shown_options(object, declared),
            "createdAt": extra.get("createdAt", BORN),
            "updatedAt": extra.get("updatedAt", BORN),
            "displayOrder": extra.get("displayOrder", -1),
            "calculated": False,
            "externalOptions": bool(extra.get("external_options")),
            "hasUniqueValue": declared.unique,
            "hidden": bool(extra.get("hidden")),
            "hubspotDefined": not custom,
            "modificationMetadata": {
                "archivable": custom,
                "readOnlyDefinition": not custom,
                "readOnlyValue": declared.read_only,
            },
            "formField": bool(extra.get("formField", not declared.read_only)),
            "dataSensitivity": "non_sensitive",
            "archived": archived,
        }
        if archived:
            out["archivedAt"] = extra["archivedAt"]
        if extra.get("picks") == "owner":
            out["referencedObjectType"] = "OWNER"
        return out

    def _shown_options(self, object: str, declared: FieldDeclaration) -> list[dict[str, Any]]:
        pairs = list(declared.options.items())
        kind = declared.extra.get("picks")
        if kind == "pipeline":
            pairs = [(one["id"], one["label"]) for one in self._pipelines.all(object)]
        elif kind == "stage":
            pairs = [(one["id"], one["label"]) for pipe in self._pipelines.all(object) for one in pipe["stages"]]
        details = declared.extra.get("option_details") or {}
        return [
            {"label": label, "value": value, "displayOrder": at, "hidden": False, **details.get(value, {})}
            for at, (value, label) in enumerate(pairs)
        ]

    # -- groups

    def groups(self, object: str) -> list[Group]:
        """Return the property groups of an object."""
        name = str(self._catalog.traits(object)["group"])
        own = {"name": name, "label": name.replace("_", " ").capitalize(), "displayOrder": 0, "archived": False}
        return [own, *self._state.list_meta(f"group:{object}:").values()]

    def group(self, object: str, name: str) -> Group:
        """Return one group."""
        for one in self.groups(object):
            if one["name"] == name:
                return one
        raise _no_group(name)

    def create_group(self, object: str, given: Mapping[str, Any]) -> Group:
        """Create a group from {"name", "label", "displayOrder"}."""
        name, label = str(given.get("name") or ""), str(given.get("label") or "")
        if not name or not label:
            raise invalid("A property group needs name and label.")
        if any(one["name"] == name for one in self.groups(object)):
            raise refusal(409, "OBJECT_ALREADY_EXISTS", f"A property group named '{name}' already exists.")
        made = {"name": name, "label": label, "displayOrder": whole(given, "displayOrder", -1), "archived": False}
        self._state.set_meta(f"group:{object}:{name}", made)
        return made

    def update_group(self, object: str, name: str, given: Mapping[str, Any]) -> Group:
        """Change label and order of a group."""
        changed = self.group(object, name) | {key: given[key] for key in ("label", "displayOrder") if key in given}
        self._state.set_meta(f"group:{object}:{name}", changed)
        return changed

    def drop_group(self, object: str, name: str) -> None:
        """Delete a group; 400 while properties are in it."""
        if any(one["groupName"] == name for one in self.all(object)):
            raise invalid(f"The property group {name} still has properties in it.")
        self._state.set_meta(f"group:{object}:{name}", None)


def _no_group(name: str) -> Refusal:
    return refusal(404, "OBJECT_NOT_FOUND", f"Property group {name} does not exist")


def _option_details(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what clients say of options besides value and label, by value."""
    kept = ("description", "displayOrder", "hidden")
    return {
        str(one.get("value")): {key: one[key] for key in kept if one.get(key) is not None}
        for one in mappings(given, "options")
    }


def _options(given: Mapping[str, Any]) -> dict[str, str]:
    sent = mappings(given, "options")
    if any(one.get("value") in (None, "") for one in sent):
        raise invalid("An option needs a value.")
    options = {str(one["value"]): str(one.get("label") or one["value"]) for one in sent}
    if given["type"] in ("bool", "enumeration") and not options and not given.get("externalOptions"):
        raise invalid(f"A property of type {given['type']} needs options.")
    if given["type"] == "bool" and set(options) != {"true", "false"}:
        raise invalid("A bool property has exactly the options true and false.")
    return options
