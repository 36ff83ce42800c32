"""Speak SOAP to the pretend org: sign in, merge, bring back, forget."""

from __future__ import annotations

import re

import pytest

from crm_sync.emulators.faults import Fault, Faults
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.grants import Grants
from crm_sync.emulators.salesforce.soap.service import Soap
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front
from tests.unit.emulators.salesforce.wire import Wire

ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8" ?><env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:u="urn:partner.soap.sforce.com">{head}'
    "<env:Body>{body}</env:Body></env:Envelope>"
)
LOGIN = (
    '<n1:login xmlns:n1="urn:partner.soap.sforce.com"><n1:username>{}</n1:username><n1:password>{}</n1:password>'
    "</n1:login>"
)


@pytest.fixture
def soap(grants: Grants, front: Front) -> Soap:
    return Soap(grants, front.rest)


def ask(soap: Soap, body: str, session: str = "") -> tuple[int, str]:
    head = f"<env:Header><u:SessionHeader><u:sessionId>{session}</u:sessionId></u:SessionHeader></env:Header>"
    return soap.answer("u", "59.0", ENVELOPE.format(head=head if session else "", body=body).encode())


def tag(text: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text)
    assert found, (name, text)
    return found[1]


@pytest.mark.fact("salesforce:soap_login")
def test_signing_in(soap: Soap, grants: Grants) -> None:
    status, text = ask(soap, LOGIN.format("ann@x.org", "password"))
    assert status == 200
    grants.doorman.admit(f"Bearer {tag(text, 'sessionId')}")
    assert tag(text, "serverUrl") == "https://localhost:1/services/Soap/u/59.0/00DHs0000000001"
    assert (tag(text, "passwordExpired"), tag(text, "organizationId")) == ("false", ids.lengthen(ids.ORG))
    assert tag(text, "userId").startswith("005")


@pytest.mark.fact("salesforce:soap_fault")
def test_a_wrong_password_is_a_fault_with_literal_prefixes(soap: Soap, faults: Faults) -> None:
    faults.turn({"security_token": "SALT"})
    assert ask(soap, LOGIN.format("ann@x.org", "passwordSALT"))[0] == 200
    status, text = ask(soap, LOGIN.format("ann@x.org", "wrong"))
    assert status == 500
    assert tag(text, "sf:exceptionCode") == "INVALID_LOGIN"
    message = "Invalid username, password, security token; or user locked out."
    assert tag(text, "sf:exceptionMessage") == message
    assert tag(text, "faultstring") == f"INVALID_LOGIN: {message}"


def test_login_limits_strike_and_stop(soap: Soap, faults: Faults) -> None:
    faults.add([Fault("limit", options={"kind": "login"})])
    assert tag(ask(soap, LOGIN.format("a", "password"))[1], "sf:exceptionCode") == "LOGIN_RATE_EXCEEDED"
    assert ask(soap, LOGIN.format("a", "password"))[0] == 200


def test_what_needs_a_session_and_what_is_not_there(soap: Soap, grants: Grants) -> None:
    assert tag(ask(soap, "<u:getUserInfo/>")[1], "sf:exceptionCode") == "INVALID_SESSION_ID"
    assert tag(ask(soap, "<u:getServerTimestamp/>")[1], "timestamp") == "2024-05-01T10:00:00.000Z"
    session = grants.doorman.issue()
    assert "<userFullName>Integration User</userFullName>" in ask(soap, "<u:getUserInfo/>", session)[1]
    status, text = ask(soap, "<u:convertLead/>", session)
    assert (status, "SOAP call convertLead" in text) == (501, True)
    assert soap.answer("u", "59.0", b"<broken")[0] == 500
    assert ask(soap, "<u:logout/>", session)[0] == 200
    assert ask(soap, "<u:getUserInfo/>", session)[0] == 500


@pytest.mark.fact("salesforce:merge")
def test_merging_reparents_and_leaves_a_tombstone(soap: Soap, grants: Grants, front: Front, clock: DeskClock) -> None:
    winner, loser, other = (front.create("Account", Name=name) for name in ("Acme", "Acme Inc", "Other"))
    contact = front.create("Contact", LastName="Ng", AccountId=loser)
    clock.forward(5)
    session = grants.doorman.issue()
    request = (
        f'<u:merge><u:request><u:masterRecord xsi:type="u:Account"><u:type>Account</u:type><u:Id>{winner[:15]}</u:Id>'
        f"<u:Phone>123</u:Phone></u:masterRecord><u:recordToMergeIds>{loser}</u:recordToMergeIds></u:request></u:merge>"
    )
    status, text = ask(soap, request, session)
    assert (status, tag(text, "success"), tag(text, "mergedRecordIds")) == (200, "true", loser)
    assert tag(text, "updatedRelatedIds") == contact
    assert front.soql("SELECT AccountId FROM Contact") == [{"AccountId": winner}]
    assert front.soql(f"SELECT Phone FROM Account WHERE Id = '{winner}'") == [{"Phone": "123"}]
    (gone,) = front.soql(f"SELECT IsDeleted, MasterRecordId FROM Account WHERE Id = '{loser}'", everything=True)
    assert gone == {"IsDeleted": True, "MasterRecordId": winner}
    again = ask(soap, request, session)[1]
    assert (tag(again, "success"), tag(again, "statusCode")) == ("false", "ENTITY_IS_DELETED")
    assert front.names(f"Id = '{other}'", "Account") == ["Other"]


@pytest.mark.fact("salesforce:undelete", "salesforce:purged_in_deleted_alone")
def test_the_recycle_bin_gives_back_and_is_emptied(soap: Soap, grants: Grants, front: Front, clock: DeskClock) -> None:
    front.key_field()
    account = front.create("Account", Name="Acme")
    contact = front.create("Contact", LastName="Ng", AccountId=account, Key__c="k")
    front.ask("DELETE", f"sobjects/Account/{account}")
    clock.forward(60)
    session = grants.doorman.issue()
    wanted = "".join(f"<u:ids>{one}</u:ids>" for one in (account, account, "x"))
    text = ask(soap, f"<u:undelete>{wanted}</u:undelete>", session)[1]
    assert re.findall("<success>(.*?)</success>", text) == ["true", "false", "false"]
    assert front.soql("SELECT Id, AccountId, SystemModstamp FROM Contact") == [
        {"Id": contact, "AccountId": account, "SystemModstamp": "2024-05-01T10:01:00.000+0000"}
    ]
    taken = front.ask("POST", "sobjects/Contact", {"LastName": "B", "Key__c": "K"})
    assert front.error(taken) == (400, "DUPLICATE_VALUE")
    front.ask("DELETE", f"sobjects/Contact/{contact}")
    front.create("Contact", LastName="B", Key__c="k")
    refused = ask(soap, f"<u:undelete><u:ids>{contact}</u:ids></u:undelete>", session)[1]
    assert tag(refused, "statusCode") == "DUPLICATE_VALUE"
    emptied = ask(soap, f"<u:emptyRecycleBin><u:ids>{contact}</u:ids></u:emptyRecycleBin>", session)[1]
    assert tag(emptied, "success") == "true"
    assert front.soql(f"SELECT Id FROM Contact WHERE Id = '{contact}'", everything=True) == []
    clock.forward(60)
    window = {"start": "2024-05-01T10:00:00Z", "end": "2024-05-01T10:03:00Z"}
    told = front.ask("GET", "sobjects/Contact/deleted", query=window).body
    assert [row["id"] for row in told["deletedRecords"]] == [contact]
    session = grants.doorman.issue()
    late = ask(soap, f"<u:undelete><u:ids>{contact}</u:ids></u:undelete>", session)[1]
    assert tag(late, "statusCode") == "INVALID_CROSS_REFERENCE_KEY"


def test_over_http(wire: Wire) -> None:
    body = ENVELOPE.format(head="", body=LOGIN.format("a", "password")).encode()
    headers = {"content-type": "text/xml", "soapaction": "login"}
    heard = wire.send("POST", "/services/Soap/u/59.0", body, headers=headers)
    assert (heard.status, heard.headers["content-type"]) == (200, "text/xml;charset=UTF-8")
    assert wire.send("POST", "/services/Soap/c/59.0/00DHs0000000001", body).status == 200
    assert wire.send("POST", "/services/Soap/m/59.0", body).status == 501
