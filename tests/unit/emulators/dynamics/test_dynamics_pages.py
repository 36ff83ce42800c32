"""What clients read besides rows: pages by number, totals, the version of definitions, the details of an error."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.unit.emulators.dynamics.local import Local

CRM = "@Microsoft.Dynamics.CRM."
ALL = 'odata.include-annotations="*"'


def people(here: Local, count: int) -> None:
    """Create contacts that are called 0, 1, 2, ..."""
    for number in range(count):
        here.create("contacts", lastname=f"{number}", jobtitle="odd" if number % 2 else "even")


@pytest.mark.fact("dynamics:paging_number")
def test_a_page_is_found_by_its_number_alone(here: Local) -> None:
    people(here, 5)
    pages = []
    for number in range(1, 5):
        token = quote(f'<cookie pagenumber="{number}" istracking="False" />')
        page = here.get(f"contacts?$orderby=lastname desc&$skiptoken={token}", Prefer="odata.maxpagesize=2")
        pages.append([row["lastname"] for row in page["value"]])
    assert pages == [["4", "3"], ["2", "1"], ["0"], []]
    second = here.get("contacts?$skiptoken=%3Ccookie pagenumber=%221%22/%3E", Prefer="odata.maxpagesize=2")
    assert "pagenumber%3D%222%22" in second["@odata.nextLink"]
    assert len(here.rows(second["@odata.nextLink"], Prefer="odata.maxpagesize=2")) == 2
    for number in ("x", "9" * 12):
        token = quote(f'<cookie pagenumber="{number}" istracking="False" />')
        assert here.call("GET", f"contacts?$skiptoken={token}").error == (400, "0x80060888")


@pytest.mark.fact("dynamics:total_annotations")
def test_totals_and_the_version_of_definitions_come_as_annotations(
    here: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(here, 3)
    counted = here.get("contacts?$count=true&$top=1", Prefer=ALL)
    assert (counted[f"{CRM}totalrecordcount"], counted[f"{CRM}totalrecordcountlimitexceeded"]) == (3, False)
    uncounted = here.get("contacts?$top=1", Prefer=ALL)
    assert (uncounted[f"{CRM}totalrecordcount"], uncounted[f"{CRM}totalrecordcountlimitexceeded"]) == (-1, False)
    assert "@odata.count" not in uncounted
    assert not any(name.startswith(CRM) for name in here.get("contacts?$count=true"))
    here.key("contact", "employeeid")
    after = here.get("contacts?$top=1", Prefer=f'odata.include-annotations="{CRM[1:]}global*"')
    assert int(after[f"{CRM}globalmetadataversion"]) > int(uncounted[f"{CRM}globalmetadataversion"])
    assert f"{CRM}totalrecordcount" not in after
    monkeypatch.setattr("crm_sync.emulators.dynamics.queries.PAGE_ROWS", 2)
    exceeded = here.get("contacts?$count=true", Prefer=ALL)
    assert (exceeded["@odata.count"], exceeded[f"{CRM}totalrecordcountlimitexceeded"]) == (2, True)


@pytest.mark.fact("dynamics:error_details")
def test_an_error_has_details_for_who_asks_for_annotations(here: Local) -> None:
    plain = here.call("GET", "contacts?$select=nosuch").json()["error"]
    assert set(plain) == {"code", "message"}
    detailed = here.call("GET", "contacts?$select=nosuch", Prefer=ALL).json()["error"]
    details = "@Microsoft.PowerApps.CDS."
    assert detailed[f"{details}InnerError.Message"] == detailed["message"] == plain["message"]
    assert detailed[f"{details}HelpLink"].endswith("CrmException%3a80060888&client=platform")
    assert detailed[f"{details}ErrorDetails.OperationStatus"] == detailed[f"{details}ErrorDetails.SubErrorCode"] == "0"
    some = here.call("GET", "contacts?$top=x", Prefer=f'odata.include-annotations="{details[1:]}HelpLink"')
    assert set(some.json()["error"]) == {"code", "message", f"{details}HelpLink"}


@pytest.mark.fact("dynamics:parameter_aliases")
def test_aliases_stand_for_properties_and_values(here: Local) -> None:
    people(here, 4)
    query = "contacts?$filter=contains(@p1,'e') and @p2 ne @p3&$orderby=@p1 asc,@p2 desc"
    rows = here.rows(f"{query}&@p1=jobtitle&@p2=lastname&@p3='0'")
    assert [row["lastname"] for row in rows] == ["2"]
    ordered = here.rows("contacts?$orderby=@p1 asc,@p2 desc&@p1=jobtitle&@p2=lastname")
    assert [row["lastname"] for row in ordered] == ["2", "0", "3", "1"]


@pytest.mark.fact("dynamics:query_functions")
def test_functions_take_logical_names_and_doubly_quoted_lists(here: Local) -> None:
    people(here, 2)
    listed = 'Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)&@p1=\'lastname\'&@p2=["1","O\'Brian"]'
    assert [row["lastname"] for row in here.rows(f"contacts?$filter={listed}")] == ["1"]
    for name in ("ownerid", "_ownerid_value"):
        mine = f"contacts?$filter=Microsoft.Dynamics.CRM.EqualUserId(PropertyName='{name}')"
        assert len(here.rows(mine)) == 2
    assert here.call("GET", "contacts?$filter=ownerid ne null").error == (400, "0x80060888")


@pytest.mark.fact("dynamics:delta")
def test_what_changes_while_the_first_read_is_paged_is_in_the_delta(here: Local) -> None:
    here.track("contact")
    people(here, 3)
    follow = {"Prefer": "odata.track-changes,odata.maxpagesize=2"}
    first = here.get("contacts?$select=lastname", **follow)
    seen = first["value"][0]
    here.done("PATCH", f"contacts({seen['contactid']})", {"lastname": "changed"})
    last = here.get(first["@odata.nextLink"], **follow)
    assert len(last["value"]) == 1
    (changed,) = here.rows(last["@odata.deltaLink"])
    assert (changed["contactid"], changed["lastname"]) == (seen["contactid"], "changed")


def test_numbers_beyond_all_bounds_find_nothing(here: Local) -> None:
    people(here, 1)
    huge = "9" * 30
    assert here.rows(f"accounts?$filter=numberofemployees eq {huge}") == []
    assert len(here.rows(f"contacts?$top={huge}")) == 1
