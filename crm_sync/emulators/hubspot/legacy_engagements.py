"""Engagements v1: notes, tasks, calls, meetings and emails as one kind of thing, with `metadata` of their own.

Emails are read only (501 for writes), and so are associations after the create. Source: legacy documentation
(engagements v1); HubSpot's MCP server, n8n and hubspot3, which call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hubspot.associations import Associations
from crm_sync.emulators.hubspot.batches import Answer
from crm_sync.emulators.hubspot.bodies import mapping
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.legacy import page_bounds, worded
from crm_sync.emulators.hubspot.properties import milliseconds
from crm_sync.emulators.hubspot.records import NUMBER, Records
from crm_sync.emulators.hubspot.refusals import PORTAL_ID, invalid, not_supported, refusal
from crm_sync.emulators.hubspot.routing import Endpoint, silent
from crm_sync.emulators.hubspot.writing import Writer
from crm_sync.emulators.state import Record

MOST, MOST_RECENT, WINDOW = 250, 100, 10_000
KINDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "NOTE": ("notes", {"body": "hs_note_body"}),
    "TASK": ("tasks", {
        "body": "hs_task_body", "subject": "hs_task_subject", "status": "hs_task_status", "taskType": "hs_task_type",
        "priority": "hs_task_priority", "forObjectType": "hs_task_for_object_type",
    }),
    "CALL": ("calls", {
        "body": "hs_call_body", "title": "hs_call_title", "status": "hs_call_status", "toNumber": "hs_call_to_number",
        "fromNumber": "hs_call_from_number", "durationMilliseconds": "hs_call_duration",
        "recordingUrl": "hs_call_recording_url", "disposition": "hs_call_disposition",
    }),
    "MEETING": ("meetings", {
        "body": "hs_meeting_body", "title": "hs_meeting_title", "startTime": "hs_meeting_start_time",
        "endTime": "hs_meeting_end_time", "internalMeetingNotes": "hs_internal_meeting_notes",
    }),
    "EMAIL": ("emails", {
        "subject": "hs_email_subject", "html": "hs_email_html", "text": "hs_email_text", "status": "hs_email_status",
        "messageId": "hs_email_message_id",
    }),
}  # fmt: skip
"""Type -> its object, and key of `metadata` -> property."""
TYPES = {object: type for type, (object, _) in KINDS.items()}
NUMBERS = frozenset({"durationMilliseconds", "startTime", "endTime"})
LINKS = {"contactIds": "contacts", "companyIds": "companies", "dealIds": "deals", "ticketIds": "tickets"}
NO_LINKS: dict[str, list[int]] = {"ownerIds": [], "workflowIds": [], "contentIds": [], "quoteIds": []}
Shown = dict[str, Any]


class LegacyEngagements:
    """The endpoints of engagements v1."""

    def __init__(self, records: Records, writer: Writer, associations: Associations) -> None:
        self._records, self._writer, self._associations = records, writer, associations
        self._state = records.state

    def table(self) -> list[Endpoint]:
        """Return the endpoints; the first match counts."""
        base = "/engagements/v1/engagements"
        return [
            Endpoint("GET", f"{base}/paged", self._paged),
            Endpoint("GET", f"{base}/recent/modified", self._recent),
            Endpoint("POST", base, worded(self._create)),
            Endpoint("GET", f"{base}/{{id}}", lambda c: (200, self._show(self._find(c)))),
            Endpoint("PATCH", f"{base}/{{id}}", worded(self._update)),
            Endpoint("DELETE", f"{base}/{{id}}", silent(self._delete)),
        ]

    # -- reading

    def _find(self, call: Call) -> Record:
        for object in TYPES:
            record = self._state.get(object, call.params["id"])
            if record is not None and not record.deleted:
                return record
        raise refusal(404, None, f"Engagement {call.params['id']} does not exist")

    def _show(self, record: Record) -> Shown:
        type = TYPES[record.object]
        values, owner = record.values, record.values.get("hubspot_owner_id")
        metadata = {
            key: milliseconds(values[name]) if key in NUMBERS else values[name]
            for key, name in KINDS[type][1].items()
            if values.get(name) is not None
        }
        links = {
            key: [int(id) for id in self._associations.pairs(record.object, [record.id], other).get(record.id, {})]
            for key, other in LINKS.items()
        }
        engagement = {
            "id": int(record.id), "portalId": PORTAL_ID, "active": not record.deleted,
            "createdAt": record.created_us // 1000, "lastUpdated": record.modified_us // 1000,
            **({"ownerId": int(owner)} if owner else {}), "type": type,
            "timestamp": milliseconds(values.get("hs_timestamp") or record.created_us // 1000),
        }  # fmt: skip
        return {
            "engagement": engagement, "associations": links | NO_LINKS, "attachments": [], "scheduledTasks": [],
            "metadata": metadata,
        }  # fmt: skip

    def _paged(self, call: Call) -> Answer:
        limit, offset = page_bounds(call, "limit", "offset", MOST)
        bounds = {"where": f"{NUMBER} > ?", "params": [offset], "order": NUMBER, "limit": limit + 1}
        found = [one for object in TYPES for one in self._state.scan(object, **bounds)]
        found.sort(key=lambda one: int(one.id))
        page = found[:limit]
        last = int(page[-1].id) if page else offset
        return 200, {"results": [self._show(one) for one in page], "hasMore": len(found) > limit, "offset": last}

    def _recent(self, call: Call) -> Answer:
        limit, offset = page_bounds(call, "count", "offset", MOST_RECENT)
        if offset >= WINDOW:
            raise invalid(f"The offset must be below {WINDOW}.")
        where: dict[str, Any] = {"where": "modified_us >= ?", "params": [call.whole("since", 0) * 1000]}
        bounds = {**where, "order": f"modified_us DESC, {NUMBER}", "limit": offset + limit}
        found = [one for object in TYPES for one in self._state.scan(object, **bounds)]
        found.sort(key=lambda one: (-one.modified_us, int(one.id)))
        total = sum(self._state.count(object, **where) for object in TYPES)
        page = found[offset : offset + limit]
        following = offset + len(page)
        shown = [self._show(one) for one in page]
        return 200, {"results": shown, "hasMore": following < total, "offset": following, "total": total}

    # -- writing

    def _create(self, call: Call) -> Answer:
        given = call.mapping()
        engagement = mapping(given, "engagement")
        type = str(engagement.get("type"))
        if type not in KINDS:
            raise invalid(f"engagement.type must be one of {', '.join(KINDS)}.")
        properties = {"hs_timestamp": self._state.now_us() // 1000, **self._properties(call, type, given)}
        links = [
            {"to": {"id": id}, "types": self._types(KINDS[type][0], key)}
            for key, ids in mapping(given, "associations").items()
            for id in (ids if isinstance(ids, list) else [])
            if key in LINKS
        ]
        made = self._writer.create(KINDS[type][0], {"properties": properties, "associations": links})
        return 200, self._show(made)

    def _types(self, object: str, key: str) -> list[dict[str, Any]]:
        kind = self._associations.types.unlabeled(object, LINKS[key])
        return [{"associationCategory": kind.category, "associationTypeId": kind.id}]

    def _update(self, call: Call) -> Answer:
        given, record = call.mapping(), self._find(call)
        if any(mapping(given, "associations").values()):
            raise not_supported(f"{call.method} {call.path} with associations")
        properties = self._properties(call, TYPES[record.object], given)
        return 200, self._show(self._writer.update(record, {"properties": properties}))

    @staticmethod
    def _properties(call: Call, type: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the properties that `engagement` and `metadata` set."""
        if type == "EMAIL":
            raise not_supported(f"{call.method} {call.path} with an EMAIL")
        engagement, metadata, known = mapping(given, "engagement"), mapping(given, "metadata"), KINDS[type][1]
        unknown = [key for key in metadata if key not in known]
        if unknown:
            raise not_supported(f"{call.method} {call.path} with metadata.{unknown[0]} of a {type}")
        out = {known[key]: value for key, value in metadata.items()}
        out |= {"hs_timestamp": engagement["timestamp"]} if engagement.get("timestamp") is not None else {}
        return out | ({"hubspot_owner_id": engagement["ownerId"]} if engagement.get("ownerId") is not None else {})

    def _delete(self, call: Call) -> None:
        record = self._find(call)
        self._writer.archive(record.object, record.id)
