"""Ask for rows by Dataverse's own functions, by aggregates, in the order of names, by links that are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.emulators.dynamics.local import ROOT, START_US, Local

FORMATTED = 'odata.include-annotations="OData.Community.Display.V1.FormattedValue"'
NOW = datetime.fromtimestamp(START_US / 1_000_000, UTC)


def day(shift: int) -> str:
    return (NOW + timedelta(days=shift)).strftime("%Y-%m-%dT12:00:00Z")


@pytest.fixture(scope="module")
def tasks(shared: Local) -> None:
    """Create tasks that are due on days around today (2026-01-02, a Friday)."""
    for shift in (-400, -40, -8, -1, 0, 1, 6, 40, 400):
        shared.create("tasks", subject=f"{shift}", scheduledend=day(shift), percentcomplete=abs(shift) % 100)


def due(shared: Local, function: str) -> list[int]:
    rows = shared.rows(f"tasks?$select=subject&$filter=Microsoft.Dynamics.CRM.{function}")
    return sorted(int(row["subject"]) for row in rows)


@pytest.mark.fact("dynamics:query_functions")
@pytest.mark.parametrize(
    ("function", "shifts"),
    [
        ("Today(PropertyName='scheduledend')", [0]),
        ("Yesterday(PropertyName='scheduledend')", [-1]),
        ("Tomorrow(PropertyName='scheduledend')", [1]),
        ("Last7Days(PropertyName='scheduledend')", [-1, 0]),
        ("Next7Days(PropertyName='scheduledend')", [0, 1, 6]),
        ("LastXDays(PropertyName='scheduledend',PropertyValue=10)", [-8, -1]),
        ("NextXDays(PropertyName='scheduledend',PropertyValue=45)", [0, 1, 6, 40]),
        ("OlderThanXDays(PropertyName='scheduledend',PropertyValue=30)", [-400, -40]),
        ("OlderThanXMonths(PropertyName='scheduledend',PropertyValue=12)", [-400]),
        ("ThisMonth(PropertyName='scheduledend')", [-1, 0, 1, 6]),
        ("LastMonth(PropertyName='scheduledend')", [-8]),
        ("ThisWeek(PropertyName='scheduledend')", [-1, 0, 1]),
        ("NextWeek(PropertyName='scheduledend')", [6]),
        ("ThisYear(PropertyName='scheduledend')", [-1, 0, 1, 6, 40]),
        ("On(PropertyName='scheduledend',PropertyValue='2026-01-03')", [1]),
        ("OnOrAfter(PropertyName='scheduledend',PropertyValue='2026-02-01')", [40, 400]),
        ("OnOrBefore(PropertyName='scheduledend',PropertyValue='2025-12-01')", [-400, -40]),
        ('Between(PropertyName=\'percentcomplete\',PropertyValues=["5","10"])', [-8, 6]),
        ("NotBetween(PropertyName='percentcomplete',PropertyValues=['0','10'])", [-40, 40]),
        ('In(PropertyName=@p1,PropertyValues=@p2)&@p1=\'subject\'&@p2=["1","6"]', [1, 6]),
        ("NotIn(PropertyName='percentcomplete',PropertyValues=['0','1','8','40'])", [6]),
        ("EqualUserId(PropertyName='ownerid') and subject eq '6'", [6]),
    ],
)
def test_dataverses_own_functions_find_what_they_say(
    shared: Local, tasks: None, function: str, shifts: list[int]
) -> None:
    if function.startswith("EqualUserId"):
        function = function.replace("'ownerid'", "'_ownerid_value'")
    assert due(shared, function) == shifts


def test_functions_that_make_no_sense_are_refused_and_unknown_ones_told(shared: Local, tasks: None) -> None:
    base = "tasks?$filter=Microsoft.Dynamics.CRM."
    for function in (
        "On(PropertyName='scheduledend',PropertyValue='x')",
        "LastXDays(PropertyName='scheduledend')",
        "In(PropertyName='subject')",
        "Between(PropertyName='percentcomplete',PropertyValues=['1'])",
    ):
        assert shared.call("GET", base + function).error == (400, "0x80060888")
    for function in ("ThisFiscalYear(PropertyName='scheduledend')", "Under(PropertyName='subject',PropertyValue='x')"):
        assert shared.call("GET", base + function).status == 501


def test_columns_compare_with_each_other(shared: Local) -> None:
    shared.create("contacts", firstname="Echo", lastname="echo")
    shared.create("contacts", firstname="Echo", lastname="Other")
    found = shared.rows("contacts?$select=lastname&$filter=firstname eq lastname")
    assert [row["lastname"] for row in found] == ["echo"]
    assert shared.call("GET", "contacts?$filter=firstname eq createdon").error[0] == 400


@pytest.mark.fact("dynamics:orderby_lookup_name")
def test_a_lookup_sorts_by_the_name_of_its_row_over_pages(here: Local) -> None:
    for name in ("Zeta", "alpha", "Mid"):
        account = here.create("accounts", name=name)
        here.create("contacts", lastname=name, **{"parentcustomerid_account@odata.bind": f"/accounts({account})"})
    here.create("contacts", lastname="None")
    seen: list[str] = []
    following: str | None = "contacts?$select=lastname&$orderby=_parentcustomerid_value desc"
    while following:
        page = here.get(following, Prefer="odata.maxpagesize=1")
        seen += [row["lastname"] for row in page["value"]]
        following = page.get("@odata.nextLink")
    assert seen == ["Zeta", "Mid", "alpha", "None"]


# -- aggregates


@pytest.fixture(scope="module")
def revenues(shared: Local) -> None:
    for name, revenue, kind, city in (
        ("A", 100, 3, "Rome"),
        ("B", 50.5, 3, "rome"),
        ("C", 10, 10, None),
        ("D", None, None, "Oslo"),
    ):
        contact = shared.create("contacts", lastname=f"Of {city}")
        bind = {"primarycontactid@odata.bind": f"/contacts({contact})"}
        shared.create("accounts", name=name, revenue=revenue, customertypecode=kind, address1_city=city, **bind)


def applied(shared: Local, text: str, **headers: str) -> list[dict[str, Any]]:
    return shared.rows(f"accounts?$apply={text}", **headers)


@pytest.mark.fact("dynamics:apply")
def test_rows_are_grouped_and_summed(shared: Local, revenues: None) -> None:
    assert applied(shared, "aggregate(revenue with sum as total,$count as n,revenue with average as mean)") == [
        {"total": 160.5, "n": 4, "mean": 53.5}
    ]
    grouped = applied(shared, "groupby((customertypecode),aggregate(revenue with max as top))")
    assert grouped == [{}, {"customertypecode": 3, "top": 100.0}, {"customertypecode": 10, "top": 10.0}]
    assert applied(shared, "filter(revenue gt 20)/groupby((address1_city),aggregate($count as n))") == [
        {"address1_city": "Rome", "n": 2}
    ]
    named = applied(shared, "groupby((primarycontactid/lastname),aggregate(revenue with min as low))")
    assert {"contact_lastname": "Of Rome", "low": 50.5} in named or {
        "contact_lastname": "Of Rome",
        "low": 100.0,
    } in named
    assert applied(shared, "aggregate(address1_city with countdistinct as n)") == [{"n": 2}]
    assert applied(shared, "aggregate(createdon with max as last)") == [{"last": "2026-01-02T03:04:05Z"}]
    (shown,) = applied(
        shared, "filter(name eq 'A')/groupby((statuscode),aggregate(revenue with sum as total))", Prefer=FORMATTED
    )
    assert shown["statuscode@OData.Community.Display.V1.FormattedValue"] == "Active"
    assert shown["total@OData.Community.Display.V1.FormattedValue"] == "$100.00"
    raw = shared.call("GET", "accounts?$apply=aggregate(revenue with sum as total)").text
    assert "160.500000000" in raw


@pytest.mark.fact("dynamics:apply_limits")
def test_what_cannot_be_aggregated_is_refused(shared: Local, revenues: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (
        "groupby((createdon))",
        "aggregate(name with sum as x)",
        "aggregate(revenue with nosuch as x)",
        "groupby((nosuch))",
        "groupby((name),aggregate(revenue with sum as x))&$orderby=x",
    ):
        assert shared.call("GET", f"accounts?$apply={text}").error == (400, "0x80060888")
    assert shared.call("GET", "accounts?$apply=groupby((name))/filter(name eq 'x')").status == 501
    monkeypatch.setattr("crm_sync.emulators.dynamics.aggregation.MOST_ROWS", 3)
    assert shared.call("GET", "accounts?$apply=aggregate($count as n)").error == (400, "0x8004E023")
    assert applied(shared, "filter(name eq 'A')/aggregate($count as n)") == [{"n": 1}]


# -- values as they are shown


@pytest.mark.fact("dynamics:money")
def test_money_has_its_base_and_its_currency(here: Local) -> None:
    id = here.create("accounts", name="A", revenue=20000)
    reply = here.call("GET", f"accounts({id})?$select=revenue", Prefer='odata.include-annotations="*"')
    assert '"revenue":20000.0000' in reply.text
    row = reply.json()
    assert row["revenue@OData.Community.Display.V1.FormattedValue"] == "$20,000.00"
    assert row["_transactioncurrencyid_value@OData.Community.Display.V1.FormattedValue"] == "US Dollar"
    assert here.get(f"accounts({id})")["revenue_base"] == 20000
    here.done("PATCH", f"accounts({id})", {"revenue_base": 1})
    assert here.get(f"accounts({id})")["revenue_base"] == 20000
    assert here.get(f"accounts({here.create('accounts', name='B')})")["_transactioncurrencyid_value"] is None


@pytest.mark.fact("dynamics:count_capped")
def test_counts_stop_at_a_page(here: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        here.create("contacts", lastname=f"{number}")
    assert here.get("contacts?$count=true&$top=1")["@odata.count"] == 4
    monkeypatch.setattr("crm_sync.emulators.dynamics.queries.PAGE_ROWS", 3)
    assert here.get("contacts?$count=true&$top=1")["@odata.count"] == 3
    assert here.call("GET", "contacts/$count").content == b"\xef\xbb\xbf3"


@pytest.mark.fact("dynamics:apply", "dynamics:money")
def test_sums_of_money_are_exact(here: Local) -> None:
    for revenue in (84460371745.97, 0.1, 0.2):
        here.create("accounts", name="A", revenue=revenue)
    reply = here.call("GET", "accounts?$apply=aggregate(revenue with sum as total,revenue with max as most)")
    assert '"total":84460371746.270000000' in reply.text and '"most":84460371745.970000000' in reply.text


@pytest.mark.fact("dynamics:next_link_options")
def test_a_next_link_keeps_all_options_and_the_version_that_was_asked(here: Local) -> None:
    for number in range(3):
        here.create("contacts", lastname=f"{number}")
    page = here.get("contacts?$select=lastname&$filter=lastname ne 'x'&$orderby=lastname", Prefer="odata.maxpagesize=2")
    link = page["@odata.nextLink"]
    assert link.startswith(f"{ROOT}contacts?$select=lastname&$filter=lastname%20ne%20'x'&$orderby=lastname&$skiptoken=")
    assert [row["lastname"] for row in here.rows(link)] == ["2"]
