"""Search: operators, groups, words, associations, the 10,000 window, the lagging index."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, Inside, to, where

SEARCH = f"{OBJECTS}/contacts/search"


@pytest.fixture
def people(inside: Inside) -> dict[str, str]:
    given = {
        "ann": {"firstname": "Ann", "email": "ann@acme.example", "lifecyclestage": "lead", "jobtitle": "Head of Sales"},
        "bo": {"firstname": "Bo", "email": "bo@other.example", "lifecyclestage": "customer"},
        "cy": {"firstname": "ann", "email": "cy.ann@acme.example", "jobtitle": "Sales Engineer"},
    }
    out = {}
    for name, properties in given.items():
        out[name] = inside.create(**properties)
        inside.advance(10)
    return out


@pytest.mark.fact("hubspot:search_operators", "hubspot:search_case")
@pytest.mark.parametrize(
    ("given", "names"),
    [
        (where("firstname", "EQ", "ANN"), "ann cy"),
        (where("firstname", "NEQ", "ann"), "bo"),
        (where("firstname", "IN", values=["Ann", "bo"]), "bo"),
        (where("firstname", "NOT_IN", values=["ann"]), "bo"),
        (where("lifecyclestage", "EQ", "Lead"), ""),
        (where("lifecyclestage", "EQ", "lead"), "ann"),
        (where("jobtitle", "HAS_PROPERTY"), "ann cy"),
        (where("jobtitle", "NOT_HAS_PROPERTY"), "bo"),
        (where("email", "CONTAINS_TOKEN", "*@acme.example"), "ann cy"),
        (where("email", "CONTAINS_TOKEN", "acm"), ""),
        (where("email", "EQ", "BO@other.example"), "bo"),
        (where("email", "IN", values=["bo@other.example", "Ann@acme.example"]), "bo"),
        (where("email", "NOT_IN", values=["bo@other.example"]), "ann cy"),
        (where("email", "CONTAINS_TOKEN", "acm*"), "ann cy"),
        (where("jobtitle", "CONTAINS_TOKEN", "sales"), "ann cy"),
        (where("jobtitle", "NOT_CONTAINS_TOKEN", "engineer"), "ann bo"),
        (where("createdate", "BETWEEN", 1_770_000_005_000, highValue="2026-02-02T02:40:15Z"), "bo"),
        (where("createdate", "GT", 1_770_000_010_000), "cy"),
        (where("createdate", "LTE", "1770000000000"), "ann"),
    ],
)
def test_operators(inside: Inside, people: dict[str, str], given: dict[str, Any], names: str) -> None:
    assert inside.search("contacts", given) == [people[name] for name in names.split()]


@pytest.mark.fact("hubspot:search_groups", "hubspot:search_top_level_filters")
def test_groups_are_alternatives_and_filters_at_the_top_are_a_group(inside: Inside, people: dict[str, str]) -> None:
    groups = [{"filters": [where("firstname", "EQ", name)]} for name in ("bo", "nobody")]
    assert inside.post(SEARCH, {"filterGroups": groups})["total"] == 1
    assert inside.post(SEARCH, {"filters": [where("firstname", "EQ", "ann")]})["total"] == 2
    assert inside.post(SEARCH, {"filterGroups": [groups[0], {"filters": []}], "query": "acme"})["total"] == 2
    six = {"filters": [where("firstname", "EQ", "x")] * 6}
    for wrong in ([six] * 4, [{"filters": six["filters"] * 2}], [{"filters": [where("firstname", "EQ", "x")]}] * 6):
        assert inside.refused("POST", SEARCH, {"filterGroups": wrong}) == (400, "VALIDATION_ERROR")
    assert inside.post(SEARCH, {"filterGroups": [six] * 3})["total"] == 0


@pytest.mark.fact("hubspot:search_sorts", "hubspot:search_no_link", "hubspot:search_paging")
def test_one_sort_as_text_or_object_and_pages_by_offset(inside: Inside, people: dict[str, str]) -> None:
    assert inside.search("contacts") == list(people.values())
    newest = [people["cy"], people["bo"], people["ann"]]
    for sort in ("-createdate", {"propertyName": "createdate", "direction": "DESCENDING"}):
        assert inside.search("contacts", sorts=[sort]) == newest
    assert inside.refused("POST", SEARCH, {"sorts": ["email", "city"]})[0] == 400
    page = inside.post(SEARCH, {"limit": 2, "sorts": ["-createdate"]})
    assert page["total"] == 3 and page["paging"] == {"next": {"after": "2"}}
    assert inside.search("contacts", after=2, sorts=["-createdate"]) == newest[2:]


@pytest.mark.fact("hubspot:search_window", "hubspot:search_limits")
def test_a_search_ends_at_ten_thousand(inside: Inside) -> None:
    for wrong in ({"after": "10000"}, {"limit": 201}, {"query": "x" * 3001}, {"after": "x"}):
        assert inside.refused("POST", SEARCH, wrong) == (400, "VALIDATION_ERROR")
    assert inside.post(SEARCH, {"after": "9999", "limit": 200, "properties": ["x" * 40] * 90})["results"] == []


def test_words_are_looked_for_in_the_usual_properties(inside: Inside, people: dict[str, str]) -> None:
    assert inside.search("contacts", query="acme ANN") == [people["ann"], people["cy"]]
    assert inside.search("contacts", query="100%") == []


@pytest.mark.fact("hubspot:search_by_association", "hubspot:search_no_associations")
def test_a_search_asks_for_associations_but_does_not_show_them(inside: Inside) -> None:
    company = inside.create("companies", name="Acme")
    employed, alone = inside.create(firstname="A", associations=[to(company, 1)]), inside.create(firstname="B")
    assert inside.search("contacts", where("associations.company", "EQ", company)) == [employed]
    assert inside.search("contacts", where("associations.companies", "NOT_HAS_PROPERTY")) == [alone]
    assert "associations" not in inside.post(SEARCH, {"associations": ["companies"]})["results"][0]


@pytest.mark.fact("hubspot:search_lags")
def test_the_index_lags_when_told_to(inside: Inside) -> None:
    id = inside.create(firstname="Ann")
    inside.arm("index_lag", seconds=60, object="contacts")
    assert inside.search("contacts") == [] and inside.struck("index_lag") == 1
    assert inside.search("contacts") == [id]
    inside.faults.turn({"index_lag_seconds": 30})
    assert inside.search("contacts") == []
    inside.advance(30)
    assert inside.search("contacts") == [id]


@pytest.mark.fact("hubspot:search_finds_old_state")
def test_a_lagging_index_finds_records_as_they_were(inside: Inside) -> None:
    first, second, third = (inside.create(firstname=name, city="Ulm") for name in "ABC")
    inside.advance(100)
    inside.faults.turn({"index_lag_seconds": 30})
    inside.send("PATCH", f"{OBJECTS}/contacts/{first}", {"properties": {"city": "Bonn"}})
    inside.send("DELETE", f"{OBJECTS}/contacts/{second}")
    inside.advance(20)
    inside.send("PATCH", f"{OBJECTS}/contacts/{first}", {"properties": {"city": "Kiel"}})
    assert inside.search("contacts", where("city", "EQ", "ulm")) == [first, second, third]
    changed = where("lastmodifieddate", "GT", 1_770_000_050_000)
    assert inside.search("contacts", changed) == []
    inside.advance(10)
    assert inside.search("contacts", where("city", "EQ", "bonn")) == [first]
    assert inside.search("contacts", changed) == [first]
    inside.advance(20)
    assert inside.search("contacts", where("city", "EQ", "kiel")) == [first]
    assert inside.search("contacts", sorts=["-hs_object_id"]) == [third, first]


@pytest.mark.parametrize(
    "given",
    [
        where("nickname", "EQ", "x"), where("firstname", "LIKE", "x"), where("firstname", "EQ"),
        where("firstname", "IN", values=[]), where("createdate", "GT", "soon"), where("hs_object_id", "GT", "x"),
        where("firstname", "CONTAINS_TOKEN", " "), where("associations.company", "GT", "1"),
    ],
)  # fmt: skip
def test_wrong_filters_are_refused(inside: Inside, given: dict[str, Any]) -> None:
    body = {"filterGroups": [{"filters": [given]}]}
    assert inside.refused("POST", SEARCH, body) == (400, "VALIDATION_ERROR")
