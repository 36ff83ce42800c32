"""Know the org's objects and fields: declared ones, those of every object, and custom fields created by clients."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration, Schema, load
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.state import Record, State

COLUMNS = {
    "Id": "id",
    "IsDeleted": "deleted",
    "CreatedDate": "created_us",
    "LastModifiedDate": "modified_us",
    "SystemModstamp": "modified_us",
    "MasterRecordId": "merged_into",
}
"""Fields kept in columns of the state, not in the document."""

USER_FIELDS = ("CreatedById", "LastModifiedById", "OwnerId")
STANDARD_ELSEWHERE = frozenset(
    (
        "asset", "attachment", "campaign", "campaignmember", "case", "casecomment", "contentdocument", "contentversion",
        "contract", "emailmessage", "event", "fieldpermissions", "group", "individual", "lead", "opportunity", "order",
        "organization", "permissionset", "permissionsetassignment", "pricebook2", "product2", "profile", "quote",
        "recordtype", "solution", "task", "user", "userrole",
    )
)  # fmt: skip
"""Objects that every real org has and this one does not: asking for them is unsupported, not an error of the client."""


def _technical() -> dict[str, FieldDeclaration]:
    def read_only(name: str, type_: str, **extra: Any) -> FieldDeclaration:
        return FieldDeclaration(name, type_, label=name, read_only=True, extra=extra)

    user = {"target": "User"}
    return {
        "Id": FieldDeclaration("Id", "id", label="Record ID", max_length=18, read_only=True),
        "IsDeleted": read_only("IsDeleted", "boolean"),
        "OwnerId": FieldDeclaration("OwnerId", "reference", label="Owner ID", extra={**user, "relationship": "Owner"}),
        "CreatedDate": read_only("CreatedDate", "datetime"),
        "CreatedById": read_only("CreatedById", "reference", relationship="CreatedBy", **user),
        "LastModifiedDate": read_only("LastModifiedDate", "datetime"),
        "LastModifiedById": read_only("LastModifiedById", "reference", relationship="LastModifiedBy", **user),
        "SystemModstamp": read_only("SystemModstamp", "datetime"),
    }


class Org:
    """The objects of one org; names are found whatever their case, and given back as declared."""

    def __init__(self, state: State, faults: Faults) -> None:
        self.state = state
        self.faults = faults
        self.schema = Schema(state, load(Path(__file__).with_name("declarations.toml")), fold_unique=True)

    def object(self, name: str) -> str | None:
        """Return the object's declared name, None where there is none."""
        wanted = name.casefold()
        return next((one for one in self.schema.objects if one.casefold() == wanted), None)

    def label(self, sobject: str, key: str) -> Any:
        """Return a fact about an object: label, plural, prefix, name_field, merges."""
        return self.schema.object(sobject).extra.get(key)

    def fields(self, sobject: str) -> dict[str, FieldDeclaration]:
        """Return the fields that the client may see, technical ones first."""
        out = _technical()
        if self.label(sobject, "merges"):
            extra = {"target": sobject, "relationship": "MasterRecord"}
            out["MasterRecordId"] = FieldDeclaration(
                "MasterRecordId", "reference", label="Master Record ID", read_only=True, extra=extra
            )
        out |= self.schema.fields(sobject)
        hidden = self.faults.knob("hidden_fields", ())
        return {name: one for name, one in out.items() if f"{sobject}.{name}" not in hidden}

    def field(self, sobject: str, name: str) -> FieldDeclaration | None:
        """Return a visible field by its name in any case."""
        fields = self.fields(sobject)
        if name in fields:
            return fields[name]
        wanted = name.casefold()
        return next((one for key, one in fields.items() if key.casefold() == wanted), None)

    def relationship(self, sobject: str, name: str) -> FieldDeclaration | None:
        """Return the reference field that a relationship name (Account, ReportsTo, Parent__r) stands for."""
        wanted = name.casefold()
        for one in self.fields(sobject).values():
            if one.type == "reference" and str(one.extra.get("relationship", "")).casefold() == wanted:
                return one
        return None

    def prefix_object(self, record_id: str) -> str | None:
        """Return the object that a record id belongs to."""
        return next((one for one in self.schema.objects if self.label(one, "prefix") == record_id[:3]), None)

    def new_id(self, sobject: str) -> str:
        """Return the next record id of an object."""
        number = self.state.next_number(f"id:{sobject}")
        made = ids.make(self.label(sobject, "prefix"), number)
        while self.state.get(sobject, made) is not None:  # the seeder numbers its records itself
            number = self.state.next_number(f"id:{sobject}", 1000)
            made = ids.make(self.label(sobject, "prefix"), number + 999)
        return made

    def value(self, sobject: str, record: Record, field: FieldDeclaration) -> Any:
        """Return what the API shows of a field."""
        name = field.name
        if name == "Id":
            return record.id
        if name == "IsDeleted":
            return record.deleted
        if name == "MasterRecordId":
            return record.merged_into
        if name in COLUMNS:
            return stamp(record.created_us if name == "CreatedDate" else record.modified_us)
        if field.extra.get("computed"):
            parts = (record.values.get(part) for part in ("FirstName", "LastName"))
            return " ".join(part for part in parts if part) or None
        if name in USER_FIELDS:
            return record.values.get(name) or ids.lengthen(ids.USER)
        value = record.values.get(name)
        if value is None and field.type == "boolean":
            return False
        return value


def stamp(microseconds: int) -> str:
    """Write a stamp as the JSON of the API does: UTC, milliseconds, +0000."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_utc(seconds)}.{rest // 1000:03d}+0000"


def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
