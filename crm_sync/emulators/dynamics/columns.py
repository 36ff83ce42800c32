"""The columns of a table: those declared and those that every table has, each with its reader and its SQL.

In the SQL of a column `{t}` stands for the alias of the row's table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.state import Record

FULL_NAME: Final = ("firstname", "middlename", "lastname")
POINTING: Final = frozenset({"Lookup", "Customer", "Owner"})
Read = Callable[[Record], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `name` as in $select, `logical` as stored; `read` gives its value as JSON."""

    name: str
    logical: str
    kind: str
    sql: str
    declaration: FieldDeclaration
    read: Read = field(compare=False)
    navigation: Mapping[str, str] = field(default_factory=dict, hash=False)

    def at(self, alias: str = "record") -> str:
        """Return its SQL expression over a row of `record` under that alias."""
        return self.sql.replace("{t}", alias)

    @property
    def textual(self) -> bool:
        """Tell whether comparisons ignore case."""
        return self.kind in ("String", "Memo", "EntityName", "MultiSelectPicklist")

    @property
    def targets(self) -> Mapping[str, str]:
        """Return navigation property -> target table (lookups only)."""
        return self.navigation

    @property
    def date_only(self) -> bool:
        """Tell whether it is a calendar date."""
        return self.declaration.extra.get("behavior") == "DateOnly"

    @property
    def moment(self) -> bool:
        """Tell whether SQL sees it as microseconds (the stamps), not as text."""
        return self.name in ("createdon", "modifiedon")

    def points_to(self, alias: str, target: str) -> str:
        """Return the SQL condition that a filled lookup points to that table."""
        tables = list(self.navigation.values())
        if len(tables) == 1:
            return "1"
        kind = stored(f"{self.logical}@type").replace("{t}", alias)
        return f"{kind} IS NULL" if tables[0] == target else f"{kind} = '{target}'"


def stored(name: str) -> str:
    """Return the SQL of one stored value."""
    if '"' in name or "'" in name:
        raise ValueError(f"{name!r} is no column name")
    return f"json_extract({{t}}.doc, '$.\"{name}\"')"


def columns_of(
    logical: str, extra: Mapping[str, Any], fields: Mapping[str, FieldDeclaration], fixed: Mapping[str, str]
) -> list[Column]:
    """Return the columns of a table; `fixed` is table -> the row that owners and currencies point to by default."""
    id = extra["id"]
    out = [
        Column(id, id, "Uniqueidentifier", "{t}.id", FieldDeclaration(id, "Uniqueidentifier"), lambda r: r.id),
        Column("createdon", "createdon", "DateTime", "{t}.created_us", _locked("createdon", "DateTime"), _created),
        Column("modifiedon", "modifiedon", "DateTime", "{t}.modified_us", _locked("modifiedon", "DateTime"), _modified),
        Column(
            "versionnumber", "versionnumber", "BigInt", "{t}.seq", _locked("versionnumber", "BigInt"), lambda r: r.seq
        ),
    ]
    for one in fields.values():
        out.append(_declared(one))
        if one.type == "Money":
            base = _locked(f"{one.name}_base", "Money", schema_name=f"{one.extra.get('schema_name', one.name)}_Base")
            out.append(Column(base.name, base.name, "Money", stored(one.name), base, _stored_value(one.name, None)))
    out += _always(logical, extra, fields, fixed)
    return out


def _always(
    logical: str, extra: Mapping[str, Any], fields: Mapping[str, FieldDeclaration], fixed: Mapping[str, str]
) -> list[Column]:
    set_name = extra["set_name"]
    user, unit = fixed["systemuser"], fixed["businessunit"]
    out = [
        _pointer("createdby", "systemuser", f"lk_{logical}base_createdby", user),
        _pointer("modifiedby", "systemuser", f"lk_{logical}base_modifiedby", user),
    ]
    if extra.get("owned", True):
        out += [
            _pointer("ownerid", "systemuser", f"owner_{set_name}", user, kind="Owner", read_only=False),
            _pointer("owninguser", "systemuser", f"user_{set_name}", user, of="ownerid"),
            _pointer("owningbusinessunit", "businessunit", f"business_unit_{set_name}", unit),
            _plain("overriddencreatedon", "DateTime", "OverriddenCreatedOn", create_only=True),
            _plain("importsequencenumber", "Integer", "ImportSequenceNumber", create_only=True),
        ]
    if logical == "contact":
        out += [_half("accountid", "account"), _half("parentcontactid", "contact")]
    if logical == "systemuser":
        owner = _locked("ownerid", "Uniqueidentifier", schema_name="OwnerId")
        out.append(Column("ownerid", "ownerid", "Uniqueidentifier", "{t}.id", owner, lambda r: r.id))
    if any(one.type == "Money" for one in fields.values()):
        name = f"transactioncurrency_{logical}"
        out.append(_pointer("transactioncurrencyid", "transactioncurrency", name, None, read_only=False))
    return out


def _locked(name: str, kind: str, **extra: Any) -> FieldDeclaration:
    return FieldDeclaration(name, kind, read_only=True, extra=extra)


def _plain(name: str, kind: str, schema_name: str, **extra: Any) -> Column:
    one = FieldDeclaration(name, kind, extra={"schema_name": schema_name, **extra})
    return Column(name, name, kind, stored(name), one, _stored_value(name, None))


def _pointer(
    name: str,
    target: str,
    collection: str,
    default: str | None,
    *,
    kind: str = "Lookup",
    read_only: bool = True,
    of: str | None = None,
) -> Column:
    """Return a lookup that every table has; `of` is the column whose value it repeats."""
    extra = {"collections": {target: collection}, "navigation": {name: target}}
    one = FieldDeclaration(name, kind, read_only=read_only, extra=extra)
    sql = stored(of or name)
    if default is not None:
        sql = f"coalesce({sql}, '{default}')"
    return Column(f"_{name}_value", name, kind, sql, one, _stored_value(of or name, default), {name: target})


def _half(name: str, target: str) -> Column:
    """Return a lookup of contacts that shows their parent customer, where that is of the table `target`."""
    one = FieldDeclaration(name, "Lookup", read_only=True, extra={"navigation": {name: target}})
    kind = f"coalesce({stored('parentcustomerid@type')}, 'account')"
    sql = f"CASE WHEN {kind} = '{target}' THEN {stored('parentcustomerid')} END"

    def read(record: Record) -> Any:
        return (
            record.values.get("parentcustomerid") if _type_of(record, "parentcustomerid", "account") == target else None
        )

    return Column(f"_{name}_value", name, "Lookup", sql, one, read, {name: target})


def _declared(one: FieldDeclaration) -> Column:
    pointing = one.type in POINTING
    name = f"_{one.name}_value" if pointing else one.name
    navigation: Mapping[str, str] = one.extra.get("navigation", {})
    return Column(name, one.name, one.type, _sql(one), one, _reader(one), navigation)


def _reader(one: FieldDeclaration) -> Read:
    if one.name == "fullname":
        return _full_name
    if "constant" in one.extra:
        constant = one.extra["constant"]
        return lambda _: constant
    if "type_of" in one.extra:
        pointer = one.extra["type_of"]
        return lambda record: _type_of(record, pointer, one.extra["first"])
    if one.extra.get("write_only"):
        return lambda _: None
    return _stored_value(one.name, one.default)


def _type_of(record: Record, pointer: str, first: str) -> str | None:
    if record.values.get(pointer) is None:
        return None
    kind: str = record.values.get(f"{pointer}@type") or first
    return kind


def _stored_value(name: str, default: Any) -> Read:
    if default is None:
        return lambda record: record.values.get(name)

    def read(record: Record) -> Any:
        value = record.values.get(name, default)
        return default if value is None and isinstance(default, str) else value

    return read


def _full_name(record: Record) -> str | None:
    values = record.values
    return " ".join(part for key in FULL_NAME if (part := values.get(key))) or None


def _created(record: Record) -> str:
    return datetime.fromtimestamp(record.created_us // 1_000_000, UTC).isoformat()[:19] + "Z"


def _modified(record: Record) -> str:
    return datetime.fromtimestamp(record.modified_us // 1_000_000, UTC).isoformat()[:19] + "Z"


def _sql(one: FieldDeclaration) -> str:
    if one.name == "fullname":
        parts = " || ' ' || ".join(f"coalesce({stored(name)}, '')" for name in FULL_NAME)
        return f"nullif(trim(replace({parts}, '  ', ' ')), '')"
    if "constant" in one.extra:
        return f"'{one.extra['constant']}'"
    if "type_of" in one.extra:
        pointer, first = one.extra["type_of"], one.extra["first"]
        kind = f"coalesce({stored(pointer + '@type')}, '{first}')"
        return f"CASE WHEN {stored(pointer)} IS NULL THEN NULL ELSE {kind} END"
    if one.extra.get("write_only"):
        return "NULL"
    if one.default is None:
        return stored(one.name)
    kept = stored(one.name).replace("json_extract", "json_type", 1)
    return f"CASE WHEN {kept} IS NULL THEN {int(one.default)} ELSE {stored(one.name)} END"
