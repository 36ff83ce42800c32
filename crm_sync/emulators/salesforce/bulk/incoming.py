"""Read the CSV of an ingest job: columns to fields, texts to values; empty is untouched, #N/A is null.

Source: Bulk API 2.0 guide, Prepare CSV Files, Relationship Fields in Records.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce.bulk.jobs import BadJob
from crm_sync.emulators.salesforce.failures import Failure, Invalid, Problem
from crm_sync.emulators.salesforce.schema import Org, targets
from crm_sync.emulators.salesforce.values import convert, parent_by_key

NULL = "#N/A"
LONGEST_HEADER = 32_000

Row = tuple[str | None, dict[str, Any] | Invalid]
"""The record's own id and its values, or why they cannot be read."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: a field, or a reference whose parent is named by a key; `field` is None for the record's own id."""

    name: str
    field: FieldDeclaration | None
    parent: str = ""
    key: str = ""


def lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield lines with their ends from pieces of UTF-8. Raises BadJob."""
    rest = b""
    try:
        for piece in pieces:
            rest += piece
            *whole, rest = rest.split(b"\n")
            for line in whole:
                yield (line + b"\n").decode("utf-8")
        if rest:
            yield rest.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJob(f"ClientInputError : Invalid UTF-8: {error.reason}") from None


def rows_of(found: Iterator[str], delimiter: str, ending: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV, the header first. Raises BadJob."""
    first = next(found, None)
    if first is None:
        raise BadJob("InvalidBatch : Job data is empty")
    if first.startswith("\ufeff"):
        first = first[1:]
    crlf = first.endswith("\r\n")
    if first.endswith("\n") and crlf != (ending == "CRLF"):
        raise BadJob(f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {ending}")
    if len(first) > LONGEST_HEADER:
        raise BadJob(f"InvalidBatch : The header has more than {LONGEST_HEADER} characters")

    def again() -> Iterator[str]:
        yield first
        yield from found

    try:
        yield from (row for row in csv.reader(again(), delimiter=delimiter, strict=True) if row)
    except csv.Error as error:
        raise BadJob(f"ClientInputError : The CSV cannot be parsed: {error}") from None


def columns_of(org: Org, sobject: str, header: Sequence[str]) -> list[Column]:
    """Return what the columns mean. Raises BadJob."""
    return [_column(org, sobject, name.strip()) for name in header]


def _column(org: Org, sobject: str, name: str) -> Column:
    if name.casefold() == "id":
        return Column(name, None)
    field = org.field(sobject, name)
    if field is not None:
        return Column(name, field)
    prefix, _, path = name.rpartition(":")
    relation, _, key = path.partition(".")
    reference = org.relationship(sobject, relation) if key else None
    if reference is not None:
        several = targets(reference)
        parent = org.object(prefix) if prefix else several[0]
        if parent in several and bool(prefix) == (len(several) > 1) and org.field(parent, key) is not None:
            return Column(name, reference, parent, key)
    raise BadJob(f"InvalidBatch : Field name not found : {name}")


def read_row(org: Org, columns: Sequence[Column], row: Sequence[str]) -> Row:
    """Return the id and the values of a row."""
    if len(row) != len(columns):
        text = f"found {len(row)} columns, expected {len(columns)}"
        return None, Invalid(Problem("INVALID_CSV_ROW", text, ()))
    try:
        return _read_row(org, columns, row)
    except Invalid as invalid:
        return None, invalid


def _read_row(org: Org, columns: Sequence[Column], row: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    record_id: str | None = None
    out: dict[str, Any] = {}
    for column, text in zip(columns, row, strict=True):
        if text == "":
            continue
        if column.field is None:
            record_id = text
        elif column.parent:
            out[column.field.name] = None if text == NULL else _parent(org, column, text)
        else:
            out[column.field.name] = value_of(column.field, text)
    return record_id, out


def _parent(org: Org, column: Column, text: str) -> str:
    found = parent_by_key(org, column.parent, column.key, text)
    if found is None:
        raise Invalid(Problem("INVALID_FIELD", f"{column.name} names no external id of {column.parent}", ()))
    return found


def value_of(field: FieldDeclaration, text: str) -> Any:
    """Return a text as a value of a field. Raises Invalid."""
    if text == NULL:
        return False if field.type == "boolean" else None
    value: Any = text
    if field.type == "boolean":
        value = {"true": True, "1": True, "false": False, "0": False}.get(text.strip().casefold(), text)
    elif field.type in ("int", "double", "currency", "percent"):
        value = text.strip()
    try:
        return convert(field, value)
    except Failure:
        problem = Problem("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{text} is not a valid value for the type xsd:"
                          f"{field.type}", (field.name,))  # fmt: skip
        raise Invalid(problem) from None
