"""The tables and columns that clients create and delete, kept across restarts beside those that are declared."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration, ObjectDeclaration, Schema
from crm_sync.emulators.dynamics.declaring import completed
from crm_sync.emulators.dynamics.metadata.attributes import SCHEMA_NAME, read_column
from crm_sync.emulators.dynamics.metadata.shapes import label_text
from crm_sync.emulators.dynamics.protocol import ODataError, Unsupported, payload_error

FIRST_CODE = 10_500


class Customizing(Schema):
    """A schema to which tables can be added."""

    def _read(self) -> None:
        for name in [name for name in self._declared if self._extra[name].get("created")]:
            del self._declared[name], self._extra[name]
        for key, raw in self._state.list_meta("table:").items():
            name = key.removeprefix("table:")
            fields = {one: FieldDeclaration(**given) for one, given in raw["fields"].items()}
            self._declared[name] = ObjectDeclaration(name, fields, raw["extra"])
            self._extra[name] = raw["extra"]
        super()._read()

    def add_table(self, one: ObjectDeclaration) -> None:
        """Create a table and remember it."""
        with self._lock:
            fields = {name: asdict(field) for name, field in one.fields.items()}
            self._state.set_meta(f"table:{one.name}", {"fields": fields, "extra": dict(one.extra)})
            self._read()

    def remove_table(self, name: str) -> None:
        """Delete a table that a client created, with its rows. Raises ODataError for any other."""
        if not self._extra[name].get("created"):
            raise ODataError(400, "0x80047008", f"The entity {name} is part of the system and cannot be deleted.")
        with self._lock, self._state.transaction() as db:
            db.execute("DELETE FROM unique_value WHERE object = ?", (name,))
            db.execute("DELETE FROM record WHERE object = ?", (name,))
            for key in self._state.list_meta(f"field:{name}:"):
                self._state.set_meta(key, None)
            self._state.set_meta(f"table:{name}", None)
            self._objects.pop(name)
            self._read()

    def remove_field(self, object: str, name: str) -> None:
        """Delete a column that a client created. Raises ODataError for any other."""
        if self._state.get_meta(f"field:{object}:{name}") is None:
            raise ODataError(400, "0x80047007", f"The attribute {name} of {object} is part of its table.")
        with self._lock:
            self._state.set_meta(f"field:{object}:{name}", None)
            self._objects[object] = {key: one for key, one in self._objects[object].items() if key != name}


def read_table(body: dict[str, Any], number: int) -> ObjectDeclaration:
    """Return the table that a client creates, which has at least its primary name column. Raises ODataError."""
    name = str(body.get("SchemaName", ""))
    if not SCHEMA_NAME.fullmatch(name):
        raise ODataError(400, "0x80047013", "The SchemaName of a new table needs a valid customization prefix.")
    if body.get("IsActivity"):
        raise Unsupported("creating kinds of activities")
    given = body.get("Attributes")
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise payload_error("A table needs Attributes, one of which has IsPrimaryName.")
    primary = [one for one in given if one.get("IsPrimaryName")]
    if len(primary) != 1:
        raise payload_error("One of the Attributes of a table must have IsPrimaryName.")
    fields = {one.name: one for one in (read_column(column, None) for column in given)}
    extra = {
        "schema_name": name,
        "label": label_text(body.get("DisplayName")) or name,
        "primary_name": str(primary[0]["SchemaName"]).lower(),
        "owned": body.get("OwnershipType") != "OrganizationOwned",
        "created": True,
    }
    if body.get("EntitySetName"):
        extra["set_name"] = str(body["EntitySetName"])
    return completed(ObjectDeclaration(name.lower(), fields, extra), FIRST_CODE + number)
