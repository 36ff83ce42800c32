"""Write records as CSV: every value quoted, null as "", datetimes with Z, parents' fields as Account.Name.

Source: Bulk API 2.0 guide, Get Results for a Query Job, Valid CSV Record Rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce.failures import Problem
from crm_sync.emulators.salesforce.moments import zulu
from crm_sync.emulators.salesforce.reading import CREATED, DELETED, DOC, ID, MODIFIED, Row
from crm_sync.emulators.salesforce.rendering import Shape, read
from crm_sync.emulators.salesforce.resolving import Path
from crm_sync.emulators.salesforce.schema import Org, relationship_name

Cell = Callable[[Row, Mapping[str, Any]], str]
DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
CHUNK = 2000


class Table:
    """The columns of a result, and how its rows are written."""

    def __init__(self, org: Org, sobject: str, paths: Sequence[Path], delimiter: str, ending: str) -> None:
        self.org, self.sobject, self.paths = org, sobject, paths
        self.between = f'"{delimiter}"'
        self.end = '"' + ending
        self.nested = any(len(path) > 1 or path[0].extra.get("via") for path in paths)

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return [column_name(path) for path in self.paths]

    def header(self) -> bytes:
        """Return the header row."""
        return f'"{self.between.join(self.names)}{self.end}'.encode()

    def rows(self, records: Iterable[Row]) -> Iterator[bytes]:
        """Yield a row a record."""
        if self.nested:
            yield from self._nested(records)
            return
        cells = [cell(path[0]) for path in self.paths]
        between, end, decode = self.between, self.end, orjson.loads
        for record in records:
            values = decode(record[DOC])
            texts = [show(record, values) for show in cells]
            if '\\"' in record[DOC]:
                texts = [text.replace('"', '""') for text in texts]
            yield f'"{between.join(texts)}{end}'.encode()

    def _nested(self, records: Iterable[Row]) -> Iterator[bytes]:
        shape = Shape(self.org, self.sobject, "")
        for path in self.paths:
            shape.add(path)
        ways = [([*(relationship_name(one) for one in path[:-1]), path[-1].name], path[-1]) for path in self.paths]
        chunk: list[Row] = []
        for record in records:
            chunk.append(record)
            if len(chunk) == CHUNK:
                yield from self._walked(shape.rows(chunk), ways)
                chunk = []
        yield from self._walked(shape.rows(chunk), ways)

    def _walked(
        self, rows: Sequence[dict[str, Any]], ways: Sequence[tuple[list[str], FieldDeclaration]]
    ) -> Iterator[bytes]:
        for row in rows:
            texts = []
            for names, field in ways:
                value: Any = row
                for name in names:
                    value = value.get(name) if value else None
                texts.append(text_of(field, value).replace('"', '""'))
            yield f'"{self.between.join(texts)}{self.end}'.encode()


def column_name(path: Path) -> str:
    """Return the name of a column: Email, Account.Name."""
    return ".".join([*(relationship_name(one) for one in path[:-1]), path[-1].name])


def cell(field: FieldDeclaration) -> Cell:
    """Return how a field of its own becomes a text."""
    name = field.name
    if name == "Id":
        return lambda row, values: row[ID]
    if name == "IsDeleted":
        return lambda row, values: "true" if row[DELETED] else "false"
    if name in ("LastModifiedDate", "SystemModstamp"):
        return lambda row, values: zulu(row[MODIFIED])
    if name == "CreatedDate":
        return lambda row, values: zulu(row[CREATED])
    get = read(field)
    if field.type in ("boolean", "datetime", "int", "double", "currency", "percent"):
        return lambda row, values: text_of(field, get(row, values))
    if field.extra.get("computed") or name in ("MasterRecordId", "OwnerId", "CreatedById", "LastModifiedById"):
        return lambda row, values: get(row, values) or ""
    return lambda row, values: values.get(name) or ""


def text_of(field: FieldDeclaration, value: Any) -> str:
    """Return a JSON value as CSV has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if field.type == "datetime":
        return str(value).replace("+0000", "Z")
    return str(value)


def quoted(texts: Sequence[str], delimiter: str = ",", ending: str = "\n") -> bytes:
    """Return one row of texts, every one quoted."""
    inner = f'"{delimiter}"'.join(text.replace('"', '""') for text in texts)
    return f'"{inner}"{ending}'.encode()


def error_text(problem: Problem) -> str:
    """Return an error as the results of both APIs have it: CODE:message:FIELDS --."""
    fields = ",".join(problem.fields or ())
    return f"{problem.code}:{problem.message}:{fields} --" if fields else f"{problem.code}:{problem.message}:--"
