"""Named queries from sql/queries/*.sql, one file a table.

A file holds queries, each opened by `-- name: <name>` and at least one comment line that describes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, LiteralString, cast

_QUERIES: Final = Path(__file__).parent / "sql" / "queries"
_NAME: Final = re.compile(r"^-- name: *([a-z][a-z0-9_]*) *$", re.MULTILINE)


@cache
def queries(table: str) -> Mapping[str, LiteralString]:
    """Return the queries of sql/queries/<table>.sql by name; ValueError where the file breaks the form."""
    path = _QUERIES / f"{table}.sql"
    pieces = _NAME.split(path.read_text(encoding="utf-8"))
    found: dict[str, LiteralString] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        text = body.strip()
        if name in found:
            raise ValueError(f"{path.name}: query {name} is named twice; expected each name once")
        if not text.startswith("--"):
            raise ValueError(f"{path.name}: query {name} has no description; expected a comment line below its name")
        # The files are part of the program, so their text is as literal as if it stood here.
        found[name] = cast(LiteralString, text)
    if not found:
        raise ValueError(f"{path.name}: no queries; expected `-- name: <name>` lines")
    return MappingProxyType(found)
