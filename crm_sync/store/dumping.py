"""Bring many values into the server's forms at once: lists as parameters, columns as binary COPY data.

Belongs here: the forms of values. Not here: temporary tables and what is done with them (staging).

The driver's own ways work value by value and cost more than everything else that a batch needs from the database.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg.abc import Buffer
from psycopg.types.array import ListDumper
from psycopg.types.json import Jsonb

_INT16, _INT32 = struct.Struct(">h").pack, struct.Struct(">i").pack
_SIZED_INT16, _SIZED_INT32, _SIZED_INT64 = (
    struct.Struct(">ih").pack,
    struct.Struct(">ii").pack,
    struct.Struct(">iq").pack,
)
_SIZED_DOUBLE: Final = struct.Struct(">id").pack
_NULL: Final = _INT32(-1)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_DAY: Final = _EPOCH.toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
_TEXT_OID: Final = 25
_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL: Final = b"\xff\xff"
_ROWS_A_CHUNK: Final = 1000

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
Encode = Callable[[Column], list[bytes]]
"""Encode the values of a column, none of them null."""


def _sized(values: Sequence[bytes]) -> list[bytes]:
    try:
        return [_SIZES[len(v)] + v for v in values]
    except IndexError:  # a long one among them
        return [_INT32(len(v)) + v for v in values]


def _texts(values: Sequence[str]) -> list[bytes]:
    if "\0" in "".join(values):
        raise ValueError("a text holds a zero byte; PostgreSQL has no form for it")
    return _sized([v.encode() for v in values])


def _uuids(values: Sequence[UUID]) -> list[bytes]:
    return [b"\0\0\0\x10" + v.int.to_bytes(16, "big") for v in values]


def _documents(values: Sequence[Any]) -> list[bytes]:
    """Encode documents: bytes are taken as JSON already written."""
    plain = (v.obj if isinstance(v, Jsonb) else v for v in values)
    return _sized([b"\x01" + (v if isinstance(v, bytes) else orjson.dumps(v)) for v in plain])


def _instants(values: Sequence[datetime]) -> list[bytes]:
    return [_SIZED_INT64(8, (v - _EPOCH) // _MICROSECOND) for v in values]


@lru_cache(maxsize=4096)
def _text_item(value: str) -> bytes:
    return _texts([value])[0]


@lru_cache(maxsize=4096)
def _text_array(items: tuple[str, ...]) -> bytes:
    head = (1, 0, _TEXT_OID, len(items), 1) if items else (0, 0, _TEXT_OID)
    body = b"".join(map(_INT32, head)) + b"".join(map(_text_item, items))
    return _INT32(len(body)) + body


def _text_arrays(values: Sequence[Sequence[str]]) -> list[bytes]:
    """Encode lists of texts, such as names that come again and again."""
    known: dict[int, bytes] = {}  # the very same lists come again as well
    return [known.get(id(items)) or known.setdefault(id(items), _text_array(tuple(items))) for items in values]


ENCODERS: Final[dict[str, Encode]] = {
    "uuid": _uuids,
    "text": _texts,
    "bytea": _sized,
    "jsonb": _documents,
    "bigint": lambda values: [_SIZED_INT64(8, v) for v in values],
    "integer": lambda values: [_SIZED_INT32(4, v) for v in values],
    "smallint": lambda values: [_SIZED_INT16(2, v) for v in values],
    "double precision": lambda values: [_SIZED_DOUBLE(8, v) for v in values],
    "date": lambda values: [_SIZED_INT32(4, v.toordinal() - _FIRST_DAY) for v in values],
    "boolean": lambda values: [b"\0\0\0\x01\x01" if v else b"\0\0\0\x01\0" for v in values],
    "timestamp with time zone": _instants,
    "text[]": _text_arrays,
}
"""Type as format_type names it -> binary forms with their sizes; null has a form of its own."""


_NULL_HAS_A_FORM: Final = frozenset({"jsonb", "boolean"})
"""Types whose encoders would take None for a value."""


def binary_rows(types: Sequence[str], columns: Sequence[Column]) -> Iterator[bytes]:
    """Yield the data of COPY ... (FORMAT BINARY) for columns of equal length; a value that is None is null.

    OverflowError, struct.error or ValueError where a value has no form in its column's type.
    """
    count = _INT16(len(types))
    encoded = [_encoded(kind, column) for kind, column in zip(types, columns, strict=True)]
    rows = list(map(b"".join, zip(*encoded, strict=True)))
    yield _HEAD
    for start in range(0, len(rows), _ROWS_A_CHUNK):
        yield count + count.join(rows[start : start + _ROWS_A_CHUNK])
    yield _TAIL


def _encoded(kind: str, column: Column) -> list[bytes]:
    encode, first = ENCODERS[kind], column[0]
    # Names of connections, entities and rules, ids of runs, and nulls are the same down a whole column.
    if first is column[-1] and column.count(first) == len(column):
        return ([_NULL] if first is None else encode([first])) * len(column)
    if kind not in _NULL_HAS_A_FORM:
        try:
            return encode(column)
        except (AttributeError, TypeError, struct.error):
            pass  # most likely a null
    filled = iter(encode([value for value in column if value is not None]))
    return [_NULL if value is None else next(filled) for value in column]
