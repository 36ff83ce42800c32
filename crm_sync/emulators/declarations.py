"""Load what objects and fields a pretend CRM has, and remember fields created at run time.

The file (`declarations.toml` in each CRM's package):

    [objects.Contact]                       # any further keys of an object land in `extra`
    label = "Contact"
    [objects.Contact.fields.LastName]       # any further keys of a field land in `extra`
    type = "string"                         # the CRM's own word
    max_length = 80
    required = true
    options = { "Mr." = "Mr." }             # or a list of values; values are kept as text
"""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crm_sync.emulators.state import State


@dataclass(frozen=True, slots=True)
class FieldDeclaration:
    """One field; `options` is value -> label, empty where any value goes; `extra` holds what only one CRM knows."""

    name: str
    type: str
    label: str = ""
    max_length: int | None = None
    required: bool = False
    read_only: bool = False
    unique: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    default: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectDeclaration:
    """One object and its fields in file order."""

    name: str
    fields: Mapping[str, FieldDeclaration]
    extra: Mapping[str, Any] = field(default_factory=dict)


def field_declaration(name: str, raw: Mapping[str, Any]) -> FieldDeclaration:
    """Build a field from the keys of its table."""
    known = {"type", "label", "max_length", "required", "read_only", "unique", "default"}
    options = raw.get("options", {})
    if not isinstance(options, Mapping):
        options = {str(value): str(value) for value in options}
    given = {key: raw[key] for key in known if key in raw}
    given.setdefault("label", name)
    extra = {key: value for key, value in raw.items() if key not in known | {"options"}}
    return FieldDeclaration(name=name, options={str(k): str(v) for k, v in options.items()}, extra=extra, **given)


def load(path: Path, more: Mapping[str, Any] | None = None) -> dict[str, ObjectDeclaration]:
    """Read the declarations file of a CRM: object name -> declaration.

    `more` has the same form (the part of a `--declarations` file for this CRM, as in EmulatorSettings.declared): its
    objects are added, its fields and keys added to those of an object that is there already, or put in their place.
    """
    objects: dict[str, Any] = merged(tomllib.loads(path.read_text(encoding="utf-8")), more)["objects"]
    out: dict[str, ObjectDeclaration] = {}
    for name, raw in objects.items():
        fields = {key: field_declaration(key, value) for key, value in raw.get("fields", {}).items()}
        out[name] = ObjectDeclaration(name, fields, {k: v for k, v in raw.items() if k != "fields"})
    return out


def merged(one: Mapping[str, Any] | None, more: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return declarations ({"objects": ...}) with objects, keys and fields of others added or put in their place."""
    objects: dict[str, Any] = dict((one or {}).get("objects", {}))
    for name, raw in (more or {}).get("objects", {}).items():
        first = objects.get(name, {})
        objects[name] = {**first, **raw, "fields": {**first.get("fields", {}), **raw.get("fields", {})}}
    return {"objects": objects}


def read_more(path: Path, kinds: Sequence[str]) -> dict[str, Any]:
    """Read a `--declarations` file: CRM or connection -> `more` of `load`. Raises ValueError that says what is wrong.

    [salesforce.objects.Invoice__c]
    label = "Invoice"
    [salesforce.objects.Invoice__c.fields.Amount__c]
    type = "currency"
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"The declarations {path} cannot be read: {error}.") from None
    for kind, part in document.items():
        if kind not in kinds:
            raise ValueError(f"{path} declares for {kind!r}; expected some of {', '.join(kinds)}.")
        if not isinstance(part, dict) or set(part) != {"objects"}:
            raise ValueError(f"{path}: found {kind}.{next(iter(part), '')}; expected {kind}.objects.<object>.")
        for name, raw in part["objects"].items():
            untyped = [key for key, one in raw.get("fields", {}).items() if "type" not in one]
            if untyped:
                raise ValueError(f"{path}: {kind}.objects.{name}.fields.{untyped[0]} has no type; add one.")
    return document


class Schema:
    """The declared objects plus the fields that clients created; unique ones are held unique by the state."""

    def __init__(self, state: State, declared: Mapping[str, ObjectDeclaration], *, fold_unique: bool = False) -> None:
        """Join the declarations with the fields kept in the state; `fold_unique`: unique fields ignore case."""
        self._state = state
        self._fold = fold_unique
        self._lock = threading.Lock()
        self._declared = dict(declared)
        self._objects: dict[str, dict[str, FieldDeclaration]] = {}
        self._extra = {name: one.extra for name, one in declared.items()}
        self._read()
        state.after_restore(self._read)

    def _read(self) -> None:
        """Join the declarations with the fields that the state keeps."""
        state, fold_unique = self._state, self._fold
        self._objects = {name: dict(one.fields) for name, one in self._declared.items()}
        for key, raw in state.list_meta("field:").items():
            _, name, field_name = key.split(":", 2)
            self._objects[name][field_name] = FieldDeclaration(**raw)
        for name, fields in self._objects.items():
            for one in fields.values():
                if one.unique:
                    state.declare_unique(name, one.name, fold=fold_unique)

    @property
    def objects(self) -> list[str]:
        """Return the names of all objects."""
        return list(self._objects)

    def object(self, name: str) -> ObjectDeclaration:
        """Return an object as it is now; KeyError where there is none."""
        return ObjectDeclaration(name, dict(self._objects[name]), self._extra[name])

    def fields(self, name: str) -> Mapping[str, FieldDeclaration]:
        """Return the fields of an object as they are now (do not change it); KeyError where there is no such object."""
        return self._objects[name]

    def add_field(self, object: str, one: FieldDeclaration) -> None:
        """Create or replace a field and remember it across restarts. Raises state.Duplicate."""
        with self._lock:
            if one.unique:
                self._state.declare_unique(object, one.name, fold=self._fold)
            self._state.set_meta(f"field:{object}:{one.name}", asdict(one))
            self._objects[object] = {**self._objects[object], one.name: one}
