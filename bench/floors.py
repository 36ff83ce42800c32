"""The floors of a run: what reading, parsing and storing the very same bytes takes at the least, in this language.

Floor 1: every answer over the same kind of connection, one after the other, and orjson. Floor 2: the same, and each
record copied row by row into a typed table of the same server, committed once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from psycopg import sql

from bench.crm import Asked, Crm, ask
from crm_sync.specs.model import EntitySpec, FieldType, MappingSpec

_LISTS = ("records", "results", "value")
_TYPES = {FieldType.BOOLEAN: "boolean", FieldType.DATE: "date", FieldType.NUMBER: "numeric"}


@dataclass(frozen=True, slots=True)
class Floor:
    """Rows and bytes that were read, and the seconds it took; `cpu_seconds` of this process and the database server."""

    rows: int
    size: int
    seconds: float
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Return rows per second."""
        return self.rows / self.seconds


def read_and_parse(crm: Crm, asked: Sequence[Asked]) -> Floor:
    """Measure floor 1."""
    started = time.perf_counter()
    rows = size = 0
    for body in _bodies(crm, asked):
        size += len(body)
        rows += len(_records(orjson.loads(body)))
    return Floor(rows, size, time.perf_counter() - started)


def read_and_copy(
    crm: Crm, asked: Sequence[Asked], database_url: str, entity: EntitySpec, mapping: MappingSpec
) -> Floor:
    """Measure floor 2; the table is dropped afterwards."""
    types = {f.source: _TYPES.get(entity.field(f.field).type, "text") for f in mapping.fields}
    fields = [name for name in mapping.source_fields if name != mapping.id_field]
    columns = [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(types.get(n, "text"))) for n in fields]
    table = sql.Identifier("bench_floor")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("drop table if exists {}").format(table))
        conn.execute(
            sql.SQL("create table {} (record_id text, modified_at timestamptz, {})").format(
                table, sql.SQL(", ").join(columns)
            )
        )
        started = time.perf_counter()
        rows = size = 0
        with conn.transaction(), conn.cursor().copy(sql.SQL("copy {} from stdin").format(table)) as copy:
            for body in _bodies(crm, asked):
                size += len(body)
                for record in _records(orjson.loads(body)):
                    values = record.get("properties", record)
                    record_id = record.get(mapping.id_field) or record["id"]
                    copy.write_row(
                        (record_id, values.get(mapping.stamp_field), *(values.get(n) or None for n in fields))
                    )
                    rows += 1
        floor = Floor(rows, size, time.perf_counter() - started)
        conn.execute(sql.SQL("drop table {}").format(table))
    return floor


def _bodies(crm: Crm, asked: Sequence[Asked]) -> Iterator[bytes]:
    connection = crm.connect()
    for one in asked:
        yield ask(connection, one)
    connection.close()


def _records(answer: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next((answer[name] for name in _LISTS if name in answer), [])
    # Answers that describe fields, not records, list things without an id.
    return found if found and ("id" in found[0] or "name" not in found[0]) else []
