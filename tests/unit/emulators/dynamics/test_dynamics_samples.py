"""The vendor's own samples of the Web API (microsoft/PowerApps-Samples, dataverse/webapi), call by call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.dynamics.local import ROOT, Local

ALL = 'odata.include-annotations="*"'
FORMATTED = "@OData.Community.Display.V1.FormattedValue"


def tasks(who: str, minutes: int) -> list[dict[str, Any]]:
    return [
        {"subject": f"Task {n} for {who}", "description": "d", "actualdurationminutes": minutes} for n in range(1, 4)
    ]


def person(first: str, last: str, title: str, income: int) -> dict[str, Any]:
    return {
        "firstname": first,
        "lastname": f"{last} (sample)",
        "jobtitle": title,
        "annualincome": income,
        "Contact_Tasks": tasks(first, 5),
    }


@pytest.fixture
def contoso(here: Local) -> str:
    """Create the account of the sample Query data with its contacts and tasks in one call, and return its id."""
    return here.create(
        "accounts",
        name="Contoso, Ltd. (sample)",
        Account_Tasks=tasks("Contoso, Ltd.", 10),
        primarycontactid=person("Yvonne", "McKay", "Coffee Master", 45000),
        contact_customer_accounts=[
            person("Susanna", "Stubberod", "Senior Purchaser", 52000),
            person("Nancy", "Anderson", "Activities Manager", 55500),
            person("Jim", "Glynn", "Senior International Sales Manager", 81400),
        ],
    )


@pytest.mark.fact("dynamics:deep_insert", "dynamics:parameter_aliases")
def test_query_data(here: Local, contoso: str) -> None:
    chosen = "contacts?$select=fullname,jobtitle,annualincome&$filter="
    within = f"_parentcustomerid_value eq {contoso}"
    last = "Microsoft.Dynamics.CRM.LastXHours(PropertyName=@p1,PropertyValue=@p2)"
    assert len(here.rows(f"{chosen}{last} and {within}&@p1='createdon'&@p2='1'", Prefer=ALL)) == 3
    senior = "(contains(jobtitle, 'senior') or contains(jobtitle,'manager')) and annualincome gt 55000"
    assert len(here.rows(f"{chosen}contains(fullname,'(sample)') and {senior} and {within}")) == 2
    ordered = here.rows(
        f"{chosen}contains(@p1,'(sample)') and @p2 eq @p3&$orderby=@p4 asc, @p5 desc&@p1=fullname"
        f"&@p2=_parentcustomerid_value&@p3={contoso}&@p4=jobtitle&@p5=annualincome",
        Prefer=ALL,
    )
    assert [row[f"annualincome{FORMATTED}"] for row in ordered] == ["$55,500.00", "$81,400.00", "$52,000.00"]
    tree = here.rows(
        f"tasks?$select=subject&$filter=regardingobjectid_contact_task/_accountid_value eq {contoso}&$expand="
        "regardingobjectid_contact_task($select=fullname;$expand=parentcustomerid_account($select=name;"
        "$expand=createdby($select=fullname)))",
        Prefer=ALL,
    )
    assert len(tree) == 9
    assert {row["regardingobjectid_contact_task"]["parentcustomerid_account"]["name"] for row in tree} == {
        "Contoso, Ltd. (sample)"
    }
    sums = ", ".join(f"annualincome with {method} as {method}" for method in ("average", "sum", "min", "max"))
    (found,) = here.rows(f"accounts({contoso})/contact_customer_accounts?$apply=aggregate({sums})")
    assert (found["sum"], found["min"], found["max"]) == (188900, 52000, 81400)


@pytest.mark.fact("dynamics:single_property", "dynamics:references")
def test_basic_operations(here: Local) -> None:
    rafel = here.create("contacts", firstname="Rafel", lastname="Shillo")
    here.done("PATCH", f"contacts({rafel})", {"annualincome": 80000, "jobtitle": "Junior Developer"}, If_Match="*")
    here.done("PUT", f"contacts({rafel})/telephone1", {"value": "555-0105"})
    contact = {"firstname": "Susie", "lastname": "Curtis", "annualincome": 48000}
    start = {"scheduledstart": "2023-04-19T03:00:00+07:00", "scheduledend": "2023-04-19T04:00:00+07:00"}
    contact["Contact_Tasks"] = [{"subject": "Sign invoice", **start, "scheduleddurationminutes": 60}]
    coffee = here.create("accounts", name="Fourth Coffee", primarycontactid=contact)
    shown = "?$select=name,&$expand=primarycontactid($select=fullname,jobtitle,annualincome)"
    primary = here.get(f"accounts({coffee}){shown}", Prefer=ALL)["primarycontactid"]
    assert primary[f"annualincome{FORMATTED}"] == "$48,000.00"
    (task,) = here.get(f"contacts({primary['contactid']})?$expand=Contact_Tasks")["Contact_Tasks"]
    assert (task["scheduledstart"], task["scheduleddurationminutes"]) == ("2023-04-18T20:00:00Z", 60)
    members = f"accounts({coffee})/contact_customer_accounts"
    here.done("POST", f"{members}/$ref", {"@odata.id": f"{ROOT}contacts({rafel})"})
    assert [row["contactid"] for row in here.rows(f"{members}?$select=fullname,jobtitle")] == [rafel]
    assert here.get(f"contacts({rafel})?$select=_accountid_value")["_accountid_value"] == coffee
    here.done("DELETE", f"{members}({rafel})/$ref")
    assert here.rows(members) == []


def test_create_a_row_and_functions_and_actions(here: Local) -> None:
    given = {
        "name": "Sample Account", "creditonhold": False, "address1_latitude": 47.639583, "description": "d",
        "revenue": 5000000, "accountcategorycode": 1, "address1_addresstypecode": 3, "address1_name": "Headquarters",
        "address1_shippingmethodcode": 4, "address1_telephone1": "555-1234", "ownershipcode": 2, "industrycode": 7,
    }  # fmt: skip
    account = here.create("accounts", **given)
    row = here.get(f"accounts({account})")
    assert {name: row[name] for name in given} == given
    assert here.call("PATCH", f"accounts({account})", {"address1_latitude": 91}).error == (400, "0x80044330")
    assert "DatacenterId" in here.get("RetrieveCurrentOrganization(AccessType=@p1)?@p1='Default'")["Detail"]
    others = here.rows("systemusers?$select=fullname&$filter=not startswith(fullname,'%23')&$top=10")
    assert all(not user["fullname"].startswith("#") for user in others)
    for path in ("FormatAddress(Line1=@p1)?@p1='x'", "InitializeFrom()", "RetrieveMetadataChanges(Query=@p1)", "roles"):
        assert here.call("GET", path).status == 501
