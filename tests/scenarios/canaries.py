"""Canaries: strings that nobody else writes, and the search for them in everything that the product leaves behind."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import string
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import zstandard

from tests.scenarios.stage import Stage


class Canaries:
    """Canaries made so far: 16 random letters each, of which all share the first 10, so that a search is quick."""

    def __init__(self) -> None:
        self.breed = _letters(10)
        self.made: dict[str, str] = {}
        """Canary -> where it was put."""

    def sing(self, where: str) -> str:
        """Return a new canary."""
        canary = self.breed + _letters(6)
        self.made[canary] = where
        return canary

    def forms(self) -> set[bytes]:
        """Return how any canary may look: plain in lower, upper or title case; in hexadecimal, base64 or UTF-16."""
        forms: set[bytes] = set()
        for text in (self.breed, self.breed.title(), self.breed.upper()):
            raw = text.encode()
            forms |= {raw, binascii.hexlify(raw), text.encode("utf-16-le")}
            # In base64 three positions are possible; the first and last letters depend on what stands around.
            forms |= {base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)}
        return forms

    def found_in(self, blobs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Return the names of blobs that hold a canary, as they are or unpacked."""
        wanted = self.forms()
        return [name for name, blob in blobs if any(one in form for form in _unpacked(blob) for one in wanted)]


def _letters(count: int) -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(count))


def _unpacked(blob: bytes, layers: int = 3) -> Iterator[bytes]:
    """Yield a blob, and whatever in it is compressed or in base64, anywhere and in so many layers."""
    yield blob
    if layers:
        for inner in (*_decompressed(blob), *_decoded(blob)):
            yield from _unpacked(inner, layers - 1)


_PACKED = re.compile(rb"\x28\xb5\x2f\xfd|\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
"""How zstandard, gzip and zlib begin."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_MOST_BYTES = 1 << 20
_BITE_BYTES = 1 << 12


def _decompressed(blob: bytes) -> Iterator[bytes]:
    view = memoryview(blob)
    for match in _PACKED.finditer(blob):
        start = match.start()
        unpack: Any = (
            zstandard.ZstdDecompressor().decompressobj()
            if match[0][0] == 0x28
            else zlib.decompressobj(zlib.MAX_WBITS | 32)
        )
        out = b""
        # In bites, as what comes before the damage counts: the server's pages cut streams into pieces.
        with suppress(zlib.error, zstandard.ZstdError):
            for at in range(start, min(len(blob), start + _MOST_BYTES), _BITE_BYTES):
                out += unpack.decompress(bytes(view[at : at + _BITE_BYTES]))
                if unpack.unused_data or len(out) > _MOST_BYTES:
                    break
        if len(out) >= 10:
            yield out


def _decoded(blob: bytes) -> Iterator[bytes]:
    for match in _BASE64.finditer(blob):
        text = match[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        # What stands around may look like base64, so that its beginning is unknown.
        for skip in range(4):
            part = text[skip:]
            with suppress(binascii.Error):
                yield base64.b64decode(part[: len(part) // 4 * 4])


def cells(stage: Stage) -> Iterator[tuple[str, bytes]]:
    """Yield every value of every table of the product's database, as text and, where it is binary, as it is."""
    columns = stage.rows(
        "select table_schema, table_name, column_name, data_type from information_schema.columns "
        "where table_schema not in ('pg_catalog', 'information_schema') order by 1, 2, ordinal_position"
    )
    assert len(columns) > 100, "where are the tables?"
    for schema, table, column, kind in columns:
        cast = "" if kind == "bytea" else "::text"
        for (value,) in stage.rows(
            f'select distinct "{column}"{cast} from "{schema}"."{table}" where "{column}" is not null'
        ):
            yield f"{schema}.{table}.{column}", value.encode() if isinstance(value, str) else bytes(value)


def files(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file below a directory."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            try:
                yield str(path), path.read_bytes()
            except FileNotFoundError:
                continue  # the server recycles files of its own
