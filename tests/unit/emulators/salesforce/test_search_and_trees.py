"""Search the pretend org in SOSL; plant trees and graphs of records."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.salesforce.desk_clock import Front

BASE = "/services/data/v59.0"


@pytest.fixture
def people(front: Front) -> None:
    account = front.create("Account", Name="Acme Works", Phone="+49 30 1234567")
    front.create("Contact", LastName="Ng", FirstName="Ann", Email="ann.ng@x.org", AccountId=account)
    front.create("Contact", LastName="Annis", Description="Knows Acme")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("FIND {acme} RETURNING Account(Id, Name), Contact(LastName)", ["Acme Works", "Annis"]),
        ("FIND {ann} IN NAME FIELDS RETURNING Contact(LastName ORDER BY LastName)", ["Annis", "Ng"]),
        ("FIND {ann ng} IN NAME FIELDS RETURNING Contact(LastName)", ["Ng"]),
        ("FIND {x.org} IN EMAIL FIELDS RETURNING Contact(LastName)", ["Ng"]),
        ("FIND {12*} IN PHONE FIELDS RETURNING Account(Name)", ["Acme Works"]),
        ("FIND {ann} RETURNING Contact(LastName WHERE Email != null) LIMIT 5", ["Ng"]),
        ("FIND {ann} RETURNING Contact(LastName ORDER BY LastName LIMIT 1)", ["Annis"]),
        ("FIND {100%} RETURNING Contact(LastName)", []),
    ],
)
def test_sosl(front: Front, people: None, query: str, found: list[str]) -> None:
    answer = front.ask("GET", "search", query={"q": query})
    assert answer.status == 200, answer.body
    assert [row.get("LastName") or row.get("Name") for row in answer.body["searchRecords"]] == found


def test_searches_without_objects_and_with_parameters(front: Front, people: None) -> None:
    everything = front.ask("GET", "search", query={"q": "FIND {acme}"}).body["searchRecords"]
    assert {row["attributes"]["type"] for row in everything} == {"Account", "Contact", "User"}
    asked = {"q": "acme", "sobjects": [{"name": "Account", "fields": ["Name"], "limit": 1}], "fields": ["Id"]}
    (row,) = front.ask("POST", "parameterizedSearch", asked).body["searchRecords"]
    assert row["Name"] == "Acme Works"
    named = {"q": "ann", "sobject": "Contact", "fields": "LastName", "in": "NAME"}
    assert len(front.ask("GET", "parameterizedSearch", query=named).body["searchRecords"]) == 2


def test_refused_searches(front: Front) -> None:
    def ask(query: str) -> tuple[int, str]:
        return front.error(front.ask("GET", "search", query={"q": query}))

    assert ask("LOOK {x}") == ask("FIND {a}") == (400, "MALFORMED_SEARCH")
    assert ask("FIND {ann OR bob}") == (501, "NOT_IMPLEMENTED")
    assert ask("FIND {ann} RETURNING Nope(Id)") == (400, "INVALID_TYPE")


def row(name: str, reference: str, sobject: str = "Account", **more: Any) -> dict[str, Any]:
    field = "Name" if sobject == "Account" else "LastName"
    return {"attributes": {"type": sobject, "referenceId": reference}, field: name, **more}


def test_a_tree_is_planted_whole(front: Front) -> None:
    children = {"records": [row("Ng", "c1", "Contact"), row("Li", "c2", "Contact")]}
    body = {"records": [row("Acme", "a1", Contacts=children), row("Other", "a2")]}
    answer = front.ask("POST", "composite/tree/Account", body)
    assert (answer.status, answer.body["hasErrors"]) == (201, False)
    made = {one["referenceId"]: one["id"] for one in answer.body["results"]}
    assert set(made) == {"a1", "a2", "c1", "c2"}
    assert front.soql("SELECT Id FROM Contact WHERE Account.Name = 'Acme' ORDER BY LastName DESC") == [
        {"Id": made["c1"]}, {"Id": made["c2"]},
    ]  # fmt: skip


def test_a_tree_with_one_bad_leaf_is_not_planted(front: Front) -> None:
    body = {"records": [row("Acme", "a1", Contacts={"records": [row("Ng", "c1", "Contact", Email="nope")]})]}
    answer = front.ask("POST", "composite/tree/Account", body)
    assert (answer.status, answer.body["hasErrors"]) == (400, True)
    (bad,) = answer.body["results"]
    assert (bad["referenceId"], bad["errors"][0]["statusCode"]) == ("c1", "INVALID_EMAIL_ADDRESS")
    assert front.soql("SELECT Id FROM Account") == []
    assert front.ask("POST", "composite/tree/Account", {"records": [{"Name": "x"}]}).status == 400
    unknown = {"records": [row("Acme", "a1", Nopes={"records": []})]}
    assert front.error(front.ask("POST", "composite/tree/Account", unknown)) == (400, "INVALID_FIELD")


@pytest.mark.fact("salesforce:graph_limits")
def test_graphs_stand_or_fall_each_for_itself(front: Front) -> None:
    def node(name: str, sobject: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"url": f"{BASE}/sobjects/{sobject}", "method": "POST", "referenceId": name, "body": body}

    good = [node("a", "Account", {"Name": "Acme"}), node("c", "Contact", {"LastName": "Ng", "AccountId": "@{a.id}"})]
    bad = [node("a", "Account", {"Name": "Lost"}), node("c", "Contact", {})]
    graphs = [{"graphId": "1", "compositeRequest": good}, {"graphId": "2", "compositeRequest": bad}]
    answer = front.ask("POST", "composite/graph", {"graphs": graphs})
    assert [(one["graphId"], one["isSuccessful"]) for one in answer.body["graphs"]] == [("1", True), ("2", False)]
    codes = [one["httpStatusCode"] for one in answer.body["graphs"][1]["graphResponse"]["compositeResponse"]]
    assert codes == [400, 400]
    assert front.names("Id != null", "Account") == ["Acme"]
    many = {"graphs": [{"graphId": str(n), "compositeRequest": []} for n in range(76)]}
    assert front.error(front.ask("POST", "composite/graph", many)) == (400, "LIMIT_EXCEEDED")
    nodes = {"graphs": [{"graphId": "1", "compositeRequest": [good[0]] * 501}]}
    assert front.error(front.ask("POST", "composite/graph", nodes)) == (400, "LIMIT_EXCEEDED")
    assert front.error(front.ask("POST", "composite/graph", {"graphs": [graphs[0]] * 2})) == (400, "INVALID_INPUT")
