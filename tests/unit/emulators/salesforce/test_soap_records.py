"""Records by SOAP, in partner form: written, read, described, followed."""

from __future__ import annotations

import gzip
import re
from xml.etree import ElementTree as ET

import pytest
from starlette.applications import Starlette

from crm_sync.emulators.salesforce.grants import Grants
from crm_sync.emulators.salesforce.soap.service import Soap
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front
from tests.unit.emulators.salesforce.wire import Wire

ENVELOPE = (
    '<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/" xmlns:u="urn:partner.soap.sforce.com"'
    ' xmlns:s="urn:sobject.partner.soap.sforce.com"><env:Header><u:SessionHeader><u:sessionId>{session}</u:sessionId>'
    "</u:SessionHeader>{head}</env:Header><env:Body><u:{call}>{body}</u:{call}></env:Body></env:Envelope>"
)
SF = "{urn:sobject.partner.soap.sforce.com}"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


class Talk:
    """A session of SOAP."""

    def __init__(self, grants: Grants, front: Front) -> None:
        self.soap, self.session = Soap(grants, front.rest), grants.doorman.issue()

    def ask(self, call: str, body: str, head: str = "", kind: str = "u", version: str = "59.0") -> tuple[int, str]:
        text = ENVELOPE.format(session=self.session, head=head, call=call, body=body)
        return self.soap.answer(kind, version, text.encode())

    def results(self, call: str, body: str, head: str = "") -> list[ET.Element]:
        """Return the results of a call that succeeds."""
        status, text = self.ask(call, body, head)
        assert status == 200, text
        return [one for one in ET.fromstring(text).iter() if one.tag.endswith("}result")]


@pytest.fixture
def talk(grants: Grants, front: Front) -> Talk:
    return Talk(grants, front)


def contact(**fields: str) -> str:
    inner = "".join(f"<s:{name}>{value}</s:{name}>" for name, value in fields.items())
    return f"<u:sObjects><s:type>Contact</s:type>{inner}</u:sObjects>"


def of(element: ET.Element, name: str) -> str | None:
    """Return the text of a tag below an element, whatever its namespace."""
    return next(one.text for one in element.iter() if one.tag.rpartition("}")[2] == name)


@pytest.mark.fact("salesforce:soap_rows")
def test_rows_are_written_each_for_itself(talk: Talk, front: Front) -> None:
    good, bad = talk.results("create", contact(LastName="Ng", FirstName="Ann") + contact(FirstName="Bo"))
    assert (of(good, "success"), of(bad, "success")) == ("true", "false")
    assert (of(bad, "statusCode"), of(bad, "fields")) == ("REQUIRED_FIELD_MISSING", "LastName")
    made = str(of(good, "id"))
    change = contact(Id=made, LastName="Li", Email="", HasOptedOutOfEmail="true") + contact(LastName="X")
    change = change.replace("</u:sObjects>", "<s:fieldsToNull>FirstName</s:fieldsToNull></u:sObjects>", 1)
    done, refused = talk.results("update", change)
    assert (of(done, "id"), of(refused, "statusCode")) == (made, "MISSING_ARGUMENT")
    assert front.soql("SELECT LastName, FirstName, HasOptedOutOfEmail FROM Contact") == [
        {"LastName": "Li", "FirstName": None, "HasOptedOutOfEmail": True}
    ]
    key = "<u:externalIDFieldName>Email</u:externalIDFieldName>"
    rows = contact(LastName="U", Email="u@x.org") + contact(LastName="Z", Email="nope")
    for created in ("true", "false"):
        first, second = talk.results("upsert", key + rows)
        assert (of(first, "created"), of(second, "statusCode")) == (created, "INVALID_EMAIL_ADDRESS")
    deleted, missing = talk.results("delete", f"<u:ids>{made[:15]}</u:ids><u:id>003Hs0000099999</u:id>")
    assert (of(deleted, "id"), of(missing, "statusCode")) == (made, "INVALID_CROSS_REFERENCE_KEY")
    assert front.names("Id != null") == ["U"]
    every = "<u:AllOrNoneHeader><u:allOrNone>true</u:allOrNone></u:AllOrNoneHeader>"
    rows = contact(LastName="A") + contact(FirstName="B")
    assert [of(one, "success") for one in talk.results("create", rows, every)] == ["false", "false"]
    assert talk.ask("create", contact(LastName="A") * 201)[0] == 500


def test_a_parent_is_named_by_its_key(talk: Talk, front: Front, key: None) -> None:
    front.key_field("Account")
    account = front.create("Account", Name="Acme", Key__c="a1")
    parent = "<s:Account><s:type>Account</s:type><s:Key__c>{}</s:Key__c></s:Account>"
    rows = "".join(
        contact(LastName=name).replace("</u:sObjects>", parent.format(key) + "</u:sObjects>")
        for name, key in (("A", "a1"), ("B", "a2"))
    )
    good, bad = talk.results("create", rows)
    assert (of(good, "success"), of(bad, "statusCode")) == ("true", "INVALID_FIELD")
    assert front.soql("SELECT AccountId FROM Contact") == [{"AccountId": account}]


@pytest.mark.fact("salesforce:soap_records")
def test_records_are_read(talk: Talk, front: Front) -> None:
    account = front.create("Account", Name="A & B", BillingCity="Oslo")
    made = front.create("Contact", LastName="Ng", AccountId=account)
    text = "SELECT Id, LastName, Email, CreatedDate, IsDeleted, Account.Name FROM Contact"
    (result,) = talk.results("query", f"<u:queryString>{text}</u:queryString>")
    (row,) = (one for one in result if one.tag.endswith("}records"))
    assert [one.tag.removeprefix(SF) for one in row] == [
        "type", "Id", "Id", "LastName", "Email", "CreatedDate", "IsDeleted", "Account",
    ]  # fmt: skip
    assert [one.text for one in row][:4] == ["Contact", made, made, "Ng"]
    assert row[4].get(NIL) == "true"
    assert (row[5].text, row[6].text) == ("2024-05-01T10:00:00.000Z", "false")
    assert (of(row[7], "Name"), row[7][1].get(NIL)) == ("A & B", "true")
    nested = "SELECT Name, BillingAddress, (SELECT LastName FROM Contacts) FROM Account"
    (result,) = talk.results("query", f"<u:queryString>{nested}</u:queryString>")
    assert (of(result, "city"), of(result, "LastName")) == ("Oslo", "Ng")
    ask = f"<u:fieldList>Id, LastName</u:fieldList><u:sObjectType>contact</u:sObjectType><u:ids>{made}</u:ids>"
    found, missing = talk.results("retrieve", f"{ask}<u:ids>003Hs0000099999</u:ids>")
    assert (of(found, "LastName"), missing.get(NIL)) == ("Ng", "true")
    front.ask("DELETE", f"sobjects/Contact/{made}")
    sizes = [
        of(talk.results(call, "<u:queryString>SELECT Id FROM Contact</u:queryString>")[0], "size")
        for call in ("query", "queryAll")
    ]
    assert sizes == ["0", "1"]
    status, told = talk.ask("query", "<u:queryString>SELECT Nope FROM Contact</u:queryString>")
    assert (status, "<faultcode>sf:INVALID_FIELD</faultcode>" in told) == (500, True)


@pytest.mark.fact("salesforce:soap_pages")
def test_a_query_goes_on_with_its_locator(talk: Talk, front: Front) -> None:
    for _ in range(2):
        talk.results("create", contact(LastName="N") * 150)
    head = "<u:QueryOptions><u:batchSize>200</u:batchSize></u:QueryOptions>"
    (first,) = talk.results("query", "<u:queryString>SELECT Id FROM Contact</u:queryString>", head)
    assert (of(first, "done"), of(first, "size")) == ("false", "300")
    more = f"<u:queryLocator>{of(first, 'queryLocator')}</u:queryLocator>"
    (second,) = talk.results("queryMore", more, head)
    assert (of(second, "done"), sum(one.tag.endswith("}records") for one in second)) == ("true", 100)
    assert of(second, "queryLocator") is None
    assert "INVALID_QUERY_LOCATOR" in talk.ask("queryMore", "<u:queryLocator>x</u:queryLocator>")[1]


@pytest.mark.fact("salesforce:soap_describe")
def test_objects_are_described(talk: Talk) -> None:
    (world,) = talk.results("describeGlobal", "")
    assert "Contact" in [of(one, "name") for one in world if one.tag.endswith("}sobjects")]
    for call in ("describeSObject", "describeSObjects"):
        (told,) = talk.results(call, "<u:sObjectType>Contact</u:sObjectType>")
        fields = {of(one, "name"): one for one in told if one.tag.endswith("}fields")}
        assert (of(fields["Email"], "type"), of(fields["AccountId"], "referenceTo")) == ("email", "Account")
        assert (of(told, "urlNew"), of(told, "keyPrefix")) == ("/003/e", "003")
    assert talk.ask("describeSObject", "<u:sObjectType>Nope</u:sObjectType>")[0] == 500
    assert talk.ask("describeSObject", "<u:sObjectType>Campaign</u:sObjectType>")[0] == 501


@pytest.mark.fact("salesforce:soap_replication")
def test_changes_are_told(talk: Talk, front: Front, clock: DeskClock, grants: Grants) -> None:
    kept, gone = front.create("Contact", LastName="A"), front.create("Contact", LastName="B")
    front.ask("DELETE", f"sobjects/Contact/{gone}")
    clock.forward(120)
    talk.session = grants.doorman.issue()
    window = "<u:startDate>2024-05-01T09:00:00.000Z</u:startDate><u:endDate>2024-05-01T10:02:00.000Z</u:endDate>"
    body = f"<u:sObjectType>Contact</u:sObjectType>{window}"
    (updated,), (deleted,) = talk.results("getUpdated", body), talk.results("getDeleted", body)
    assert (of(updated, "ids"), of(updated, "latestDateCovered")) == (kept, "2024-05-01T10:02:00.000Z")
    assert (of(deleted, "id"), of(deleted, "deletedDate")) == (gone, "2024-05-01T10:00:00.000Z")


def test_what_is_not_supported_is_named(talk: Talk) -> None:
    for kind, version in (("c", "59.0"), ("u", "latest")):
        status, text = talk.ask("query", "<u:queryString>SELECT Id FROM Contact</u:queryString>", "", kind, version)
        assert (status, bool(re.search(f"SOAP call query at|version {version}", text))) == (501, True)
    talk.session = "nobody"
    assert "INVALID_SESSION_ID" in talk.ask("describeGlobal", "")[1]


def test_envelopes_may_be_compressed(wire: Wire, app: Starlette) -> None:
    text = ENVELOPE.format(session=wire.token, head="", call="create", body=contact(LastName="Ng"))
    headers = {"content-type": "text/xml", "content-encoding": "gzip"}
    heard = wire.send("POST", "/services/Soap/u/59.0", gzip.compress(text.encode()), headers=headers)
    assert (heard.status, "<success>true</success>" in heard.text) == (200, True)
