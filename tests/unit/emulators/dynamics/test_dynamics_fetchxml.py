"""Ask by FetchXML: filters, links, orders, pages, aggregates."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.emulators.dynamics.local import Local

ALL = 'odata.include-annotations="*"'


@pytest.fixture(scope="module")
def rows(shared: Local) -> dict[str, str]:
    """Create two accounts, three people and two tasks."""
    ids = {name: shared.create("accounts", name=name, revenue=sum_) for name, sum_ in (("Acme", 100), ("Bolt", 7))}
    for name, account, born in (("Ann", "Acme", "1980-02-03"), ("bob", "Acme", "1980-07-01"), ("Cy", "Bolt", None)):
        bind = {"parentcustomerid_account@odata.bind": f"/accounts({ids[account]})"}
        ids[name] = shared.create("contacts", firstname=name, birthdate=born, donotemail=name == "Cy", **bind)
    shared.create("contacts", firstname="Dee")
    bind = {"primarycontactid@odata.bind": f"/contacts({ids['Ann']})"}
    shared.done("PATCH", f"accounts({ids['Acme']})", bind)
    return ids


def fetch(shared: Local, set_name: str, inner: str, attributes: str = "", **headers: str) -> Any:
    text = f"<fetch {attributes}><entity name='{set_name[:-1]}'>{inner}</entity></fetch>"
    return shared.get(f"{set_name}?fetchXml={quote(text, safe='')}", **headers)


def names(shared: Local, conditions: str, kind: str = "and") -> set[str]:
    inner = f"<attribute name='firstname'/><filter type='{kind}'>{conditions}</filter>"
    return {row["firstname"] for row in fetch(shared, "contacts", inner)["value"]}


@pytest.mark.fact("dynamics:fetchxml")
@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ("<condition attribute='firstname' operator='eq' value='BOB'/>", {"bob"}),
        ("<condition attribute='firstname' operator='ne' value='ann'/>", {"bob", "Cy", "Dee"}),
        ("<condition attribute='firstname' operator='like' value='%n%'/>", {"Ann"}),
        ("<condition attribute='firstname' operator='begins-with' value='b'/>", {"bob"}),
        ("<condition attribute='firstname' operator='not-end-with' value='e'/>", {"Ann", "bob", "Cy"}),
        (
            "<condition attribute='firstname' operator='in'><value>cy</value><value>dee</value></condition>",
            {"Cy", "Dee"},
        ),
        ("<condition attribute='parentcustomerid' operator='null'/>", {"Dee"}),
        ("<condition attribute='donotemail' operator='eq' value='1'/>", {"Cy"}),
        ("<condition attribute='birthdate' operator='ge' value='1980-03-01'/>", {"bob"}),
        ("<condition attribute='birthdate' operator='on-or-before' value='1980-02-03'/>", {"Ann"}),
        (
            "<condition attribute='createdon' operator='today'/>"
            "<condition attribute='firstname' operator='eq' value='cy'/>",
            {"Cy"},
        ),
        ("<condition attribute='createdon' operator='last-x-days' value='3'/>", {"Ann", "bob", "Cy", "Dee"}),
        ("<condition attribute='createdon' operator='olderthan-x-days' value='1'/>", set()),
        ("<condition attribute='ownerid' operator='ne-userid'/>", set()),
        (
            "<filter type='or'><condition attribute='firstname' operator='eq' value='Ann'/>"
            "<condition attribute='firstname' operator='eq' value='bob'/></filter>"
            "<condition attribute='birthdate' operator='between'>"
            "<value>1980-01-01</value><value>1980-03-01</value></condition>",
            {"Ann"},
        ),
    ],
)
def test_conditions_find_what_they_say(shared: Local, rows: dict[str, str], conditions: str, found: set[str]) -> None:
    assert names(shared, conditions) == found


@pytest.mark.fact("dynamics:fetchxml")
def test_rows_are_joined_with_others(shared: Local, rows: dict[str, str]) -> None:
    link = (
        "<attribute name='firstname'/><order attribute='firstname'/>"
        "<link-entity name='account' from='accountid' to='parentcustomerid' alias='a' {}>"
        "<attribute name='name'/><attribute name='primarycontactid'/>"
        "<filter><condition attribute='revenue' operator='gt' value='50'/></filter></link-entity>"
    )
    inner = fetch(shared, "contacts", link.format(""), Prefer=ALL)["value"]
    assert [(row["firstname"], row["a.name"]) for row in inner] == [("Ann", "Acme"), ("bob", "Acme")]
    assert inner[0]["a.primarycontactid"] == rows["Ann"] and inner[0]["contactid"] == rows["Ann"]
    assert inner[0]["a.primarycontactid@OData.Community.Display.V1.FormattedValue"] == "Ann"
    outer = fetch(shared, "contacts", link.format("link-type='outer'"))["value"]
    assert [(row["firstname"], row.get("a.name")) for row in outer] == [
        ("Ann", "Acme"),
        ("bob", "Acme"),
        ("Cy", None),
        ("Dee", None),
    ]
    many = "<attribute name='name'/><link-entity name='contact' from='parentcustomerid' to='accountid' alias='c'/>"
    assert len(fetch(shared, "accounts", many)["value"]) == 3
    assert len(fetch(shared, "accounts", many, "distinct='true'")["value"]) == 2
    outer_null = (
        "<attribute name='name'/><filter><condition entityname='c' attribute='contactid' operator='null'/></filter>"
        "<link-entity name='contact' from='contactid' to='primarycontactid' alias='c' link-type='outer'/>"
    )
    assert [row["name"] for row in fetch(shared, "accounts", outer_null)["value"]] == ["Bolt"]


@pytest.mark.fact("dynamics:fetchxml_paging")
def test_pages_follow_each_other(shared: Local, rows: dict[str, str]) -> None:
    inner = "<attribute name='firstname'/><order attribute='firstname' descending='true'/>"
    seen: list[str] = []
    for page in (1, 2):
        more = f"count='3' page='{page}' returntotalrecordcount='true'"
        answer = fetch(shared, "contacts", inner, more, Prefer=ALL)
        seen += [row["firstname"] for row in answer["value"]]
        assert answer["@Microsoft.Dynamics.CRM.totalrecordcount"] == 4
        assert answer["@Microsoft.Dynamics.CRM.morerecords"] == (page == 1)
        cookie = answer.get("@Microsoft.Dynamics.CRM.fetchxmlpagingcookie", "")
        assert ('pagenumber="2"' in cookie) == (page == 1)
    assert seen == ["Dee", "Cy", "bob", "Ann"]
    assert "@Microsoft.Dynamics.CRM.morerecords" not in fetch(shared, "contacts", inner, "count='3'")
    top = fetch(shared, "contacts", inner, "top='1'", Prefer=ALL)
    assert len(top["value"]) == 1 and "@Microsoft.Dynamics.CRM.fetchxmlpagingcookie" not in top


@pytest.mark.fact("dynamics:fetchxml_aggregate")
def test_rows_are_aggregated(shared: Local, rows: dict[str, str]) -> None:
    inner = (
        "<attribute name='contactid' alias='n' aggregate='count'/>"
        "<attribute name='birthdate' alias='known' aggregate='countcolumn'/>"
        "<link-entity name='account' from='accountid' to='parentcustomerid' alias='a'>"
        "<attribute name='name' alias='account' groupby='true'/>"
        "<order alias='account' descending='true'/></link-entity>"
    )
    assert fetch(shared, "contacts", inner, "aggregate='true'")["value"] == [
        {"account": "Bolt", "n": 1, "known": 0},
        {"account": "Acme", "n": 2, "known": 2},
    ]
    inner = (
        "<attribute name='birthdate' alias='year' groupby='true' dategrouping='year'/>"
        "<attribute name='contactid' alias='n' aggregate='count'/>"
        "<filter><condition attribute='birthdate' operator='not-null'/></filter>"
    )
    assert fetch(shared, "contacts", inner, "aggregate='true'")["value"] == [{"year": 1980, "n": 2}]
    inner = (
        "<attribute name='revenue' alias='total' aggregate='sum'/>"
        "<attribute name='createdon' alias='last' aggregate='max'/>"
    )
    (row,) = fetch(shared, "accounts", inner, "aggregate='true'", Prefer=ALL)["value"]
    assert row["total@OData.Community.Display.V1.FormattedValue"] == "$107.00"
    assert (row["total"], row["last"]) == (107, "2026-01-02T03:04:05Z")


@pytest.mark.parametrize(
    "text",
    [
        "<fetch",
        "<fetch><entity name='account'/></fetch>",
        "<!DOCTYPE x><fetch><entity name='contact'/></fetch>",
        "<fetch top='x'><entity name='contact'/></fetch>",
        "<fetch><entity name='contact'><attribute name='nosuch'/></entity></fetch>",
        "<fetch><entity name='contact'><filter><condition attribute='nosuch' operator='eq'/></filter></entity></fetch>",
        "<fetch><entity name='contact'><filter>"
        "<condition entityname='x' attribute='a' operator='eq'/></filter></entity></fetch>",
        "<fetch><entity name='contact'><link-entity name='nosuch' from='a' to='b'/></entity></fetch>",
        "<fetch aggregate='true'><entity name='contact'>"
        "<attribute name='firstname' alias='x' aggregate='x'/></entity></fetch>",
    ],
)
def test_a_bad_fetch_is_refused(shared: Local, text: str) -> None:
    assert shared.call("GET", f"contacts?fetchXml={quote(text, safe='')}").status == 400


def test_what_a_fetch_may_ask_and_is_not_there_is_told(shared: Local) -> None:
    for text in (
        "<fetch><entity name='contact'>"
        "<link-entity name='account' from='accountid' to='parentcustomerid' link-type='any'/></entity></fetch>",
        "<fetch><entity name='contact'><filter>"
        "<condition attribute='createdon' operator='this-fiscal-year'/></filter></entity></fetch>",
    ):
        assert shared.call("GET", f"contacts?fetchXml={quote(text, safe='')}").status == 501
