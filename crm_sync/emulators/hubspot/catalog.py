"""The objects of the portal: standard and custom ones, every spelling of their names, fields made at run time."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, reduce
from itertools import count
from pathlib import Path
from typing import Any

from crm_sync.emulators.declarations import (
    FieldDeclaration,
    ObjectDeclaration,
    Schema,
    field_declaration,
    load,
    merged,
)
from crm_sync.emulators.hubspot.refusals import PORTAL_ID, invalid, not_supported
from crm_sync.emulators.state import State

FILES = ("declarations.toml", "sales.toml", "engagements.toml", "others.toml")
ELSEWHERE = frozenset(
    {
        "tax", "taxes", "discount", "discounts", "fee", "fees", "order", "orders", "cart", "carts", "invoice",
        "invoices",
        "subscription", "subscriptions", "commerce_payment", "commerce_payments", "appointment", "appointments",
        "course", "courses", "listing", "listings", "service", "services", "user", "users", "partner_client",
        "partner_clients", "partner_service", "partner_services", "project", "projects", "contract", "contracts",
        "conversation", "conversations", "form", "forms", "0-11", "0-53", "0-69", "0-84", "0-85",
        "0-86", "0-101", "0-115", "0-123", "0-142", "0-162", "0-410", "0-420", "0-421", "0-970",
    }
)  # fmt: skip
"""Objects that HubSpot has and this emulator has not."""

FIRST_CUSTOM = 1_000_000
CUSTOM_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "hs_createdate": {"type": "datetime", "field_type": "date", "label": "Object create date/time", "read_only": True},
    "hs_lastmodifieddate": {
        "type": "datetime", "field_type": "date", "label": "Object last modified date/time", "read_only": True,
    },
    "hs_object_id": {"type": "number", "field_type": "number", "label": "Record ID", "read_only": True},
    "hs_merged_object_ids": {
        "type": "enumeration", "field_type": "checkbox", "label": "Merged record IDs", "read_only": True,
    },
    "hubspot_owner_id": {
        "type": "enumeration", "field_type": "select", "label": "Owner", "external_options": True, "picks": "owner",
    },
}  # fmt: skip
"""The properties that every custom object has from its start."""


FIELD_TYPES = {
    "string": "text", "number": "number", "date": "date", "datetime": "date", "bool": "booleancheckbox",
    "enumeration": "select",
}  # fmt: skip
BORN = "2026-01-01T00:00:00Z"


def declared_objects(more: Mapping[str, Any] | None = None) -> dict[str, ObjectDeclaration]:
    """Return the standard objects, and what a file of declarations adds: fields, and custom objects."""
    return _read_all(more) if more else dict(_standard())


@cache
def _standard() -> Mapping[str, ObjectDeclaration]:
    return _read_all(None)


def _read_all(more: Mapping[str, Any] | None) -> dict[str, ObjectDeclaration]:
    here = Path(__file__).parent
    documents = [tomllib.loads((here / file).read_text(encoding="utf-8")) for file in FILES[1:]]
    objects = load(here / FILES[0], reduce(merged, [*documents, more or {}]))
    numbers = count(1)
    return {
        name: _completed(name, one, 0 if "type_id" in one.extra else next(numbers)) for name, one in objects.items()
    }


def _completed(name: str, one: ObjectDeclaration, at: int) -> ObjectDeclaration:
    """Give a declared object what a custom one has from its start, and fields their fieldType."""
    fields = {
        key: field if "field_type" in field.extra else replace(
            field, extra={**field.extra, "field_type": FIELD_TYPES.get(field.type, "text"), "custom": True}
        )
        for key, field in one.fields.items()
    }  # fmt: skip
    if "type_id" in one.extra:
        return ObjectDeclaration(name, fields, one.extra)
    named = str(one.extra.get("label") or name)
    raw = {
        "id": str(FIRST_CUSTOM - at), "objectTypeId": f"2-{FIRST_CUSTOM - at}", "name": name, "archived": False,
        "createdAt": BORN, "updatedAt": BORN, "fullyQualifiedName": f"p{PORTAL_ID}_{name}", "portalId": PORTAL_ID,
        "labels": {"singular": named, "plural": str(one.extra.get("plural_label") or named)},
        "requiredProperties": [key for key, field in one.fields.items() if field.required],
        "searchableProperties": list(one.fields)[:5], "secondaryDisplayProperties": [],
        "primaryDisplayProperty": next(iter(one.fields), None),
    }  # fmt: skip
    made = _custom(name, raw)
    return ObjectDeclaration(name, {**made.fields, **fields}, {**made.extra, "schema": raw, **one.extra})


def _custom(name: str, raw: Mapping[str, Any]) -> ObjectDeclaration:
    """Return a custom object as it is before it has properties of its own."""
    fields = {key: field_declaration(key, one) for key, one in CUSTOM_FIELDS.items()}
    extra = {
        "type_id": raw["objectTypeId"], "singular": name, "plural_label": name, "stamp": "hs_lastmodifieddate",
        "created": "hs_createdate", "group": f"{name}_information", "custom": True,
        "primary_properties": [raw["primaryDisplayProperty"]] if raw.get("primaryDisplayProperty") else [],
        "needs": [[one] for one in raw.get("requiredProperties") or []],
        "searched": list(raw.get("searchableProperties") or []),
    }  # fmt: skip
    return ObjectDeclaration(name, fields, extra)


class Catalog(Schema):
    """The objects and their properties; custom ones survive restarts (meta "custom:NAME")."""

    def __init__(self, state: State, declared: Mapping[str, ObjectDeclaration]) -> None:
        """Join the declared objects with the custom ones that clients made."""
        self._of_files = dict(declared)
        super().__init__(state, declared)

    def _read(self) -> None:
        """Join the declarations with the custom objects and the fields that the state keeps."""
        made = {key.removeprefix("custom:"): raw for key, raw in self._state.list_meta("custom:").items()}
        self._declared = {**self._of_files, **{name: _custom(name, raw) for name, raw in made.items()}}
        self._extra = {name: one.extra for name, one in self._declared.items()}
        of_files = {name: one.extra["schema"] for name, one in self._of_files.items() if "schema" in one.extra}
        self._made = {**of_files, **made}
        super()._read()
        self._spellings: dict[str, str] = {}
        for name in self.objects:
            self._spell(name)

    def reload(self) -> None:
        """Read everything anew, after a change of the state was taken back."""
        self._read()

    # -- names

    def _spell(self, name: str) -> None:
        extra = self._extra[name]
        spellings = {name, extra["singular"], extra["type_id"], extra["plural_label"]}
        if extra.get("custom"):
            spellings |= {f"p_{name}", f"p{PORTAL_ID}_{name}"}
        self._spellings |= {one.lower(): name for one in spellings}

    def resolve(self, spelling: str) -> str:
        """Return the object that a name means: plural, singular, type id, p_name, in any case; 400 or 501 if none."""
        given = spelling.lower()
        found = self._spellings.get(given)
        if found is not None:
            return found
        if self.elsewhere(given):
            raise not_supported(f"the object {given}")
        raise invalid(f"Unable to infer object type from: {spelling}")

    @staticmethod
    def elsewhere(spelling: str) -> bool:
        """Tell whether a name means an object of HubSpot's that is not emulated: nothing here is associated with it."""
        return spelling.lower() in ELSEWHERE

    def traits(self, object: str) -> Mapping[str, Any]:
        """Return what is declared of an object besides its fields."""
        return self._extra[object]

    def type_id(self, object: str) -> str:
        """Return the objectTypeId, such as 0-1."""
        return str(self._extra[object]["type_id"])

    def singular(self, object: str) -> str:
        """Return the singular name, such as contact."""
        return str(self._extra[object]["singular"])

    # -- custom objects

    def custom(self) -> dict[str, dict[str, Any]]:
        """Return the schemas of the custom objects by name."""
        return dict(self._made)

    def keep_custom(self, name: str, raw: Mapping[str, Any]) -> None:
        """Create or change the schema of a custom object."""
        self._state.set_meta(f"custom:{name}", dict(raw))
        declared = _custom(name, raw)
        fields = self._objects.get(name) or dict(declared.fields)
        self._made = {**self._made, name: dict(raw)}
        self._extra = {**self._extra, name: declared.extra}
        self._declared = {**self._declared, name: declared}
        self._objects = {**self._objects, name: fields}
        self._spell(name)

    def drop_custom(self, name: str) -> None:
        """Forget a custom object for good."""
        with self._state.transaction():
            self._state.set_meta(f"custom:{name}", None)
            for key in self._state.list_meta(f"field:{name}:"):
                self._state.set_meta(key, None)
        self._made = {key: raw for key, raw in self._made.items() if key != name}
        self._objects = {key: fields for key, fields in self._objects.items() if key != name}
        self._spellings = {key: one for key, one in self._spellings.items() if one != name}

    def replace_field(self, object: str, one: FieldDeclaration, **extra: Any) -> FieldDeclaration:
        """Change what is known of a field (keys of `extra`) and return it."""
        changed = replace(one, extra={**one.extra, **extra})
        self.add_field(object, changed)
        return changed
