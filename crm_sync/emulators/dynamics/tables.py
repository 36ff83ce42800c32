"""Tables and columns as the Web API shows them: names, values out and in, SQL for filters.

A row is stored under logical names; a lookup as the target's guid under the lookup's logical name, with the target's
table under "<name>@type" where it is not the first one declared. Defaults and computed columns need not be stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from crm_sync.emulators.declarations import FieldDeclaration, Schema
from crm_sync.emulators.dynamics.protocol import ODataError, no_property, no_segment, payload_error
from crm_sync.emulators.state import Record, State, field_sql

LOOKUPS = frozenset({"Lookup", "Customer"})
CHOICES = frozenset({"Picklist", "State", "Status"})
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DAY = date(1753, 1, 1)
FULL_NAME = ("firstname", "middlename", "lastname")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `name` as in $select, `logical` as stored; `sql` is its expression over `record`."""

    name: str
    logical: str
    kind: str
    sql: str
    declaration: FieldDeclaration

    @property
    def textual(self) -> bool:
        """Tell whether comparisons ignore case."""
        return self.kind in ("String", "Memo")

    @property
    def targets(self) -> Mapping[str, str]:
        """Return navigation property -> target table (lookups only)."""
        found: Mapping[str, str] = self.declaration.extra.get("navigation", {})
        return found

    @property
    def date_only(self) -> bool:
        """Tell whether it is a calendar date."""
        return self.declaration.extra.get("behavior") == "DateOnly"


@dataclass(frozen=True, slots=True)
class Table:
    """One table as it is now."""

    logical: str
    set_name: str
    id: str
    columns: Mapping[str, Column]
    extra: Mapping[str, Any]

    def column(self, name: str) -> Column:
        """Return the column of that name in $select form; ODataError where there is none."""
        found = self.columns.get(name)
        if found is None:
            raise no_property(name, self.logical)
        return found

    @property
    def navigation(self) -> dict[str, tuple[Column, str]]:
        """Return navigation property -> (its lookup column, target table)."""
        return {nav: (one, target) for one in self.columns.values() for nav, target in one.targets.items()}


class Tables:
    """All tables of the environment."""

    def __init__(self, state: State, schema: Schema) -> None:
        self._state = state
        self._schema = schema
        self._built: dict[str, tuple[Mapping[str, FieldDeclaration], Table]] = {}
        self.user = _kept(state, "user")
        self.organization = _kept(state, "organization")
        self.business_unit = _kept(state, "business_unit")

    @property
    def names(self) -> list[str]:
        """Return the logical names."""
        return self._schema.objects

    def table(self, logical: str) -> Table:
        """Return a table by its logical name; KeyError where there is none."""
        fields = self._schema.fields(logical)
        built = self._built.get(logical)
        if built is None or built[0] is not fields:
            built = self._built[logical] = (fields, self._build(logical, fields))
        return built[1]

    def by_set(self, set_name: str) -> Table:
        """Return a table by its set name; ODataError 404 where there is none."""
        for logical in self.names:
            if self.table(logical).set_name == set_name:
                return self.table(logical)
        raise no_segment(set_name)

    def _build(self, logical: str, fields: Mapping[str, FieldDeclaration]) -> Table:
        extra = self._schema.object(logical).extra
        columns = [
            Column(
                extra["id"], extra["id"], "Uniqueidentifier", "id", FieldDeclaration(extra["id"], "Uniqueidentifier")
            )
        ]
        for name, kind, sql in (
            ("createdon", "DateTime", "created_us"),
            ("modifiedon", "DateTime", "modified_us"),
            ("versionnumber", "BigInt", "seq"),
        ):
            columns.append(Column(name, name, kind, sql, FieldDeclaration(name, kind, read_only=True)))
        for one in fields.values():
            name = f"_{one.name}_value" if one.type in LOOKUPS else one.name
            columns.append(Column(name, one.name, one.type, _sql(one), one))
        owner = FieldDeclaration("ownerid", "Owner", read_only=True)
        columns.append(Column("_ownerid_value", "ownerid", "Owner", f"'{self.user}'", owner))
        return Table(logical, extra["set_name"], extra["id"], {one.name: one for one in columns}, extra)

    # -- values out

    def value(self, record: Record, column: Column) -> Any:
        """Return the value of a column as JSON."""
        name = column.logical
        if column.kind == "Uniqueidentifier":
            return record.id
        if column.kind == "Owner":
            return self.user
        if name == "createdon":
            return stamp(record.created_us)
        if name == "modifiedon":
            return stamp(record.modified_us)
        if name == "versionnumber":
            return record.seq
        if name == "fullname":
            return " ".join(part for key in FULL_NAME if (part := record.values.get(key))) or None
        return record.values.get(name, column.declaration.default)

    def target(self, record: Record, column: Column) -> str:
        """Return the table that a filled lookup points to."""
        if column.kind == "Owner":
            return "systemuser"
        stored: str = record.values.get(f"{column.logical}@type") or next(iter(column.targets.values()))
        return stored


def _kept(state: State, name: str) -> str:
    """Return an id of the environment that is made once."""
    kept: str | None = state.get_meta(f"id:{name}")
    if kept is None:
        kept = str(uuid4())
        state.set_meta(f"id:{name}", kept)
    return kept


def _sql(one: FieldDeclaration) -> str:
    if one.name == "fullname":
        parts = " || ' ' || ".join(f"coalesce({field_sql(name)}, '')" for name in FULL_NAME)
        return f"nullif(trim(replace({parts}, '  ', ' ')), '')"
    if one.default is None:
        return field_sql(one.name)
    kept = field_sql(one.name).replace("json_extract", "json_type", 1)
    return f"CASE WHEN {kept} IS NULL THEN {int(one.default)} ELSE {field_sql(one.name)} END"


def stamp(us: int) -> str:
    """Return a moment as Dataverse writes it: whole seconds, UTC."""
    return (EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_us(text: str) -> int | None:
    """Parse a DateTimeOffset with its zone; None where it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or "T" not in text:
        return None
    return (moment - EPOCH) // timedelta(microseconds=1)


def incoming(table: Table, column: Column, value: Any) -> Any:
    """Check a value of a request body and return it as stored. Raises ODataError."""
    if value is None:
        return None
    kind = column.kind
    if column.textual:
        if not isinstance(value, str):
            raise _wrong_type(table, column, value)
        limit = column.declaration.max_length
        if limit is not None and len(value) > limit:
            raise ODataError(
                400,
                "0x80044331",
                (
                    f"A validation error occurred.  The length of the '{column.logical}' attribute of the "
                    f"'{table.logical}' entity exceeded the maximum allowed length of '{limit}'."
                ),
            )
        return value or None
    if kind == "Boolean":
        if not isinstance(value, bool):
            raise _wrong_type(table, column, value)
        return value
    if kind == "DateTime":
        return _date(table, column, value)
    if kind in ("Integer", "BigInt", *CHOICES):
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_type(table, column, value)
        return _option(table, column, value) if kind in CHOICES else _number(table, column, value)
    if kind in ("Decimal", "Double", "Money"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong_type(table, column, value)
        return _number(table, column, value)
    if kind == "Uniqueidentifier":
        if not isinstance(value, str) or not GUID.fullmatch(value):
            raise _wrong_type(table, column, value)
        return str(UUID(value))
    raise payload_error(
        f"Invalid property '{column.name}' was found in entity 'Microsoft.Dynamics.CRM.{table.logical}'."
    )


def _date(table: Table, column: Column, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_type(table, column, value)
    if column.date_only:
        try:
            day = datetime.strptime(value, "%Y-%m-%d").date() if len(value) == 10 else None
        except ValueError:
            day = None
        stored = value
    else:
        us = moment_us(value)
        day = None if us is None else (EPOCH + timedelta(microseconds=us)).date()
        stored = "" if us is None else stamp(us)
    if day is None:
        raise _wrong_type(table, column, value)
    if day < FIRST_DAY:
        raise ODataError(
            400,
            "0x80040239",
            (
                "DateTime is less than minumum value supported by CrmDateTime. Actual value: "
                f"{value}, Minimum value supported: 01/01/1753 00:00:00"
            ),
        )
    return stored


def _option(table: Table, column: Column, value: int) -> int:
    options = column.declaration.options
    if str(value) not in options:
        raise ODataError(
            400,
            "0x8004431A",
            (
                f"A validation error occurred.  The value {value} of '{column.logical}' on record of type "
                f"'{table.logical}' is outside the valid range. Accepted Values: {','.join(options)}"
            ),
        )
    return value


def _number(table: Table, column: Column, value: float) -> float:
    low = column.declaration.extra.get("minimum", -(2**31))
    high = column.declaration.extra.get("maximum", 2**31 - 1)
    if not low <= value <= high:
        raise ODataError(
            400,
            "0x80044330",
            (
                f"A validation error occurred.  The value of '{column.logical}' on record of type '{table.logical}' "
                "is outside the valid range."
            ),
        )
    return value


def _wrong_type(table: Table, column: Column, value: Any) -> ODataError:
    return payload_error(
        f"Cannot convert the literal '{value}' to the expected type of property '{column.name}' of "
        f"'Microsoft.Dynamics.CRM.{table.logical}' ({column.kind})."
    )
