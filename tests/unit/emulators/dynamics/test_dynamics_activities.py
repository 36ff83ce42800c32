"""Activities with their parties, notes, cases, opportunities, users: what each table does by itself."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.unit.emulators.dynamics.local import Local

ALL = 'odata.include-annotations="*"'
PREFIX = "Microsoft.Dynamics.CRM."


def case(here: Local, **values: Any) -> str:
    account = here.create("accounts", name="Acme")
    return here.create("incidents", title="T", **{"customerid_account@odata.bind": f"/accounts({account})", **values})


@pytest.mark.fact("dynamics:activity_parties")
@pytest.mark.parametrize("set_name", ["emails", "phonecalls", "appointments"])
def test_an_activity_has_parties_that_are_replaced_as_a_whole(here: Local, set_name: str) -> None:
    contact = here.create("contacts", lastname="Li", emailaddress1="li@a.example")
    name = f"{set_name[:-1]}_activity_parties"
    parties = [
        {"partyid_contact@odata.bind": f"/contacts({contact})", "participationtypemask": 2},
        {"addressused": "other@a.example", "participationtypemask": 1},
    ]
    id = here.create(set_name, subject="S", **{name: parties})
    shown = here.get(
        f"{set_name}({id})?$select=subject&$expand={name}($select=_partyid_value,participationtypemask,addressused)"
    )
    found = {(row["_partyid_value"], row["participationtypemask"], row["addressused"]) for row in shown[name]}
    assert found == {(contact, 2, None), (None, 1, "other@a.example")}
    here.done("PUT", f"{set_name}({id})/{name}", {"value": parties[:1]})
    assert [row["participationtypemask"] for row in here.rows(f"{set_name}({id})/{name}")] == [2]
    here.done("PATCH", f"{set_name}({id})", {name: parties[1:]})
    assert [row["addressused"] for row in here.rows(f"{set_name}({id})/{name}")] == ["other@a.example"]
    bad = [{"addressused": "x" * 321, "participationtypemask": 1}]
    assert here.call("PATCH", f"{set_name}({id})", {name: bad}).error == (400, "0x80044331")
    bad = [{"addressused": "x", "participationtypemask": 99}]
    assert here.call("POST", set_name, {"subject": "S", name: bad}).error == (400, "0x8004431A")
    here.done("DELETE", f"{set_name}({id})")
    assert here.rows("activityparties") == []


@pytest.mark.fact("dynamics:regarding", "dynamics:cascade_delete")
def test_an_activity_regards_a_row_and_goes_with_it(here: Local) -> None:
    incident = case(here)
    bind = {"regardingobjectid_incident_phonecall@odata.bind": f"/incidents({incident})"}
    id = here.create("phonecalls", subject="S", phonenumber="+49", directioncode=False, **bind)
    row = here.get(f"phonecalls({id})", Prefer=ALL)
    assert row["_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "incident"
    assert row["directioncode@OData.Community.Display.V1.FormattedValue"] == "Incoming"
    assert row["activitytypecode"] == "phonecall"
    assert [one["activityid"] for one in here.rows(f"incidents({incident})/Incident_Phonecalls")] == [id]
    here.done("DELETE", f"incidents({incident})")
    assert here.call("GET", f"phonecalls({id})").error == (404, "0x80040217")


@pytest.mark.fact("dynamics:annotations_table")
def test_a_note_has_a_document_and_tells_its_size_and_type(here: Local) -> None:
    incident = case(here)
    body = base64.b64encode(b"hello").decode()
    id = here.create(
        "annotations",
        subject="S",
        notetext="N",
        filename="a.txt",
        mimetype="text/plain",
        documentbody=body,
        **{"objectid_incident@odata.bind": f"/incidents({incident})"},
    )
    row = here.get(f"annotations({id})")
    assert (row["filesize"], row["isdocument"], row["objecttypecode"], row["documentbody"]) == (
        5,
        True,
        "incident",
        body,
    )
    assert here.rows("annotations?$filter=objecttypecode eq 'incident'")[0]["annotationid"] == id
    here.done("PATCH", f"annotations({id})", {"notetext": "M"})
    assert here.get(f"annotations({id})")["filesize"] == 5
    assert here.call("PATCH", f"annotations({id})", {"documentbody": "no base64!"}).error == (400, "0x80048d19")
    here.done("PATCH", f"annotations({id})", {"filesize": 1})
    assert here.get(f"annotations({id})")["filesize"] == 5
    here.done("DELETE", f"incidents({incident})")
    assert here.rows("annotations") == []


@pytest.mark.fact("dynamics:incident_required", "dynamics:ticketnumber")
def test_a_case_needs_a_customer_and_gets_a_number(here: Local) -> None:
    assert here.call("POST", "incidents", {"title": "T"}).error == (400, "0x80040200")
    id = case(here)
    row = here.get(f"incidents({id})")
    assert row["ticketnumber"].startswith("CAS-01000-") and row["prioritycode"] == 2
    here.done("PATCH", f"incidents({id})", {"ticketnumber": "X"})
    assert here.get(f"incidents({id})")["ticketnumber"] == row["ticketnumber"]
    other = case(here, ticketnumber="OWN-1", statuscode=3)
    assert here.get(f"incidents({other})")["ticketnumber"] == "OWN-1"


@pytest.mark.fact("dynamics:close_incident")
def test_a_case_is_resolved_by_a_message_and_reopened_by_its_state(here: Local) -> None:
    id = case(here)
    body: dict[str, Any] = {
        "IncidentResolution": {"subject": "Done", "incidentid@odata.bind": f"/incidents({id})"},
        "Status": 5,
    }
    assert here.call("PATCH", f"incidents({id})", {"statecode": 1, "statuscode": 5}).error == (400, "0x80040203")
    child = here.create(
        "incidents",
        title="Child",
        **{
            "customerid_account@odata.bind": f"/accounts({here.create('accounts', name='B')})",
            "parentcaseid@odata.bind": f"/incidents({id})",
        },
    )
    assert here.call("POST", "CloseIncident", body).error == (400, "0x8003F452")
    here.done("PATCH", f"incidents({child})", {"statecode": 2, "statuscode": 6})
    assert here.call("POST", "CloseIncident", {**body, "Status": 6}).error == (400, "0x80048408")
    assert here.done("POST", "CloseIncident", body).status == 204
    row = here.get(
        f"incidents({id})?$select=statecode,statuscode&$expand=Incident_IncidentResolutions($select=subject)"
    )
    assert (row["statecode"], row["statuscode"]) == (1, 5)
    assert [one["subject"] for one in row["Incident_IncidentResolutions"]] == ["Done"]
    assert here.call("POST", "CloseIncident", body).error == (400, "0x800404CF")
    here.done("PATCH", f"incidents({id})", {"statecode": 0, "statuscode": 1})
    here.done("POST", "CloseIncident", {**body, "Status": -1})
    assert here.call("POST", "CloseIncident", {"Status": 5}).error == (400, "0x80048d19")


@pytest.mark.fact("dynamics:merge", "dynamics:merge_incident")
def test_merged_cases_and_leads_have_their_own_states(here: Local) -> None:
    for set_name, logical, winner, loser, state in (
        ("incidents", "incident", case(here), case(here), (2, 2000)),
        ("leads", "lead", here.create("leads", lastname="A"), here.create("leads", lastname="B"), (2, 7)),
    ):
        kind = {"@odata.type": f"{PREFIX}{logical}"}
        body = {
            "Target": {**kind, f"{logical}id": winner},
            "Subordinate": {**kind, f"{logical}id": loser},
            "PerformParentingChecks": False,
        }
        here.done("POST", "Merge", body)
        row = here.get(f"{set_name}({loser})")
        assert (row["statecode"], row["statuscode"], row["merged"], row["_masterid_value"]) == (*state, True, winner)
        assert here.call("POST", "Merge", body).error == (400, "0x80040203")
    tasks = [here.create("tasks", subject=name) for name in ("a", "b")]
    kind = {"@odata.type": f"{PREFIX}task"}
    body = {"Target": {**kind, "activityid": tasks[0]}, "Subordinate": {**kind, "activityid": tasks[1]}}
    assert here.call("POST", "Merge", body).error == (400, "0x80040203")


@pytest.mark.fact("dynamics:merge")
def test_what_hung_on_a_loser_hangs_on_the_winner(here: Local) -> None:
    winner, loser = here.create("contacts", lastname="W"), here.create("contacts", lastname="L")
    lead = here.create("leads", lastname="Lead")
    note = here.create("annotations", subject="N", **{"objectid_contact@odata.bind": f"/contacts({loser})"})
    here.done("POST", f"contacts({loser})/contactleads_association/$ref", {"@odata.id": f"leads({lead})"})
    kind = {"@odata.type": f"{PREFIX}contact"}
    body = {
        "Target": {**kind, "contactid": winner},
        "Subordinate": {**kind, "contactid": loser},
        "PerformParentingChecks": False,
    }
    here.done("POST", "Merge", body)
    assert here.get(f"annotations({note})")["_objectid_value"] == winner
    assert [row["leadid"] for row in here.rows(f"contacts({winner})/contactleads_association")] == [lead]
    assert here.rows(f"contacts({loser})/contactleads_association") == []


def test_an_opportunity_is_won_or_lost(here: Local) -> None:
    for action, status, state in (("WinOpportunity", 3, 1), ("LoseOpportunity", -1, 2)):
        id = here.create("opportunities", name="O", estimatedvalue=5)
        close = {"subject": "S", "actualrevenue": 7, "opportunityid@odata.bind": f"/opportunities({id})"}
        here.done("POST", action, {"OpportunityClose": close, "Status": status})
        row = here.get(f"opportunities({id})")
        assert (row["statecode"], row["actualvalue"]) == (state, 7)
        assert here.call("POST", action, {"OpportunityClose": close, "Status": status}).error == (400, "0x8004F854")
    assert here.call("POST", "WinOpportunity", {"Status": 3}).error == (400, "0x80048d19")


@pytest.mark.fact("dynamics:states")
@pytest.mark.parametrize(
    ("set_name", "values", "state"),
    [
        ("tasks", {"statecode": 1}, (1, 5)),
        ("tasks", {"statuscode": 6}, (2, 6)),
        ("phonecalls", {"statecode": 1, "statuscode": 4}, (1, 4)),
        ("emails", {"statecode": 1, "statuscode": 3}, (1, 3)),
        ("appointments", {"statecode": 3}, (3, 5)),
        ("leads", {"statecode": 2, "statuscode": 5}, (2, 5)),
    ],
)
def test_states_and_statuses_are_those_of_the_table(
    here: Local, set_name: str, values: dict[str, int], state: tuple[int, int]
) -> None:
    id = here.create(set_name, subject="S")
    here.done("PATCH", f"{set_name}({id})", values)
    row = here.get(f"{set_name}({id})?$select=statecode,statuscode")
    assert (row["statecode"], row["statuscode"]) == state
    assert here.call("PATCH", f"{set_name}({id})", {"statecode": 0, "statuscode": state[1]}).error == (
        400,
        "0x80048408",
    )


@pytest.mark.fact("dynamics:overriddencreatedon")
def test_a_moved_row_keeps_its_day_of_creation(here: Local) -> None:
    id = here.create("contacts", lastname="Li", overriddencreatedon="2020-05-06T07:08:09+02:00")
    row = here.get(f"contacts({id})")
    assert (row["createdon"], row["modifiedon"]) == ("2020-05-06T05:08:09Z", "2026-01-02T03:04:05Z")
    here.done("PATCH", f"contacts({id})", {"overriddencreatedon": "2021-01-01T00:00:00Z"})
    assert here.get(f"contacts({id})")["createdon"] == "2020-05-06T05:08:09Z"


@pytest.mark.fact("dynamics:impersonation")
def test_a_call_may_act_for_another_user(here: Local) -> None:
    oid = "33333333-0000-4000-8000-000000000003"
    user = here.create("systemusers", firstname="Ann", lastname="Li", azureactivedirectoryobjectid=oid)
    for headers in ({"CallerObjectId": oid}, {"MSCRMCallerID": user}):
        reply = here.done("POST", "contacts", {"lastname": "X"}, Prefer="return=representation", **headers)
        row = reply.json()
        assert (row["_createdby_value"], row["_ownerid_value"], row["_modifiedby_value"]) == (user, user, user)
    here.done("PATCH", f"contacts({row['contactid']})", {"lastname": "Y"}, MSCRMCallerID=here.get("WhoAmI")["UserId"])
    shown = here.get(f"contacts({row['contactid']})?$select=lastname&$expand=createdby($select=fullname),modifiedby")
    assert shown["createdby"] == {"fullname": "Ann Li", "systemuserid": user, "ownerid": user}
    assert shown["modifiedby"]["systemuserid"] == here.get("WhoAmI")["UserId"]
    assert here.call("POST", "contacts", {"lastname": "X"}, MSCRMCallerID=oid).error == (404, "0x80040217")
    bind = {"ownerid@odata.bind": f"/systemusers({here.get('WhoAmI')['UserId']})"}
    here.done("PATCH", f"contacts({row['contactid']})", bind)
    assert here.get(f"contacts({row['contactid']})")["_owninguser_value"] == here.get("WhoAmI")["UserId"]
    assert here.call("DELETE", f"systemusers({user})").status == 501


@pytest.mark.fact("dynamics:duplicate_detection")
def test_duplicates_are_only_looked_for_when_asked(here: Local) -> None:
    here.create("contacts", lastname="A", emailaddress1="a@x.example")
    id = here.create("contacts", lastname="B", emailaddress1="a@x.example")
    on = {"MSCRM.SuppressDuplicateDetection": "false"}
    again = {"lastname": "C", "emailaddress1": "A@x.example"}
    assert here.call("POST", "contacts", again, **on).error == (412, "0x80040333")
    assert here.call("PATCH", f"contacts({id})", {"emailaddress1": "a@x.example"}, **on).error == (412, "0x80040333")
    here.done("PATCH", f"contacts({id})", {"emailaddress1": "b@x.example"}, **on)
    here.done("POST", "contacts", again, **{"MSCRM.SuppressDuplicateDetection": "true"})


def test_functions_tell_of_the_environment(here: Local) -> None:
    here.create("contacts", lastname="A")
    assert here.get("RetrieveVersion()")["Version"].startswith("9.2.")
    counts = here.get("RetrieveTotalRecordCount(EntityNames=['contact','lead'])")["EntityRecordCountCollection"]
    assert dict(zip(counts["Keys"], counts["Values"], strict=True)) == {"contact": 1, "lead": 0}
    by_alias = here.get('RetrieveTotalRecordCount(EntityNames=@p1)?@p1=["contact"]')
    assert by_alias["EntityRecordCountCollection"]["Values"] == [1]
    assert here.call("GET", "RetrieveTotalRecordCount(EntityNames=['nosuch'])").error[0] == 404
    detail = here.get(
        "RetrieveCurrentOrganization(AccessType=@p)?@p=Microsoft.Dynamics.CRM.EndpointAccessType'Default'"
    )
    assert detail["Detail"]["OrganizationId"] == here.get("WhoAmI")["OrganizationId"]
    (organization,) = here.rows("organizations?$select=name,expirechangetrackingindays")
    assert organization["expirechangetrackingindays"] == 7
