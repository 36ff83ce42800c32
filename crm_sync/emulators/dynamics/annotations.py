"""Show rows as JSON: minimal metadata, and the annotations that a client asked for."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from crm_sync.emulators.dynamics.tables import CHOICES, LOOKUPS, Column, Table, Tables
from crm_sync.emulators.state import Record, State

FORMATTED: Final = "OData.Community.Display.V1.FormattedValue"
NAVIGATION: Final = "Microsoft.Dynamics.CRM.associatednavigationproperty"
LOGICAL_NAME: Final = "Microsoft.Dynamics.CRM.lookuplogicalname"


class Annotator:
    """Turns records into rows."""

    def __init__(self, state: State, tables: Tables) -> None:
        self._state = state
        self._tables = tables

    def rows(
        self, table: Table, columns: Sequence[Column], records: Sequence[Record], wanted: str | None
    ) -> list[dict[str, Any]]:
        """Return rows with the chosen columns; `wanted` is the value of odata.include-annotations."""
        patterns = [one.strip() for one in (wanted or "").split(",") if one.strip()]
        formatted, navigation, logical = (
            any(fnmatchcase(name, pattern) for pattern in patterns) for name in (FORMATTED, NAVIGATION, LOGICAL_NAME)
        )
        names = self._names(columns, records) if formatted else {}
        out: list[dict[str, Any]] = []
        for record in records:
            row: dict[str, Any] = {"@odata.etag": f'W/"{record.seq}"'}
            for column in columns:
                value = self._tables.value(record, column)
                if value is not None and column.kind in LOOKUPS:
                    target = self._tables.target(record, column)
                    if formatted and (target, value) in names:
                        row[f"{column.name}@{FORMATTED}"] = names[target, value]
                    if navigation:
                        row[f"{column.name}@{NAVIGATION}"] = next(n for n, t in column.targets.items() if t == target)
                    if logical:
                        row[f"{column.name}@{LOGICAL_NAME}"] = target
                elif value is not None and formatted:
                    text = _formatted(column, value)
                    if text is not None:
                        row[f"{column.name}@{FORMATTED}"] = text
                row[column.name] = value
            out.append(row)
        return out

    def _names(self, columns: Sequence[Column], records: Sequence[Record]) -> dict[tuple[str, str], str]:
        """Return (table, id) -> primary name of everything that the rows point to."""
        wanted: dict[str, set[str]] = {}
        for column in columns:
            if column.kind not in LOOKUPS:
                continue
            for record in records:
                value = self._tables.value(record, column)
                if value is not None:
                    wanted.setdefault(self._tables.target(record, column), set()).add(value)
        out: dict[tuple[str, str], str] = {}
        for logical, ids in wanted.items():
            table = self._tables.table(logical)
            column = table.column(table.extra["primary_name"])
            for id, record in self._state.get_many(logical, list(ids)).items():
                out[logical, id] = self._tables.value(record, column) or ""
        return out


def _formatted(column: Column, value: Any) -> str | None:
    """Return how Dataverse's screen shows a value; None where it adds no annotation."""
    if column.kind in CHOICES:
        return column.declaration.options.get(str(value))
    if column.kind == "Boolean":
        return "Yes" if value else "No"
    if column.kind == "Integer":
        return f"{value:,}"
    if column.kind == "BigInt":
        return str(value)
    if column.kind == "DateTime":
        year, month, day = value[:10].split("-")
        day_text = f"{int(month)}/{int(day)}/{year}"
        if column.date_only:
            return day_text
        hour, minute = int(value[11:13]), value[14:16]
        return f"{day_text} {(hour + 11) % 12 + 1}:{minute} {'AM' if hour < 12 else 'PM'}"
    return None


def context(root: str, table: Table, chosen: str | None, suffix: str) -> str:
    """Return @odata.context of rows."""
    columns = f"({chosen})" if chosen else ""
    return f"{root}$metadata#{table.set_name}{columns}{suffix}"
