"""Ask the pretend org further in SOQL: parents, children, aggregates, date literals, semi-joins, cursors."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.emulators.faults import Fault, Faults
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.state import NewRecord, State
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front
from tests.unit.emulators.salesforce.wire import Wire


@pytest.fixture
def deals(front: Front) -> dict[str, str]:
    top = front.create("Account", Name="Top", Industry="Finance")
    acme = front.create("Account", Name="Acme", ParentId=top, Industry="finance")
    ng = front.create("Contact", LastName="Ng", FirstName="Ann", AccountId=acme)
    li = front.create("Contact", LastName="Li", AccountId=top, ReportsToId=ng)
    for name, amount, day in (("A", 10, "2024-04-30"), ("B", 30.5, "2024-05-01"), ("C", None, "2024-06-30")):
        front.create("Opportunity", Name=name, Amount=amount, StageName="Prospecting", CloseDate=day, AccountId=acme)
    front.create("Task", Subject="Call", WhoId=ng, WhatId=acme)
    front.create("Task", Subject="Write")
    return {"top": top, "acme": acme, "ng": ng, "li": li}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: plain(one) if isinstance(one, dict) else one for key, one in row.items() if key != "attributes"}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("SELECT COUNT(Id), SUM(Amount), MIN(CloseDate) FROM Opportunity",
         [{"expr0": 3, "expr1": 40.5, "expr2": "2024-04-30"}]),
        ("SELECT COUNT(Amount) n, AVG(Amount) mean FROM Opportunity", [{"n": 2, "mean": 20.25}]),
        ("SELECT Account.Name, COUNT(Id) n FROM Contact GROUP BY Account.Name ORDER BY Account.Name",
         [{"Name": "Acme", "n": 1}, {"Name": "Top", "n": 1}]),
        ("SELECT CALENDAR_MONTH(CloseDate) m, COUNT(Id) FROM Opportunity GROUP BY CALENDAR_MONTH(CloseDate) "
         "HAVING COUNT(Id) = 1 ORDER BY COUNT(Id), CALENDAR_MONTH(CloseDate) DESC",
         [{"m": 6, "expr0": 1}, {"m": 5, "expr0": 1}, {"m": 4, "expr0": 1}]),
        ("SELECT IsClosed, MAX(SystemModstamp) FROM Opportunity GROUP BY IsClosed",
         [{"IsClosed": False, "expr0": "2024-05-01T10:00:00.000+0000"}]),
        ("SELECT COUNT_DISTINCT(AccountId) FROM Opportunity", [{"expr0": 1}]),
        ("SELECT Name FROM Opportunity GROUP BY Name HAVING Name LIKE 'b%' OR (NOT SUM(Amount) >= 10)",
         [{"Name": "B"}, {"Name": "C"}]),
    ],
)  # fmt: skip
@pytest.mark.fact("salesforce:aggregates")
def test_aggregates(front: Front, deals: dict[str, str], text: str, rows: list[dict[str, Any]]) -> None:
    answer = front.ask("GET", "query", query={"q": text})
    assert [plain(row) for row in answer.body["records"]] == rows
    assert {row["attributes"]["type"] for row in answer.body["records"]} == {"AggregateResult"}
    assert (answer.body["totalSize"], answer.body["done"]) == (len(rows), True)


def test_aggregates_of_too_many_groups_are_refused(front: Front, state: State) -> None:
    rows = [NewRecord(ids.make("003", n + 1), {"LastName": f"N{n}"}) for n in range(2001)]
    state.insert_many("Contact", rows)
    text = "SELECT LastName FROM Contact GROUP BY LastName"
    assert front.error(front.ask("GET", "query", query={"q": text})) == (400, "EXCEEDED_ID_LIMIT")
    assert len(front.soql(text + " LIMIT 5")) == 5


@pytest.mark.fact("salesforce:child_subqueries")
def test_children_are_nested_each_with_their_own_pages(front: Front, deals: dict[str, str]) -> None:
    text = (
        "SELECT Name, (SELECT Name, Account.Name FROM Opportunities WHERE Amount != null ORDER BY Amount DESC LIMIT 1),"
        " (SELECT LastName FROM Contacts) FROM Account ORDER BY Name"
    )
    acme, top = front.soql(text)
    assert acme["Opportunities"] | {"records": None} == {"totalSize": 1, "done": True, "records": None}
    assert plain(acme["Opportunities"]["records"][0]) == {"Name": "B", "Account": {"Name": "Acme"}}
    assert top["Opportunities"] is None
    assert [row["LastName"] for row in top["Contacts"]["records"]] == ["Li"]


def test_parents_of_parents_and_parents_of_several_kinds(front: Front, deals: dict[str, str]) -> None:
    shown = "c.LastName, c.Account.Parent.Name, ReportsTo.Account.Name, Owner.Name"
    text = f"SELECT {shown} FROM Contact c ORDER BY LastName"
    li, ng = (plain(row) for row in front.soql(text))
    assert ng == {"LastName": "Ng", "Account": {"Parent": {"Name": "Top"}}, "ReportsTo": None,
                  "Owner": {"Name": "Integration User"}}  # fmt: skip
    assert li["Account"] == {"Parent": None}
    assert li["ReportsTo"] == {"Account": {"Name": "Acme"}}
    tasks = front.soql("SELECT Who.Name, Who.Type, What.Name, What.Phone FROM Task ORDER BY Subject")
    assert tasks[0]["Who"]["attributes"]["type"] == "Name"
    assert [plain(row) for row in tasks] == [
        {"Who": {"Name": "Ann Ng", "Type": "Contact"}, "What": {"Name": "Acme", "Phone": None}},
        {"Who": None, "What": None},
    ]
    assert len(front.soql("SELECT Id FROM Task WHERE What.Type = 'Account' AND Who.Name LIKE 'ann%'")) == 1
    assert front.names("Account.Parent.Industry = 'finance'") == ["Ng"]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("CloseDate = TODAY", ["B"]),
        ("CloseDate = YESTERDAY", ["A"]),
        ("CloseDate < TODAY", ["A"]),
        ("CloseDate >= TODAY", ["B", "C"]),
        ("CloseDate > THIS_MONTH", ["C"]),
        ("CloseDate <= LAST_MONTH", ["A"]),
        ("CloseDate = LAST_N_DAYS:1", ["A", "B"]),
        ("CloseDate = NEXT_N_MONTHS:1", ["C"]),
        ("CloseDate = N_DAYS_AGO:1", ["A"]),
        ("CloseDate = THIS_QUARTER", ["A", "B", "C"]),
        ("CloseDate != THIS_MONTH", ["A", "C"]),
        ("CloseDate = THIS_WEEK", ["A", "B"]),
        ("CloseDate = LAST_90_DAYS", ["A", "B"]),
        ("CreatedDate = TODAY", ["A", "B", "C"]),
        ("CreatedDate < TODAY", []),
        ("CALENDAR_YEAR(CloseDate) = 2024 AND DAY_IN_MONTH(CloseDate) = 30", ["A", "C"]),
        ("DAY_ONLY(CreatedDate) = 2024-05-01", ["A", "B", "C"]),
        ("Amount IN (10, 30.5)", ["A", "B"]),
        ("NOT (Amount > 10)", ["A", "C"]),
        ("Amount NOT IN (10, null)", ["B"]),
        ("AccountId IN (SELECT Id FROM Account WHERE Name = 'acme')", ["A", "B", "C"]),
        ("AccountId NOT IN (SELECT AccountId FROM Contact WHERE LastName = 'Li')", ["A", "B", "C"]),
    ],
)
def test_more_conditions(front: Front, deals: dict[str, str], condition: str, names: list[str]) -> None:
    rows = front.soql(f"SELECT Name FROM Opportunity WHERE {condition} ORDER BY Name")
    assert [row["Name"] for row in rows] == names


@pytest.mark.parametrize(("condition", "names"), [
    ("INCLUDES ('a;b')", ["AB", "ABC"]), ("INCLUDES ('c', 'x')", ["ABC"]), ("EXCLUDES ('c')", ["AB", "None"]),
    ("INCLUDES ('A')", ["AB", "ABC"]),
])  # fmt: skip
def test_picklists_of_several_values(front: Front, condition: str, names: list[str]) -> None:
    values = {"valueSetDefinition": {"value": [{"fullName": one} for one in "abc"]}}
    meta = {"type": "MultiselectPicklist", "label": "Kinds", "visibleLines": 3, "valueSet": values}
    front.ask("POST", "tooling/sobjects/CustomField", {"FullName": "Contact.Kinds__c", "Metadata": meta})
    for name, kinds in (("AB", "a;b"), ("ABC", "a;b;c"), ("None", None)):
        front.create("Contact", LastName=name, Kinds__c=kinds)
    assert front.names(f"Kinds__c {condition}") == names


def test_fields_by_sets_and_labels(front: Front, deals: dict[str, str]) -> None:
    (row,) = front.soql("SELECT FIELDS(STANDARD), toLabel(Industry) FROM Account WHERE Name = 'Top'")
    assert {"Name", "BillingAddress", "SystemModstamp"} <= set(row)
    assert len(front.soql("SELECT FIELDS(ALL) FROM Account LIMIT 200")) == 2


@pytest.mark.fact("salesforce:compound_address")
def test_addresses_are_compound(front: Front) -> None:
    front.create("Contact", LastName="A", MailingCity="Berlin", MailingCountry="Germany")
    (row,) = front.soql("SELECT MailingAddress, OtherAddress FROM Contact")
    assert row["OtherAddress"] is None
    assert row["MailingAddress"] == {
        "street": None, "city": "Berlin", "state": None, "postalCode": None, "country": "Germany",
        "geocodeAccuracy": None, "latitude": None, "longitude": None,
    }  # fmt: skip
    refused = front.ask("GET", "query", query={"q": "SELECT Id FROM Contact WHERE MailingAddress = 'x'"})
    assert front.error(refused) == (400, "INVALID_FIELD")


@pytest.mark.fact("salesforce:archived_activities", "salesforce:tombstones")
def test_archived_activities_and_old_tombstones(front: Front, state: State, clock: DeskClock) -> None:
    task = front.create("Task", Subject="Old")
    gone = front.create("Contact", LastName="Gone")
    front.ask("DELETE", f"sobjects/Contact/{gone}")
    state.update("Task", task, {"IsArchived": True})
    assert front.soql("SELECT Id FROM Task") == []
    assert front.soql("SELECT Id FROM Task", everything=True) == [{"Id": task}]
    clock.forward(14 * 86400)
    assert front.soql("SELECT Id FROM Contact", everything=True) == [{"Id": gone}]
    clock.forward(86400)
    assert front.soql("SELECT Id FROM Contact", everything=True) == []


@pytest.mark.fact("salesforce:locator_expires")
def test_a_locator_expires_by_fault_and_others_live_on(front: Front, state: State, faults: Faults) -> None:
    state.insert_many("Contact", [NewRecord(ids.make("003", n + 1), {"LastName": "N"}) for n in range(2001)])
    first, second = (
        front.ask("GET", "query", query={"q": "SELECT Id FROM Contact"}).body["nextRecordsUrl"].split("/v59.0/")[1]
        for _ in "ab"
    )
    faults.add([Fault("expire_locator")])
    for _ in range(2):
        assert front.error(front.ask("GET", first)) == (400, "INVALID_QUERY_LOCATOR")
    assert front.ask("GET", second).status == 200
    assert [one["target"] for one in faults.log()] == [first.split("/")[1].split("-")[0]]


@pytest.mark.parametrize(("kind", "code"), [("query_timeout", "QUERY_TIMEOUT"), ("cursor", "QUERY_TOO_COMPLICATED")])
def test_limits_of_queries_strike_by_object(front: Front, faults: Faults, kind: str, code: str) -> None:
    faults.add([Fault("limit", object="Contact", options={"kind": kind})])
    assert front.soql("SELECT Id FROM Account") == []
    assert front.error(front.ask("GET", "query", query={"q": "SELECT Id FROM Contact"})) == (400, code)
    assert front.soql("SELECT Id FROM Contact") == []


@pytest.mark.fact("salesforce:late_rows", "salesforce:latest_date_covered")
def test_a_row_that_commits_late_appears_behind_the_watermark(
    front: Front, faults: Faults, clock: DeskClock
) -> None:
    faults.add([Fault("late_commit", object="Contact", seconds=120)])
    late = front.create("Contact", LastName="Late")
    clock.forward(60)
    front.create("Contact", LastName="Next")
    assert front.names("Id != null") == ["Next"]
    clock.forward(59)
    window = {"start": "2024-05-01T09:00:00Z", "end": "2024-05-01T11:00:00Z"}
    told = front.ask("GET", "sobjects/Contact/updated", query=window).body
    assert told["latestDateCovered"] == "2024-05-01T10:00:00.000+0000"
    assert late not in told["ids"]
    clock.forward(1)
    assert front.soql("SELECT LastName, SystemModstamp FROM Contact ORDER BY SystemModstamp") == [
        {"LastName": "Late", "SystemModstamp": "2024-05-01T10:00:00.000+0000"},
        {"LastName": "Next", "SystemModstamp": "2024-05-01T10:01:00.000+0000"},
    ]
    told = front.ask("GET", "sobjects/Contact/updated", query=window).body
    assert (late in told["ids"], told["latestDateCovered"]) == (True, "2024-05-01T10:02:00.000+0000")


@pytest.mark.fact("salesforce:next_page_behind_query", "salesforce:trailing_slash", "salesforce:limit_info")
def test_the_forms_of_paths_that_clients_use(wire: Wire, state: State) -> None:
    state.insert_many("Contact", [NewRecord(ids.make("003", n + 1), {"LastName": "N"}) for n in range(2001)])
    first = wire.send("GET", "/services/data/v59.0/query/", query={"q": "SELECT Id FROM Contact"})
    assert first.headers["content-type"] == "application/json;charset=UTF-8"
    assert first.headers["sforce-limit-info"] == "api-usage=1/5000000"
    url = first.json["nextRecordsUrl"]
    for path in (url, f"/services/data/v59.0/query/{url}", f"/services/data/v59.0/queryAll/{url.split('/')[-1]}/"):
        assert len(wire.send("GET", path, query={"X-PrettyPrint": "1"}).json["records"]) == 1, path
