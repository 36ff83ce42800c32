"""Read records: changes by search, everything by list, single ones by batch; associations beside them.

Search is paged by record id (`hs_object_id` above the last one seen) instead of by offset: an offset ends at 10,000 and
slips when records enter the window during the read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import orjson

from crm_sync.connectors.hubspot.client import Client
from crm_sync.connectors.hubspot.completing import ASSOCIATIONS_LIMIT, Completion, next_position, to_object_of
from crm_sync.connectors.hubspot.decoding import Document, requested, to_batch
from crm_sync.connectors.hubspot.errors import Rejected
from crm_sync.errors import CursorExpired, ErrorClass
from crm_sync.ports import Lane
from crm_sync.records import Page, SourceBatch
from crm_sync.specs.model import MappingSpec

SEARCH_LIMIT: Final = 200
LIST_LIMIT: Final = 100
BATCH_LIMIT: Final = 100
MERGED_IDS: Final = "hs_merged_object_ids"


class Reader:
    """Reads one HubSpot account."""

    def __init__(self, client: Client, completion: Completion, overlap: timedelta) -> None:
        self._client = client
        self._overlap = overlap
        self._completion = completion

    # -- reads of many records

    def changes(self, mapping: MappingSpec, watermark: str | None, resume: str | None, lane: Lane) -> Iterator[Page]:
        """Read what was modified since the watermark minus the overlap; without one, everything."""
        cursor = _cursor(resume)
        if watermark is None or "after" in cursor:
            yield from self._list(mapping, cursor, lane)
            return
        since = _instant(watermark) - self._overlap
        cursor.setdefault("next", _text(self._client.services.clock.now()))
        filters = [_filter(mapping.stamp_field, "GTE", _milliseconds(since))]
        yield from self._search(mapping, filters, cursor, lane)

    def snapshot(
        self, mapping: MappingSpec, resume: str | None, lane: Lane, window: tuple[str, str] | None
    ) -> Iterator[Page]:
        """Read every live record, or those last modified within [from, to)."""
        cursor = _cursor(resume)
        if window is None:
            yield from self._list(mapping, cursor, lane)
            return
        start, end = (_milliseconds(_instant(bound)) for bound in window)
        filters = [_filter(mapping.stamp_field, "GTE", start), _filter(mapping.stamp_field, "LT", end)]
        yield from self._search(mapping, filters, cursor, lane)

    def _search(
        self, mapping: MappingSpec, filters: list[dict[str, str]], cursor: dict[str, str], lane: Lane
    ) -> Iterator[Page]:
        """Yield the pages of a search; `cursor` holds "id" (the last one seen) and maybe "next" (the new watermark).

        Pages are read ahead until their associations fill one call.
        """
        last, more = cursor.get("id", "0"), True
        ahead = ASSOCIATIONS_LIMIT // SEARCH_LIMIT if mapping.associations else 1
        while more:
            before = self._client.transport.calls
            pages: list[tuple[list[Document], str]] = []
            while more and len(pages) < ahead:
                documents, more = self._search_once(mapping, filters, last, lane)
                last = str(documents[-1]["id"]) if documents else last
                pages.append((documents, last))
            self._completion.associate(mapping, [one for documents, _ in pages for one in documents], lane)
            for number, (documents, reached) in enumerate(pages):
                final = not more and number == len(pages) - 1
                calls = self._client.transport.calls - before if number == 0 else 0
                yield self._page(mapping, documents, {**cursor, "id": reached}, final, calls, lane)

    def _search_once(
        self, mapping: MappingSpec, filters: list[dict[str, str]], after_id: str, lane: Lane
    ) -> tuple[list[Document], bool]:
        body = {
            "filterGroups": [{"filters": [*filters, _filter("hs_object_id", "GT", after_id)]}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": requested(mapping),
            "limit": SEARCH_LIMIT,
        }
        found = self._client.call(
            f"{mapping.object}/search", self._client.searches.do_search, mapping.object, body, lane=lane
        )
        return list(found.get("results") or []), next_position(found) is not None

    def _list(self, mapping: MappingSpec, cursor: dict[str, str], lane: Lane) -> Iterator[Page]:
        """Yield the pages of a list; `cursor` holds "next" (the new watermark) and "after" (HubSpot's own)."""
        cursor.setdefault("next", _text(self._client.services.clock.now()))
        wanted = [to_object_of(reference) for reference in mapping.associations]
        resumed, after = "after" in cursor, cursor.get("after")
        while True:
            before = self._client.transport.calls
            try:
                listed = self._client.call(
                    f"{mapping.object}/list",
                    self._client.objects.get_page,
                    mapping.object,
                    lane=lane,
                    limit=LIST_LIMIT,
                    after=after,
                    properties=requested(mapping),
                    associations=wanted or None,
                    archived=False,
                )
            except Rejected as error:
                if resumed and error.error_class is ErrorClass.VALIDATION:
                    raise CursorExpired(
                        f"{self._client.connection.name}: HubSpot no longer takes the position in the list of "
                        f"{mapping.object}; read it from the start.",
                        code=error.code,
                    ) from None
                raise
            documents: list[Document] = list(listed.get("results") or [])
            self._completion.complete_inline(mapping, documents, lane)
            after = next_position(listed)
            calls = self._client.transport.calls - before
            yield self._page(mapping, documents, {**cursor, "after": after or ""}, after is None, calls, lane)
            if after is None:
                return
            resumed = False

    def _page(
        self,
        mapping: MappingSpec,
        documents: list[Document],
        cursor: dict[str, str],
        final: bool,
        calls: int,
        lane: Lane,
    ) -> Page:
        before = self._client.transport.calls
        self._completion.fill_omitted(mapping, documents, lane)
        made = partial(to_batch, self._client.connection.name, mapping, documents)
        calls += self._client.transport.calls - before
        if final:
            return Page(made, None, cursor.get("next"), calls)
        return Page(made, orjson.dumps(cursor).decode(), None, calls)

    # -- reads of single records

    def fetch(self, mapping: MappingSpec, record_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read records by id: live, then among the archived, then one by one for those merged into others."""
        ids = list(dict.fromkeys(record_ids))
        found: dict[str, Document] = {}
        for part in _chunks(ids, BATCH_LIMIT):
            found |= self._read_batch(mapping, part, lane)
        live = [one for one in found.values() if not one.get("mergedInto")]
        self._completion.associate(mapping, live, lane)
        self._completion.fill_omitted(mapping, live, lane)
        for part in _chunks([one for one in ids if one not in found], BATCH_LIMIT):
            found |= self._read_batch(mapping, part, lane, archived=True)
        for one in ids:
            if one not in found:
                found[one] = self._resolve(mapping, one, lane)
        return to_batch(self._client.connection.name, mapping, [found[one] for one in ids])

    def fetch_by_key(self, mapping: MappingSpec, hub_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read the live records whose external key is one of `hub_ids`, from the database and not from the index."""
        documents: list[Document] = []
        for part in _chunks(list(dict.fromkeys(hub_ids)), BATCH_LIMIT):
            answer = self._batch_read(mapping, part, lane, id_property=mapping.external_key)
            documents += answer.get("results") or []
        documents = list({str(one["id"]): one for one in documents}.values())
        self._completion.associate(mapping, documents, lane)
        self._completion.fill_omitted(mapping, documents, lane)
        return to_batch(self._client.connection.name, mapping, documents)

    def _read_batch(
        self, mapping: MappingSpec, ids: Sequence[str], lane: Lane, *, archived: bool = False
    ) -> dict[str, Document]:
        """Return requested id -> document; an id that answers with another record is a merged one."""
        answer = self._batch_read(mapping, ids, lane, archived=archived)
        asked, found = set(ids), {}
        for document in answer.get("results") or []:
            id = str(document["id"])
            if id in asked:
                found[id] = {**document, "archived": True} if archived else document
            merged = str((document.get("properties") or {}).get(MERGED_IDS) or "").split(";")
            for loser in asked.intersection(merged) - {id}:
                found.setdefault(loser, self._merged(loser, id))
        return found

    def _batch_read(
        self,
        mapping: MappingSpec,
        ids: Sequence[str],
        lane: Lane,
        *,
        id_property: str | None = None,
        archived: bool = False,
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "inputs": [{"id": one} for one in ids],
            "properties": [*requested(mapping), MERGED_IDS],
            "propertiesWithHistory": [],
        }
        if id_property:
            body["idProperty"] = id_property
        return self._client.call(
            f"{mapping.object}/batch/read",
            self._client.batches.read,
            mapping.object,
            body,
            lane=lane,
            archived=archived,
        )

    def _resolve(self, mapping: MappingSpec, id: str, lane: Lane) -> Document:
        """Ask for one record that no batch knows: merged ids still lead to the record that they went into."""
        try:
            document = self._client.call(
                f"{mapping.object}/get",
                self._client.objects.get_by_id,
                mapping.object,
                id,
                lane=lane,
                properties=requested(mapping),
            )
        except Rejected as error:
            # An id that is not a number is refused as invalid, not as missing; neither exists.
            if error.error_class not in {ErrorClass.NOT_FOUND, ErrorClass.VALIDATION}:
                raise
            return {"id": id, "archived": True, "goneAt": _text(self._client.services.clock.now())}
        if str(document["id"]) != id:
            return self._merged(id, str(document["id"]))
        self._completion.associate(mapping, [document], lane)
        self._completion.fill_omitted(mapping, [document], lane)
        return document

    def _merged(self, loser: str, winner: str) -> Document:
        now = _text(self._client.services.clock.now())
        return {"id": loser, "archived": True, "mergedInto": winner, "goneAt": now}


def _filter(name: str, operator: str, value: str) -> dict[str, str]:
    return {"propertyName": name, "operator": operator, "value": value}


def _chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str) -> datetime:
    """Read an ISO instant or date (UTC where it names no zone); CursorExpired where it is neither."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CursorExpired(
            "The stored watermark is not one of HubSpot's (expected an ISO time); read everything."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def _cursor(resume: str | None) -> dict[str, str]:
    if resume is None:
        return {}
    try:
        cursor = orjson.loads(resume)
    except orjson.JSONDecodeError:
        cursor = None
    if not isinstance(cursor, dict):
        raise CursorExpired("The stored cursor is not one of HubSpot's (expected a JSON object); read from the start.")
    return {str(key): str(value) for key, value in cursor.items()}
