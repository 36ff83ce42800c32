"""Tell subscribed receivers what happened to records: one webhook event for each subscription that it matches.

Source: webhooks guide (event types and payloads); the wire's key is subscriptionType, ids are numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.hubspot.catalog import Catalog
from crm_sync.emulators.hubspot.refusals import PORTAL_ID
from crm_sync.emulators.hubspot.sources import APP_ID, Source
from crm_sync.emulators.posting import Subscription
from crm_sync.emulators.state import Record, State

OWN_TYPES = frozenset({"contacts", "companies", "deals", "tickets", "products", "line_items"})
"""Objects whose events may be subscribed under their own name; the others only as object.*."""
KINDS = ("creation", "deletion", "propertyChange", "merge", "restore", "associationChange", "privacyDeletion")
QUIET = frozenset({"hs_lastmodifieddate", "lastmodifieddate"})
"""Properties whose changes are never told."""


class Events:
    """The events of the portal."""

    def __init__(self, state: State, catalog: Catalog, hooks: Hooks) -> None:
        self._state, self._catalog, self._hooks = state, catalog, hooks

    def creation(self, record: Record, source: Source, delay_seconds: float = 0.0) -> None:
        """Tell that a record was created, and each of its values."""
        if not self._hooks.subscriptions():
            return
        facts = {"objectId": int(record.id), "changeFlag": "CREATED"}
        self._emit("creation", record.object, facts, source, delay_seconds)
        self.changes(record, record.values, source, delay_seconds)

    def changes(self, record: Record, values: Mapping[str, Any], source: Source, delay_seconds: float = 0.0) -> None:
        """Tell that values of a record changed."""
        if not self._hooks.subscriptions():
            return
        for name, value in values.items():
            if name not in QUIET:
                facts = {"objectId": int(record.id), "propertyName": name, "propertyValue": value or ""}
                self._emit("propertyChange", record.object, facts, source, delay_seconds)

    def deletion(self, object: str, id: str, source: Source) -> None:
        """Tell that a record went to the recycle bin."""
        self._emit("deletion", object, {"objectId": int(id), "changeFlag": "DELETED"}, source)

    def restore(self, object: str, id: str, source: Source) -> None:
        """Tell that a record came back from the recycle bin."""
        self._emit("restore", object, {"objectId": int(id)}, source)

    def erasure(self, object: str, id: str, source: Source) -> None:
        """Tell that a record was deleted for good: privacyDeletion (contacts only) and deletion."""
        if object == "contacts":
            self._emit("privacyDeletion", object, {"objectId": int(id)}, source)
        self.deletion(object, id, source)

    def merge(self, object: str, primary_id: str, other_id: str, new_id: str, moved: int, source: Source) -> None:
        """Tell that two records became a new one."""
        facts = {
            "objectId": int(new_id), "primaryObjectId": int(primary_id), "mergedObjectIds": [int(other_id)],
            "newObjectId": int(new_id), "numberOfPropertiesMoved": moved,
        }  # fmt: skip
        self._emit("merge", object, facts, source)

    def association(
        self, from_object: str, from_id: str, to_object: str, to_id: str, source: Source, *, removed: bool,
        primary: bool,
    ) -> None:  # fmt: skip
        """Tell one side of an association that came or went."""
        name = f"{self._catalog.singular(from_object)}_TO_{self._catalog.singular(to_object)}".upper()
        facts = {
            "associationType": name, "fromObjectId": int(from_id), "toObjectId": int(to_id),
            "associationRemoved": removed, "isPrimaryAssociation": primary,
        }  # fmt: skip
        self._emit("associationChange", from_object, facts, source)

    def _emit(
        self, kind: str, object: str, facts: Mapping[str, Any], source: Source, delay_seconds: float = 0.0
    ) -> None:
        for receiver in self._hooks.subscriptions():
            for one in receiver.facts.get("subscriptions", []):
                if one["active"] and self._wants(one, kind, object, facts):
                    self._send(receiver, one, kind, object, facts, source, delay_seconds)

    def _wants(self, one: Mapping[str, Any], kind: str, object: str, facts: Mapping[str, Any]) -> bool:
        named, _, wanted = str(one["eventType"]).partition(".")
        if wanted != kind:
            return False
        if named == "object":
            if one.get("objectTypeId") not in (None, self._catalog.type_id(object)):
                return False
        elif object not in OWN_TYPES or named != self._catalog.singular(object):
            return False
        return kind != "propertyChange" or one.get("propertyName") in (None, "*", facts["propertyName"])

    def _send(
        self, receiver: Subscription, one: Mapping[str, Any], kind: str, object: str, facts: Mapping[str, Any],
        source: Source, delay_seconds: float,
    ) -> None:  # fmt: skip
        body = {
            "eventId": self._state.next_number("hubspot-event"), "subscriptionId": int(one["id"]),
            "portalId": PORTAL_ID, "appId": receiver.facts.get("appId", APP_ID),
            "occurredAt": self._state.now_us() // 1000, "subscriptionType": one["eventType"], "attemptNumber": 0,
            **facts, "changeSource": source.kind, "sourceId": source.id,
        }  # fmt: skip
        if str(one["eventType"]).startswith("object."):
            body["objectTypeId"] = self._catalog.type_id(object)
        self._hooks.emit(receiver.id, body, object=object, delay_seconds=delay_seconds)
