"""Take addresses apart: set, key, what follows; and find the row that a key means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.protocol import SERVICE_PATH, ODataError, Unsupported, no_row, no_segment
from crm_sync.emulators.dynamics.tables import GUID, Column, Table, Tables, incoming
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
    """What a key means: an id, or an alternate key's column and value."""

    id: str | None
    column: Column | None
    value: Any
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
            return RowKey(text.lower(), None, None, text)
        pairs = PAIR.findall(text)
        if not pairs:
            raise ODataError(400, "0x80060888", f"The key value '{text}' is not a guid or a list of key columns.")
        if len(pairs) > 1:
            raise Unsupported("alternate keys of several columns")
        name, literal = pairs[0]
        if name == table.id:
            if not GUID.fullmatch(literal):
                raise ODataError(400, "0x80060888", f"The key value '{literal}' is not a guid.")
            return RowKey(literal.lower(), None, None, text)
        if name not in self._keys.active_columns(table.logical):
            raise ODataError(
                400, "0x80060888", f"The property '{name}' is not part of an active alternate key of {table.logical}."
            )
        column = table.column(name)
        value: Any = literal[1:-1].replace("''", "'") if literal.startswith("'") else literal
        if not column.textual and str(value).isdigit():
            value = int(value)
        return RowKey(None, column, incoming(table, column, value), text)

    def find(self, table: Table, key: RowKey) -> Record | None:
        """Return the live row of a key, or None."""
        if key.id is not None:
            record = self._state.get(table.logical, key.id)
            return record if record is not None and not record.deleted else None
        assert key.column is not None
        return self._state.find_unique(table.logical, key.column.logical, key.value)

    def existing(self, table: Table, key: RowKey) -> Record:
        """Return the live row of a key. Raises ODataError 404."""
        record = self.find(table, key)
        if record is not None:
            return record
        if key.id is not None:
            raise no_row(table.logical, key.id)
        raise ODataError(404, "0x80060891", "A record with the specified key values does not exist in " + table.logical)

    def target(self, text: Any, wanted: str) -> str:
        """Return the id that a bind means: "/accounts(g)", "accounts(g)", or the whole address. Raises ODataError."""
        if not isinstance(text, str):
            raise ODataError(400, "0x80048d19", "The value of an odata.bind must be the address of a row or null.")
        path = text
        if path.startswith(("https://", "http://")):
            parts = urlsplit(path)
            if f"{parts.scheme}://{parts.netloc}" != self._url:
                raise ODataError(400, "0x80048d19", "An odata.bind leads to another environment.")
            path = parts.path
        path = path.removeprefix(SERVICE_PATH).removeprefix("/")
        found = resource(path)
        table = self._tables.by_set(found.name)
        if found.key is None or found.rest:
            raise ODataError(400, "0x80048d19", "An odata.bind must name one row.")
        if table.logical != wanted:
            raise ODataError(
                400, "0x80048d19", f"A row of {wanted} was expected in an odata.bind, not of {table.logical}."
            )
        return self.existing(table, self.row_key(table, found.key)).id
