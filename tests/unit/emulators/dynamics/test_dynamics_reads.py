"""Read rows from the pretend Dataverse: filters, order, pages, annotations, change tracking."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.unit.emulators.dynamics.client import KEY, Client

TRACK = "odata.track-changes"


@pytest.fixture(scope="module")
def people(signed_in: Client) -> dict[str, str]:
    """Create four contacts marked by their city and return first name -> id."""
    account = signed_in.create("accounts", name="Acme")
    made: dict[str, str] = {}
    rows: list[dict[str, Any]] = [
        {"firstname": "Ann", "lastname": "O'Hara", "birthdate": "1980-02-03", "gendercode": 2, KEY: str(uuid4())},
        {"firstname": "bob", "lastname": "Ärlig", "birthdate": "1990-01-01", "donotbulkemail": True, KEY: str(uuid4())},
        {"firstname": "Cy", "parentcustomerid_account@odata.bind": f"/accounts({account})"},
        {"firstname": "Dee", "lastname": "100%_off"},
    ]
    for row in rows:
        made[row["firstname"]] = signed_in.create("contacts", address1_city="Filterville", **row)
    return made


def found(api: Client, filter: str) -> set[str]:
    rows = api.get(f"contacts?$select=firstname&$filter=address1_city eq 'filterville' and ({filter})")["value"]
    return {row["firstname"] for row in rows}


@pytest.mark.fact("dynamics:filter_case", "dynamics:filter_wildcards")
@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ("firstname eq 'BOB'", {"bob"}),
        ("lastname eq 'o''hara'", {"Ann"}),
        ("lastname eq null", {"Cy"}),
        ("lastname ne null and not (firstname eq 'Ann')", {"bob", "Dee"}),
        ("birthdate ge 1985-01-01", {"bob"}),
        ("birthdate lt 1985-01-01 or gendercode eq 1", {"Ann"}),
        ("donotbulkemail eq true", {"bob"}),
        ("donotbulkemail eq false and statecode eq 0", {"Ann", "Cy", "Dee"}),
        ("contains(lastname,'0%off')", {"Dee"}),
        ("startswith(lastname,'1_0')", {"Dee"}),
        ("startswith(lastname,'ärl')", {"bob"}),
        ("endswith(firstname,'N')", {"Ann"}),
        ("fullname eq 'ann o''hara'", {"Ann"}),
        ("modifiedon ge 2020-01-01T00:00:00Z and createdon lt 2100-01-01T00:00:00Z", {"Ann", "bob", "Cy", "Dee"}),
        ("modifiedon gt 2100-01-01T00:00:00%2B02:00", set()),
        ("Microsoft.Dynamics.CRM.In(PropertyName='firstname',PropertyValues=['ann','dee','none'])", {"Ann", "Dee"}),
        ("gendercode ne 2", {"bob", "Cy", "Dee"}),
    ],
)
def test_filters_find_what_they_say(api: Client, people: dict[str, str], filter: str, names: set[str]) -> None:
    assert found(api, filter) == names


def test_ids_and_keys_are_found_in_bulk(api: Client, people: dict[str, str]) -> None:
    wanted = f"PropertyValues=['{people['Ann']}','{uuid4()}','{people['Cy'].upper()}']"
    assert found(api, f"Microsoft.Dynamics.CRM.In(PropertyName='contactid',{wanted})") == {"Ann", "Cy"}
    key = api.get(f"contacts({people['bob']})?$select={KEY}")[KEY]
    assert found(api, f"Microsoft.Dynamics.CRM.In(PropertyName='{KEY}',PropertyValues=['{key}'])") == {"bob"}
    assert found(api, f"{KEY} eq '{key}' and contactid eq {people['bob']}") == {"bob"}
    assert api.get(f"contacts({KEY}='{key}')?$select=firstname")["firstname"] == "bob"


@pytest.mark.fact("dynamics:no_skip", "dynamics:shadow_columns")
@pytest.mark.parametrize(
    "options",
    [
        "$select=nosuch",
        "$select=parentcustomerid",
        "$select=parentcustomeridname",
        "$filter=firstname eq 3",
        "$filter=birthdate eq 'x'",
        "$filter=firstname like 'x'",
        "$filter=(firstname eq 'x'",
        "$skip=1",
        "$top=x",
        "$orderby=firstname sideways",
        "$skiptoken=nonsense",
        "$top=1&$top=2",
    ],
)
def test_bad_options_are_refused(api: Client, options: str) -> None:
    assert api.refused("GET", f"contacts?{options}") == (400, "0x80060888")


@pytest.mark.fact("dynamics:paging_cookie")
@pytest.mark.parametrize(
    "order", ["firstname desc", "lastname", "lastname desc,firstname", "birthdate,gendercode desc"]
)
def test_pages_follow_any_order_without_gap_or_repetition(api: Client, people: dict[str, str], order: str) -> None:
    target = f"contacts?$select=firstname&$filter=address1_city eq 'Filterville'&$orderby={order}&$count=true"
    whole = [row["contactid"] for row in api.get(target)["value"]]
    assert set(whole) == set(people.values())
    paged: list[str] = []
    following: str | None = target
    while following:
        page = api.get(following, Prefer="odata.maxpagesize=1")
        assert page["@odata.count"] == 4
        paged += [row["contactid"] for row in page["value"]]
        following = page.get("@odata.nextLink")
    assert paged == whole


@pytest.mark.fact("dynamics:top_and_page_size")
def test_top_counts_only_without_a_page_size(api: Client, people: dict[str, str]) -> None:
    page = api.get("contacts?$select=firstname&$top=2")
    assert len(page["value"]) == 2 and "@odata.nextLink" not in page
    assert len(api.get("contacts?$select=firstname&$top=2", Prefer="odata.maxpagesize=3")["value"]) == 3


@pytest.mark.fact("dynamics:count_bom")
def test_a_count_alone_is_text_with_a_byte_order_mark(api: Client, people: dict[str, str]) -> None:
    answer = api.call("GET", "contacts/$count?$filter=address1_city eq 'Filterville'")
    assert answer.content == b"\xef\xbb\xbf4" and answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.fact("dynamics:select_adds_key", "dynamics:etag", "dynamics:if_none_match_null")
def test_a_row_shows_what_was_selected_and_its_key_and_version(api: Client, people: dict[str, str]) -> None:
    answer = api.call("GET", f"contacts({people['Cy']})?$select=fullname,_parentcustomerid_value")
    row = answer.json()
    assert set(row) == {"@odata.context", "@odata.etag", "fullname", "_parentcustomerid_value", "contactid"}
    assert answer.headers["OData-Version"] == "4.0"
    not_modified = api.call("GET", f"contacts({people['Cy']})?$select=fullname", If_None_Match=row["@odata.etag"])
    assert not_modified.status_code == 304
    assert api.call("GET", f"contacts({people['Cy']})", If_None_Match="null").status_code == 200
    assert api.refused("GET", f"contacts({uuid4()})") == (404, "0x80040217")


@pytest.mark.fact("dynamics:annotations")
def test_annotations_come_when_asked_for_and_before_their_property(api: Client, people: dict[str, str]) -> None:
    target = f"contacts({people['Cy']})?$select=_parentcustomerid_value,statecode,birthdate"
    assert not any("@Microsoft" in name or "@OData" in name for name in api.get(target))
    row = api.get(target, Prefer='odata.include-annotations="*"')
    name = "_parentcustomerid_value"
    assert row[f"{name}@OData.Community.Display.V1.FormattedValue"] == "Acme"
    assert row[f"{name}@Microsoft.Dynamics.CRM.associatednavigationproperty"] == "parentcustomerid_account"
    assert row[f"{name}@Microsoft.Dynamics.CRM.lookuplogicalname"] == "account"
    assert row["statecode@OData.Community.Display.V1.FormattedValue"] == "Active"
    order = list(row)
    assert order.index(f"{name}@Microsoft.Dynamics.CRM.lookuplogicalname") < order.index(name)
    only = api.get(target, Prefer='odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"')
    assert f"{name}@OData.Community.Display.V1.FormattedValue" not in only


# -- change tracking


def tracked(api: Client, target: str, page: int = 5000) -> dict[str, Any]:
    answer: dict[str, Any] = api.get(target, Prefer=f"{TRACK},odata.maxpagesize={page}")
    return answer


@pytest.mark.fact("dynamics:delta")
def test_a_delta_tells_edits_and_deletions_in_the_order_of_versions(api: Client) -> None:
    kept, gone = api.create("contacts", lastname="Kept"), api.create("contacts", lastname="Gone")
    link = tracked(api, "contacts?$select=lastname")["@odata.deltaLink"]
    assert api.get(link)["value"] == []
    api.call("DELETE", f"contacts({gone})")
    api.call("PATCH", f"contacts({kept})", {"lastname": "Changed"})
    new = api.create("contacts", lastname="New")
    delta = api.get(link)
    assert delta["@odata.context"].endswith("/$delta")
    deleted, changed, created = delta["value"]
    assert (deleted["id"], deleted["reason"]) == (gone, "deleted")
    assert deleted["@odata.context"].endswith("$metadata#contacts/$deletedEntity")
    assert (changed["contactid"], changed["lastname"]) == (kept, "Changed")
    assert created["contactid"] == new and "firstname" not in created
    assert api.get(delta["@odata.deltaLink"])["value"] == []


@pytest.mark.fact("dynamics:delta_last_page")
def test_the_delta_link_comes_on_the_last_page_only(api: Client) -> None:
    for number in range(3):
        api.create("contacts", lastname=f"Page {number}")
    page = tracked(api, "contacts?$select=lastname", 2)
    seen = len(page["value"])
    while "@odata.nextLink" in page:
        assert "@odata.deltaLink" not in page
        page = tracked(api, page["@odata.nextLink"], 2)
        seen += len(page["value"])
    assert "@odata.deltaLink" in page
    assert seen == len(api.get("contacts?$select=lastname")["value"])


@pytest.mark.fact("dynamics:tracking_select_only")
def test_only_select_goes_with_tracking(api: Client) -> None:
    for options in ("$filter=lastname eq 'x'", "$orderby=lastname", "$top=1"):
        assert api.refused("GET", f"contacts?{options}", Prefer=TRACK)[0] == 400


@pytest.mark.fact("dynamics:delta_expiry", "dynamics:delta_definition")
def test_a_token_dies_of_age_and_of_a_changed_definition(api: Client) -> None:
    link = tracked(api, "accounts?$select=name")["@odata.deltaLink"]
    api.control("knobs", {"delta_seconds": -1})
    assert api.refused("GET", link) == (400, "0x80044352")
    api.control("knobs", {"delta_seconds": 604800})
    assert api.get(link)["value"] == []
    column = {
        "@odata.type": "Microsoft.Dynamics.CRM.BooleanAttributeMetadata",
        "SchemaName": "new_Flag",
        "RequiredLevel": {"Value": "None"},
        "DisplayName": {"LocalizedLabels": [{"Label": "Flag", "LanguageCode": 1033}]},
    }
    assert api.call("POST", "EntityDefinitions(LogicalName='account')/Attributes", column).status_code == 204
    assert api.refused("GET", link) == (400, "0x80044352")
    assert api.get("accounts?$select=new_flag&$filter=new_flag eq false")["value"]
