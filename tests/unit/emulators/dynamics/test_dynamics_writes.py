"""Write rows to the pretend Dataverse: preconditions, keys, validation, lookups, bulk actions, merges."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.unit.emulators.dynamics.client import KEY, Client

REPRESENTATION = "return=representation"


def version(api: Client, id: str) -> str:
    etag: str = api.get(f"contacts({id})?$select=lastname")["@odata.etag"]
    return etag


@pytest.mark.fact("dynamics:create")
def test_a_create_answers_where_the_row_is_or_what_it_is(api: Client) -> None:
    plain = api.call("POST", "contacts", {"lastname": "Li"})
    assert (plain.status_code, plain.content) == (204, b"")
    assert plain.headers["OData-EntityId"].startswith(f"{api.root}contacts(")
    shown = api.call("POST", "contacts?$select=fullname", {"firstname": "Ann", "lastname": "Li"}, Prefer=REPRESENTATION)
    assert shown.status_code == 201 and "OData-EntityId" not in shown.headers
    assert shown.json()["fullname"] == "Ann Li" and "lastname" not in shown.json()
    assert shown.headers["Preference-Applied"] == REPRESENTATION


@pytest.mark.fact("dynamics:upsert", "dynamics:if_match_any", "dynamics:if_none_match_any")
def test_a_patch_upserts_unless_told_otherwise(api: Client) -> None:
    id = str(uuid4())
    assert api.refused("PATCH", f"contacts({id})", {"lastname": "x"}, If_Match="*") == (404, "0x80040217")
    assert api.call("PATCH", f"contacts({id})", {"lastname": "Made"}).status_code == 204
    assert api.refused("PATCH", f"contacts({id})", {"lastname": "x"}, If_None_Match="*") == (412, "0x80040237")
    again = api.call("PATCH", f"contacts({id})", {"lastname": "Changed"}, Prefer=REPRESENTATION, If_None_Match="null")
    assert (again.status_code, again.json()["lastname"]) == (200, "Changed")


@pytest.mark.fact("dynamics:stale_etag")
def test_a_stale_version_is_refused_and_the_right_one_taken(api: Client) -> None:
    id = api.create("contacts", lastname="One")
    first = version(api, id)
    assert api.call("PATCH", f"contacts({id})", {"lastname": "Two"}, If_Match=first).status_code == 204
    for method in ("PATCH", "DELETE"):
        assert api.refused(method, f"contacts({id})", {"lastname": "x"}, If_Match=first) == (412, "0x80060882")
    assert api.call("DELETE", f"contacts({id})", If_Match=version(api, id)).status_code == 204
    assert api.refused("DELETE", f"contacts({id})") == (404, "0x80040217")


@pytest.mark.fact("dynamics:upsert_key", "dynamics:upsert_key_columns", "dynamics:key_violation")
def test_an_alternate_key_addresses_creates_and_stays_unique(api: Client) -> None:
    key = str(uuid4())
    target = f"contacts({KEY}='{key}')"
    created = api.call("PATCH", target, {"lastname": "Li"})
    assert created.headers["OData-EntityId"] == f"{api.root}{target}"
    row = api.get(target)
    assert (row["lastname"], row[KEY]) == ("Li", key)
    assert api.refused("PATCH", target, {"lastname": "x"}, If_None_Match="*") == (412, "0x80040237")
    assert api.refused("POST", "contacts", {"lastname": "x", KEY: key.upper()}) == (412, "0x80060892")
    assert api.refused("GET", f"contacts({KEY}='nobody')") == (404, "0x80060891")
    assert api.refused("GET", "contacts(emailaddress1='a')") == (400, "0x80060888")
    other = str(uuid4())
    ignored = api.call("PATCH", target, {KEY: other, "lastname": "Still"}, Prefer=REPRESENTATION)
    assert ignored.json()[KEY] == key
    used = api.call("PATCH", f"contacts({KEY}='{uuid4()}')", {KEY: other, "lastname": "Own"}, Prefer=REPRESENTATION)
    assert used.json()[KEY] == other


@pytest.mark.fact("dynamics:validation", "dynamics:date_values", "dynamics:read_only")
@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"lastname": "x" * 51}, "0x80044331"),
        ({"description": "x" * 2001}, "0x80044331"),
        ({"lastname": 5}, "0x80048d19"),
        ({"nosuch": "x"}, "0x80048d19"),
        ({"gendercode": 9}, "0x8004431A"),
        ({"gendercode": "1"}, "0x80048d19"),
        ({"donotbulkemail": "true"}, "0x80048d19"),
        ({"birthdate": "1980-02-30"}, "0x80048d19"),
        ({"birthdate": "1980-02-03T00:00:00Z"}, "0x80048d19"),
        ({"birthdate": "1700-01-01"}, "0x80040239"),
        ({"statuscode": 2}, "0x80048408"),
        ({"ParentCustomerId_account@odata.bind": "/accounts(x)"}, "0x80048d19"),
        ({"_parentcustomerid_value": str(uuid4())}, "0x80048d19"),
    ],
)
def test_what_a_column_cannot_hold_is_refused(api: Client, values: dict[str, Any], code: str) -> None:
    assert api.refused("POST", "contacts", values) == (400, code)


@pytest.mark.fact("dynamics:read_only")
def test_what_is_not_valid_for_an_operation_is_ignored(api: Client) -> None:
    nowhere = f"/systemusers({api.get('WhoAmI')['UserId']})"
    given = {"fullname": "x", "modifiedon": "2026-01-01T00:00:00Z", "createdon": None, "createdby@odata.bind": nowhere}
    id = api.create("contacts", lastname="Li", statecode=1, versionnumber=1, **given)
    assert api.call("PATCH", f"contacts({id})", {**given, "importsequencenumber": 7}).status_code == 204
    row = api.get(f"contacts({id})")
    assert (row["fullname"], row["statecode"], row["importsequencenumber"]) == ("Li", 0, None)
    assert row["createdon"] and row["modifiedon"] > "2026-01-01T00:00:00Z"


@pytest.mark.fact("dynamics:validation", "dynamics:empty_text")
def test_a_number_keeps_to_its_range_and_an_empty_text_is_null(api: Client) -> None:
    assert api.refused("POST", "accounts", {"name": "A", "numberofemployees": -1}) == (400, "0x80044330")
    id = api.create("accounts", name="A", telephone1="")
    assert api.get(f"accounts({id})")["telephone1"] is None


@pytest.mark.fact("dynamics:states")
def test_state_and_status_go_together(api: Client) -> None:
    id = api.create("contacts", lastname="Li")
    assert api.refused("PATCH", f"contacts({id})", {"statecode": 1, "statuscode": 1})[0] == 400
    api.call("PATCH", f"contacts({id})", {"statecode": 1})
    row = api.get(f"contacts({id})?$select=statecode,statuscode")
    assert (row["statecode"], row["statuscode"]) == (1, 2)


@pytest.mark.fact("dynamics:binds", "dynamics:references")
def test_a_lookup_is_bound_in_every_form_and_unbound(api: Client) -> None:
    account = api.create("accounts", name="Acme")
    person = api.create("contacts", lastname="Boss")
    id = api.create("contacts", lastname="Li")
    bind, value = "parentcustomerid_account@odata.bind", "_parentcustomerid_value"
    for address in (f"/accounts({account})", f"accounts({account})", f"{api.root}accounts({account})"):
        assert api.call("PATCH", f"contacts({id})", {bind: address}).status_code == 204
        assert api.get(f"contacts({id})")[value] == account
        assert api.call("PATCH", f"contacts({id})", {bind: None}).status_code == 204
        assert api.get(f"contacts({id})")[value] is None
    assert api.refused("PATCH", f"contacts({id})", {bind: f"/accounts({uuid4()})"}) == (404, "0x80040217")
    assert api.refused("PATCH", f"contacts({id})", {bind: f"/contacts({person})"}) == (400, "0x80048d19")
    reference = f"contacts({id})/parentcustomerid_contact/$ref"
    assert api.call("PUT", reference, {"@odata.id": f"{api.root}contacts({person})"}).status_code == 204
    row = api.get(f"contacts({id})", Prefer='odata.include-annotations="*"')
    assert (row[value], row[f"{value}@Microsoft.Dynamics.CRM.lookuplogicalname"]) == (person, "contact")
    assert api.call("DELETE", reference).status_code == 204
    assert api.get(f"contacts({id})")[value] is None


def test_deleting_a_target_clears_what_points_to_it(api: Client) -> None:
    account = api.create("accounts", name="Acme")
    id = api.create("contacts", lastname="Li", **{"parentcustomerid_account@odata.bind": f"/accounts({account})"})
    before = version(api, id)
    api.call("DELETE", f"accounts({account})")
    assert api.get(f"contacts({id})")["_parentcustomerid_value"] is None
    assert version(api, id) != before


@pytest.mark.fact("dynamics:merge")
def test_a_merge_leaves_the_loser_inactive_and_moves_what_pointed_to_it(api: Client) -> None:
    winner, loser = api.create("accounts", name="Win"), api.create("accounts", name="Lose")
    child = api.create("contacts", lastname="Li", **{"parentcustomerid_account@odata.bind": f"/accounts({loser})"})
    kind = "Microsoft.Dynamics.CRM.account"
    body = {
        "Target": {"@odata.type": kind, "accountid": winner},
        "Subordinate": {"@odata.type": kind, "accountid": loser},
        "UpdateContent": {"@odata.type": kind, "telephone1": "1"},
        "PerformParentingChecks": False,
    }
    assert api.call("POST", "Merge", body).status_code == 204
    row = api.get(f"accounts({loser})")
    assert (row["merged"], row["_masterid_value"], row["statecode"]) == (True, winner, 1)
    assert api.get(f"accounts({winner})")["telephone1"] == "1"
    assert api.get(f"contacts({child})")["_parentcustomerid_value"] == winner


def targets(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"Targets": [{"@odata.type": "Microsoft.Dynamics.CRM.contact", **row} for row in rows]}


@pytest.mark.fact("dynamics:bulk_atomic", "dynamics:bulk_type")
def test_bulk_actions_take_all_rows_or_none(api: Client) -> None:
    action = "contacts/Microsoft.Dynamics.CRM."
    mark = f"Bulk {uuid4()}"[:50]
    assert api.refused("POST", f"{action}CreateMultiple", {"Targets": [{"lastname": "x"}]})[0] == 400
    bad = targets({"lastname": mark}, {"lastname": "x" * 51})
    assert api.refused("POST", f"{action}CreateMultiple", bad) == (400, "0x80044331")
    assert api.get(f"contacts?$filter=lastname eq '{mark}'")["value"] == []
    made = api.call("POST", f"{action}CreateMultiple", targets({"lastname": mark}, {"lastname": mark}))
    first, second = made.json()["Ids"]
    changed = targets({"contactid": first, "firstname": "A"}, {"contactid": second, "firstname": "B"})
    assert api.call("POST", f"{action}UpdateMultiple", changed).status_code == 204
    key = str(uuid4())
    upserted = targets(
        {"@odata.id": f"contacts({KEY}='{key}')", "lastname": mark}, {"contactid": first, "jobtitle": "C"}
    )
    assert api.call("POST", f"{action}UpsertMultiple", upserted).status_code == 204
    assert api.get(f"contacts({KEY}='{key}')")["lastname"] == mark
    assert api.get(f"contacts({first})")["jobtitle"] == "C"


@pytest.mark.fact("dynamics:tracking_irreversible", "dynamics:definitions_put")
def test_definitions_are_replaced_as_a_whole_and_tracking_stays_on(api: Client) -> None:
    definition = "EntityDefinitions(LogicalName='contact')"
    assert api.refused("PUT", definition, {"ChangeTrackingEnabled": True}) == (400, "0x80048d19")
    present = api.get(definition)
    assert api.refused("PUT", definition, {**present, "ChangeTrackingEnabled": False})[0] == 400
    assert api.refused("PATCH", definition, present)[0] == 405
    columns = api.get(f"{definition}/Attributes?$select=LogicalName,AttributeType")["value"]
    assert {"MetadataId", "@odata.type", "LogicalName", "AttributeType"} == set(columns[0])
    path = f"{definition}/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata"
    choices = api.get(f"{path}?$select=LogicalName&$expand=OptionSet")["value"]
    (gender,) = [one for one in choices if one["LogicalName"] == "gendercode"]
    assert [one["Value"] for one in gender["OptionSet"]["Options"]] == [1, 2]
    duplicate = {"SchemaName": f"{KEY}key", "KeyAttributes": [KEY], "DisplayName": {}}
    assert api.refused("POST", f"{definition}/Keys", duplicate)[0] == 400
