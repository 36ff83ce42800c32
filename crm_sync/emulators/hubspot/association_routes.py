"""Endpoints of associations: v4, the v3 batches and reads, labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crm_sync.emulators.hubspot.association_types import Kind
from crm_sync.emulators.hubspot.associations import Associations
from crm_sync.emulators.hubspot.batches import Answer, envelope, inputs_of
from crm_sync.emulators.hubspot.bodies import mappings
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.records import Records
from crm_sync.emulators.hubspot.refusals import Refusal, invalid
from crm_sync.emulators.hubspot.routing import Endpoint

MAX_READ, MAX_CREATE, PAGE, OLD_PAGE = 1000, 2000, 500, 100

Pair = Callable[[str, str, Mapping[str, Any]], dict[str, Any]]


class AssociationRoutes:
    """The endpoints of associations."""

    def __init__(self, records: Records, associations: Associations) -> None:
        self._records, self._associations, self._types = records, associations, associations.types
        self._state = records.state

    def table(self) -> list[Endpoint]:
        """Return the endpoints; the first match counts."""
        pairs, single = "/crm/v4/associations/{object}/{to_object}", "/crm/v4/objects/{object}/{id}/associations"
        old, old_single = "/crm/v3/associations/{object}/{to_object}", "/crm/v3/objects/{object}/{id}/associations"
        flexible = "/crm/associations/v4/{object}/{to_object}"
        v4 = [
            Endpoint("POST", f"{pairs}/batch/read", self._read),
            Endpoint("POST", f"{pairs}/batch/create", lambda c: self._each(c, self._related(c), 201)),
            Endpoint("POST", f"{pairs}/batch/associate/default", lambda c: self._each(c, self._defaulted(c), 200)),
            Endpoint("POST", f"{pairs}/batch/archive", self._archive),
            Endpoint("POST", f"{pairs}/batch/labels/archive", self._archive_labels),
            Endpoint("PUT", f"{single}/default/{{to_object}}/{{to_id}}", self._associate_default),
            Endpoint("GET", f"{single}/{{to_object}}", self._list),
            Endpoint("PUT", f"{single}/{{to_object}}/{{to_id}}", self._associate),
            Endpoint("DELETE", f"{single}/{{to_object}}/{{to_id}}", self._dissociate),
        ]
        labels = [
            endpoint
            for at, base in enumerate((pairs, flexible))
            for endpoint in (
                Endpoint("GET", f"{base}/labels", self._labels, dated=at == 0),
                Endpoint("POST", f"{base}/labels", self._create_label, dated=at == 0),
                Endpoint("PUT", f"{base}/labels", self._rename_label, dated=at == 0),
                Endpoint("DELETE", f"{base}/labels/{{type_id}}", self._drop_label, dated=at == 0),
            )
        ]
        v3 = [
            Endpoint("POST", f"{old}/batch/read", self._read_old, dated=False),
            Endpoint("POST", f"{old}/batch/create", self._create_old, dated=False),
            Endpoint("POST", f"{old}/batch/archive", self._archive_old, dated=False),
            Endpoint("GET", f"{old}/types", self._old_types, dated=False),
            Endpoint("GET", f"{old_single}/{{to_object}}", self._list_old, dated=False),
            Endpoint("PUT", f"{old_single}/{{to_object}}/{{to_id}}/{{type}}", self._associate_old, dated=False),
            Endpoint("DELETE", f"{old_single}/{{to_object}}/{{to_id}}/{{type}}", self._dissociate_old, dated=False),
        ]
        return [*v4, *labels, *v3]

    # -- reading

    def _page(self, targets: Mapping[str, list[Kind]], after: str, limit: int) -> tuple[list[dict[str, Any]], str]:
        """Return one page of what a record is associated with, and where the next one starts ("" at the end)."""
        first = int(after) if after.isdigit() else 0
        all_ids = [to_id for to_id in targets if int(to_id) >= first]
        page = [
            {"toObjectId": int(to_id), "associationTypes": [one.show() for one in targets[to_id]]}
            for to_id in all_ids[:limit]
        ]
        return page, all_ids[limit] if len(all_ids) > limit else ""

    def _list(self, call: Call) -> Answer:
        object, to_object = call.pair()
        self._types.known(object, to_object)
        limit = call.whole("limit", PAGE)
        if not 0 < limit <= PAGE:
            raise invalid(f"The limit of a page of associations is between 1 and {PAGE}.")
        record = self._records.find(object, call.params["id"])
        targets = self._associations.pairs(object, [record.id], to_object).get(record.id, {})
        page, following = self._page(targets, call.one("after") or "", limit)
        body: dict[str, Any] = {"results": page}
        return 200, body | ({"paging": call.following(following)} if following else {})

    def _read(self, call: Call) -> Answer:
        object, to_object = call.pair()
        inputs = {str(one.get("id")): str(one.get("after") or "") for one in inputs_of(call.document(), MAX_READ)}
        self._types.known(object, to_object)
        found = self._associations.pairs(object, list(inputs), to_object)
        results = []
        for id, after in inputs.items():
            if id in found:
                page, following = self._page(found[id], after, PAGE)
                link = f"{call.base}/crm/v4/objects/{object}/{id}/associations/{to_object}?after={following}"
                paging = {"paging": {"next": {"after": following, "link": link}}} if following else {}
                results.append({"from": {"id": id}, "to": page, **paging})
        errors = [self._none(call, id) for id in inputs if id not in found]
        return envelope(self._state.now_us(), 200, results, errors)

    def _none(self, call: Call, id: str) -> dict[str, Any]:
        object, to_object = call.pair()
        return {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
            "message": f"No {to_object} is associated with {object} {id}.",
            "context": {"fromObjectId": [id], "fromObjectType": [object], "toObjectType": [to_object]},
        }

    # -- writing

    def _each(self, call: Call, relate: Pair, good_status: int) -> Answer:
        results, errors = [], []
        with self._state.transaction():
            for one in inputs_of(call.document(), MAX_CREATE):
                try:
                    with self._state.transaction():
                        result = relate(_id(one.get("from")), _id(one.get("to")), one)
                    results.append(result)
                except Refusal as error:
                    if error.status != 404:
                        raise
                    errors.append(error.item())
        return envelope(self._state.now_us(), good_status, results, errors)

    def _related(self, call: Call) -> Pair:
        object, to_object = call.pair()

        def relate(from_id: str, to_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
            labels = self._associations.relate(object, from_id, to_object, to_id, given.get("types") or [])
            return {
                "fromObjectTypeId": call.catalog.type_id(object), "fromObjectId": int(from_id),
                "toObjectTypeId": call.catalog.type_id(to_object), "toObjectId": int(to_id), "labels": labels,
            }  # fmt: skip

        return relate

    def _defaulted(self, call: Call) -> Pair:
        object, to_object = call.pair()

        def relate(from_id: str, to_id: str, _: Mapping[str, Any]) -> dict[str, Any]:
            self._associations.relate(object, from_id, to_object, to_id, [], default=True)
            plain = self._types.unlabeled(object, to_object)
            spec = {"associationCategory": plain.category, "associationTypeId": plain.id}
            return {"from": {"id": from_id}, "to": {"id": to_id}, "associationSpec": spec}

        return relate

    def _associate(self, call: Call) -> Answer:
        return 201, self._related(call)(call.params["id"], call.params["to_id"], {"types": call.document()})

    def _associate_default(self, call: Call) -> Answer:
        result = self._defaulted(call)(call.params["id"], call.params["to_id"], {})
        return envelope(self._state.now_us(), 200, [result], [])

    def _dissociate(self, call: Call) -> Answer:
        object, to_object = call.pair()
        self._associations.remove(object, call.params["id"], to_object, call.params["to_id"])
        return 204, None

    def _archive(self, call: Call) -> Answer:
        object, to_object = call.pair()
        with self._state.transaction():
            for one in inputs_of(call.document(), MAX_CREATE):
                for target in mappings(one, "to"):
                    self._associations.remove(object, _id(one.get("from")), to_object, _id(target))
        return 204, None

    def _archive_labels(self, call: Call) -> Answer:
        object, to_object = call.pair()
        with self._state.transaction():
            for one in inputs_of(call.document(), MAX_CREATE):
                ends = object, _id(one.get("from")), to_object, _id(one.get("to"))
                self._associations.remove_labels(*ends, one.get("types") or [])
        return 204, None

    # -- labels

    def _labels(self, call: Call) -> Answer:
        kinds = self._types.known(*call.pair()).values()
        return 200, {"results": [one.show() for one in sorted(kinds, key=lambda one: one.id)]}

    def _create_label(self, call: Call) -> Answer:
        return 200, {"results": self._types.create(*call.pair(), call.mapping())}

    def _rename_label(self, call: Call) -> Answer:
        self._types.rename(*call.pair(), call.mapping())
        return 204, None

    def _drop_label(self, call: Call) -> Answer:
        one = self._types.drop(*call.pair(), call.params["type_id"])
        with self._state.transaction() as db:
            for kind in ((one.from_object, one.to_object, one.id), (one.to_object, one.from_object, one.back)):
                db.execute("DELETE FROM association WHERE from_object = ? AND to_object = ? AND type_id = ?", kind)
        return 204, None

    # -- v3

    def _old_types(self, call: Call) -> Answer:
        kinds = self._types.known(*call.pair()).values()
        return 200, {"results": [{"id": str(one.id), "name": self._types.legacy_name(one)} for one in kinds]}

    def _read_old(self, call: Call) -> Answer:
        object, to_object = call.pair()
        ids = [str(one.get("id")) for one in inputs_of(call.document(), MAX_READ)]
        self._types.known(object, to_object)
        found = self._associations.inline(object, ids, [to_object])
        results = [{"from": {"id": id}, "to": found[id][to_object]} for id in dict.fromkeys(ids) if found[id]]
        errors = [self._none(call, id) for id in dict.fromkeys(ids) if not found[id]]
        return envelope(self._state.now_us(), 200, results, errors)

    def _create_old(self, call: Call) -> Answer:
        object, to_object = call.pair()

        def relate(from_id: str, to_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
            self._add(object, from_id, to_object, to_id, given.get("type"))
            return {"from": {"id": from_id}, "to": {"id": to_id}, "type": given.get("type")}

        return self._each(call, relate, 201)

    def _add(self, object: str, from_id: str, to_object: str, to_id: str, named: Any) -> None:
        """Add one type beside those that are there, as v3 does."""
        kind = self._types.named(object, to_object, named)
        present = self._associations.pairs(object, [from_id], to_object).get(from_id, {}).get(to_id, [])
        types = [{"associationCategory": one.category, "associationTypeId": one.id} for one in [*present, kind]]
        self._associations.relate(object, from_id, to_object, to_id, types)

    def _remove(self, object: str, from_id: str, to_object: str, to_id: str, named: Any) -> None:
        kind = self._types.named(object, to_object, named)
        types = [{"associationCategory": kind.category, "associationTypeId": kind.id}]
        self._associations.remove_labels(object, from_id, to_object, to_id, types)

    def _archive_old(self, call: Call) -> Answer:
        with self._state.transaction():
            for one in inputs_of(call.document(), MAX_CREATE):
                object, to_object = call.pair()
                self._remove(object, _id(one.get("from")), to_object, _id(one.get("to")), one.get("type"))
        return 204, None

    def _list_old(self, call: Call) -> Answer:
        object, to_object = call.pair()
        record = self._records.find(object, call.params["id"])
        entries = self._associations.inline(object, [record.id], [to_object])[record.id].get(to_object, [])
        start, limit = call.whole("after", 0), call.whole("limit", OLD_PAGE)
        body: dict[str, Any] = {"results": entries[start : start + limit]}
        more = start + limit < len(entries)
        return 200, body | ({"paging": call.following(str(start + limit))} if more else {})

    def _associate_old(self, call: Call) -> Answer:
        (object, to_object), params = call.pair(), call.params
        self._add(object, params["id"], to_object, params["to_id"], params["type"])
        return 200, self._records.show(self._records.find(object, params["id"]))

    def _dissociate_old(self, call: Call) -> Answer:
        (object, to_object), params = call.pair(), call.params
        self._remove(object, params["id"], to_object, params["to_id"], params["type"])
        return 204, None


def _id(given: Any) -> str:
    id = str(given.get("id", "")) if isinstance(given, Mapping) else ""
    if not id.isdigit():
        raise invalid("Each input needs from.id and to.id, and ids are numbers.")
    return id
