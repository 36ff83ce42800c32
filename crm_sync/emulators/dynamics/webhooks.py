"""How Dataverse sends webhooks: one event a request, 60 seconds, resent once after 502, 503 or 504, never signed.

The body is the RemoteExecutionContext as DataContractJsonSerializer writes it, slashes escaped; above 256 KB it loses
its parameters and images (Data platform guide, Use webhooks; Register a web hook).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit
from uuid import NAMESPACE_URL, uuid5

import orjson

from crm_sync.emulators.posting import ACCEPTED, GIVEN_UP, Event, Outgoing, Reply, Subscription, Verdict, retry

KEY, HEADER, QUERY = 4, 5, 6
AUTH_TYPES: Final = (KEY, HEADER, QUERY)
LARGEST: Final = 256 * 1024
DROPPED: Final = ("ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages")
RESENT: Final = (502, 503, 504)
RESEND_SECONDS: Final = 5.0
SETTING: Final = re.compile(r'<setting\s+name="([^"]*)"\s+value="([^"]*)"\s*/>')
ASYNCHRONOUS: Final = 1
LOCAL: Final = ("localhost", "127.0.0.1")


class WebhookPolicy:
    """The policy of one environment."""

    batch_size = 1
    timeout_seconds = 60.0

    def __init__(self, organization: str) -> None:
        """Take the host that receivers are told."""
        self._organization = organization

    def check(self, url: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the facts of a subscription, completed: which message and table it hears, how it presents itself."""
        parts = urlsplit(url)
        if parts.port not in (None, 80, 443) and parts.hostname not in LOCAL:
            raise ValueError(f"a webhook may only go to the ports 80 and 443 (or to this machine), not to {url}")
        found = {
            "message": "*",
            "entity": "*",
            "filteringattributes": [],
            "stage": 40,
            "mode": ASYNCHRONOUS,
            "authtype": KEY,
            "authvalue": "",
            **facts,
        }
        if found["authtype"] not in AUTH_TYPES:
            raise ValueError(f"authtype is {found['authtype']!r}; expected one of {AUTH_TYPES}")
        return found

    def compose(self, subscription: Subscription, events: Sequence[Event]) -> Outgoing:
        """Return the request of one event."""
        (event,) = events
        context = event.body
        headers = {
            "Content-Type": "application/json",
            "x-request-id": str(uuid5(NAMESPACE_URL, f"{subscription.id}:{event.number}:{event.attempt}")),
            "x-ms-dynamics-organization": self._organization,
            "x-ms-dynamics-entity-name": str(context["PrimaryEntityName"]),
            "x-ms-dynamics-request-name": str(context["MessageName"]),
            "x-ms-correlation-request-id": str(context["CorrelationId"]),
        }
        body = orjson.dumps(context)
        if len(body) > LARGEST:
            headers["x-ms-dynamics-msg-size-exceeded"] = "true"
            body = orjson.dumps({name: value for name, value in context.items() if name not in DROPPED})
        url, more = _presented(subscription)
        return Outgoing(url, body.replace(b"/", b"\\/"), {**headers, **more})

    def judge(self, reply: Reply | None, attempt: int) -> Verdict:
        """Accept any 2xx; resend once after 502, 503 and 504."""
        if reply is not None and 200 <= reply.status < 300:
            return ACCEPTED
        if reply is not None and reply.status in RESENT and attempt == 1:
            return retry(RESEND_SECONDS)
        return GIVEN_UP


def _presented(subscription: Subscription) -> tuple[str, dict[str, str]]:
    """Return the address and the headers that a receiver recognises the environment by."""
    kind, value = subscription.facts["authtype"], str(subscription.facts["authvalue"])
    if kind == HEADER:
        return subscription.url, dict(SETTING.findall(value))
    query = urlencode(SETTING.findall(value)) if kind == QUERY else f"code={quote(value, safe='')}"
    if not value:
        return subscription.url, {}
    return f"{subscription.url}{'&' if urlsplit(subscription.url).query else '?'}{query}", {}
