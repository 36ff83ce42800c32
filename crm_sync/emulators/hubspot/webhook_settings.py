"""The webhooks API of an app: its target URL and its subscriptions (created paused, at most 1,000).

Source: webhooks guide and API reference. One receiver an app: the hook "app-APPID".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.hubspot.bodies import mapping
from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.refusals import invalid, refusal
from crm_sync.emulators.hubspot.webhooks import EVENT_TYPES
from crm_sync.emulators.posting import Subscription
from crm_sync.emulators.state import State

MAX_SUBSCRIPTIONS, MIN_CONCURRENT = 1000, 5
Shown = dict[str, Any]
Settings = dict[str, Any]


class WebhookSettings:
    """The webhook settings of all apps."""

    def __init__(self, state: State, hooks: Hooks) -> None:
        self._state, self._hooks = state, hooks

    def _find(self, app_id: str) -> Subscription | None:
        return next((one for one in self._hooks.subscriptions() if one.id == f"app-{app_id}"), None)

    def _known(self, app_id: str) -> Subscription:
        found = self._find(app_id)
        if found is None:
            raise refusal(404, "OBJECT_NOT_FOUND", f"The app {app_id} has no webhook settings.")
        return found

    def settings(self, app_id: str) -> Settings:
        """Return the target of an app; 404 where it has none."""
        found: Settings = self._known(app_id).facts["settings"]
        return found

    def configure(self, app_id: str, given: Mapping[str, Any]) -> Settings:
        """Set the target of an app, whose subscriptions stay."""
        url, throttling = str(given.get("targetUrl") or ""), mapping(given, "throttling")
        concurrent = throttling.get("maxConcurrentRequests", 10)
        if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise invalid("targetUrl must be an https URL (this emulator also takes http://127.0.0.1).")
        if not isinstance(concurrent, int) or concurrent <= MIN_CONCURRENT:
            raise invalid(f"maxConcurrentRequests must be more than {MIN_CONCURRENT}.")
        old, now = self._find(app_id), instant(self._state.now_us())
        settings = {
            "targetUrl": url, "throttling": {"period": "SECONDLY", "maxConcurrentRequests": concurrent},
            "createdAt": old.facts["settings"]["createdAt"] if old else now, "updatedAt": now,
        }  # fmt: skip
        facts = {"appId": int(app_id), "subscriptions": old.facts["subscriptions"] if old else []}
        self._hooks.subscribe(url, {**facts, "settings": settings}, f"app-{app_id}")
        return settings

    def clear(self, app_id: str) -> None:
        """Remove the target of an app and all its subscriptions."""
        self._hooks.unsubscribe(f"app-{app_id}")

    # -- subscriptions

    def all(self, app_id: str) -> list[Shown]:
        """Return the subscriptions of an app."""
        found = self._find(app_id)
        return [] if found is None else list(found.facts["subscriptions"])

    def get(self, app_id: str, id: str) -> Shown:
        """Return one subscription."""
        for one in self.all(app_id):
            if one["id"] == id:
                return one
        raise refusal(404, "OBJECT_NOT_FOUND", f"The app {app_id} has no subscription {id}.")

    def _keep(self, app_id: str, subscriptions: list[Shown]) -> None:
        found = self._known(app_id)
        self._hooks.subscribe(found.url, {**found.facts, "subscriptions": subscriptions}, found.id)

    def create(self, app_id: str, given: Mapping[str, Any]) -> Shown:
        """Subscribe an app to a type of event; it is paused unless `active` says otherwise."""
        kind, present = str(given.get("eventType") or ""), self.all(app_id)
        if kind not in EVENT_TYPES:
            raise invalid(f"Unknown eventType {kind or '(none)'}.")
        if kind.endswith(".propertyChange") and not given.get("propertyName"):
            raise invalid(f"A subscription to {kind} needs a propertyName.")
        if len(present) >= MAX_SUBSCRIPTIONS:
            raise invalid(f"An app can have {MAX_SUBSCRIPTIONS} subscriptions at most.")
        now = instant(self._state.now_us())
        made: Shown = {
            "id": str(self._state.next_number("hubspot-subscription")), "eventType": kind,
            "active": bool(given.get("active", False)), "createdAt": now, "updatedAt": now,
        }  # fmt: skip
        made |= {key: given[key] for key in ("propertyName", "objectTypeId") if given.get(key)}
        self._keep(app_id, [*present, made])
        return made

    def activate(self, app_id: str, changes: Mapping[str, bool]) -> list[Shown]:
        """Pause or resume subscriptions: id -> active."""
        now = instant(self._state.now_us())
        for id in changes:
            self.get(app_id, id)
        changed = [
            {**one, "active": changes[one["id"]], "updatedAt": now} if one["id"] in changes else one
            for one in self.all(app_id)
        ]
        self._keep(app_id, changed)
        return [one for one in changed if one["id"] in changes]

    def delete(self, app_id: str, id: str) -> None:
        """End a subscription."""
        self._keep(app_id, [one for one in self.all(app_id) if one["id"] != id])
