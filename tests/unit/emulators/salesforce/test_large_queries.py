"""Queries that are long, deep or odd: answered, or refused as a query; never a crash."""

from __future__ import annotations

import pytest

from tests.unit.emulators.salesforce.desk_clock import Front


def bulk(front: Front, text: str) -> dict[str, object]:
    """Run a bulk query, whose text may be longer than an address; return the job as it ended."""
    made = front.ask("POST", "jobs/query", {"operation": "query", "query": text})
    assert made.status == 200, made.body
    front.rest.jobs.settle()
    found: dict[str, object] = front.ask("GET", f"jobs/query/{made.body['id']}").body
    return found


@pytest.mark.parametrize("word", ["OR", "AND"])
def test_thousands_of_conditions(front: Front, word: str) -> None:
    front.create("Contact", LastName="N7")
    conditions = [f"LastName = 'N{n}'" if word == "OR" else f"LastName != 'M{n}'" for n in range(3000)]
    done = bulk(front, f"SELECT Id FROM Contact WHERE {f' {word} '.join(conditions)}")
    assert (done["state"], done["numberRecordsProcessed"]) == ("JobComplete", 1)


def test_tens_of_thousands_of_values(front: Front) -> None:
    front.create("Account", Name="A", NumberOfEmployees=3)
    front.create("Account", Name="B", NumberOfEmployees=4)
    done = bulk(front, f"SELECT Id FROM Account WHERE NumberOfEmployees IN ({','.join(['1', '3'] * 20_000)})")
    assert (done["state"], done["numberRecordsProcessed"]) == ("JobComplete", 1)


def test_nesting_has_an_end(front: Front) -> None:
    front.create("Contact", LastName="Ng")
    for depth, status in ((50, 200), (3000, 400)):
        text = f"SELECT Id FROM Contact WHERE {'(' * depth}LastName = 'Ng'{')' * depth}"
        answer = front.ask("GET", "query", query={"q": text})
        assert answer.status == status
    assert front.error(answer) == (400, "QUERY_TOO_COMPLICATED")
    mixed = "LastName = 'Ng'"
    for level in range(50):
        mixed = f"({mixed}) {'OR' if level % 2 else 'AND'} Id != null"
    assert len(front.soql(f"SELECT Id FROM Contact WHERE {mixed}")) == 1


@pytest.mark.parametrize(("nots", "found"), [(3000, ["Ng"]), (3001, ["Li"])])
def test_chains_of_not(front: Front, nots: int, found: list[str]) -> None:
    for name in ("Ng", "Li"):
        front.create("Contact", LastName=name)
    assert front.names("NOT " * nots + "LastName = 'Ng'") == found


@pytest.mark.fact("salesforce:count_limit")
def test_a_count_counts_no_further_than_its_limit(front: Front) -> None:
    for name in "ABC":
        front.create("Contact", LastName=name)
    totals = [
        front.ask("GET", "query", query={"q": f"SELECT COUNT() FROM Contact{more}"}).body["totalSize"]
        for more in ("", " LIMIT 2", " LIMIT 5")
    ]
    assert totals == [3, 2, 3]


@pytest.mark.fact("salesforce:duplicate_field")
@pytest.mark.parametrize("fields", ["Id, Name, id", "Account.Name, Account.Name", "FIELDS(STANDARD), LastName"])
def test_a_field_is_selected_once(front: Front, fields: str) -> None:
    answer = front.ask("GET", "query", query={"q": f"SELECT {fields} FROM Contact"})
    assert front.error(answer) == (400, "INVALID_FIELD")
    assert answer.body[0]["message"].startswith("duplicate field selected: ")
    if "(" not in fields:
        asked = {"operation": "query", "query": f"SELECT {fields} FROM Contact"}
        assert front.error(front.ask("POST", "jobs/query", asked)) == (400, "INVALID_FIELD")


def test_a_plan_of_a_query_is_not_supported(front: Front) -> None:
    answer = front.ask("GET", "query", query={"explain": "SELECT Id FROM Contact"})
    assert front.error(answer) == (501, "NOT_IMPLEMENTED")
    assert "GET /services/data/v59.0/query?explain=" in answer.body[0]["message"]
