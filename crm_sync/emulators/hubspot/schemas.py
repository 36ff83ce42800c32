"""The schemas API: custom objects, which clients define, and the shape of the standard ones.

Source: custom objects guide; schemas API reference (v3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hubspot.association_types import AssociationTypes, Kind
from crm_sync.emulators.hubspot.bodies import mapping, mappings, texts
from crm_sync.emulators.hubspot.catalog import BORN, FIRST_CUSTOM, Catalog
from crm_sync.emulators.hubspot.definitions import Definitions
from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.refusals import PORTAL_ID, Refusal, invalid, refusal
from crm_sync.emulators.state import State

NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,49}$")
CHANGEABLE = (
    "labels", "primaryDisplayProperty", "requiredProperties", "searchableProperties", "secondaryDisplayProperties",
    "description", "allowsSensitiveProperties",
)  # fmt: skip
Shown = dict[str, Any]
BY_DEFAULT = ("emails", "meetings", "notes", "tasks", "calls")
"""Engagements that every custom object can be associated with."""


class Schemas:
    """The schemas of all objects."""

    def __init__(self, state: State, catalog: Catalog, definitions: Definitions, types: AssociationTypes) -> None:
        self._state, self._catalog, self._definitions, self._types = state, catalog, definitions, types

    def all(self, *, archived: bool = False) -> list[Shown]:
        """Return the schemas of the custom objects."""
        return [self._show(name, raw) for name, raw in self._catalog.custom().items() if raw["archived"] == archived]

    def get(self, object: str) -> Shown:
        """Return the schema of one object, custom or standard."""
        raw = self._catalog.custom().get(object)
        return self._show(object, self._standard(object) if raw is None else raw)

    def _standard(self, object: str) -> dict[str, Any]:
        extra = self._catalog.traits(object)
        return {
            "id": extra["type_id"], "objectTypeId": extra["type_id"], "name": self._catalog.singular(object).upper(),
            "fullyQualifiedName": self._catalog.singular(object).upper(), "archived": False, "createdAt": BORN,
            "updatedAt": BORN,
            "labels": {"singular": _label(self._catalog.singular(object)), "plural": extra["plural_label"]},
            "requiredProperties": [one[0] for one in extra["needs"] if len(one) == 1],
            "searchableProperties": list(extra["searched"]), "secondaryDisplayProperties": [],
            "primaryDisplayProperty": (extra["primary_properties"] or [None])[0],
        }  # fmt: skip

    def _show(self, object: str, raw: Mapping[str, Any]) -> Shown:
        kinds = [one for other in dict.fromkeys(self._types.partners(object)) for one in self._both(object, other)]
        return {
            "allowsSensitiveProperties": False,
            **raw,
            "properties": self._definitions.all(object),
            "associations": [self._shown_kind(one) for one in dict.fromkeys(kinds) if one.label is None],
        }

    def _both(self, object: str, other: str) -> list[Kind]:
        return [*self._types.of(object, other).values(), *self._types.of(other, object).values()]

    def _shown_kind(self, one: Kind) -> Shown:
        return {
            "id": str(one.id), "fromObjectTypeId": self._catalog.type_id(one.from_object),
            "toObjectTypeId": self._catalog.type_id(one.to_object), "name": self._types.legacy_name(one),
            "createdAt": BORN, "updatedAt": BORN,
        }  # fmt: skip

    def create(self, given: Mapping[str, Any]) -> Shown:
        """Create a custom object from {"name", "labels", "properties", "requiredProperties", "associatedObjects"}."""
        name = str(given.get("name") or "")
        missing = [key for key in ("name", "labels", "requiredProperties", "properties") if key not in given]
        mapping(given, "labels")
        if missing or not NAME.match(name):
            raise invalid(f"Invalid input JSON: name and {', '.join(missing) or 'labels'} must be set.")
        object = name.lower()
        if object in self._catalog.objects:
            raise refusal(409, "OBJECT_ALREADY_EXISTS", f"An object type named {name} already exists.")
        properties = mappings(given, "properties")
        self._check_names(given, {str(one.get("name")) for one in properties})
        now, number = instant(self._state.now_us()), FIRST_CUSTOM + self._state.next_number("hubspot-schema")
        raw = {
            "id": str(number), "objectTypeId": f"2-{number}", "name": name, "archived": False, "createdAt": now,
            "updatedAt": now, "fullyQualifiedName": f"p{PORTAL_ID}_{name}", "portalId": PORTAL_ID,
            **{key: given[key] for key in CHANGEABLE if given.get(key) is not None},
        }  # fmt: skip
        try:
            with self._state.transaction():
                self._make(object, raw, given)
        except Exception:  # what was taken back in the state is still known in memory
            self._catalog.reload()
            self._types.reload()
            raise
        return self.get(object)

    def _make(self, object: str, raw: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        self._catalog.keep_custom(object, raw)
        group = self._catalog.traits(object)["group"]
        for one in mappings(given, "properties"):
            self._definitions.create(object, {"groupName": group, **one})
        wanted = [self._catalog.resolve(str(one)) for one in texts(given, "associatedObjects")]
        for other in dict.fromkeys([*wanted, *BY_DEFAULT]):
            self._types.connect(object, other, f"{object}_to_{self._catalog.singular(other)}")

    def _check_names(self, given: Mapping[str, Any], names: set[str]) -> None:
        used = [
            *texts(given, "requiredProperties"), *texts(given, "searchableProperties"),
            *([str(given["primaryDisplayProperty"])] if given.get("primaryDisplayProperty") else []),
        ]  # fmt: skip
        unknown = [one for one in used if one not in names]
        if unknown:
            raise invalid(f"The schema names the property {unknown[0]}, which it does not define.")

    def _own(self, object: str) -> dict[str, Any]:
        raw = self._catalog.custom().get(object)
        if raw is None:
            raise invalid(f"The object {object} is no custom object.")
        return raw

    def update(self, object: str, given: Mapping[str, Any]) -> Shown:
        """Change labels and the lists of properties of a custom object."""
        raw = self._own(object)
        self._check_names(given, set(self._catalog.fields(object)))
        changed = {key: given[key] for key in CHANGEABLE if key in given}
        changed |= {"description": None} if given.get("clearDescription") is True else {}
        self._catalog.keep_custom(object, {**raw, **changed, "updatedAt": instant(self._state.now_us())})
        return self.get(object)

    def delete(self, object: str, *, purge: bool) -> None:
        """Archive a custom object (400 while it has records), or remove an archived one for good."""
        raw = self._own(object)
        if self._state.count(object):
            raise invalid(f"The object {object} still has records; delete them first.")
        if purge:
            self._types.drop_object(object)
            self._catalog.drop_custom(object)
        else:
            self._catalog.keep_custom(object, {**raw, "archived": True})

    def connect(self, object: str, given: Mapping[str, Any]) -> Shown:
        """Let a custom object be associated with another one."""
        from_object = self._catalog.resolve(str(given.get("fromObjectTypeId") or object))
        to_object = self._catalog.resolve(str(given.get("toObjectTypeId") or ""))
        if self._types.of(from_object, to_object):
            raise refusal(409, "OBJECT_ALREADY_EXISTS", f"{from_object} and {to_object} can be associated already.")
        name = str(given.get("name") or f"{self._catalog.singular(from_object)}_to_{to_object}")
        return self._shown_kind(self._types.connect(from_object, to_object, name)[0])

    def disconnect(self, object: str, id: str) -> None:
        """Remove an association of a custom object."""
        for other in self._types.partners(object):
            if any(str(one) == id for one in self._types.of(object, other)):
                self._types.drop(object, other, id)
                return
        raise _no_association(id)


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _no_association(id: str) -> Refusal:
    return refusal(404, "OBJECT_NOT_FOUND", f"There is no association {id}.")
