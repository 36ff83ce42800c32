"""Turn fields into SQL expressions, and literals into values that compare with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Unsupported
from crm_sync.emulators.salesforce.reading import doc_sql
from crm_sync.emulators.salesforce.resolving import Path
from crm_sync.emulators.salesforce.schema import COLUMNS, USER_FIELDS, Org, targets

KINDS = {"boolean": "boolean", "int": "number", "double": "number", "currency": "number", "percent": "number"}
COUNTED = {
    "calendar_year": "CAST(strftime('%Y', {}) AS INTEGER)",
    "calendar_month": "CAST(strftime('%m', {}) AS INTEGER)",
    "calendar_quarter": "(CAST(strftime('%m', {}) AS INTEGER) + 2) / 3",
    "day_in_month": "CAST(strftime('%d', {}) AS INTEGER)",
    "day_in_week": "CAST(strftime('%w', {}) AS INTEGER) + 1",
    "day_in_year": "CAST(strftime('%j', {}) AS INTEGER)",
    "hour_in_day": "CAST(strftime('%H', {}) AS INTEGER)",
    "day_only": "strftime('%Y-%m-%d', {})",
}
COUNTED |= {f"fiscal_{unit}": COUNTED[f"calendar_{unit}"] for unit in ("year", "month", "quarter")}


@dataclass(frozen=True, slots=True)
class Column:
    """A field as SQL: expression, declaration, and whether it can be null."""

    sql: str
    field: FieldDeclaration
    nullable: bool

    @property
    def kind(self) -> str:
        """Return the kind of literal that the field compares with."""
        if self.field.type in ("date", "datetime"):
            return self.field.type
        return KINDS.get(self.field.type, "text")

    @property
    def is_id(self) -> bool:
        """Tell whether the field holds record ids."""
        return self.field.type in ("id", "reference")

    @property
    def folds(self) -> bool:
        """Tell whether it compares without regard to case."""
        return self.kind == "text" and not self.is_id

    @property
    def stored_us(self) -> bool:
        """Tell whether it is kept as microseconds."""
        return COLUMNS.get(self.field.name, "").endswith("_us")


def long_text(one: FieldDeclaration) -> bool:
    """Tell whether a field is a long text area, which can be neither filtered nor sorted."""
    return one.type == "address" or (one.type == "textarea" and (one.max_length or 0) > 255)


def column(org: Org, path: Path, table: str, names: Iterator[int]) -> Column:
    """Return a path as SQL; each reference is followed by a look-up of its own."""
    first = path[0]
    if first.extra.get("via") and len(path) == 1:
        reference, _, name = str(first.extra["via"]).partition(".")
        source = next(one for key, one in org.schema.fields(_owner(org, first)).items() if key == reference)
        inner = org.schema.fields(targets(source)[0])[name]
        found = column(org, (source, inner), table, names)
        return Column(found.sql, first, nullable=True)
    if len(path) == 1:
        return own(first, table)
    key = own(first, table).sql
    several = targets(first)
    parent = f"p{next(names)}"
    if len(several) == 1:
        inner_column = column(org, path[1:], parent, names)
        sql, leaf = inner_column.sql, inner_column.field
    else:
        leaf = path[1]
        sql = named(org, several, leaf, parent)
    objects = ", ".join(f"'{one}'" for one in several)
    where = f"{parent}.object IN ({objects}) AND {parent}.id = {key}"
    return Column(f"(SELECT {sql} FROM record {parent} WHERE {where})", leaf, nullable=True)


def _owner(org: Org, field: FieldDeclaration) -> str:
    return next(name for name in org.schema.objects if org.schema.fields(name).get(field.name) is field)


def named(org: Org, several: tuple[str, ...], leaf: FieldDeclaration, table: str) -> str:
    """Return what every possible parent has, such as its name, as SQL."""
    if leaf.name == "Type":
        return f"{table}.object"
    cases = []
    for one in several:
        name = str(org.label(one, "name_field")) if leaf.name == "Name" else leaf.name
        found = org.field(one, name)
        cases.append(f"WHEN '{one}' THEN {own(found, table).sql if found else 'NULL'}")
    return f"CASE {table}.object {' '.join(cases)} END"


def own(one: FieldDeclaration, table: str) -> Column:
    """Return a field of one table as SQL."""
    if one.name in COLUMNS:
        return Column(f"{table}.{COLUMNS[one.name]}", one, nullable=one.name == "MasterRecordId")
    if one.extra.get("computed"):
        first, last = doc_sql(table, "FirstName"), doc_sql(table, "LastName")
        return Column(f"trim(coalesce({first}, '') || ' ' || coalesce({last}, ''))", one, nullable=False)
    doc = doc_sql(table, one.name)
    if one.type == "boolean":
        return Column(f"coalesce({doc}, 0)", one, nullable=False)
    if one.name in USER_FIELDS:
        return Column(f"coalesce({doc}, '{ids.lengthen(ids.USER)}')", one, nullable=False)
    return Column(doc, one, nullable=True)


def counted(name: str, inner: Column) -> Column:
    """Return a date function of a field as SQL."""
    if inner.field.type not in ("date", "datetime"):
        raise Unsupported(f"SOQL {name.upper()} of {inner.field.name}, which is no date")
    if inner.stored_us:
        moment = f"{inner.sql} / 1000000, 'unixepoch'"
    else:
        moment = f"substr({inner.sql}, 1, 19)"
    field = FieldDeclaration(name, "date" if name == "day_only" else "int")
    return Column(f"({COUNTED[name].format(moment)})", field, nullable=inner.nullable)
