"""Endpoints of records: list, read, write, batches, search, merge, GDPR delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_sync.emulators.hubspot.associations import Associations
from crm_sync.emulators.hubspot.batches import MAX_HISTORIC, Answer, Batches
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.records import NUMBER, Records
from crm_sync.emulators.hubspot.refusals import invalid, not_found
from crm_sync.emulators.hubspot.routing import Endpoint
from crm_sync.emulators.hubspot.search import Search
from crm_sync.emulators.hubspot.writing import Writer, properties_of
from crm_sync.emulators.state import Record

MAX_LIST, DEFAULT_LIST = 100, 10
MAX_INLINE = 100
"""Associations of one record with one object that a record shows inline; the others are behind a link."""


class ObjectRoutes:
    """The endpoints of records."""

    def __init__(
        self, records: Records, writer: Writer, batches: Batches, search: Search, associations: Associations
    ) -> None:
        self._records, self._writer, self._batches = records, writer, batches
        self._search, self._associations, self._state = search, associations, records.state

    def table(self) -> list[Endpoint]:
        """Return the endpoints; the first match counts."""
        objects, one, batch = "/crm/v3/objects/{object}", "/crm/v3/objects/{object}/{id}", self._batches
        return [
            Endpoint("GET", objects, self._list),
            Endpoint("GET", "/crm/v4/objects/{object}", self._list, dated=False),
            Endpoint("POST", f"{objects}/search", lambda c: self._search.search(c.object(), c.mapping())),
            Endpoint(
                "POST", f"{objects}/batch/read", lambda c: batch.read(c.object(), c.mapping(), c.flag("archived"))
            ),
            Endpoint("POST", f"{objects}/batch/create", lambda c: batch.create(c.object(), c.document())),
            Endpoint("POST", f"{objects}/batch/update", lambda c: batch.update(c.object(), c.document())),
            Endpoint("POST", f"{objects}/batch/upsert", lambda c: batch.upsert(c.object(), c.document())),
            Endpoint("POST", f"{objects}/batch/archive", lambda c: batch.archive(c.object(), c.document())),
            Endpoint("POST", f"{objects}/merge", self._merge),
            Endpoint("POST", f"{objects}/gdpr-delete", self._erase),
            Endpoint("POST", objects, self._create),
            Endpoint("GET", one, self._get),
            Endpoint("PATCH", one, self._update),
            Endpoint("DELETE", one, self._delete),
        ]

    def _shown(self, call: Call, records: Sequence[Record]) -> list[dict[str, Any]]:
        names = call.many("properties") or None
        shown = self._records.show_all(records, names, call.many("propertiesWithHistory"))
        asked = [one for one in call.many("associations") if not call.catalog.elsewhere(one)]
        wanted = [call.catalog.resolve(one) for one in asked]
        if wanted and records:
            self._add_associations(call, records, wanted, shown)
        return shown

    def _add_associations(
        self, call: Call, records: Sequence[Record], wanted: Sequence[str], shown: Sequence[dict[str, Any]]
    ) -> None:
        object = records[0].object
        found = self._associations.inline(object, [one.id for one in records], wanted)
        for record in shown:
            inline = {
                other.replace("_", " "): self._inline(call, object, record["id"], other, entries)
                for other, entries in found[record["id"]].items()
            }
            if inline:
                record["associations"] = inline

    @staticmethod
    def _inline(call: Call, object: str, id: str, other: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {"results": entries[:MAX_INLINE]}
        if len(entries) > MAX_INLINE:
            after = str(MAX_INLINE)
            link = f"{call.base}/crm/v3/objects/{object}/{id}/associations/{other}?limit={MAX_LIST}&after={after}"
            out["paging"] = {"next": {"after": after, "link": link}}
        return out

    def _list(self, call: Call) -> Answer:
        object, limit = call.object(), call.whole("limit", DEFAULT_LIST)
        most = MAX_HISTORIC if call.many("propertiesWithHistory") else MAX_LIST
        if not 0 < limit <= most:
            raise invalid(f"The limit of a list is between 1 and {most}.")
        after, archived = call.whole("after", 0), call.flag("archived")
        where = f"{NUMBER} >= ?" + (" AND merged_into IS NULL" if archived else "")
        found = self._state.scan(object, deleted=archived, where=where, params=[after], order=NUMBER, limit=limit + 1)
        body: dict[str, Any] = {"results": self._shown(call, found[:limit])}
        if len(found) > limit:
            body["paging"] = call.following(found[limit].id)
        return 200, body

    def _find(self, call: Call) -> Record:
        return self._records.find(
            call.object(), call.params["id"], id_property=call.one("idProperty"), archived=call.flag("archived")
        )

    def _get(self, call: Call) -> Answer:
        return 200, self._shown(call, [self._find(call)])[0]

    def _create(self, call: Call) -> Answer:
        given = call.mapping()
        record = self._writer.create(call.object(), given)
        return 201, self._records.show(record, list(properties_of(given)))

    def _update(self, call: Call) -> Answer:
        given = call.mapping()
        record = self._writer.update(self._find(call), given)
        return 200, self._records.show(record, list(properties_of(given)))

    def _delete(self, call: Call) -> Answer:
        if not call.params["id"].isdigit():
            raise not_found(call.params["id"])
        self._writer.archive(call.object(), call.params["id"])
        return 204, None

    def _merge(self, call: Call) -> Answer:
        given: Mapping[str, Any] = call.mapping()
        ids = str(given.get("primaryObjectId") or ""), str(given.get("objectIdToMerge") or "")
        if not all(ids):
            raise invalid("Invalid input JSON: primaryObjectId and objectIdToMerge must be set.")
        return 200, self._records.show(self._writer.merge(call.object(), *ids))

    def _erase(self, call: Call) -> Answer:
        self._writer.erase(call.object(), call.mapping())
        return 204, None
