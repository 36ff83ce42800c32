"""Send outbound messages: SOAP to a receiver when a record is saved, with the values of the moment of sending.

A subscription's facts: {"object": "Contact", "fields": [...], "on": ["create", "update"], "action": "04k..."}; all but
`object` may be left out. One call carries up to 100 notifications; anything but an Ack of true within 60 seconds is
tried again, first after 15 seconds, then after twice as long each time up to two hours, for 24 hours.
Source: SOAP API guide, Outbound Messaging.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

import orjson

from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.posting import ACCEPTED, GIVEN_UP, Event, Outgoing, Reply, Subscription, Verdict, retry
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.moments import microseconds, zulu
from crm_sync.emulators.salesforce.reading import DOC, fetch
from crm_sync.emulators.salesforce.rendering import read
from crm_sync.emulators.salesforce.schema import Org

MESSAGES = "http://soap.sforce.com/2005/09/outbound"
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
)
TAIL = "</notifications></soapenv:Body></soapenv:Envelope>"
FIRST_SECONDS, LONGEST_SECONDS, DAY_SECONDS = 15.0, 7200.0, 24 * 3600.0
ACK = re.compile(rb"<(?:\w+:)?Ack>\s*true\s*</(?:\w+:)?Ack>", re.IGNORECASE)


class OutboundMessages:
    """The policy of outbound messages (see hooks.py)."""

    batch_size = 100
    timeout_seconds = 60.0

    def __init__(self, org: Org, url: str) -> None:
        self.org, self.url = org, url

    def check(self, url: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Complete the facts of a subscription. Raises ValueError."""
        sobject = self.org.object(str(facts.get("object")))
        if sobject is None:
            known = ", ".join(self.org.schema.objects)
            raise ValueError(f"object is {facts.get('object')!r}; expected one of {known}")
        fields = [self.org.field(sobject, str(name)) for name in facts.get("fields") or self.org.fields(sobject)]
        if None in fields:
            raise ValueError(f"fields has a name that {sobject} does not have: {facts.get('fields')}")
        made = ids.make("04k", self.org.state.next_number("outbound_action"))
        return {
            "object": sobject,
            "fields": [one.name for one in fields if one is not None and one.type != "address"],
            "on": list(facts.get("on") or ("create", "update")),
            "action": str(facts.get("action") or made),
        }

    def compose(self, subscription: Subscription, events: Sequence[Event]) -> Outgoing:
        """Return the call that carries these notifications; null fields are left out."""
        facts = subscription.facts
        sobject = facts["object"]
        records = fetch(self.org.state, sobject, [event.body["id"] for event in events])
        server = f"{self.url}/services/Soap/{{}}/59.0/{ids.ORG}"
        parts = [
            HEAD,
            f'<notifications xmlns="{MESSAGES}"><OrganizationId>{ids.lengthen(ids.ORG)}</OrganizationId>',
            f'<ActionId>{facts["action"]}</ActionId><SessionId xsi:nil="true"/>',
            f"<EnterpriseUrl>{server.format('c')}</EnterpriseUrl><PartnerUrl>{server.format('u')}</PartnerUrl>",
        ]
        for event in events:
            shown = self.fields(sobject, facts["fields"], records.get(event.body["id"]))
            parts.append(
                f"<Notification><Id>{event.body['notification']}</Id>"
                f'<sObject xsi:type="sf:{sobject}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
                f"<sf:Id>{event.body['id']}</sf:Id>{shown}</sObject></Notification>"
            )
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
        return Outgoing(subscription.url, "".join([*parts, TAIL]).encode(), headers)

    def fields(self, sobject: str, names: Sequence[str], row: Any) -> str:
        """Return the fields of a record as XML."""
        if row is None:
            return ""
        values = orjson.loads(row[DOC])
        out = []
        for name in names:
            field = self.org.field(sobject, name)
            value = read(field)(row, values) if field is not None and name != "Id" else None
            if value is None or field is None:
                continue
            if field.type == "datetime":
                value = zulu(microseconds(value))
            text = str(value).lower() if isinstance(value, bool) else escape(str(value))
            out.append(f"<sf:{name}>{text}</sf:{name}>")
        return "".join(out)

    def judge(self, reply: Reply | None, attempt: int) -> Verdict:
        """Accept an Ack of true; else try again, for 24 hours in all."""
        if reply is not None and reply.status == 200 and ACK.search(reply.body):
            return ACCEPTED
        waited = sum(min(FIRST_SECONDS * 2**n, LONGEST_SECONDS) for n in range(attempt))
        pause = min(FIRST_SECONDS * 2 ** (attempt - 1), LONGEST_SECONDS)
        return retry(pause) if waited <= DAY_SECONDS else GIVEN_UP


class Outbound:
    """Makes a notification of each write that somebody has subscribed to."""

    def __init__(self, org: Org, hooks: Hooks) -> None:
        self.org, self.hooks = org, hooks

    def saved(self, sobject: str, record_id: str, *, created: bool) -> None:
        """Keep a notification for each subscription; call it in the transaction of the write."""
        for one in self.hooks.subscriptions():
            if one.facts["object"] == sobject and ("create" if created else "update") in one.facts["on"]:
                made = ids.make("04l", self.org.state.next_number("outbound_notification"))
                self.hooks.emit(one.id, {"id": record_id, "notification": made}, object=sobject)
