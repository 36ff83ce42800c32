"""Show rows as JSON: minimal metadata, and the annotations that a client asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from crm_sync.emulators.dynamics.protocol import includes
from crm_sync.emulators.dynamics.tables import CHOICES, LOOKUPS, Column, Table, Tables
from crm_sync.emulators.state import Record, State

CRM: Final = "Microsoft.Dynamics.CRM."
FORMATTED: Final = "OData.Community.Display.V1.FormattedValue"
NAVIGATION: Final = f"{CRM}associatednavigationproperty"
LOGICAL_NAME: Final = f"{CRM}lookuplogicalname"
SYMBOL: Final = "$"


class Wanted:
    """Which annotations of a row a client asked for: the value of odata.include-annotations."""

    def __init__(self, text: str | None) -> None:
        self.formatted, self.navigation, self.logical = (
            includes(text, name) for name in (FORMATTED, NAVIGATION, LOGICAL_NAME)
        )
        self.any = bool(text and text.strip())


class Annotator:
    """Turns records into rows."""

    def __init__(self, state: State, tables: Tables) -> None:
        self._state = state
        self._tables = tables

    def rows(
        self, table: Table, columns: Sequence[Column], records: Sequence[Record], wanted: str | None
    ) -> list[dict[str, Any]]:
        """Return rows with the chosen columns; `wanted` is the value of odata.include-annotations."""
        asked = Wanted(wanted)
        if not asked.any:
            readers = [(column.name, shown(column)) for column in columns]
            return [
                {"@odata.etag": f'W/"{record.seq}"', **{name: read(record) for name, read in readers}}
                for record in records
            ]
        names = self._names(columns, records) if asked.formatted else {}
        return [self._annotated(columns, record, asked, names) for record in records]

    def _annotated(
        self, columns: Sequence[Column], record: Record, asked: Wanted, names: dict[tuple[str, str], str]
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"@odata.etag": f'W/"{record.seq}"'}
        for column in columns:
            value = column.read(record)
            if value is not None and column.kind in LOOKUPS:
                target = self._tables.target(record, column)
                if asked.formatted and (target, value) in names:
                    row[f"{column.name}@{FORMATTED}"] = names[target, value]
                if asked.navigation:
                    row[f"{column.name}@{NAVIGATION}"] = next(n for n, t in column.targets.items() if t == target)
                if asked.logical:
                    row[f"{column.name}@{LOGICAL_NAME}"] = target
            elif value is not None and asked.formatted:
                text = formatted(column, value)
                if text is not None:
                    row[f"{column.name}@{FORMATTED}"] = text
            row[column.name] = decimal(value) if column.kind == "Money" and value is not None else value
        return row

    def _names(self, columns: Sequence[Column], records: Sequence[Record]) -> dict[tuple[str, str], str]:
        """Return (table, id) -> primary name of everything that the rows point to."""
        wanted: dict[str, set[str]] = {}
        for column in columns:
            if column.kind not in LOOKUPS:
                continue
            for record in records:
                value = column.read(record)
                if value is not None:
                    wanted.setdefault(self._tables.target(record, column), set()).add(value)
        return {
            (logical, id): self._tables.name_of(record)
            for logical, ids in wanted.items()
            for id, record in self._state.get_many(logical, list(ids)).items()
        }


def shown(column: Column) -> Callable[[Record], Any]:
    """Return what reads a column as the answer shows it: money with its four digits."""
    if column.kind != "Money":
        return column.read
    read = column.read

    def money(record: Record) -> Any:
        value = read(record)
        return None if value is None else decimal(value)

    return money


def decimal(value: float | Decimal, digits: int = 4) -> orjson.Fragment:
    """Return a number with its digits behind the point, as Dataverse writes money and sums."""
    return orjson.Fragment(f"{value:.{digits}f}".encode())


def formatted(column: Column, value: Any) -> str | None:
    """Return how Dataverse's screen shows a value; None where it adds no annotation."""
    kind = column.kind
    if kind in CHOICES:
        return column.declaration.options.get(str(value))
    if kind == "MultiSelectPicklist":
        return "; ".join(column.declaration.options.get(one, one) for one in value.split(","))
    if kind == "Boolean":
        labels = column.declaration.extra.get("labels", ("No", "Yes"))
        return str(labels[bool(value)])
    if kind == "Money":
        return f"{SYMBOL}{value:,.2f}"
    if kind == "Integer":
        return f"{value:,}"
    if kind in ("Decimal", "Double"):
        return f"{value:,.2f}"
    if kind == "BigInt":
        return str(value)
    if kind == "DateTime":
        year, month, day = value[:10].split("-")
        day_text = f"{int(month)}/{int(day)}/{year}"
        if column.date_only:
            return day_text
        hour, minute = int(value[11:13]), value[14:16]
        return f"{day_text} {(hour + 11) % 12 + 1}:{minute} {'AM' if hour < 12 else 'PM'}"
    return None


def select(table: Table, text: str | None) -> list[Column]:
    """Return the columns of a $select (all without one).

    The primary key is always among them, with money also the currency, and with users also `ownerid`.
    """
    if text is None or not text.strip():
        return list(table.columns.values())
    names = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    chosen = [table.column(name) for name in names]
    more = [table.id]
    if any(column.kind == "Money" for column in chosen):
        more.append("_transactioncurrencyid_value")
    if table.logical == "systemuser":
        more.append("ownerid")
    return chosen + [table.column(name) for name in more if name not in names and name in table.columns]


def context(root: str, table: Table, chosen: str | None, suffix: str, expanded: Iterable[str] = ()) -> str:
    """Return @odata.context of rows; `expanded` are the expanded properties with their own columns."""
    names = ",".join([*([chosen] if chosen else []), *expanded])
    return f"{root}$metadata#{table.set_name}{f'({names})' if names else ''}{suffix}"
