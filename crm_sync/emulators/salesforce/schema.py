"""Know the org's objects and fields: declared ones, those of every object, and custom fields created by clients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from crm_sync.emulators.declarations import FieldDeclaration, ObjectDeclaration, Schema, load
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.state import State, field_sql

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
ADDRESS_PARTS = ("Street", "City", "State", "PostalCode", "Country")
STANDARD_ELSEWHERE = frozenset(
    (
        "asset", "attachment", "campaign", "campaignmember", "contentdocument", "contentversion", "contract",
        "entitydefinition", "fielddefinition", "fieldpermissions", "group", "loginhistory", "opportunitylineitem",
        "order", "permissionset", "permissionsetassignment", "pricebook2", "product2", "profile",
        "quote", "recordtype", "solution", "userrole",
    )
)  # fmt: skip
"""Objects that every real org has and this one does not: asking for them is unsupported, not an error of the client."""


def _technical() -> dict[str, FieldDeclaration]:
    def read_only(name: str, type_: str, **extra: Any) -> FieldDeclaration:
        label = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
        return FieldDeclaration(name, type_, label=label, read_only=True, extra=extra)

    user = {"target": "User", "children": ""}
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


def targets(field: FieldDeclaration) -> tuple[str, ...]:
    """Return the objects that a reference may lead to; several where it is polymorphic."""
    given = field.extra.get("target", ())
    return (given,) if isinstance(given, str) else tuple(given)


def complete(number: int, declared: ObjectDeclaration) -> ObjectDeclaration:
    """Fill what a custom object's declaration leaves out: the prefix of the n-th of them, labels, the name field."""
    extra = dict(declared.extra)
    extra.setdefault("label", declared.name.removesuffix("__c").replace("_", " "))
    extra.setdefault("plural", f"{extra['label']}s")
    extra.setdefault("prefix", f"a{number:02}")
    fields = dict(declared.fields)
    if declared.name.endswith("__c"):
        fields = {"Name": FieldDeclaration("Name", "string", label=f"{extra['label']} Name", max_length=80), **fields}
        extra.setdefault("name_field", "Name")
    return ObjectDeclaration(declared.name, fields, extra)


class Org:
    """The objects of one org; names are found whatever their case, and given back as declared."""

    def __init__(self, state: State, faults: Faults, declared: Mapping[str, ObjectDeclaration] | None = None) -> None:
        """Open the org; `declared` takes the place of the declarations that come with the package."""
        self.state = state
        self.faults = faults
        found = declared if declared is not None else load(Path(__file__).with_name("declarations.toml"))
        custom = [name for name, one in found.items() if "prefix" not in one.extra]
        objects = {n: complete(custom.index(n) if n in custom else 0, one) for n, one in found.items()}
        self.schema = Schema(state, objects, fold_unique=True)
        self._names = {name.casefold(): name for name in objects}
        self._extra = {name: one.extra for name, one in objects.items()}
        self._prefixes = {str(one.extra["prefix"]): name for name, one in objects.items()}
        self._fields: dict[str, tuple[Any, Any, dict[str, FieldDeclaration], dict[str, FieldDeclaration]]] = {}
        for name in objects:
            self.index(name)
        self._born_with("User", ids.USER, self._first_user())
        self._born_with("Organization", ids.ORG, {
            "Name": "Acme", "OrganizationType": "Developer Edition", "InstanceName": "EMU1", "IsSandbox": False,
            "DefaultLocaleSidKey": "en_US", "LanguageLocaleKey": "en_US", "TimeZoneSidKey": "GMT",
            "FiscalYearStartMonth": 1, "Country": "US", "PrimaryContact": "Integration User",
        })  # fmt: skip

    def _born_with(self, sobject: str, short_id: str, values: dict[str, Any]) -> None:
        """Create a record that every org has."""
        record_id = ids.lengthen(short_id)
        if sobject in self._extra and self.state.get(sobject, record_id) is None:
            self.state.insert(sobject, record_id, values)

    @staticmethod
    def _first_user() -> dict[str, Any]:
        """Return the user that clients act as."""
        return {
            "Username": "integration@acme.example", "LastName": "User", "FirstName": "Integration", "Alias": "integ",
            "Email": "integration@acme.example", "IsActive": True, "TimeZoneSidKey": "GMT", "LocaleSidKey": "en_US",
            "LanguageLocaleKey": "en_US", "EmailEncodingKey": "UTF-8", "ProfileId": ids.lengthen("00eHs0000000001"),
            "UserType": "Standard", "CommunityNickname": "integration",
        }  # fmt: skip

    def index(self, sobject: str) -> None:
        """Have SQLite find records by what they refer to, and by the fields that clients look records up with."""
        with self.state.transaction() as db:
            db.execute("DROP INDEX IF EXISTS sf_live")  # as record_by_id
            for field in self.schema.fields(sobject).values():
                column = field_sql(field.name)
                if not (field.type == "reference" or key_field(field)) or field.extra.get("via"):
                    continue
                expression = column if field.type in ("reference", "double") else f"fold({column})"
                db.execute(
                    f"CREATE INDEX IF NOT EXISTS sf_{sobject}_{field.name} ON record ({expression})"
                    f" WHERE object = '{sobject}'"
                )

    def object(self, name: str) -> str | None:
        """Return the object's declared name, None where there is none."""
        return self._names.get(name.casefold())

    def label(self, sobject: str, key: str) -> Any:
        """Return a fact about an object: label, plural, prefix, name_field, merges, archives, ..."""
        return self._extra[sobject].get(key)

    def never(self, sobject: str) -> tuple[str, ...]:
        """Return the flags of a describe that an object lacks: createable, deletable, ..."""
        return tuple(self.label(sobject, "never") or ())

    def fields(self, sobject: str) -> dict[str, FieldDeclaration]:
        """Return the fields that the client may see, technical ones first (do not change it)."""
        return self._seen(sobject)[0]

    def _seen(self, sobject: str) -> tuple[dict[str, FieldDeclaration], dict[str, FieldDeclaration]]:
        declared, hidden = self.schema.fields(sobject), self.faults.knob("hidden_fields", ())
        cached = self._fields.get(sobject)
        if cached is not None and cached[0] is declared and cached[1] == hidden:
            return cached[2], cached[3]
        without = self.label(sobject, "without") or ()
        out = {name: one for name, one in _technical().items() if name not in without}
        if self.label(sobject, "merges"):
            extra = {"target": sobject, "relationship": "MasterRecord", "children": ""}
            out["MasterRecordId"] = FieldDeclaration(
                "MasterRecordId", "reference", label="Master Record ID", read_only=True, extra=extra
            )
        for name, one in declared.items():
            out[name] = one
            compound = str(one.extra.get("compound", ""))
            if compound.endswith("Address") and name.endswith("Country"):
                label = one.label.removesuffix("Country") + "Address"
                out[compound] = FieldDeclaration(compound, "address", label=label, read_only=True)
        out = {name: one for name, one in out.items() if f"{sobject}.{name}" not in hidden}
        folded = {name.casefold(): one for name, one in out.items()}
        self._fields[sobject] = (declared, hidden, out, folded)
        return out, folded

    def field(self, sobject: str, name: str) -> FieldDeclaration | None:
        """Return a visible field by its name in any case."""
        return self._seen(sobject)[1].get(name.casefold())

    def relationship(self, sobject: str, name: str) -> FieldDeclaration | None:
        """Return the reference field that a relationship name (Account, ReportsTo, Parent__r) stands for."""
        wanted = name.casefold()
        for one in self.fields(sobject).values():
            if one.type == "reference" and relationship_name(one).casefold() == wanted:
                return one
        return None

    def children(self, sobject: str) -> list[tuple[str, FieldDeclaration, str]]:
        """Return (child object, its reference field, relationship name or "") of all that refers to an object."""
        return [
            (child, field, self.child_name(child, field))
            for child in self.schema.objects
            for field in self.schema.fields(child).values()
            if sobject in targets(field)
        ]

    def child_name(self, child: str, field: FieldDeclaration) -> str:
        """Return the name of a relationship as the parent sees it; "" where a parent sees none."""
        given = field.extra.get("children")
        if given is not None:
            return f"{given}__r" if field.name.endswith("__c") and given else str(given)
        plural = re.sub(r"\W+", "", str(self.label(child, "plural")))
        return f"{plural}__r" if field.name.endswith("__c") else plural

    def prefix_object(self, record_id: str) -> str | None:
        """Return the object that a record id belongs to."""
        return self._prefixes.get(record_id[:3])

    def new_ids(self, sobject: str, count: int = 1) -> list[str]:
        """Return the next record ids of an object."""
        prefix = str(self.label(sobject, "prefix"))
        there = "SELECT 1 FROM record WHERE object = ? AND id IN (SELECT value FROM json_each(?)) LIMIT 1"
        while True:
            first = self.state.next_number(f"id:{sobject}", count)
            made = [ids.make(prefix, number) for number in range(first, first + count)]
            if self.state.connection().execute(there, (sobject, orjson.dumps(made).decode())).fetchone() is None:
                return made
            self.state.next_number(f"id:{sobject}", 1000)  # the seeder numbers its records itself

    def add_field(self, sobject: str, field: FieldDeclaration) -> None:
        """Create a custom field. Raises Duplicate where it is unique and the records are not."""
        self.schema.add_field(sobject, field)
        self.index(sobject)


def addresses(field: FieldDeclaration) -> bool:
    """Tell whether calls can name a record by a field. Source: REST API guide, sObject Rows by External ID."""
    return field.name == "Id" or bool(field.extra.get("external_id") or field.extra.get("id_lookup"))


def key_field(field: FieldDeclaration) -> bool:
    """Tell whether records can be looked up by a field."""
    return bool(field.extra.get("external_id") or field.extra.get("id_lookup") or field.unique)


def relationship_name(field: FieldDeclaration) -> str:
    """Return the name by which a child reaches its parent: Account, or Parent__r for Parent__c."""
    given = field.extra.get("relationship")
    if given:
        return str(given)
    return f"{field.name[:-1]}r" if field.name.endswith("__c") else field.name.removesuffix("Id")
