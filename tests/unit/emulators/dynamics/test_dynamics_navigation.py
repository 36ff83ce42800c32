"""Follow relationships: in filters, in expansions, in addresses, and write along them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.unit.emulators.dynamics.local import ROOT, Local

ALL = 'odata.include-annotations="*"'


@pytest.fixture(scope="module")
def acme(shared: Local) -> dict[str, str]:
    """Create two accounts; the first has a primary contact, a second person and two tasks."""
    ids = {
        "acme": shared.create("accounts", name="Acme", revenue=20000),
        "other": shared.create("accounts", name="Other"),
    }
    at = {"parentcustomerid_account@odata.bind": f"/accounts({ids['acme']})"}
    ids["ann"] = shared.create("contacts", firstname="Ann", lastname="Li", **at)
    ids["bob"] = shared.create("contacts", firstname="Bob", lastname="Ox", **at)
    bind = {"primarycontactid@odata.bind": f"contacts({ids['ann']})"}
    shared.done("PATCH", f"accounts({ids['acme']})", bind)
    regarding = {"regardingobjectid_account_task@odata.bind": f"/accounts({ids['acme']})"}
    ids["call"] = shared.create("tasks", subject="Call", percentcomplete=10, **regarding)
    ids["mail"] = shared.create("tasks", subject="Mail", percentcomplete=90, **regarding)
    return ids


@pytest.mark.fact("dynamics:filter_lookup_path", "dynamics:filter_lambda")
@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ("primarycontactid/fullname eq 'ann li'", {"Acme"}),
        ("primarycontactid/createdby/fullname ne null and name ne null", {"Acme"}),
        ("primarycontactid/parentcustomerid_account/name eq 'Acme'", {"Acme"}),
        ("Account_Tasks/any(t:t/subject eq 'call' and t/percentcomplete lt 50)", {"Acme"}),
        ("Account_Tasks/any(t:t/percentcomplete gt 95)", set()),
        ("Account_Tasks/any()", {"Acme"}),
        ("Account_Tasks/all(t:t/percentcomplete ge 50)", {"Other"}),
        ("not Account_Tasks/any() and contains(name,'the')", {"Other"}),
        ("contact_customer_accounts/any(c:c/account_primary_contact/any())", {"Acme"}),
        ("_primarycontactid_value ne null", {"Acme"}),
    ],
)
def test_filters_follow_relationships(shared: Local, acme: dict[str, str], filter: str, names: set[str]) -> None:
    assert {row["name"] for row in shared.rows(f"accounts?$select=name&$filter={filter}")} == names


def test_a_path_that_is_not_there_is_refused(shared: Local, acme: dict[str, str]) -> None:
    for filter in (
        "nosuch/name eq 'x'",
        "primarycontactid/nosuch eq 'x'",
        "nosuch/any()",
        "PrimaryContactId/fullname eq 'x'",
    ):
        assert shared.call("GET", f"accounts?$filter={filter}").error == (400, "0x80060888")


@pytest.mark.fact("dynamics:expand_collection_next_link", "dynamics:expand_options")
def test_rows_bring_one_and_many_others(shared: Local, acme: dict[str, str]) -> None:
    inner = "Account_Tasks($select=subject;$filter=percentcomplete gt 1;$orderby=subject desc;$top=1)"
    row = shared.get(f"accounts({acme['acme']})?$select=name&$expand=primarycontactid($select=fullname),{inner}")
    assert row["@odata.context"].endswith("#accounts(name,primarycontactid(fullname),Account_Tasks(subject))/$entity")
    assert row["primarycontactid"] == {"fullname": "Ann Li", "contactid": acme["ann"]}
    assert [task["subject"] for task in row["Account_Tasks"]] == ["Mail"]
    link = row["Account_Tasks@odata.nextLink"]
    assert link.startswith(f"{ROOT}accounts({acme['acme']})/Account_Tasks?$select=subject")
    assert [task["subject"] for task in shared.rows(link)] == ["Mail", "Call"]
    empty = shared.get(f"accounts({acme['other']})?$select=name&$expand=primarycontactid,Account_Tasks")
    assert (empty["primarycontactid"], empty["Account_Tasks"]) == (None, [])
    assert "Account_Tasks@odata.nextLink" in empty


@pytest.mark.fact("dynamics:expand_nested")
def test_nested_collections_page_and_take_no_order(shared: Local, acme: dict[str, str]) -> None:
    nested = "contact_customer_accounts($select=fullname;$expand=parentcustomerid_account($select=name))"
    target = f"accounts({acme['acme']})?$select=name&$expand={nested}"
    row = shared.get(target)
    assert {one["parentcustomerid_account"]["name"] for one in row["contact_customer_accounts"]} == {"Acme"}
    assert "contact_customer_accounts@odata.nextLink" not in row
    paged = shared.get(target, Prefer="odata.maxpagesize=1")
    assert len(paged["contact_customer_accounts"]) == 1 and "contact_customer_accounts@odata.nextLink" in paged
    for option in ("$top=1", "$orderby=fullname"):
        refused = target.replace("$select=fullname;", f"$select=fullname;{option};")
        assert shared.call("GET", refused).error == (400, "0x80060888")


@pytest.mark.parametrize(
    "expand",
    [
        "nosuch",
        "Account_Tasks/$ref",
        "Account_Tasks($skip=1)",
        "primarycontactid($filter=fullname eq 'x')",
        "primarycontactid($select=nosuch)",
        "Account_Tasks(",
        ",".join(["primarycontactid"] * 16),
        "accountleads_association,Account_Tasks",
    ],
)
def test_bad_expansions_are_refused(shared: Local, acme: dict[str, str], expand: str) -> None:
    assert shared.call("GET", f"accounts?$expand={expand}").error == (400, "0x80060888")


@pytest.mark.fact("dynamics:expand_lookup")
def test_expanded_rows_show_the_lookup_that_led_to_them(shared: Local, acme: dict[str, str]) -> None:
    account = f"accounts({acme['acme']})?$select=name&$expand="
    tasks = shared.get(f"{account}Account_Tasks($select=subject)")["Account_Tasks"]
    assert {row["_regardingobjectid_value"] for row in tasks} == {acme["acme"]}
    assert set(tasks[0]) == {"@odata.etag", "subject", "_regardingobjectid_value", "activityid"}
    nested = "contact_customer_accounts($select=fullname;$expand=owninguser($select=fullname))"
    row = shared.get(f"{account}Account_Tasks($select=subject),{nested}")
    assert set(row["Account_Tasks"][0]) == {"subject", "activityid"}
    assert set(row["contact_customer_accounts"][0]) == {"fullname", "contactid", "owninguser"}
    referring = shared.get(f"{account}primarycontactid/$ref")
    assert referring["_primarycontactid_value"] == acme["ann"]
    assert referring["@odata.context"].endswith("#accounts(name,primarycontactid,primarycontactid/$ref())/$entity")


def test_a_reference_may_stand_for_a_row(shared: Local, acme: dict[str, str]) -> None:
    (row,) = shared.rows("accounts?$select=name&$filter=name eq 'acme'&$expand=primarycontactid/$ref")
    assert row["primarycontactid"] == {"@odata.id": f"{ROOT}contacts({acme['ann']})"}


@pytest.mark.fact("dynamics:path_navigation", "dynamics:single_property")
def test_addresses_lead_along_relationships(shared: Local, acme: dict[str, str]) -> None:
    account = f"accounts({acme['acme']})"
    assert shared.get(f"{account}/primarycontactid?$select=fullname")["fullname"] == "Ann Li"
    assert shared.get(f"{account}/primarycontactid/lastname")["value"] == "Li"
    assert shared.call("GET", f"{account}/name/$value").text == "Acme"
    assert shared.call("GET", f"{account}/accountnumber").status == 204
    assert shared.call("GET", f"accounts({acme['other']})/primarycontactid").status == 204
    found = shared.rows(f"{account}/contact_customer_accounts?$select=fullname&$orderby=fullname&$count=true")
    assert [row["fullname"] for row in found] == ["Ann Li", "Bob Ox"]
    assert shared.call("GET", f"{account}/Account_Tasks/$count").content == b"\xef\xbb\xbf2"
    assert shared.get(f"{account}/Account_Tasks({acme['call']})?$select=subject")["subject"] == "Call"
    assert shared.get(f"{account}/primarycontactid/$ref")["@odata.id"] == f"{ROOT}contacts({acme['ann']})"
    references = shared.rows(f"{account}/Account_Tasks/$ref")
    assert {one["@odata.id"] for one in references} == {f"{ROOT}tasks({acme[name]})" for name in ("call", "mail")}
    assert shared.call("GET", f"{account}/nosuch").error == (404, "0x8006088a")


def test_a_collection_pages_like_a_set(shared: Local, acme: dict[str, str]) -> None:
    page = shared.get(f"accounts({acme['acme']})/Account_Tasks?$select=subject", Prefer="odata.maxpagesize=1")
    rest = shared.get(page["@odata.nextLink"], Prefer="odata.maxpagesize=1")
    assert {page["value"][0]["subject"], rest["value"][0]["subject"]} == {"Call", "Mail"}
    assert "@odata.nextLink" not in rest


@pytest.mark.fact("dynamics:single_property")
def test_one_property_is_written_alone(here: Local) -> None:
    id = here.create("contacts", firstname="Ann", lastname="Li")
    here.done("PUT", f"contacts({id})/firstname", {"value": "Bea"})
    assert here.get(f"contacts({id})/firstname")["value"] == "Bea"
    here.done("DELETE", f"contacts({id})/firstname")
    assert here.call("GET", f"contacts({id})/firstname").status == 204
    here.done("PUT", f"contacts({id})/fullname", {"value": "x"})
    assert here.get(f"contacts({id})/fullname")["value"] == "Li"
    assert here.call("PUT", f"contacts({id})/firstname", {}).error == (400, "0x80048d19")


@pytest.mark.fact("dynamics:references")
def test_rows_are_associated_and_disassociated(here: Local) -> None:
    account, contact, lead = here.create("accounts", name="A"), here.create("contacts", lastname="C"), ""
    lead = here.create("leads", lastname="L", subject="S")
    people = f"accounts({account})/contact_customer_accounts"
    here.done("POST", f"{people}/$ref", {"@odata.id": f"{ROOT}contacts({contact})"})
    assert [row["contactid"] for row in here.rows(people)] == [contact]
    here.done("DELETE", f"{people}({contact})/$ref")
    assert here.rows(people) == []
    leads = f"contacts({contact})/contactleads_association"
    for _ in range(2):
        here.done("POST", f"{leads}/$ref", {"@odata.id": f"leads({lead})"})
    assert [row["leadid"] for row in here.rows(leads)] == [lead]
    assert [row["contactid"] for row in here.rows(f"leads({lead})/contactleads_association")] == [contact]
    assert here.rows("contacts?$filter=contactleads_association/any(l:l/lastname eq 'L')")[0]["contactid"] == contact
    expanded = here.get(f"contacts({contact})?$select=lastname&$expand=contactleads_association($select=subject)")
    assert expanded["contactleads_association"][0]["subject"] == "S"
    assert here.call("POST", f"{leads}/$ref", {"@odata.id": f"accounts({account})"}).error == (400, "0x80048d19")
    here.done("DELETE", f"{leads}/$ref?$id={ROOT}leads({lead})")
    assert here.rows(leads) == []
    here.done("POST", f"{leads}/$ref", {"@odata.id": f"leads({lead})"})
    here.done("DELETE", f"leads({lead})")
    assert here.rows(leads) == []


@pytest.mark.fact("dynamics:deep_insert")
def test_related_rows_are_created_together_or_not_at_all(here: Local) -> None:
    body: dict[str, Any] = {
        "name": "Deep",
        "primarycontactid": {"lastname": "Boss", "account_primary_contact": []},
        "Account_Tasks": [{"subject": "One"}, {"subject": "Two"}],
        "accountleads_association": [{"subject": "L", "lastname": "L"}],
    }
    reply = here.done(
        "POST", "accounts?$select=name&$expand=primarycontactid($select=lastname)", body, Prefer="return=representation"
    )
    row = reply.json()
    assert (reply.status, row["primarycontactid"]["lastname"]) == (201, "Boss")
    tasks = here.rows(f"accounts({row['accountid']})/Account_Tasks?$select=subject&$orderby=subject")
    assert [task["subject"] for task in tasks] == ["One", "Two"]
    assert len(here.rows(f"accounts({row['accountid']})/accountleads_association")) == 1
    bad = {**body, "name": "Not", "Account_Tasks": [{"subject": "x" * 201}]}
    assert here.call("POST", "accounts", bad).error == (400, "0x80044331")
    assert here.rows("accounts?$filter=name eq 'Not'") == []
    assert len(here.rows("contacts")) == 1
    assert here.call("PATCH", f"accounts({row['accountid']})", {"Account_Tasks": [{"subject": "x"}]}).error[0] == 400
    here.create("tasks", subject="Into")
    made = here.done("POST", f"accounts({row['accountid']})/Account_Tasks", {"subject": "Three"})
    assert made.headers["OData-EntityId"].startswith(f"{ROOT}tasks(")
    assert len(here.rows(f"accounts({row['accountid']})/Account_Tasks")) == 3


@pytest.mark.fact("dynamics:polymorphic_lookup")
def test_a_polymorphic_lookup_has_one_target(here: Local) -> None:
    account, contact = here.create("accounts", name="A"), here.create("contacts", lastname="C")
    case = here.create("incidents", title="T", **{"customerid_account@odata.bind": f"/accounts({account})"})
    here.done("PATCH", f"incidents({case})", {"customerid_contact@odata.bind": f"/contacts({contact})"})
    row = here.get(
        f"incidents({case})?$select=_customerid_value&$expand=customerid_contact,customerid_account", Prefer=ALL
    )
    assert row["_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "contact"
    assert (row["customerid_contact"]["contactid"], row["customerid_account"]) == (contact, None)
    assert here.rows(f"accounts({account})/incident_customer_accounts") == []
    assert here.rows("incidents?$filter=customerid_contact/lastname eq 'C'")[0]["incidentid"] == case
    assert here.rows("incidents?$filter=customerid_account/name eq 'A'") == []


def test_a_row_of_nowhere_is_not_found_on_the_way(here: Local) -> None:
    assert here.call("GET", f"accounts({uuid4()})/primarycontactid").error == (404, "0x80040217")
    assert here.call("POST", f"accounts({uuid4()})/Account_Tasks", {"subject": "x"}).error == (404, "0x80040217")
