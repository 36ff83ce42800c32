"""Read rows: change tracking for all and for changes, filters for windows, In() for ids and keys.

A change stream starts with a tracked read of everything; its last page carries a delta link, our watermark. Dataverse
does not promise that the link reaches back to the start of a long read, so a read of several pages ends with a second
look at what was modified since shortly before its first call. Deletions in that time are found by reconciliation alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from crm_sync.connectors.dynamics.client import WebApi, query
from crm_sync.connectors.dynamics.decoding import LOOKUP_TYPE, batch, gone, selection, stamped
from crm_sync.connectors.dynamics.errors import stream_lost
from crm_sync.errors import CursorExpired, ErrorClass, Refused
from crm_sync.ports import Lane
from crm_sync.records import Page, SourceBatch
from crm_sync.specs.model import MappingSpec

PAGE_ROWS: Final = 5000
IDS_A_CALL: Final = 300
"""300 quoted and escaped guids make about 13,000 of the 32,768 characters that an address may have."""
SECOND_LOOK: Final = timedelta(minutes=5)
_PREFER: Final = (f"odata.maxpagesize={PAGE_ROWS}", f'odata.include-annotations="{LOOKUP_TYPE[1:]}"')
_TRACKED: Final = ("odata.track-changes", *_PREFER)
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a read stands; as JSON it is a cursor, and with `delta` alone a watermark.

    `next` is the link to go on with. `since` is set in a read of everything: what was modified from then on is looked
    at once more. `delta` is set once that second look is due (or, in a watermark, always). `select` is what the stream
    reads: a delta link cannot be given other columns, so a change of mapping starts a new stream.
    """

    select: str
    next: str | None = None
    since: str | None = None
    delta: str | None = None

    def text(self) -> str:
        """Return the opaque text."""
        return orjson.dumps({name: value for name, value in asdict(self).items() if value is not None}).decode()


class Reader:
    """Reads the rows of one environment."""

    def __init__(self, api: WebApi) -> None:
        self._api = api

    def changes(self, mapping: MappingSpec, watermark: str | None, resume: str | None, lane: Lane) -> Iterator[Page]:
        """Read what the delta link shows, or everything where there is none yet."""
        if resume is None and watermark is None:
            yield from self.everything(mapping, None, lane)
            return
        yield from self._stream(
            mapping, self._position(mapping, resume or watermark or ""), lane, first=resume is not None
        )

    def everything(self, mapping: MappingSpec, resume: str | None, lane: Lane) -> Iterator[Page]:
        """Read all rows and start a change stream."""
        if resume is not None:
            yield from self._stream(mapping, self._position(mapping, resume), lane, first=True)
            return
        since = self._api.services.clock.now() - SECOND_LOOK
        select = selection(mapping)
        start = Position(select, next=query(mapping.object, select=select), since=_literal(since))
        yield from self._stream(mapping, start, lane, first=False)

    def window(self, mapping: MappingSpec, resume: str | None, lane: Lane, window: tuple[str, str]) -> Iterator[Page]:
        """Read the rows last modified in [from, to)."""
        select = selection(mapping)
        low, high = (_literal(_utc(text)) for text in window)
        field = mapping.stamp_field
        start = query(
            mapping.object,
            select=select,
            filter=f"{field} ge {low} and {field} lt {high}",
            orderby=f"{field},{mapping.id_field}",
        )
        position = Position(select, next=start) if resume is None else self._position(mapping, resume)
        while True:
            before = self._api.calls
            document = self._get(position, lane, _PREFER, stored=resume is not None)
            following = document.get("@odata.nextLink")
            position = replace(position, next=following)
            yield self._page(mapping, document, position.text() if following else None, None, before)
            if following is None:
                return
            resume = None

    def fetch(self, mapping: MappingSpec, record_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read rows by id; those that are not there come back as deleted."""
        wanted = list(dict.fromkeys(one.lower() for one in record_ids))
        found = {
            row[mapping.id_field]: row
            for row in self._among(mapping, mapping.id_field, [one for one in wanted if _GUID.fullmatch(one)], lane)
        }
        now = self._api.services.clock.now()
        documents = [found.get(one) or gone(one, now, "absent") for one in wanted]
        return batch(self._api.connection.name, mapping, documents)

    def fetch_by_key(self, mapping: MappingSpec, hub_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read rows by our external key; those that are not there are left out."""
        wanted = list(dict.fromkeys(hub_ids))
        return batch(self._api.connection.name, mapping, self._among(mapping, mapping.external_key, wanted, lane))

    def _among(self, mapping: MappingSpec, column: str, values: Sequence[str], lane: Lane) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for start in range(0, len(values), IDS_A_CALL):
            quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values[start : start + IDS_A_CALL])
            target: str | None = query(
                mapping.object,
                select=selection(mapping),
                filter=f"Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues=[{quoted}])",
            )
            while target is not None:
                document = self._api.get(
                    target,
                    operation=f"fetch {mapping.object}",
                    lane=lane,
                    prefer=_PREFER,
                    columns=selection(mapping).split(","),
                )
                rows += document["value"]
                target = document.get("@odata.nextLink")
        return rows

    def _stream(self, mapping: MappingSpec, position: Position, lane: Lane, *, first: bool) -> Iterator[Page]:
        """Follow a tracked read from a position to its delta link; `first`: the position is a resumed cursor."""
        stored = first or position.next is None
        several = first
        while position.since is None or position.delta is None:
            before = self._api.calls
            document = self._get(position, lane, _TRACKED, stored=stored)
            following, delta = document.get("@odata.nextLink"), document.get("@odata.deltaLink")
            if following is None and delta is None:
                raise Refused(
                    f"{self._api.connection.name}: {mapping.object}: the last page of a tracked read carries no delta "
                    "link. Is change tracking on for the table? Run `crm-sync provision --apply`.",
                    error_class=ErrorClass.SCHEMA,
                )
            if following is None and (position.since is None or not several):
                yield self._page(mapping, document, None, Position(position.select, delta=delta).text(), before)
                return
            position = replace(position, next=following, delta=None if following else delta)
            yield self._page(mapping, document, position.text(), None, before)
            several, stored = True, False
        yield from self._second_look(mapping, position, lane, stored=stored and position.next is not None)

    def _second_look(self, mapping: MappingSpec, position: Position, lane: Lane, *, stored: bool) -> Iterator[Page]:
        watermark = Position(position.select, delta=position.delta).text()
        if position.next is None:
            start = query(mapping.object, select=position.select, filter=f"{mapping.stamp_field} ge {position.since}")
            position = replace(position, next=start)
        while True:
            before = self._api.calls
            document = self._get(position, lane, _PREFER, stored=stored)
            following = document.get("@odata.nextLink")
            position = replace(position, next=following)
            yield self._page(
                mapping, document, position.text() if following else None, None if following else watermark, before
            )
            if following is None:
                return
            stored = False

    def _get(self, position: Position, lane: Lane, prefer: Sequence[str], *, stored: bool) -> dict[str, Any]:
        target = position.next or position.delta or ""
        try:
            columns = position.select.split(",")
            rows = urlsplit(target).path.rsplit("/", 1)[-1]
            return self._api.get(target, operation=f"read {rows}", lane=lane, prefer=prefer, columns=columns)
        except CursorExpired:
            raise
        except Refused as error:
            if stored and (stream_lost(error) or error.code == "FOREIGN_LINK"):
                raise CursorExpired(
                    f"{self._api.connection.name}: the stored link is not accepted any more ({error.code}); everything "
                    "must be read again.",
                    error_class=ErrorClass.SCHEMA,
                    code=error.code,
                ) from None
            raise

    def _page(
        self, mapping: MappingSpec, document: dict[str, Any], cursor: str | None, watermark: str | None, before: int
    ) -> Page:
        now = self._api.services.clock.now()

        def made() -> SourceBatch:
            rows = [stamped(row, mapping.id_field, now) for row in document["value"]]
            return batch(self._api.connection.name, mapping, rows)

        return Page(made, cursor, watermark, calls=self._api.calls - before)

    def _position(self, mapping: MappingSpec, text: str) -> Position:
        try:
            position = Position(**orjson.loads(text))
        except (orjson.JSONDecodeError, TypeError):
            position = Position("")
        if position.select != selection(mapping):
            raise CursorExpired(
                f"{self._api.connection.name}: {mapping.object}: the change stream was started for other columns than "
                "the mapping has now; everything must be read again.",
                error_class=ErrorClass.SCHEMA,
                code="OTHER_COLUMNS",
            )
        return position


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _literal(moment: datetime) -> str:
    """Return a moment as an OData literal; rounding down is right for both ends of [from, to) of whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
