"""Webhooks: payloads, subscriptions, signatures, batches, retries; what is sent is caught before it leaves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hubspot.utils.signature import Signature

from crm_sync.emulators.hubspot.webhooks import signature_v3
from crm_sync.emulators.posting import Outgoing, Reply
from tests.unit.emulators.hubspot.inside import OBJECTS, SECRET, Inside, to

URL = "http://127.0.0.1:9/hook"


class Receiver:
    """What a receiver got, and what it answers."""

    def __init__(self, inside: Inside) -> None:
        self.got: list[Outgoing] = []
        self.status: int | None = 204
        inside.hooks.post = self.post
        self.inside = inside

    def post(self, outgoing: Outgoing, timeout_seconds: float) -> Reply | None:
        assert timeout_seconds == 5.0
        self.got.append(outgoing)
        return None if self.status is None else Reply(self.status, {}, b"")

    def events(self) -> list[dict[str, Any]]:
        """Return the events that arrive now."""
        self.got.clear()
        self.inside.hooks.deliver_due()
        return [event for one in self.got for event in json.loads(one.body)]


@pytest.fixture
def receiver(inside: Inside) -> Receiver:
    return Receiver(inside)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [one["subscriptionType"] for one in events]


@pytest.mark.fact("hubspot:webhook_payload", "hubspot:webhook_property_change")
def test_a_creation_and_a_change(inside: Inside, receiver: Receiver) -> None:
    inside.hooks.subscribe(URL, {"events": ["contact.creation", "contact.propertyChange"]})
    id = inside.create(email="a@x.test")
    created, changed = receiver.events()
    assert created["subscriptionType"] == "contact.creation" and created["objectId"] == int(id)
    assert created["changeFlag"] == "CREATED" and created["changeSource"] == "INTEGRATION"
    assert created["occurredAt"] == 1_770_000_000_000 and created["attemptNumber"] == 0
    assert all(isinstance(created[name], int) for name in ("eventId", "subscriptionId", "portalId", "appId"))
    assert (changed["propertyName"], changed["propertyValue"]) == ("email", "a@x.test")
    inside.send("PATCH", f"{OBJECTS}/contacts/{id}", {"properties": {"email": "a@x.test", "city": ""}})
    assert receiver.events() == []
    inside.desk.edit("contacts", id, {"city": "Ulm"}, {})
    (edited,) = receiver.events()
    assert edited["changeSource"] == "CRM_UI" and edited["propertyName"] == "city"


@pytest.mark.fact("hubspot:webhook_kinds", "hubspot:webhook_gdpr_twice", "hubspot:webhook_association_twice")
def test_every_kind_of_event(inside: Inside, receiver: Receiver) -> None:
    company = inside.create("companies", name="A")
    first, second, third = (inside.create(email=f"{one}@x.test") for one in "abc")
    wanted = [f"{one}.{kind}" for one in ("contact", "company") for kind in ("deletion", "associationChange")]
    inside.hooks.subscribe(URL, {"events": [*wanted, "contact.merge", "contact.restore", "contact.privacyDeletion"]})
    inside.send("PUT", f"/crm/v4/objects/contacts/{first}/associations/default/companies/{company}")
    one, other = receiver.events()
    assert one["associationType"] == "CONTACT_TO_COMPANY" and other["associationType"] == "COMPANY_TO_CONTACT"
    assert (one["fromObjectId"], one["toObjectId"]) == (other["toObjectId"], other["fromObjectId"])
    assert one["associationRemoved"] is False and one["isPrimaryAssociation"] is False
    inside.send("DELETE", f"{OBJECTS}/contacts/{first}")
    inside.desk.restore("contacts", first)
    assert kinds(receiver.events()) == ["contact.deletion", "contact.restore"]
    body = {"primaryObjectId": first, "objectIdToMerge": second}
    merged = inside.post(f"{OBJECTS}/contacts/merge", body)["id"]
    (event,) = receiver.events()
    assert event["primaryObjectId"] == int(first) and event["mergedObjectIds"] == [int(second)]
    assert event["newObjectId"] == int(merged) and event["numberOfPropertiesMoved"] == 0
    inside.send("POST", f"{OBJECTS}/contacts/gdpr-delete", {"objectId": third})
    assert kinds(receiver.events()) == ["contact.privacyDeletion", "contact.deletion"]


@pytest.mark.fact("hubspot:webhook_object_events")
def test_object_events_tell_the_type_of_the_object(inside: Inside, receiver: Receiver) -> None:
    inside.hooks.subscribe(URL, {"events": ["object.creation"]})
    inside.create("notes", hs_timestamp="1770000000000")
    inside.create("deals", dealname="D", dealstage="closedwon", associations=[to(inside.create(firstname="A"), 3)])
    assert [one["objectTypeId"] for one in receiver.events()] == ["0-46", "0-1", "0-3"]


def test_nothing_is_told_of_a_write_that_failed(inside: Inside, receiver: Receiver) -> None:
    inside.hooks.subscribe(URL)
    good, bad = {"properties": {"email": "a@x.test"}}, {"properties": {"email": "nobody"}}
    assert inside.batch("contacts", "create", good, bad).status == 400
    assert receiver.events() == []


@pytest.mark.fact("hubspot:webhook_batches")
def test_at_most_a_hundred_events_go_together(inside: Inside, receiver: Receiver) -> None:
    inside.hooks.subscribe(URL, {"events": ["contact.creation"]})
    for start in (0, 100):
        inputs = [{"properties": {"firstname": f"n{at}"}} for at in range(start, start + 100)]
        assert inside.batch("contacts", "create", *inputs[: 100 if start == 0 else 1]).status == 201
    assert len(receiver.events()) == 101 and [len(json.loads(one.body)) for one in receiver.got] == [100, 1]


@pytest.mark.fact("hubspot:webhook_retries", "hubspot:webhook_attempt_number")
@pytest.mark.parametrize("status", [None, 404, 503])
def test_what_is_not_accepted_is_sent_again_ten_times_over_a_day(
    inside: Inside, receiver: Receiver, status: int | None
) -> None:
    inside.hooks.subscribe(URL, {"events": ["contact.creation"]})
    receiver.status = status
    inside.create(firstname="A")
    attempts = [receiver.events()[0]["attemptNumber"]]
    for _ in range(24 * 60):
        inside.advance(60)
        attempts += [one["attemptNumber"] for one in receiver.events()]
    assert attempts == list(range(11)) and inside.hooks.events()[0]["state"] == "given_up"


def test_an_accepted_event_is_not_sent_again(inside: Inside, receiver: Receiver) -> None:
    inside.hooks.subscribe(URL, {"events": ["contact.creation"]})
    receiver.status = 500
    inside.create(firstname="A")
    receiver.events()
    receiver.status = 200
    inside.advance(3600)
    assert [one["attemptNumber"] for one in receiver.events()] == [1]
    inside.advance(86_400)
    assert receiver.events() == []


@pytest.mark.fact("hubspot:signature_v1", "hubspot:signature_v3")
def test_both_signatures_are_those_that_hubspots_own_library_computes(inside: Inside, receiver: Receiver) -> None:
    inside.hooks.subscribe(URL)
    inside.create(email="a@x.test")
    receiver.events()
    headers, body = receiver.got[0].headers, receiver.got[0].body
    assert headers["X-HubSpot-Signature-Version"] == "v1"
    assert headers["X-HubSpot-Signature"] == hashlib.sha256(SECRET.encode() + body).hexdigest()
    timestamp = headers["X-HubSpot-Request-Timestamp"]
    expected = Signature.get_signature(
        client_secret=SECRET, request_body=body.decode(), http_method="POST", http_uri=URL, timestamp=timestamp,
        signature_version="v3",
    )  # fmt: skip
    assert timestamp == "1770000000000" and headers["X-HubSpot-Signature-v3"] == expected


@pytest.mark.fact("hubspot:signature_vector")
def test_the_vendors_vector() -> None:
    secret, url = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "https://www.example.com/webhook_uri"
    signed = signature_v3(secret, "POST", url, b"{'example_field':'example_value'}", "1693657560000")
    assert signed == "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="


@pytest.mark.fact("hubspot:signature_decodes_some_escapes")
def test_only_some_escapes_of_the_address_are_decoded() -> None:
    plain = b"POSThttps://x.test/a@b?c=%201"
    expected = base64.b64encode(hmac.new(b"s", plain, hashlib.sha256).digest()).decode()
    assert signature_v3("s", "POST", "https://x.test/a%40b%3Fc=%201", b"", "") == expected


APP, TARGET = "/webhooks/v3/1180427", {"targetUrl": URL, "throttling": {"maxConcurrentRequests": 10}}


@pytest.mark.fact("hubspot:webhook_settings", "hubspot:subscriptions_created_paused")
def test_an_app_configures_its_webhooks(inside: Inside, receiver: Receiver) -> None:
    assert inside.refused("GET", f"{APP}/settings")[0] == 404
    assert inside.send("PUT", f"{APP}/settings", TARGET).status == 200
    made = inside.post(f"{APP}/subscriptions", {"eventType": "contact.propertyChange", "propertyName": "city"}, 201)
    assert made["active"] is False
    inside.create(firstname="A", city="Ulm")
    assert receiver.events() == []
    one = f"{APP}/subscriptions/{made['id']}"
    assert inside.send("PATCH", one, {"active": True}).body["active"] is True
    inside.create(firstname="B", city="Bonn")
    (event,) = receiver.events()
    assert event["propertyValue"] == "Bonn" and event["subscriptionId"] == int(made["id"])
    batch = {"inputs": [{"id": made["id"], "active": False}]}
    assert inside.post(f"{APP}/subscriptions/batch/update", batch)["results"][0]["active"] is False
    assert inside.get(one)["active"] is False and len(inside.get(f"{APP}/subscriptions")["results"]) == 1
    assert inside.send("DELETE", one).status == 204 and inside.send("GET", one).status == 404
    assert inside.send("DELETE", f"{APP}/settings").status == 204 and inside.refused("GET", f"{APP}/settings")[0] == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("subscriptions", {"eventType": "contact.moved"}), ("subscriptions", {"eventType": "contact.propertyChange"}),
        ("settings", {"targetUrl": "ftp://x"}), ("settings", TARGET | {"throttling": {"maxConcurrentRequests": 5}}),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(inside: Inside, path: str, body: dict[str, Any]) -> None:
    method = "PUT" if path == "settings" else "POST"
    assert inside.refused(method, f"{APP}/{path}", body) == (400, "VALIDATION_ERROR")


def test_a_control_subscription_to_an_unknown_type_is_refused(inside: Inside) -> None:
    answer = inside.send("POST", "/__emulator__/hooks", {"url": URL, "events": ["contact.moved"]})
    assert answer.status == 400 and "contact.moved" in answer.body["error"]
