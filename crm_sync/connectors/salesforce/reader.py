"""Read records by SOQL: changes and snapshots in (stamp, id) order, single records by id or by our key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import orjson
from simple_salesforce.format import format_soql

from crm_sync.connectors.salesforce.calls import Calls
from crm_sync.connectors.salesforce.decoding import batch, gone, literal, long_id, moment_of, selected
from crm_sync.errors import CursorExpired, Refused
from crm_sync.ports import Lane
from crm_sync.records import Page, SourceBatch
from crm_sync.specs.model import MappingSpec

IDS_A_QUERY: Final = 180
KEYS_A_QUERY: Final = 100
"""A WHERE clause may have 4,000 characters; ids take 21 of them, hub ids 39."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a read has come: the last row's stamp and id, and the watermark taken at its start."""

    stamp: str
    record_id: str
    watermark: str | None

    def text(self) -> str:
        """Write the position as a page's cursor."""
        return orjson.dumps([self.stamp, self.record_id, self.watermark]).decode()

    @classmethod
    def read(cls, text: str) -> Position:
        """Read a cursor; CursorExpired where it is not one of ours."""
        try:
            stamp, record_id, watermark = orjson.loads(text)
            moment_of(stamp)
        except (ValueError, TypeError):
            raise CursorExpired("salesforce: the cursor is not one of this connector; read everything again.") from None
        return cls(stamp, record_id, watermark)


class Reader:
    """Reads the records of one org."""

    def __init__(self, calls: Calls, overlap_seconds: float) -> None:
        self._calls = calls
        self._overlap = timedelta(seconds=overlap_seconds)
        self._readable: dict[str, tuple[str, ...]] = {}

    def changes(self, mapping: MappingSpec, watermark: str | None, resume: str | None, lane: Lane) -> Iterator[Page]:
        """Read from `watermark` less the overlap on, the recycle bin included."""
        bounds = []
        if watermark is not None:
            try:
                since = moment_of(watermark) - self._overlap
            except ValueError:
                raise CursorExpired("salesforce: the watermark is not a moment; read everything again.") from None
            bounds.append(f"{mapping.stamp_field} >= {literal(since)}")
        return self._pages(mapping, bounds, resume, lane, deleted=True, watermarked=True)

    def snapshot(
        self, mapping: MappingSpec, resume: str | None, lane: Lane, window: tuple[str, str] | None
    ) -> Iterator[Page]:
        """Read every live record, or those last modified in a window."""
        bounds = []
        if window is not None:
            start, end = (f"{day[:10]}T00:00:00Z" if len(day) == 10 else literal(moment_of(day)) for day in window)
            bounds = [f"{mapping.stamp_field} >= {start}", f"{mapping.stamp_field} < {end}"]
        return self._pages(mapping, bounds, resume, lane, deleted=False, watermarked=window is None)

    def fetch(self, mapping: MappingSpec, record_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read records by id, in the order asked for; the recycle bin tells of deletions and merges."""
        wanted = list(dict.fromkeys(long_id(r) for r in record_ids))
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(wanted), IDS_A_QUERY):
            some = wanted[start : start + IDS_A_QUERY]
            where = format_soql("{field:literal} IN {ids}", field=mapping.id_field, ids=some)
            for record in self._all(mapping, where, lane, deleted=True):
                found[long_id(record[mapping.id_field])] = record
        now = self._calls.server_time(self._calls.clock.now())
        records = [found.get(r) or gone(mapping, r, now) for r in wanted]
        return batch(self._calls.connection.name, mapping, records)

    def fetch_by_key(self, mapping: MappingSpec, hub_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read live records by our key; SOQL reads the database itself, so that a record just created is seen."""
        wanted = list(dict.fromkeys(hub_ids))
        records: list[dict[str, Any]] = []
        for start in range(0, len(wanted), KEYS_A_QUERY):
            some = wanted[start : start + KEYS_A_QUERY]
            where = format_soql("{field:literal} IN {keys}", field=mapping.external_key, keys=some)
            records += self._all(mapping, where, lane, deleted=False)
        return batch(self._calls.connection.name, mapping, records)

    def forget_fields(self, mapping: MappingSpec) -> None:
        """Ask for all mapped fields again: provisioning may have created some."""
        self._readable.pop(mapping.object, None)

    def _all(self, mapping: MappingSpec, where: str, lane: Lane, *, deleted: bool) -> list[dict[str, Any]]:
        answer = self._query(mapping, [where], "", lane, deleted=deleted)
        records: list[dict[str, Any]] = list(answer["records"])
        while not answer["done"]:
            answer = self._calls.more(mapping.object, answer["nextRecordsUrl"], lane=lane)
            records += answer["records"]
        return records

    def _pages(
        self,
        mapping: MappingSpec,
        bounds: list[str],
        resume: str | None,
        lane: Lane,
        *,
        deleted: bool,
        watermarked: bool,
    ) -> Iterator[Page]:
        """Read pages in (stamp, id) order; a lost query locator is replaced by a new query from the last row on."""
        position = Position.read(resume) if resume else None
        order = f" ORDER BY {mapping.stamp_field}, {mapping.id_field}"
        started = self._calls.clock.now()
        before = self._calls.made
        answer = self._query(mapping, self._from(mapping, bounds, position), order, lane, deleted=deleted)
        watermark = self._watermark(position, started) if watermarked else None
        while True:
            spent = self._calls.made - before
            records = answer["records"]
            if records:
                last = records[-1]
                position = Position(last[mapping.stamp_field], last[mapping.id_field], watermark)
            done = bool(answer["done"])
            yield Page(
                partial(batch, self._calls.connection.name, mapping, records),
                cursor=position.text() if position else None,
                watermark=watermark if done else None,
                calls=spent,
            )
            if done:
                return
            before = self._calls.made
            try:
                answer = self._calls.more(mapping.object, answer["nextRecordsUrl"], lane=lane)
            except Refused as refused:
                if refused.code != "INVALID_QUERY_LOCATOR":
                    raise
                answer = self._query(mapping, self._from(mapping, bounds, position), order, lane, deleted=deleted)

    def _watermark(self, position: Position | None, started: datetime) -> str:
        """Return the org's time from before the first call; a resumed read keeps that of its first try."""
        if position is not None and position.watermark is not None:
            return position.watermark
        return literal(self._calls.server_time(started))

    @staticmethod
    def _from(mapping: MappingSpec, bounds: list[str], position: Position | None) -> list[str]:
        if position is None:
            return bounds
        stamp, at = mapping.stamp_field, literal(moment_of(position.stamp))
        after = format_soql("{field:literal} > {id}", field=mapping.id_field, id=position.record_id)
        return [*bounds, f"({stamp} > {at} OR ({stamp} = {at} AND {after}))"]

    def _query(
        self, mapping: MappingSpec, where: list[str], order: str, lane: Lane, *, deleted: bool
    ) -> dict[str, Any]:
        """Query all fields of interest; where the org hides or lacks one, ask again for those that it describes.

        A field that we may not read fails the whole query, so that the description is only paid for when needed.
        """
        condition = f" WHERE {' AND '.join(where)}" if where else ""

        def soql(names: tuple[str, ...]) -> str:
            return f"SELECT {', '.join(names)} FROM {mapping.object}{condition}{order}"  # noqa: S608 - names of the spec

        names = self._readable.get(mapping.object) or selected(mapping)
        try:
            return self._calls.query(mapping.object, soql(names), deleted=deleted, lane=lane)
        except Refused as refused:
            if refused.code != "INVALID_FIELD" or mapping.object in self._readable:
                raise
        described = {field["name"] for field in self._calls.describe(mapping.object, lane)["fields"]}
        readable = tuple(name for name in selected(mapping) if name in described)
        answer = self._calls.query(mapping.object, soql(readable), deleted=deleted, lane=lane)
        self._readable[mapping.object] = readable
        return answer
