"""Let the pretend org tell a receiver of its writes: SOAP notifications, acknowledged or tried again."""

from __future__ import annotations

import re

import pytest

from crm_sync.emulators.faults import Fault, Faults
from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.posting import Outgoing, Reply
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.outbound import Outbound, OutboundMessages
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.state import State
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front

ACK = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>{}</Ack></notificationsResponse>'
    "</soapenv:Body></soapenv:Envelope>"
)


class Receiver:
    """Hears calls and answers `says` in turn, else true; None is silence."""

    def __init__(self) -> None:
        self.calls: list[Outgoing] = []
        self.says: list[tuple[int, str] | None] = []

    def __call__(self, outgoing: Outgoing, timeout_seconds: float) -> Reply | None:
        self.calls.append(outgoing)
        answer = self.says.pop(0) if self.says else (200, "true")
        return answer and Reply(answer[0], {}, ACK.format(answer[1]).encode())

    def text(self, at: int = -1) -> str:
        return self.calls[at].body.decode()

    def told(self) -> list[list[str]]:
        """Return the record ids of each call."""
        return [re.findall("<sf:Id>(.*?)</sf:Id>", call.body.decode()) for call in self.calls]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def hooks(org: Org, front: Front, state: State, faults: Faults, receiver: Receiver) -> Hooks:
    made = Hooks(state, faults, OutboundMessages(org, "https://localhost:1"))
    made.post = receiver
    front.rest.records.listener = Outbound(org, made)
    made.subscribe("http://127.0.0.1:9/in", {"object": "contact", "fields": ["Email", "LastModifiedDate", "Title"]})
    return made


@pytest.mark.fact("salesforce:outbound_envelope", "salesforce:outbound_values_at_sending")
def test_a_write_is_told_with_the_values_of_the_moment_of_sending(
    hooks: Hooks, front: Front, receiver: Receiver, clock: DeskClock
) -> None:
    one = front.create("Contact", LastName="Ng", Email="a@x.org")
    front.create("Account", Name="Acme")
    clock.forward(5)
    front.ask("PATCH", f"sobjects/Contact/{one}", {"Email": "b&c@x.org"})
    assert hooks.deliver_due() == 1
    text = receiver.text()
    assert re.findall("<sf:Email>(.*?)</sf:Email>", text) == ["b&amp;c@x.org"] * 2
    assert "<sf:LastModifiedDate>2024-05-01T10:00:05.000Z</sf:LastModifiedDate>" in text
    assert "sf:Title" not in text, "null fields are left out"
    notified = re.findall("<Notification><Id>(04l.{15})</Id>", text)
    assert len(set(notified)) == 2
    assert f"<OrganizationId>{ids.lengthen(ids.ORG)}</OrganizationId><ActionId>04k" in text
    assert '<SessionId xsi:nil="true"/><EnterpriseUrl>https://localhost:1/services/Soap/c/59.0/00D' in text
    assert '<sObject xsi:type="sf:Contact" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">' in text
    assert receiver.calls[0].headers["Content-Type"].startswith("text/xml")
    assert hooks.deliver_due() == 0


@pytest.mark.fact("salesforce:outbound_batches")
def test_one_call_carries_a_hundred(hooks: Hooks, front: Front, receiver: Receiver) -> None:
    rows = [{"attributes": {"type": "Contact"}, "LastName": f"N{n}"} for n in range(101)]
    front.ask("POST", "composite/sobjects", {"records": rows})
    assert hooks.deliver_due() == 2
    assert [len(one) for one in receiver.told()] == [100, 1]


def test_what_is_rolled_back_is_not_told(hooks: Hooks, front: Front, receiver: Receiver) -> None:
    rows = [{"attributes": {"type": "Contact"}, "LastName": name} for name in ("A", None)]
    front.ask("POST", "composite/sobjects", {"allOrNone": True, "records": rows})
    assert hooks.deliver_due() == 0


@pytest.mark.fact("salesforce:outbound_retry")
@pytest.mark.parametrize("answer", [None, (500, "true"), (200, "false")])
def test_without_an_acknowledgement_it_is_tried_again_for_a_day(
    hooks: Hooks, front: Front, receiver: Receiver, clock: DeskClock, answer: tuple[int, str] | None
) -> None:
    front.create("Contact", LastName="Ng")
    receiver.says = [answer] * 2
    assert hooks.deliver_due() == 1
    clock.forward(14)
    assert hooks.deliver_due() == 0
    clock.forward(1)
    assert hooks.deliver_due() == 1
    clock.forward(29)
    assert hooks.deliver_due() == 0
    clock.forward(1)
    assert hooks.deliver_due() == 1
    assert [one["state"] for one in hooks.events()] == ["accepted"]
    assert receiver.told()[0] == receiver.told()[2]
    front.create("Contact", LastName="Li")
    receiver.says = [answer] * 100
    for _ in range(100):
        hooks.deliver_due()
        clock.forward(7200)
    assert hooks.events()[-1]["state"] == "given_up"
    assert 12 <= hooks.events()[-1]["attempt"] <= 30


@pytest.mark.parametrize(
    ("action", "calls"),
    [
        ("webhook_lost", [["B"]]),
        ("webhook_doubled", [["A", "B"], ["A"]]),
        ("webhook_reordered", [["B"], ["A"]]),
        ("webhook_late", [["B"], ["A"]]),
    ],
)
def test_faults_of_webhooks_strike_once(
    hooks: Hooks, front: Front, receiver: Receiver, faults: Faults, clock: DeskClock, action: str,
    calls: list[list[str]],
) -> None:
    faults.add([Fault(action, object="Contact", seconds=60)])
    name = {front.create("Contact", LastName=one): one for one in "AB"}
    hooks.deliver_due()
    clock.forward(60)
    hooks.deliver_due()
    assert [[name[one] for one in call] for call in receiver.told()] == calls
    assert [one["action"] for one in faults.log()] == [action]


def test_subscriptions_are_checked(hooks: Hooks) -> None:
    with pytest.raises(ValueError, match="object is 'Nope'"):
        hooks.subscribe("http://127.0.0.1:9/", {"object": "Nope"})
    with pytest.raises(ValueError, match="fields has a name"):
        hooks.subscribe("http://127.0.0.1:9/", {"object": "Contact", "fields": ["Nope"]})
    only = hooks.subscribe("http://127.0.0.1:9/", {"object": "Contact", "on": ["update"]})
    assert "MailingAddress" not in only.facts["fields"] and "LastName" in only.facts["fields"]
