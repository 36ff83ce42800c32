"""Take addresses apart: set, key, what follows; and find the row that a key means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from crm_sync.emulators.dynamics.keys import Key, Keys, joined, marker
from crm_sync.emulators.dynamics.protocol import ANY_SERVICE_PATH, ODataError, no_row, no_segment
from crm_sync.emulators.dynamics.tables import GUID, LOOKUPS, Column, Table, Tables
from crm_sync.emulators.dynamics.values import incoming
from crm_sync.emulators.state import Record, State

NAME: Final = re.compile(r"[A-Za-z_$][\w.]*")
PAIR: Final = re.compile(r"\s*(\w+)\s*=\s*('(?:[^']|'')*'|[^,']+)\s*(?:,|$)")


@dataclass(frozen=True, slots=True)
class Resource:
    """A path taken apart: `contacts(key)/rest`; `key` is None without parentheses."""

    name: str
    key: str | None
    rest: str


@dataclass(frozen=True, slots=True)
class RowKey:
    """What a key means: an id, or an alternate key with the values of its columns (logical name -> stored value)."""

    id: str | None
    key: Key | None
    values: Mapping[str, Any]
    text: str


def resource(path: str) -> Resource:
    """Take a path below the service root apart; it is still escaped."""
    match = NAME.match(path)
    if match is None:
        raise no_segment(path)
    name, position, key = match.group(), match.end(), None
    if path[position : position + 1] == "(":
        end = _closing(path, position)
        key, position = unquote(path[position + 1 : end]), end + 1
    rest = path[position:]
    if rest and not rest.startswith("/"):
        raise ODataError(400, "0x80060888", f"Error in the URL at '{rest}'.")
    return Resource(name, key, rest.removeprefix("/"))


def _closing(path: str, start: int) -> int:
    quoted = False
    position = start
    while position < len(path):
        if path.startswith("%27", position) or path[position] == "'":
            quoted = not quoted
        elif path[position] == ")" and not quoted:
            return position
        position += 1
    raise ODataError(400, "0x80060888", "Unbalanced parentheses in the URL.")


class Addresses:
    """Finds rows by address."""

    def __init__(self, state: State, tables: Tables, keys: Keys, url: str) -> None:
        self._state = state
        self._tables = tables
        self._keys = keys
        self._url = url

    def row_key(self, table: Table, text: str) -> RowKey:
        """Understand the text between the parentheses. Raises ODataError for what is no key of the table."""
        if GUID.fullmatch(text):
            return RowKey(text.lower(), None, {}, text)
        pairs = PAIR.findall(text)
        if not pairs:
            raise ODataError(400, "0x80060888", f"The key value '{text}' is not a guid or a list of key columns.")
        if len(pairs) == 1 and pairs[0][0] == table.id:
            if not GUID.fullmatch(pairs[0][1]):
                raise ODataError(400, "0x80060888", f"The key value '{pairs[0][1]}' is not a guid.")
            return RowKey(pairs[0][1].lower(), None, {}, text)
        values: dict[str, Any] = {}
        for name, literal in pairs:
            column = table.column(name)
            values[column.logical] = _key_value(table, column, literal)
        key = self._keys.find(table.logical, frozenset(values))
        if key is None:
            raise ODataError(
                400, "0x80060888", f"'{','.join(values)}' is not an active alternate key of {table.logical}."
            )
        return RowKey(None, key, values, text)

    def find(self, table: Table, key: RowKey) -> Record | None:
        """Return the live row of a key, or None."""
        if key.id is not None:
            record = self._state.get(table.logical, key.id)
            return record if record is not None and not record.deleted else None
        assert key.key is not None
        columns = key.key["KeyAttributes"]
        if len(columns) == 1:
            return self._state.find_unique(table.logical, columns[0], key.values[columns[0]])
        text = joined([key.values[name] for name in columns])
        return self._state.find_unique(table.logical, marker(key.key), text)

    def existing(self, table: Table, key: RowKey) -> Record:
        """Return the live row of a key. Raises ODataError 404."""
        record = self.find(table, key)
        if record is not None:
            return record
        if key.id is not None:
            raise no_row(table.logical, key.id)
        raise ODataError(404, "0x80060891", "A record with the specified key values does not exist in " + table.logical)

    def row(self, text: Any) -> tuple[Table, Record]:
        """Return the row of an address: "/accounts(g)", "accounts(g)", or the whole of it. Raises ODataError."""
        if not isinstance(text, str):
            raise ODataError(400, "0x80048d19", "The value of an odata.bind must be the address of a row or null.")
        path = text
        if path.startswith(("https://", "http://")):
            try:
                parts = urlsplit(path)
            except ValueError as error:
                raise ODataError(400, "0x80048d19", f"The value of an odata.bind is no address: {error}.") from None
            if f"{parts.scheme}://{parts.netloc}" != self._url:
                raise ODataError(400, "0x80048d19", "An odata.bind leads to another environment.")
            path = parts.path
        path = ANY_SERVICE_PATH.sub("", path, count=1).removeprefix("/")
        found = resource(path)
        table = self._tables.by_set(found.name)
        if found.key is None or found.rest:
            raise ODataError(400, "0x80048d19", "An odata.bind must name one row.")
        return table, self.existing(table, self.row_key(table, found.key))

    def target(self, text: Any, wanted: str) -> str:
        """Return the id of the row that a bind means, which must be of the table `wanted`. Raises ODataError."""
        table, record = self.row(text)
        if table.logical != wanted:
            raise ODataError(
                400, "0x80048d19", f"A row of {wanted} was expected in an odata.bind, not of {table.logical}."
            )
        return record.id


def _key_value(table: Table, column: Column, literal: str) -> Any:
    """Return one value of an alternate key as it is stored."""
    value: Any = literal[1:-1].replace("''", "'") if literal.startswith("'") else literal
    if column.kind in LOOKUPS:
        if not GUID.fullmatch(value):
            raise ODataError(400, "0x80060888", f"The key value '{value}' is not a guid.")
        return value.lower()
    if not column.textual and re.fullmatch(r"-?\d+(\.\d+)?", value):
        value = float(value) if "." in value else int(value)
    return incoming(table, column, value)
