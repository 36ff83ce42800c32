"""Send webhooks as HubSpot does: arrays of up to 100 events, v1 and v3 signatures, ten retries over a day.

Source: webhooks guide; "Validating requests" (signatures, which escapes of the URI are decoded).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from crm_sync.emulators.hubspot.events import KINDS
from crm_sync.emulators.hubspot.sources import APP_ID
from crm_sync.emulators.posting import ACCEPTED, GIVEN_UP, Event, Outgoing, Reply, Subscription, Verdict, retry
from crm_sync.emulators.state import State

OBJECTS = ("contact", "company", "deal", "ticket", "product", "line_item", "object")
EVENT_TYPES = (
    *(f"{one}.{kind}" for one in OBJECTS for kind in KINDS if kind != "privacyDeletion"), "contact.privacyDeletion",
)  # fmt: skip
RETRIES_SECONDS = (60, 300, 900, 1800, 3600, 7200, 10_800, 14_400, 18_000, 25_200)
"""Waits before the ten retries, spread over 24 hours; each is jittered by a tenth."""
DECODED = re.compile(r"%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


def signature_v1(secret: str, body: bytes) -> str:
    """Return the value of X-HubSpot-Signature (version v1)."""
    return hashlib.sha256(secret.encode() + body).hexdigest()


def signature_v3(secret: str, method: str, uri: str, body: bytes, timestamp_ms: int | str) -> str:
    """Return the value of X-HubSpot-Signature-v3."""
    plain = DECODED.sub(lambda found: chr(int(found[1], 16)), uri)
    signed = f"{method}{plain}".encode() + body + str(timestamp_ms).encode()
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


class HubspotPolicy:
    """How the portal sends its webhooks."""

    batch_size = 100
    timeout_seconds = 5.0

    def __init__(self, state: State, secret: str) -> None:
        """Prepare; `secret` is the app's client secret, which signs."""
        self._state, self._secret = state, secret

    def check(self, url: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Complete a receiver: {"events": [types]} becomes active subscriptions; without any it gets every type."""
        if "subscriptions" in facts:
            return facts
        wanted = facts.get("events") or [one for one in EVENT_TYPES if not one.startswith("object.")]
        unknown = [one for one in wanted if one not in EVENT_TYPES]
        if unknown:
            raise ValueError(f"unknown event type {unknown[0]!r}; expected some of {', '.join(EVENT_TYPES)}")
        first = self._state.next_number("hubspot-subscription", len(wanted))
        subscriptions = [{"id": str(first + at), "eventType": one, "active": True} for at, one in enumerate(wanted)]
        return {"appId": APP_ID, **facts, "subscriptions": subscriptions}

    def compose(self, subscription: Subscription, events: Sequence[Event]) -> Outgoing:
        """Return the request that carries these events, signed at this moment."""
        body = orjson.dumps([{**one.body, "attemptNumber": one.attempt - 1} for one in events])
        stamp = self._state.now_us() // 1000
        secret = str(subscription.facts.get("secret") or self._secret)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "HubSpot Connect 2.0 (http://dev.hubspot.com/) (namespace: webhooks-nio-http-client)",
            "X-HubSpot-Signature-Version": "v1",
            "X-HubSpot-Signature": signature_v1(secret, body),
            "X-HubSpot-Signature-v3": signature_v3(secret, "POST", subscription.url, body, stamp),
            "X-HubSpot-Request-Timestamp": str(stamp),
            "X-HubSpot-Timeout-Millis": "10000",
        }
        return Outgoing(subscription.url, body, headers)

    def judge(self, reply: Reply | None, attempt: int) -> Verdict:
        """Try again up to ten times after no answer in time and after any 4xx or 5xx."""
        if reply is not None and reply.status < 400:
            return ACCEPTED
        if attempt > len(RETRIES_SECONDS):
            return GIVEN_UP
        seconds = RETRIES_SECONDS[attempt - 1]
        jitter = random.Random(self._state.now_us()).uniform(0.9, 1.1)
        return retry(seconds * jitter)
