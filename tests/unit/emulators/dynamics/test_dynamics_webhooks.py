"""Register webhooks as Dataverse's rows, and hear of writes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crm_sync.emulators.dynamics.webhooks import LARGEST
from crm_sync.emulators.posting import Outgoing, Reply
from tests.unit.emulators.dynamics.local import Local

RECEIVER = "http://127.0.0.1:9/hook"
NS = "http://schemas.microsoft.com/xrm/2011/Contracts"


class Receiver:
    """What stands at the other end: keeps requests, answers what it is told."""

    def __init__(self, here: Local) -> None:
        self.got: list[Outgoing] = []
        self.answers: list[int | None] = []
        here.front.hooks.post = self._take
        self._here = here

    def _take(self, outgoing: Outgoing, seconds: float) -> Reply | None:
        self.got.append(outgoing)
        status = self.answers.pop(0) if self.answers else 200
        return None if status is None else Reply(status, {}, b"")

    def heard(self) -> list[dict[str, Any]]:
        """Let everything due be sent and return the bodies since the last time."""
        self._here.front.hooks.deliver_due()
        bodies = [json.loads(one.body) for one in self.got]
        self.got.clear()
        return bodies


@pytest.fixture
def receiver(here: Local) -> Receiver:
    return Receiver(here)


def register(here: Local, message: str, table: str, *, endpoint: dict[str, Any] | None = None, **step: Any) -> str:
    """Create an endpoint and a step, and return the step's id."""
    given = {"name": "Hook", "contract": 8, "url": RECEIVER, "authtype": 4, "authvalue": "k/1", **(endpoint or {})}
    service = here.create("serviceendpoints", **given)
    (found,) = here.rows(f"sdkmessages?$filter=name eq '{message}'")
    probe = f"sdkmessageid/name eq '{message}' and primaryobjecttypecode eq '{table}'"
    (filter,) = here.rows(f"sdkmessagefilters?$filter={probe}")
    return here.create(
        "sdkmessageprocessingsteps",
        **{
            "name": "Step",
            "mode": 1,
            "stage": 40,
            "rank": 1,
            "sdkmessageid@odata.bind": f"/sdkmessages({found['sdkmessageid']})",
            "sdkmessagefilterid@odata.bind": f"/sdkmessagefilters({filter['sdkmessagefilterid']})",
            "eventhandler_serviceendpoint@odata.bind": f"/serviceendpoints({service})",
            **step,
        },
    )


def attributes(context: dict[str, Any]) -> dict[str, Any]:
    (target,) = context["InputParameters"]
    return {one["key"]: one["value"] for one in target["value"]["Attributes"]}


@pytest.mark.fact("dynamics:webhook_body", "dynamics:webhook_headers", "dynamics:webhook_key")
def test_a_create_is_told_as_its_execution_context(here: Local, receiver: Receiver) -> None:
    step = register(here, "Create", "contact")
    account = here.create("accounts", name="Acme")
    bind = {"parentcustomerid_account@odata.bind": f"/accounts({account})"}
    id = here.create("contacts", lastname="Li", birthdate="1980-02-03", creditlimit=1.5, **bind)
    here.front.hooks.deliver_due()
    (sent,) = receiver.got
    assert sent.url == f"{RECEIVER}?code=k%2F1" and b"/" not in sent.body.replace(b"\\/", b"")
    assert sent.headers["x-ms-dynamics-entity-name"] == "contact"
    assert sent.headers["x-ms-dynamics-request-name"] == "Create"
    assert sent.headers["x-ms-dynamics-organization"] == "localhost:1"
    assert "x-ms-dynamics-msg-size-exceeded" not in sent.headers
    (context,) = receiver.heard()
    assert (context["MessageName"], context["PrimaryEntityId"], context["Stage"]) == ("Create", id, 40)
    assert context["OwningExtension"]["Id"] == step and context["UserId"] == here.get("WhoAmI")["UserId"]
    told = attributes(context)
    assert (told["lastname"], told["contactid"]) == ("Li", id)
    assert told["parentcustomerid"]["__type"] == f"EntityReference:{NS}"
    assert (told["parentcustomerid"]["Id"], told["parentcustomerid"]["LogicalName"]) == (account, "account")
    assert told["statuscode"] == {"__type": f"OptionSetValue:{NS}", "Value": 1}
    assert told["creditlimit"] == {"__type": f"Money:{NS}", "Value": 1.5}
    assert (told["birthdate"], told["modifiedon"]) == ("/Date(318384000000)/", "/Date(1767323045000)/")


@pytest.mark.fact("dynamics:webhook_filtering")
def test_an_update_tells_what_was_written_to_those_who_filter_for_it(here: Local, receiver: Receiver) -> None:
    register(here, "Update", "contact", filteringattributes="lastname,jobtitle")
    id = here.create("contacts", lastname="Li")
    here.done("PATCH", f"contacts({id})", {"firstname": "Ann"})
    assert receiver.heard() == []
    here.done("PATCH", f"contacts({id})", {"jobtitle": "Boss"})
    (context,) = receiver.heard()
    assert set(attributes(context)) == {"jobtitle", "modifiedon", "contactid"}


def test_a_deletion_tells_a_reference_and_other_tables_nothing(here: Local, receiver: Receiver) -> None:
    step = register(here, "Delete", "contact")
    id, account = here.create("contacts", lastname="Li"), here.create("accounts", name="A")
    here.done("DELETE", f"accounts({account})")
    here.done("DELETE", f"contacts({id})")
    (context,) = receiver.heard()
    (target,) = context["InputParameters"]
    assert target["value"]["Id"] == id and target["value"]["__type"].startswith("EntityReference")
    here.done("PATCH", f"sdkmessageprocessingsteps({step})", {"statecode": 1})
    here.done("DELETE", f"contacts({here.create('contacts', lastname='Ox')})")
    assert receiver.heard() == []
    here.done("PATCH", f"sdkmessageprocessingsteps({step})", {"statecode": 0})
    here.done("DELETE", f"contacts({here.create('contacts', lastname='Ox')})")
    assert len(receiver.heard()) == 1
    here.done("DELETE", f"sdkmessageprocessingsteps({step})")
    assert here.front.hooks.subscriptions() == []


@pytest.mark.fact("dynamics:webhook_resend")
@pytest.mark.parametrize(
    ("answers", "sent", "state"),
    [
        ([502], 2, "accepted"),
        ([503, 504], 2, "given_up"),
        ([500], 1, "given_up"),
        ([400], 1, "given_up"),
        ([None], 1, "given_up"),
        ([204], 1, "accepted"),
    ],
)
def test_only_a_gateway_error_is_sent_again_and_once(
    here: Local, receiver: Receiver, answers: list[int | None], sent: int, state: str
) -> None:
    register(here, "Create", "contact")
    receiver.answers += answers
    here.create("contacts", lastname="Li")
    first = receiver.heard()
    here.clock.pass_seconds(60)
    assert len(first) + len(receiver.heard()) == sent
    assert [event["state"] for event in here.front.hooks.events()] == [state]


@pytest.mark.fact("dynamics:webhook_size")
def test_a_large_body_loses_its_parameters(here: Local, receiver: Receiver) -> None:
    register(here, "Create", "annotation")
    id = here.create("annotations", documentbody="A" * 4 * (LARGEST // 4 + 1))
    here.front.hooks.deliver_due()
    assert receiver.got[0].headers["x-ms-dynamics-msg-size-exceeded"] == "true"
    (context,) = receiver.heard()
    assert context["PrimaryEntityId"] == id and "InputParameters" not in context and "ParentContext" not in context


@pytest.mark.fact("dynamics:webhook_key")
@pytest.mark.parametrize(("authtype", "url"), [(5, RECEIVER), (6, f"{RECEIVER}?X-A=1&b=2")])
def test_headers_or_a_query_may_present_the_environment(
    here: Local, receiver: Receiver, authtype: int, url: str
) -> None:
    settings = '<settings><setting name="X-A" value="1" /><setting name="b" value="2" /></settings>'
    register(here, "Create", "contact", endpoint={"authtype": authtype, "authvalue": settings})
    here.create("contacts", lastname="Li")
    here.front.hooks.deliver_due()
    (sent,) = receiver.got
    assert sent.url == url and (sent.headers.get("X-A") == "1") == (authtype == 5)
    assert here.rows("serviceendpoints?$select=authvalue")[0]["authvalue"] is None


@pytest.mark.fact("dynamics:webhook_synchronous")
def test_a_synchronous_step_can_refuse_the_write(here: Local, receiver: Receiver) -> None:
    register(here, "Create", "contact", mode=0)
    receiver.answers += [500]
    assert here.call("POST", "contacts", {"lastname": "Li"}).error == (400, "0x80040265")
    assert here.rows("contacts") == [] and len(receiver.got) == 1
    here.create("contacts", lastname="Li")
    assert len(receiver.got) == 2 and here.front.hooks.events() == []


def test_a_write_that_is_undone_tells_nobody(here: Local, receiver: Receiver) -> None:
    register(here, "Create", "contact")
    targets = [{"@odata.type": "Microsoft.Dynamics.CRM.contact", "lastname": name} for name in ("a", "x" * 51)]
    assert here.call("POST", "contacts/Microsoft.Dynamics.CRM.CreateMultiple", {"Targets": targets}).status == 400
    assert receiver.heard() == []


@pytest.mark.parametrize(
    ("action", "first", "after_a_minute"),
    [
        ("webhook_lost", "B", ""),
        ("webhook_doubled", "AAB", ""),
        ("webhook_reordered", "BA", ""),
        ("webhook_late", "B", "A"),
    ],
)
def test_faults_of_webhooks_strike_once(
    here: Local, receiver: Receiver, action: str, first: str, after_a_minute: str
) -> None:
    def heard() -> str:
        return "".join(
            entry["value"]
            for context in receiver.heard()
            for entry in context["InputParameters"][0]["value"]["Attributes"]
            if entry["key"] == "lastname"
        )

    register(here, "Create", "contact")
    here.arm(action, object="contact", seconds=60 if action == "webhook_late" else 0)
    for name in "AB":
        here.create("contacts", lastname=name)
    assert heard() == first and here.struck(action) == 1
    here.clock.pass_seconds(60)
    assert heard() == after_a_minute
    for name in "CD":
        here.create("contacts", lastname=name)
    assert heard() == "CD" and here.struck(action) == 1


@pytest.mark.fact("dynamics:webhook_ports")
def test_only_the_ports_of_the_web_are_allowed_elsewhere(here: Local, receiver: Receiver) -> None:
    with pytest.raises(AssertionError, match="0x80040203"):
        register(here, "Create", "contact", endpoint={"url": "https://hooks.example:8443/x"})
    register(here, "Create", "contact", endpoint={"url": "https://hooks.example/x"})


def test_a_test_may_subscribe_without_rows(here: Local, receiver: Receiver) -> None:
    here.front.hooks.subscribe(RECEIVER, {"entity": "account"})
    here.create("accounts", name="A")
    here.create("contacts", lastname="Li")
    assert [context["PrimaryEntityName"] for context in receiver.heard()] == ["account"]
    with pytest.raises(ValueError, match="authtype"):
        here.front.hooks.subscribe(RECEIVER, {"authtype": 9})
