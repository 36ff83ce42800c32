"""Bring many values into the server's forms at once: lists as parameters, columns as binary COPY data.

Belongs here: the forms of values. Not here: temporary tables and what is done with them (staging).

The driver's own ways work value by value and cost more than everything else that a batch needs from the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from struct import Struct
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg.abc import Buffer
from psycopg.types.array import ListDumper
from psycopg.types.json import Jsonb

_INT16, _INT32 = Struct(">h").pack, Struct(">i").pack
_SIZED_INT16, _SIZED_INT32, _SIZED_INT64 = Struct(">ih").pack, Struct(">ii").pack, Struct(">iq").pack
_SIZED_DOUBLE: Final = Struct(">id").pack
_NULL: Final = _INT32(-1)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_DAY: Final = _EPOCH.toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
_TEXT_OID: Final = 25
_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL: Final = b"\xff\xff"
_ROWS_A_CHUNK: Final = 200

_SIZES: Final = [_INT32(size) for size in range(4096)]
_HEX: Final = attrgetter("hex")


class PlainListDumper(ListDumper):
    """Dump flat lists of one plain type as a whole; all other lists as the driver does."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        """Return the text form of an array."""
        kinds = set(map(type, obj))
        if len(kinds) == 1:
            (kind,) = kinds
            if kind is UUID:
                return f"{{{','.join(map(_HEX, obj))}}}".encode()
            if kind is int:
                return f"{{{','.join(map(str, obj))}}}".encode()
            if kind is bytes:
                return ('{"\\\\x' + '","\\\\x'.join(map(bytes.hex, obj)) + '"}').encode()
            if kind is str:
                joined = '","'.join(obj)
                # What needs escaping, or has no form at all (a zero byte), is left to the driver.
                if "\\" not in joined and "\0" not in joined and joined.count('"') == 2 * (len(obj) - 1):
                    return f'{{"{joined}"}}'.encode()
        return super().dump(obj)


Column = Sequence[Any]
Encode = Callable[[Any], bytes]


def _sized(value: bytes) -> bytes:
    size = len(value)
    return (_SIZES[size] if size < len(_SIZES) else _INT32(size)) + value


def _text(value: str) -> bytes:
    if "\0" in value:
        raise ValueError("a text holds a zero byte; PostgreSQL has no form for it")
    return _sized(value.encode())


def _uuid(value: UUID) -> bytes:
    return b"\0\0\0\x10" + value.bytes


def _json(value: Any) -> bytes:
    """Encode a document: bytes are taken as JSON already written."""
    if isinstance(value, Jsonb):
        value = value.obj
    return _sized(b"\x01" + (value if isinstance(value, bytes) else orjson.dumps(value)))


def _instant(value: datetime) -> bytes:
    return _SIZED_INT64(8, (value - _EPOCH) // _MICROSECOND)


@lru_cache(maxsize=4096)
def _text_tuple(values: tuple[str, ...]) -> bytes:
    items = b"".join(_text(v) for v in values)
    shape = (
        b"".join(map(_INT32, (1, 0, _TEXT_OID, len(values), 1))) if values else b"".join(map(_INT32, (0, 0, _TEXT_OID)))
    )
    return _sized(shape + items)


ENCODERS: Final[dict[str, Encode]] = {
    "uuid": _uuid,
    "text": _text,
    "bytea": _sized,
    "jsonb": _json,
    "bigint": lambda value: _SIZED_INT64(8, value),
    "integer": lambda value: _SIZED_INT32(4, value),
    "smallint": lambda value: _SIZED_INT16(2, value),
    "double precision": lambda value: _SIZED_DOUBLE(8, value),
    "date": lambda value: _SIZED_INT32(4, value.toordinal() - _FIRST_DAY),
    "boolean": lambda value: b"\0\0\0\x01\x01" if value else b"\0\0\0\x01\0",
    "timestamp with time zone": _instant,
    "text[]": lambda value: _text_tuple(tuple(value)),
}
"""Type as format_type names it -> binary form with its size; null has a form of its own."""


def binary_rows(types: Sequence[str], columns: Sequence[Column]) -> Iterator[bytes]:
    """Yield the data of COPY ... (FORMAT BINARY) for columns of equal length; a value that is None is null.

    OverflowError, struct.error or ValueError where a value has no form in its column's type.
    """
    count = _INT16(len(types))
    encoded = [_encoded(ENCODERS[kind], column) for kind, column in zip(types, columns, strict=True)]
    rows = list(map(b"".join, zip(*encoded, strict=True)))
    yield _HEAD
    for start in range(0, len(rows), _ROWS_A_CHUNK):
        yield count + count.join(rows[start : start + _ROWS_A_CHUNK])
    yield _TAIL


def _encoded(encode: Encode, column: Column) -> list[bytes]:
    first = column[0]
    # Names of connections, entities and rules, ids of runs, and nulls are the same down a whole column.
    if first is column[-1] and all(value is first for value in column):
        return [_NULL if first is None else encode(first)] * len(column)
    return [_NULL if value is None else encode(value) for value in column]
