"""What the org works out by itself: cases, activities, opportunities, e-mails, users, consent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_sync.emulators.declarations import load
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce import ids, schema
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.rest import Rest
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.salesforce.screen import OrgDesk
from crm_sync.emulators.state import State
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front
from tests.unit.emulators.salesforce.wire import Wire


def one(front: Front, query: str) -> dict[str, Any]:
    (row,) = front.soql(query)
    return row


@pytest.mark.fact("salesforce:case_fields", "salesforce:formula_stamps")
def test_a_case_is_numbered_closed_and_knows_its_contact(front: Front, clock: DeskClock) -> None:
    contact = front.create("Contact", LastName="Ng", Email="a@x.org")
    case = front.create("Case", Subject="Broken", ContactId=contact)
    shown = one(front, "SELECT CaseNumber, Status, Priority, IsClosed, ClosedDate, ContactEmail FROM Case")
    assert shown == {"CaseNumber": "00001001", "Status": "New", "Priority": "Medium", "IsClosed": False,
                     "ClosedDate": None, "ContactEmail": "a@x.org"}  # fmt: skip
    clock.forward(5)
    front.ask("PATCH", f"sobjects/Contact/{contact}", {"Email": "b@x.org"})
    moved = one(front, "SELECT SystemModstamp FROM Case WHERE ContactEmail = 'B@x.org'")
    assert moved == {"SystemModstamp": "2024-05-01T10:00:00.000+0000"}, "a parent's change leaves the child's stamp"
    front.ask("PATCH", f"sobjects/Case/{case}", {"Status": "Closed"})
    assert one(front, "SELECT IsClosed, ClosedDate FROM Case") == {
        "IsClosed": True, "ClosedDate": "2024-05-01T10:00:05.000+0000",
    }  # fmt: skip
    front.ask("PATCH", f"sobjects/Case/{case}", {"Status": "Working"})
    assert one(front, "SELECT ClosedDate FROM Case WHERE IsClosed = false") == {"ClosedDate": None}
    locked = front.ask("DELETE", f"sobjects/Contact/{contact}")
    assert front.error(locked) == (400, "DELETE_FAILED")
    assert front.names("Id != null") == ["Ng"]


@pytest.mark.fact("salesforce:case_comment_bytes")
def test_a_comment_has_a_limit_in_bytes_and_goes_with_its_case(front: Front) -> None:
    case = front.create("Case", Subject="x")
    front.create("CaseComment", ParentId=case, CommentBody="ü" * 2000)
    answer = front.ask("POST", "sobjects/CaseComment", {"ParentId": case, "CommentBody": "ü" * 2001})
    assert front.error(answer) == (400, "STRING_TOO_LONG")
    assert front.error(front.ask("POST", "sobjects/CaseComment", {})) == (400, "REQUIRED_FIELD_MISSING")
    front.ask("DELETE", f"sobjects/Case/{case}")
    assert front.soql("SELECT Id FROM CaseComment") == []


@pytest.mark.fact("salesforce:task_fields")
def test_a_task_belongs_to_an_account_and_is_done(front: Front) -> None:
    account = front.create("Account", Name="Acme")
    contact = front.create("Contact", LastName="Ng", AccountId=account)
    task = front.create("Task", Subject="Call", WhoId=contact, Priority="High", ActivityDate="2024-05-02")
    assert one(front, "SELECT AccountId, IsClosed, IsHighPriority, ActivityDate, TaskSubtype FROM Task") == {
        "AccountId": account, "IsClosed": False, "IsHighPriority": True, "ActivityDate": "2024-05-02",
        "TaskSubtype": "Task",
    }  # fmt: skip
    front.ask("PATCH", f"sobjects/Task/{task}", {"Status": "Completed"})
    done = one(front, "SELECT CompletedDateTime FROM Task WHERE IsClosed = true")
    assert done == {"CompletedDateTime": "2024-05-01T10:00:00.000+0000"}
    front.ask("DELETE", f"sobjects/Contact/{contact}")
    assert front.soql("SELECT Id FROM Task") == []
    wrong = front.ask("POST", "sobjects/Task", {"Subject": "x", "WhoId": account})
    assert front.error(wrong) == (400, "MALFORMED_ID")


@pytest.mark.parametrize(
    ("given", "end", "minutes"),
    [
        ({"DurationInMinutes": 30}, "10:30", 30),
        ({"EndDateTime": "2024-05-02T12:00:00Z"}, "12:00", 120),
        ({}, "11:00", 60),
    ],
)
def test_an_event_has_start_end_and_duration(front: Front, given: dict[str, Any], end: str, minutes: int) -> None:
    front.create("Event", Subject="Meet", StartDateTime="2024-05-02T10:00:00Z", **given)
    assert one(front, "SELECT ActivityDate, EndDateTime, DurationInMinutes, ShowAs FROM Event") == {
        "ActivityDate": "2024-05-02", "EndDateTime": f"2024-05-02T{end}:00.000+0000", "DurationInMinutes": minutes,
        "ShowAs": "Busy",
    }  # fmt: skip


def test_an_opportunity_is_as_likely_as_its_stage(front: Front) -> None:
    made = front.create("Opportunity", Name="Deal", StageName="Value Proposition", CloseDate="2024-06-01", Amount=9.999)
    assert one(front, "SELECT Probability, IsClosed, IsWon, Amount FROM Opportunity") == {
        "Probability": 50, "IsClosed": False, "IsWon": False, "Amount": 10.0,
    }  # fmt: skip
    front.ask("PATCH", f"sobjects/Opportunity/{made}", {"StageName": "Closed Won"})
    assert one(front, "SELECT Probability FROM Opportunity WHERE IsWon = true AND IsClosed = true") == {
        "Probability": 100
    }


@pytest.mark.fact("salesforce:email_drafts")
def test_only_draft_emails_can_be_edited(front: Front) -> None:
    sent = front.create("EmailMessage", Subject="Hi", Status="3", FromAddress="a@x.org")
    draft = front.create("EmailMessage", Subject="Hi", Status="5")
    assert front.error(front.ask("PATCH", f"sobjects/EmailMessage/{sent}", {"Subject": "x"})) == (
        400, "INSUFFICIENT_ACCESS_OR_READONLY",
    )  # fmt: skip
    assert front.ask("PATCH", f"sobjects/EmailMessage/{draft}", {"Subject": "x"}).status == 204


@pytest.mark.fact("salesforce:users_stay")
def test_users_are_deactivated_not_deleted(front: Front) -> None:
    (user,) = front.soql("SELECT Id, Name, IsActive FROM User")
    assert (user["Name"], user["IsActive"]) == ("Integration User", True)
    refused = front.ask("DELETE", f"sobjects/User/{user['Id']}")
    assert front.error(refused) == (400, "INSUFFICIENT_ACCESS_OR_READONLY")
    assert front.ask("PATCH", f"sobjects/User/{user['Id']}", {"IsActive": False}).status == 204
    described = front.ask("GET", "sobjects/User/describe").body
    assert described["deletable"] is False
    assert "IsDeleted" not in {one["name"] for one in described["fields"]}


@pytest.mark.fact("salesforce:individual")
def test_consent_stands_on_the_individual(front: Front) -> None:
    individual = front.create("Individual", LastName="Ng", HasOptedOutSolicit=True)
    front.create("Contact", LastName="Ng", IndividualId=individual)
    row = one(front, "SELECT Individual.HasOptedOutSolicit, Individual.ShouldForget FROM Contact")
    assert (row["Individual"]["HasOptedOutSolicit"], row["Individual"]["ShouldForget"]) == (True, False)


@pytest.mark.fact("salesforce:upsert_several")
def test_objects_declared_in_a_file(state: State, faults: Faults, doorman: Doorman) -> None:
    contact_field = {"type": "reference", "target": "Contact", "cascade": True}
    key_field = {"type": "string", "max_length": 20, "external_id": True}
    more = {"objects": {"Visit__c": {"fields": {"Contact__c": contact_field, "Key__c": key_field}}}}
    declared = load(Path(schema.__file__).with_name("declarations.toml"), more)
    front = Front(Rest(Org(state, faults, declared), doorman), DeskClock())
    contact = front.create("Contact", LastName="Ng")
    front.create("Visit__c", Name="First", Contact__c=contact, Key__c="v1")
    assert one(front, "SELECT Name, Contact__r.LastName, Key__c FROM Visit__c")["Contact__r"]["LastName"] == "Ng"
    (row,) = front.soql("SELECT (SELECT Name FROM Visits__r) FROM Contact")
    assert row["Visits__r"]["records"][0]["Name"] == "First"
    described = front.ask("GET", "sobjects/Visit__c/describe").body
    assert (described["custom"], described["keyPrefix"], described["labelPlural"]) == (True, "a00", "Visits")
    assert front.ask("PATCH", "sobjects/Visit__c/Key__c/V1", {"Name": "Again"}).status == 200
    twice = [front.create("Visit__c", Name="Two", Key__c="v2") for _ in "ab"]
    several = front.ask("GET", "sobjects/Visit__c/Key__c/v2")
    assert (several.status, several.body) == (300, [f"/services/data/v59.0/sobjects/Visit__c/{id}" for id in twice])
    front.ask("DELETE", f"sobjects/Contact/{contact}")
    assert [row["Name"] for row in front.soql("SELECT Name FROM Visit__c")] == ["Two", "Two"]


def test_a_person_at_the_screen(front: Front, faults: Faults) -> None:
    desk = OrgDesk(front.rest.org, front.rest.records)
    case = desk.create("Case", {"Subject": "Hand made"}, {})
    desk.edit("Case", case, {"Status": "Closed"}, {})
    assert one(front, "SELECT IsClosed FROM Case") == {"IsClosed": True}
    one_, two = (desk.create("Account", {"Name": name}, {}) for name in "AB")
    child = desk.create("Contact", {"LastName": "Ng", "AccountId": two}, {})
    assert desk.merge("Account", one_, two) and not desk.merge("Account", one_, two)
    assert front.soql("SELECT AccountId FROM Contact") == [{"AccountId": one_}]
    assert not desk.edit("Account", two, {"Name": "C"}, {})
    assert desk.delete("Account", one_) and not desk.delete("Contact", child)
    with pytest.raises(ValueError, match="cannot be deleted"):
        desk.delete("User", front.soql("SELECT Id FROM User")[0]["Id"])


@pytest.mark.fact("salesforce:organization")
def test_the_organization_tells_of_itself(front: Front) -> None:
    (row,) = front.soql("SELECT Id, Name, OrganizationType, InstanceName, IsSandbox FROM Organization LIMIT 1")
    assert row["Id"] == ids.lengthen(ids.ORG)
    assert (row["OrganizationType"], row["IsSandbox"]) == ("Developer Edition", False)
    flags = front.ask("GET", "sobjects/Organization/describe").body
    assert (flags["createable"], flags["deletable"], flags["updateable"]) == (False, False, True)
    refused = front.ask("POST", "sobjects/Organization", {"Name": "Other"})
    assert front.error(refused) == (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY")
    gone = front.ask("DELETE", f"sobjects/Organization/{row['Id']}")
    assert front.error(gone) == (400, "INSUFFICIENT_ACCESS_OR_READONLY")
    assert front.ask("PATCH", f"sobjects/Organization/{row['Id']}", {"Phone": "1"}).status == 204


def test_slashes_too_many_do_no_harm(wire: Wire) -> None:
    assert wire.send("GET", "/services/data/v59.0//sobjects/Contact/describe/").status == 200
