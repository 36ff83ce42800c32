"""What each route answers: (status, body) of one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hubspot.associations import MAX_CREATE, MAX_READ, TYPE_IDS
from crm_sync.emulators.hubspot.auth import Gate
from crm_sync.emulators.hubspot.batches import Answer, Batches, envelope, inputs_of
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.records import NUMBER, Records
from crm_sync.emulators.hubspot.refusals import Refusal, invalid, not_supported
from crm_sync.emulators.hubspot.search import Search
from crm_sync.emulators.state import Record

MAX_LIST, DEFAULT_LIST = 100, 10
OWNER = {
    "id": "62510001", "email": "person@emulator.test", "type": "PERSON", "firstName": "Emulated", "lastName": "Person",
    "userId": 62510001, "userIdIncludingInactive": 62510001, "createdAt": "2026-01-01T00:00:00Z",
    "updatedAt": "2026-01-01T00:00:00Z", "archived": False,
}  # fmt: skip

Handler = Callable[[Call], Answer]


class Routes:
    """The handlers, and the table of paths that they serve."""

    def __init__(self, records: Records, gate: Gate, faults: Faults) -> None:
        self._records = records
        self._state = records.state
        self._associations = records.associations
        self._properties = records.properties
        self._batches = Batches(records)
        self._search = Search(records)
        self._gate = gate
        self._faults = faults

    def open_table(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler) of what needs no bearer token."""
        return [
            ("POST", "/oauth/v1/token", self._token),
            ("GET", "/oauth/v1/access-tokens/{token}", lambda call: (200, self._gate.describe(call.params["token"]))),
            (
                "GET",
                "/oauth/v1/refresh-tokens/{token}",
                lambda call: (200, self._gate.describe_refresh(call.params["token"])),
            ),
        ]

    def table(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler) of the CRM itself; the first match counts."""
        objects, one = "/crm/v3/objects/{object}", "/crm/v3/objects/{object}/{id}"
        pairs, single = "/crm/v4/associations/{object}/{to_object}", "/crm/v4/objects/{object}/{id}/associations"
        batches = self._batches
        return [
            ("POST", f"{objects}/batch/read", lambda c: batches.read(c.object(), self._plain(c), c.flag("archived"))),
            ("POST", f"{objects}/batch/create", lambda c: batches.create(c.object(), c.document())),
            ("POST", f"{objects}/batch/update", lambda c: batches.update(c.object(), c.document())),
            ("POST", f"{objects}/batch/upsert", lambda c: batches.upsert(c.object(), c.document())),
            ("POST", f"{objects}/batch/archive", lambda c: batches.archive(c.object(), c.document())),
            ("POST", f"{objects}/search", self._search_records),
            ("POST", f"{objects}/merge", self._merge),
            ("GET", objects, self._list),
            ("POST", objects, self._create),
            ("GET", one, self._get),
            ("PATCH", one, self._update),
            ("DELETE", one, self._delete),
            ("GET", "/crm/v3/properties/{object}", self._list_properties),
            ("POST", "/crm/v3/properties/{object}", self._create_property),
            (
                "GET",
                "/crm/v3/properties/{object}/{name}",
                lambda c: (200, self._properties.get(c.object(), c.params["name"])),
            ),
            ("GET", "/crm/v3/owners", lambda c: (200, {"results": [] if c.flag("archived") else [OWNER]})),
            ("GET", "/crm/v3/owners/", lambda c: (200, {"results": [] if c.flag("archived") else [OWNER]})),
            ("POST", f"{pairs}/batch/read", self._read_associations),
            ("POST", f"{pairs}/batch/create", self._create_associations),
            ("POST", f"{pairs}/batch/associate/default", self._create_default_associations),
            ("POST", f"{pairs}/batch/archive", self._archive_associations),
            ("POST", f"{pairs}/batch/labels/archive", self._archive_labels),
            ("GET", f"{pairs}/labels", lambda c: (200, {"results": self._associations.labels(*_pair(c))})),
            ("PUT", f"{single}/default/{{to_object}}/{{to_id}}", self._associate_default),
            ("GET", f"{single}/{{to_object}}", self._list_associations),
            ("PUT", f"{single}/{{to_object}}/{{to_id}}", self._associate),
            ("DELETE", f"{single}/{{to_object}}/{{to_id}}", self._dissociate),
        ]

    # -- tokens

    def _token(self, call: Call) -> Answer:
        return 200, self._gate.token(dict(parse_qsl(call.body.decode("utf-8", "replace"))))

    # -- records

    @staticmethod
    def _plain(call: Call) -> Any:
        document = call.document()
        if isinstance(document, Mapping) and document.get("propertiesWithHistory"):
            raise not_supported("propertiesWithHistory")
        return document

    def _search_records(self, call: Call) -> Answer:
        return self._search.search(
            call.object(), call.document(), float(self._faults.knob("index_lag_seconds", 0) or 0)
        )

    def _merge(self, call: Call) -> Answer:
        given = call.document()
        merged = self._records.merge(
            call.object(), str(given.get("primaryObjectId")), str(given.get("objectIdToMerge"))
        )
        return 200, self._records.show(merged)

    def _shown(self, call: Call, records: Sequence[Record]) -> list[dict[str, Any]]:
        if call.many("propertiesWithHistory"):
            raise not_supported("propertiesWithHistory")
        object = call.object()
        wanted = [call.object_named(one) for one in call.many("associations")]
        inline = self._associations.inline(object, [one.id for one in records], wanted) if wanted else {}
        names = call.many("properties") or None
        return [self._records.show(one, names, inline.get(one.id)) for one in records]

    def _list(self, call: Call) -> Answer:
        object, limit = call.object(), call.whole("limit", DEFAULT_LIST)
        if not 0 < limit <= MAX_LIST:
            raise invalid(f"The limit of a list is between 1 and {MAX_LIST}.")
        after, archived = call.whole("after", 0), call.flag("archived")
        where = f"{NUMBER} >= ?" + (" AND merged_into IS NULL" if archived else "")
        found = self._state.scan(object, deleted=archived, where=where, params=[after], order=NUMBER, limit=limit + 1)
        body: dict[str, Any] = {"results": self._shown(call, found[:limit])}
        if len(found) > limit:
            following = found[limit].id
            query = urlencode([*((k, v) for k, v in call.query if k != "after"), ("after", following)])
            body["paging"] = {"next": {"after": following, "link": f"{call.base}{call.path}?{query}"}}
        return 200, body

    def _create(self, call: Call) -> Answer:
        given = _object_of(call)
        record = self._records.create(call.object(), given)
        return 201, self._records.show(record, list(given["properties"]))

    def _find(self, call: Call) -> Record:
        return self._records.find(
            call.object(), call.params["id"], id_property=call.one("idProperty"), archived=call.flag("archived")
        )

    def _get(self, call: Call) -> Answer:
        return 200, self._shown(call, [self._find(call)])[0]

    def _update(self, call: Call) -> Answer:
        given = _object_of(call)
        record = self._records.update(self._find(call), given)
        return 200, self._records.show(record, list(given["properties"]))

    def _delete(self, call: Call) -> Answer:
        with self._state.transaction():
            self._records.archive(call.object(), call.params["id"])
        return 204, None

    # -- properties

    def _list_properties(self, call: Call) -> Answer:
        return 200, {"results": [] if call.flag("archived") else self._properties.list(call.object())}

    def _create_property(self, call: Call) -> Answer:
        given = call.document()
        if not isinstance(given, Mapping):
            raise invalid("Invalid input JSON: an object is expected.")
        return 201, self._properties.create(call.object(), given)

    # -- associations

    def _read_associations(self, call: Call) -> Answer:
        object, to_object = _pair(call)
        self._associations.check_pair(object, to_object)
        ids = [str(one.get("id")) for one in inputs_of(call.document(), MAX_READ)]
        found = self._associations.read(object, ids, to_object)
        results = [{"from": {"id": id}, "to": found[id]} for id in dict.fromkeys(ids) if found.get(id)]
        errors = [
            {
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                "message": f"No {to_object} is associated with {object} {id}.",
                "context": {"fromObjectId": [id], "fromObjectType": [object], "toObjectType": [to_object]},
            }
            for id in dict.fromkeys(ids)
            if not found.get(id)
        ]
        return envelope(self._state.now_us(), 200, results, errors)

    def _create_associations(self, call: Call) -> Answer:
        def relate(from_id: str, to_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
            return self._related(call, from_id, to_id, given.get("types") or [])

        return self._each_pair(call, relate, 201)

    def _create_default_associations(self, call: Call) -> Answer:
        def relate(from_id: str, to_id: str, _: Mapping[str, Any]) -> dict[str, Any]:
            return self._related_by_default(call, from_id, to_id)

        return self._each_pair(call, relate, 200)

    def _each_pair(
        self, call: Call, relate: Callable[[str, str, Mapping[str, Any]], dict[str, Any]], good_status: int
    ) -> Answer:
        results, errors = [], []
        with self._state.transaction():
            for one in inputs_of(call.document(), MAX_CREATE):
                try:
                    results.append(relate(_id(one.get("from")), _id(one.get("to")), one))
                except Refusal as error:
                    if error.status != 404:
                        raise
                    errors.append(error.item())
        return envelope(self._state.now_us(), good_status, results, errors)

    def _related(self, call: Call, from_id: str, to_id: str, types: Any) -> dict[str, Any]:
        object, to_object = _pair(call)
        labels = self._associations.relate(object, from_id, to_object, to_id, types)
        return {
            "fromObjectTypeId": TYPE_IDS[object],
            "fromObjectId": int(from_id),
            "toObjectTypeId": TYPE_IDS[to_object],
            "toObjectId": int(to_id),
            "labels": labels,
        }

    def _related_by_default(self, call: Call, from_id: str, to_id: str) -> dict[str, Any]:
        object, to_object = _pair(call)
        self._associations.relate(object, from_id, to_object, to_id, [], default=True)
        unlabeled = self._associations.labels(object, to_object)[1]
        spec = {"associationCategory": unlabeled["category"], "associationTypeId": unlabeled["typeId"]}
        return {"from": {"id": from_id}, "to": {"id": to_id}, "associationSpec": spec}

    def _archive_associations(self, call: Call) -> Answer:
        object, to_object = _pair(call)
        with self._state.transaction():
            for one in inputs_of(call.document(), MAX_CREATE):
                for target in one.get("to") or []:
                    self._associations.remove(object, _id(one.get("from")), to_object, _id(target))
        return 204, None

    def _archive_labels(self, call: Call) -> Answer:
        object, to_object = _pair(call)
        with self._state.transaction():
            for one in inputs_of(call.document(), MAX_CREATE):
                ends = object, _id(one.get("from")), to_object, _id(one.get("to"))
                self._associations.remove_labels(*ends, one.get("types") or [])
        return 204, None

    def _list_associations(self, call: Call) -> Answer:
        object, to_object = _pair(call)
        self._associations.check_pair(object, to_object)
        record = self._records.find(object, call.params["id"])
        return 200, {"results": self._associations.read(object, [record.id], to_object).get(record.id, [])}

    def _associate(self, call: Call) -> Answer:
        return 201, self._related(call, call.params["id"], call.params["to_id"], call.document())

    def _associate_default(self, call: Call) -> Answer:
        result = self._related_by_default(call, call.params["id"], call.params["to_id"])
        return envelope(self._state.now_us(), 200, [result], [])

    def _dissociate(self, call: Call) -> Answer:
        object, to_object = _pair(call)
        self._associations.remove(object, call.params["id"], to_object, call.params["to_id"])
        return 204, None


def _pair(call: Call) -> tuple[str, str]:
    return call.object(), call.object("to_object")


def _id(given: Any) -> str:
    id = str(given.get("id", "")) if isinstance(given, Mapping) else ""
    if not id.isdigit():
        raise invalid("Each input needs from.id and to.id, and ids are numbers.")
    return id


def _object_of(call: Call) -> dict[str, Any]:
    given = call.document()
    if not isinstance(given, dict) or not isinstance(given.get("properties"), dict):
        raise invalid("Invalid input JSON: properties must be an object.")
    return given
