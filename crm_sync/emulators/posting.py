"""Say how one CRM sends its webhooks: what goes into a request, what counts as accepted, when it tries again.

Belongs here: the words that the CRMs' policies and the worker (hooks.py) share. Not here: the queue and its faults
(hooks.py), any CRM's form of an event (salesforce/, hubspot/, dynamics/).
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Subscription:
    """One receiver: its address and what else the CRM was told (event types, secrets), any JSON."""

    id: str
    url: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One event for one subscription: `attempt` counts from 1, `body` is what the CRM gave to `emit`."""

    number: int
    object: str
    created_us: int
    attempt: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An HTTP request to a receiver."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an attempt: `accepted`; tried again after `retry_seconds`; neither: given up."""

    accepted: bool = False
    retry_seconds: float | None = None


ACCEPTED = Verdict(accepted=True)
GIVEN_UP = Verdict()


def retry(seconds: float) -> Verdict:
    """Return the verdict that tries again after so many seconds of the emulator's clock."""
    return Verdict(retry_seconds=seconds)


class Policy(Protocol):
    """How one CRM sends. `batch_size` events at most go into a request, `timeout_seconds` real ones it may take."""

    batch_size: int
    timeout_seconds: float

    def check(self, url: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the facts of a new subscription, completed. Raises ValueError for what the CRM would refuse."""

    def compose(self, subscription: Subscription, events: Sequence[Event]) -> Outgoing:
        """Return the request that carries these events: signatures, envelopes; `events` has at least one."""

    def judge(self, reply: Reply | None, attempt: int) -> Verdict:
        """Return what follows from attempt number `attempt`; `reply` is None where none came in time."""


def post(outgoing: Outgoing, timeout_seconds: float, ca_bundle: Path | None = None) -> Reply | None:
    """Send a request and return the answer, None where none came in time; redirects are not followed."""
    parts = urlsplit(outgoing.url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        if ca_bundle is not None:
            context.load_verify_locations(ca_bundle)
        connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout_seconds, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_seconds)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(outgoing.method, path, outgoing.body, dict(outgoing.headers))
        answer = connection.getresponse()
        headers = {name.casefold(): value for name, value in answer.getheaders()}
        return Reply(answer.status, headers, answer.read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
