"""Ask the pretend org in SOQL: what matches, in which order, on which page, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.state import NewRecord, State
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front


@pytest.fixture
def people(front: Front, clock: DeskClock) -> dict[str, str]:
    acme = front.create("Account", Name="Acme", NumberOfEmployees=12)
    found = {
        "Ng": front.create("Contact", LastName="Ng", FirstName="Ann", Email="ann@x.org", AccountId=acme),
        "O'Hara": front.create("Contact", LastName="O'Hara", Birthdate="1990-02-03", HasOptedOutOfEmail=True),
    }
    clock.forward(10)
    found["50%"] = front.create("Contact", LastName="50%", Email="p@x.org", Birthdate="1980-01-01")
    found["back\\slash"] = front.create("Contact", LastName="back\\slash")
    return {**found, "Acme": acme}


@pytest.mark.fact("salesforce:string_escapes", "salesforce:datetime_literals", "salesforce:like_escapes")
@pytest.mark.parametrize(
    ("condition", "matched"),
    [
        ("LastName = 'ng'", ["Ng"]),
        ("LastName = 'O\\'Hara'", ["O'Hara"]),
        ("LastName != 'Ng'", ["50%", "back\\slash", "O'Hara"]),
        ("Email != 'ann@x.org'", ["50%", "back\\slash", "O'Hara"]),
        ("Email = null", ["back\\slash", "O'Hara"]),
        ("Email <> NULL", ["50%", "Ng"]),
        ("NOT Email = null", ["50%", "Ng"]),
        ("NOT Email = 'p@x.org'", ["back\\slash", "Ng", "O'Hara"]),
        ("Email IN ('P@X.ORG', 'other', null)", ["50%", "back\\slash", "O'Hara"]),
        ("Email NOT IN ('p@x.org')", ["back\\slash", "Ng", "O'Hara"]),
        ("LastName LIKE 'o%a'", ["O'Hara"]),
        ("LastName LIKE '50\\%'", ["50%"]),
        ("LastName LIKE 'back\\\\s%'", ["back\\slash"]),
        ("LastName LIKE '_g'", ["Ng"]),
        ("(NOT LastName LIKE '%g')", ["50%", "back\\slash", "O'Hara"]),
        ("HasOptedOutOfEmail = true", ["O'Hara"]),
        ("HasOptedOutOfEmail != true", ["50%", "back\\slash", "Ng"]),
        ("Birthdate > 1980-01-01", ["O'Hara"]),
        ("Birthdate >= 1980-01-01 AND Birthdate < 1990-02-03", ["50%"]),
        ("Account.Name = 'ACME'", ["Ng"]),
        ("Account.NumberOfEmployees > 11.5", ["Ng"]),
        ("Name = 'ann ng'", ["Ng"]),
        ("SystemModstamp >= 2024-05-01T10:00:10Z", ["50%", "back\\slash"]),
        ("SystemModstamp < 2024-05-01T12:00:10.000+02:00", ["Ng", "O'Hara"]),
        ("SystemModstamp = 2024-05-01T10:00:00.000000Z", ["Ng", "O'Hara"]),
        ("IsDeleted = true", []),
        ("(LastName = 'Ng' OR LastName = 'x') AND Email != null", ["Ng"]),
        ("LastName = 'Ng' OR (Email = 'p@x.org' AND NOT LastName = 'x')", ["50%", "Ng"]),
    ],
)
def test_conditions(front: Front, people: dict[str, str], condition: str, matched: list[str]) -> None:
    assert front.names(condition) == matched


def test_ids_match_in_both_lengths_and_their_letters_count(front: Front, people: dict[str, str]) -> None:
    assert front.names(f"Id = '{people['Ng'][:15]}'") == ["Ng"]
    assert front.names(f"AccountId IN ('{people['Acme']}')") == ["Ng"]
    assert front.names("Id > '" + people["O'Hara"] + "'") == ["50%", "back\\slash"]


def test_order_limit_offset_and_nulls(front: Front, people: dict[str, str]) -> None:
    def emails(rest: str) -> list[Any]:
        return [row["Email"] for row in front.soql(f"SELECT Email FROM Contact ORDER BY Email {rest}")]

    assert emails("") == [None, None, "ann@x.org", "p@x.org"]
    assert emails("DESC") == [None, None, "p@x.org", "ann@x.org"]
    assert emails("DESC NULLS LAST LIMIT 2") == ["p@x.org", "ann@x.org"]
    assert emails("ASC NULLS LAST, Id DESC LIMIT 1 OFFSET 1") == ["p@x.org"]


def test_parents_are_nested_and_missing_ones_are_null(front: Front, people: dict[str, str]) -> None:
    rows = front.soql("select contact.lastname, account.name, ACCOUNT.Id from contact order by LastName desc limit 2")
    assert rows[0]["Account"] is None
    assert rows[1]["LastName"] == "Ng"
    assert (rows[1]["Account"]["Name"], rows[1]["Account"]["Id"]) == ("Acme", people["Acme"])


@pytest.mark.fact("salesforce:count")
def test_counts(front: Front, people: dict[str, str]) -> None:
    answer = front.ask("GET", "query", query={"q": "SELECT COUNT() FROM Contact WHERE Email != null"})
    assert answer.body == {"totalSize": 2, "done": True, "records": []}
    assert front.soql("SELECT COUNT(Email) FROM Contact") == [{"expr0": 2}]


@pytest.mark.fact("salesforce:query_all", "salesforce:deletion_moves_stamp")
def test_deleted_records_are_in_query_all_alone(front: Front, people: dict[str, str], clock: DeskClock) -> None:
    clock.forward(5)
    front.ask("DELETE", f"sobjects/Contact/{people['Ng']}")
    assert front.names("LastName = 'Ng'") == []
    (row,) = front.soql("SELECT Id, IsDeleted, SystemModstamp, MasterRecordId FROM Contact WHERE LastName = 'Ng'",
                        everything=True)  # fmt: skip
    assert row == {
        "Id": people["Ng"],
        "IsDeleted": True,
        "SystemModstamp": "2024-05-01T10:00:15.000+0000",
        "MasterRecordId": None,
    }


@pytest.mark.fact(
    "salesforce:locator_form",
    "salesforce:locator_mode",
    "salesforce:batch_size",
    "salesforce:total_size",
)
def test_pages_keep_their_membership_and_the_locator_its_mode(front: Front, state: State) -> None:
    made = [ids.make("003", n + 1) for n in range(450)]
    state.insert_many("Contact", [NewRecord(one, {"LastName": "N"}) for one in made])
    small = {"sforce-query-options": "batchSize=10"}
    answer = front.ask("GET", "queryAll", query={"q": "SELECT Id FROM Contact ORDER BY Id"}, headers=small)
    first = answer.body
    assert (first["totalSize"], first["done"], len(first["records"])) == (450, False, 200)
    state.delete("Contact", made[300])
    state.insert("Contact", ids.make("003", 9999), {"LastName": "Late"})
    rows, url = list(first["records"]), first["nextRecordsUrl"]
    while url:
        locator = url.rsplit("/", 1)[1]
        page = front.ask("GET", f"query/{locator}", headers=small).body
        rows += page["records"]
        url = page.get("nextRecordsUrl")
    assert [row["Id"] for row in rows] == made
    assert page["done"]


@pytest.mark.fact("salesforce:locator_expires")
def test_a_locator_dies_after_two_days(front: Front, state: State, clock: DeskClock) -> None:
    state.insert_many("Contact", [NewRecord(ids.make("003", n + 1), {"LastName": "N"}) for n in range(2001)])
    url = front.ask("GET", "query", query={"q": "SELECT Id FROM Contact"}).body["nextRecordsUrl"]
    path = url.split("/v59.0/")[1]
    assert front.ask("GET", path).status == 200
    clock.forward(2 * 24 * 3600 + 1)
    assert front.error(front.ask("GET", path)) == (400, "INVALID_QUERY_LOCATOR")
    assert front.error(front.ask("GET", "query/0r8000000000000-2000")) == (400, "INVALID_QUERY_LOCATOR")


@pytest.mark.fact("salesforce:query_errors", "salesforce:offset_limit")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT FROM Contact", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = Ng", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = 'a' OR LastName = 'b' AND Email = null", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = 'it's'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = 'a\\z'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact; DROP", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact LIMIT x", "MALFORMED_QUERY"),
        ("SELECT Id, Nickname FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Foo.Name = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Birthdate = '1990-01-01'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE SystemModstamp > '2024-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE SystemModstamp > 2024-01-01", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE CreatedDate = LAST_N_DAYS", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE CreatedDate = LAST_DAYS", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = TODAY", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Id IN (SELECT LastName FROM Contact)", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName INCLUDES ('a')", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id n FROM Contact", "MALFORMED_QUERY"),
        ("SELECT LastName, COUNT(Id) FROM Contact", "MALFORMED_QUERY"),
        ("SELECT SUM(LastName) FROM Contact", "MALFORMED_QUERY"),
        ("SELECT Id, (SELECT Id FROM Kontacts) FROM Account", "INVALID_TYPE"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account ALL ROWS", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Description LIKE 'x%'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact ORDER BY Description", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Contact WHERE HasOptedOutOfEmail > false", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Kontact", "INVALID_TYPE"),
        ("SELECT Id FROM Contact ORDER BY Id OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
def test_refused_queries(front: Front, text: str, code: str) -> None:
    assert front.error(front.ask("GET", "query", query={"q": text})) == (400, code)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT TYPEOF What WHEN Account THEN Phone END FROM Task",
        "SELECT LastName, COUNT(Id) FROM Contact GROUP BY ROLLUP(LastName)",
        "SELECT FORMAT(CreatedDate) FROM Contact",
        "SELECT Id FROM Contact WITH DATA CATEGORY x ABOVE y",
        "SELECT Id FROM Contact FOR UPDATE",
        "SELECT Id FROM Campaign",
    ],
)
def test_unsupported_queries_say_so(front: Front, text: str) -> None:
    answer = front.ask("GET", "query", query={"q": text})
    assert answer.status == 501
    assert text in answer.body[0]["message"]


@pytest.mark.fact("salesforce:hidden_fields")
def test_a_hidden_field_is_unknown(front: Front) -> None:
    front.rest.org.faults.turn({"hidden_fields": ["Contact.Email"]})
    assert front.error(front.ask("GET", "query", query={"q": "SELECT Email FROM Contact"})) == (400, "INVALID_FIELD")
