"""Endpoints beside the CRM: OAuth, the account, communication preferences, webhook settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hubspot.auth import Gate
from crm_sync.emulators.hubspot.batches import Answer, envelope, inputs_of
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.consent import DEFINITIONS, Consent
from crm_sync.emulators.hubspot.limits import Limits
from crm_sync.emulators.hubspot.owners import users
from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.refusals import PORTAL_ID, Refusal, invalid, not_found
from crm_sync.emulators.hubspot.routing import Endpoint, silent
from crm_sync.emulators.hubspot.webhook_settings import WebhookSettings
from crm_sync.emulators.state import State

DAY_US, MAX_USERS = 86_400_000_000, 100
ACCOUNT = {
    "portalId": PORTAL_ID, "accountType": "DEVELOPER_TEST", "timeZone": "UTC", "companyCurrency": "USD",
    "currency": "USD", "additionalCurrencies": [], "utcOffset": "+00:00", "utcOffsetMilliseconds": 0,
    "uiDomain": "app.hubspot.com", "dataHostingLocation": "na1",
}  # fmt: skip


def _results(found: list[dict[str, Any]]) -> Answer:
    return 200, {"results": found}


class ServiceRoutes:
    """The endpoints beside the CRM."""

    def __init__(self, state: State, gate: Gate, limits: Limits, consent: Consent, webhooks: WebhookSettings) -> None:
        self._state, self._gate, self._limits = state, gate, limits
        self._consent, self._webhooks = consent, webhooks

    def table(self) -> list[Endpoint]:
        """Return the endpoints; the first match counts."""
        account = [
            Endpoint("GET", "/account-info/v3/details", lambda c: (200, ACCOUNT)),
            Endpoint("GET", "/account-info/v3/api-usage/daily/private-apps", self._usage),
            Endpoint("GET", "/integrations/v1/me", lambda c: (200, ACCOUNT)),
            Endpoint("GET", "/settings/v3/users", self._users),
            Endpoint("GET", "/settings/v3/users/roles", lambda c: _results([])),
            Endpoint("GET", "/settings/v3/users/teams", lambda c: _results([])),
            Endpoint("GET", "/settings/v3/users/{id}", self._user),
        ]
        return [*self._oauth_table(), *account, *self._consent_table(), *self._webhook_table()]

    # -- the account

    def _usage(self, call: Call) -> Answer:
        limit, used = self._limits.of_today()
        now = instant(self._state.now_us())
        midnight = instant((self._state.now_us() // DAY_US + 1) * DAY_US)
        told = {"name": "private-apps-api-calls-daily", "usageLimit": limit, "currentUsage": used}
        return _results([told | {"collectedAt": now, "fetchStatus": "SUCCESS", "resetsAt": midnight}])

    def _users(self, call: Call) -> Answer:
        found, limit = users(), call.whole("limit", MAX_USERS)
        if not 0 < limit <= MAX_USERS:
            raise invalid(f"The limit of a list of users is between 1 and {MAX_USERS}.")
        start = call.whole("after", 0)
        page, more = found[start : start + limit], start + limit < len(found)
        body: dict[str, Any] = {"results": page}
        return 200, body | ({"paging": call.following(str(start + limit))} if more else {})

    def _user(self, call: Call) -> Answer:
        by = "email" if (call.one("idProperty") or "").upper() == "EMAIL" else "id"
        for one in users():
            if one[by] == call.params["id"]:
                return 200, one
        raise not_found(call.params["id"])

    # -- OAuth

    def _oauth_table(self) -> list[Endpoint]:
        gate = self._gate
        access, refresh = "/oauth/v1/access-tokens/{token}", "/oauth/v1/refresh-tokens/{token}"
        return [
            Endpoint("GET", "/oauth/authorize", self._authorize, open=True),
            Endpoint("POST", "/oauth/v1/token", lambda c: (200, gate.token(c.form())), open=True),
            Endpoint("GET", access, lambda c: (200, gate.describe(c.params["token"])), open=True),
            Endpoint("GET", refresh, lambda c: (200, gate.describe_refresh(c.params["token"])), open=True),
            Endpoint("DELETE", refresh, silent(lambda c: gate.end_refresh(c.params["token"])), open=True),
            Endpoint(
                "POST",
                "/oauth/v2/private-apps/get/access-token-info",
                lambda c: (200, gate.describe_private(c.mapping())),
                open=True,
            ),
            Endpoint("POST", "/oauth/v3/token", lambda c: (200, gate.token_by_v3(c.form())), open=True),
            Endpoint("POST", "/oauth/v3/token/introspect", lambda c: (200, gate.introspect(c.form())), open=True),
            Endpoint("POST", "/oauth/v3/token/revoke", self._revoke, open=True),
        ]

    def _authorize(self, call: Call) -> Answer:
        raise Refusal(302, {}, {"Location": self._gate.authorize(dict(call.query))})

    def _revoke(self, call: Call) -> Answer:
        self._gate.revoke(call.form())
        return 200, {}

    # -- communication preferences

    def _consent_table(self) -> list[Endpoint]:
        old, new, consent = "/communication-preferences/v3", "/communication-preferences/v4", self._consent
        return [
            Endpoint("GET", f"{old}/definitions", lambda c: (200, {"subscriptionDefinitions": DEFINITIONS})),
            Endpoint("GET", f"{old}/status/email/{{email}}", self._old_statuses),
            Endpoint("POST", f"{old}/subscribe", lambda c: (200, consent.change_old(c.mapping(), "SUBSCRIBED"))),
            Endpoint("POST", f"{old}/unsubscribe", lambda c: (200, consent.change_old(c.mapping(), "UNSUBSCRIBED"))),
            Endpoint("GET", f"{new}/definitions", lambda c: self._complete(DEFINITIONS)),
            Endpoint("POST", f"{new}/statuses/batch/read", self._read_statuses),
            Endpoint("POST", f"{new}/statuses/batch/write", self._write_statuses),
            Endpoint("POST", f"{new}/statuses/batch/unsubscribe-all", self._leave_batch),
            Endpoint("POST", f"{new}/statuses/batch/unsubscribe-all/read", self._read_left),
            Endpoint("GET", f"{new}/statuses/{{email}}", self._statuses),
            Endpoint("POST", f"{new}/statuses/{{email}}", self._change_status),
            Endpoint("GET", f"{new}/statuses/{{email}}/unsubscribe-all", self._left),
            Endpoint("POST", f"{new}/statuses/{{email}}/unsubscribe-all", self._leave),
        ]

    def _complete(self, results: list[dict[str, Any]]) -> Answer:
        return envelope(self._state.now_us(), 200, results, [])

    @staticmethod
    def _by_email(call: Call) -> str:
        if call.one("channel") != "EMAIL":
            raise invalid("The query parameter channel must be EMAIL.")
        return call.params.get("email", "")

    def _old_statuses(self, call: Call) -> Answer:
        email = call.params["email"]
        return 200, {"recipient": email, "subscriptionStatuses": self._consent.old_statuses(email)}

    def _statuses(self, call: Call) -> Answer:
        return self._complete(self._consent.statuses(self._by_email(call)))

    def _change_status(self, call: Call) -> Answer:
        return self._complete([self._consent.change(call.params["email"], call.mapping())])

    def _left(self, call: Call) -> Answer:
        return self._complete([self._consent.opted_out(self._by_email(call))])

    def _leave(self, call: Call) -> Answer:
        left = self._consent.leave_all(self._by_email(call))
        return self._complete(left if call.flag("verbose") else [])

    def _emails(self, call: Call) -> list[str]:
        self._by_email(call)
        given = call.mapping().get("inputs")
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise invalid("Invalid input JSON: inputs must be an array of e-mail addresses.")
        return given

    def _read_statuses(self, call: Call) -> Answer:
        found = [{"subscriberIdString": one, "statuses": self._consent.statuses(one)} for one in self._emails(call)]
        return self._complete(found)

    def _write_statuses(self, call: Call) -> Answer:
        with self._state.transaction():
            changed = [
                self._consent.change(str(one.get("subscriberIdString") or ""), one)
                for one in inputs_of(call.document())
            ]
        return self._complete(changed)

    def _leave_batch(self, call: Call) -> Answer:
        with self._state.transaction():
            left = [{"subscriberIdString": one, "statuses": self._consent.leave_all(one)} for one in self._emails(call)]
        return self._complete(left)

    def _read_left(self, call: Call) -> Answer:
        found = [
            {"subscriberIdString": one, "wideStatuses": [self._consent.opted_out(one)]} for one in self._emails(call)
        ]
        return self._complete(found)

    # -- webhook settings

    def _webhook_table(self) -> list[Endpoint]:
        base, kept = "/webhooks/v3/{app_id}", self._webhooks
        one = f"{base}/subscriptions/{{id}}"

        def app(c: Call) -> str:
            if not c.params["app_id"].isdigit():
                raise invalid(f"{c.params['app_id']} is no app id.")
            return c.params["app_id"]

        return [
            Endpoint("GET", f"{base}/settings", lambda c: (200, kept.settings(app(c)))),
            Endpoint("PUT", f"{base}/settings", lambda c: (200, kept.configure(app(c), c.mapping()))),
            Endpoint("DELETE", f"{base}/settings", silent(lambda c: kept.clear(app(c)))),
            Endpoint("GET", f"{base}/subscriptions", lambda c: (200, {"results": kept.all(app(c))})),
            Endpoint("POST", f"{base}/subscriptions", lambda c: (201, kept.create(app(c), c.mapping()))),
            Endpoint("POST", f"{base}/subscriptions/batch/update", self._activate),
            Endpoint("GET", one, lambda c: (200, kept.get(app(c), c.params["id"]))),
            Endpoint("PATCH", one, lambda c: (200, self._activated(c)[0])),
            Endpoint("DELETE", one, silent(lambda c: kept.delete(app(c), c.params["id"]))),
        ]

    def _activated(self, call: Call) -> list[dict[str, Any]]:
        changes: Mapping[str, bool] = {call.params["id"]: bool(call.mapping().get("active"))}
        return self._webhooks.activate(call.params["app_id"], changes)

    def _activate(self, call: Call) -> Answer:
        changes = {str(one.get("id")): bool(one.get("active")) for one in inputs_of(call.document(), 1000)}
        return self._complete(self._webhooks.activate(call.params["app_id"], changes))
