"""Bodies and options of a wrong shape are refused in Dataverse's form, never by a crash."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.dynamics.local import Local

PREFIX = "Microsoft.Dynamics.CRM."
CONTACT = "EntityDefinitions(LogicalName='contact')"
NAMED = {"DisplayName": {}, "RequiredLevel": {}}


@pytest.mark.parametrize("wrong", [None, 1, "x", [], {}, [1], {"a": 1}], ids=str)
def test_a_wrong_shape_is_refused_or_taken_as_nothing(shared: Local, wrong: Any) -> None:
    account = {"@odata.type": f"{PREFIX}account", "accountid": shared.create("accounts", name="A")}
    other = {**account, "accountid": shared.create("accounts", name="B")}
    kind = {"@odata.type": f"{PREFIX}contact"}
    picklist = {"@odata.type": f"{PREFIX}PicklistAttributeMetadata", "SchemaName": "new_q", **NAMED}
    calls: list[tuple[str, str, Any]] = [
        ("POST", "contacts", wrong),
        ("POST", "contacts", {"lastname": wrong, "birthdate": wrong, "gendercode": wrong}),
        ("POST", "contacts", {"parentcustomerid_account@odata.bind": wrong}),
        ("POST", "contacts", {"parentcustomerid_account": wrong}),
        ("POST", "contacts", {"Contact_Tasks": wrong}),
        ("POST", "emails", {"email_activity_parties": [wrong]}),
        ("POST", "Merge", {"Target": wrong}),
        ("POST", "Merge", {"Target": {"@odata.type": wrong}}),
        ("POST", "Merge", {"Target": account, "Subordinate": other, "UpdateContent": wrong}),
        ("POST", "CloseIncident", {"IncidentResolution": wrong}),
        ("POST", "WinOpportunity", {"OpportunityClose": {"opportunityid@odata.bind": wrong}}),
        ("POST", f"contacts/{PREFIX}CreateMultiple", {"Targets": [wrong]}),
        ("POST", f"contacts/{PREFIX}UpsertMultiple", {"Targets": [{"@odata.type": wrong}]}),
        ("POST", f"contacts/{PREFIX}UpsertMultiple", {"Targets": [{**kind, "@odata.id": wrong}]}),
        ("POST", "EntityDefinitions", {"SchemaName": "new_t", "Attributes": [wrong]}),
        ("POST", f"{CONTACT}/Attributes", {**picklist, "OptionSet": wrong}),
        ("POST", f"{CONTACT}/Attributes", {**picklist, "OptionSet": {"Options": [{"Value": 1, "Label": wrong}]}}),
        ("POST", f"{CONTACT}/Keys", {"SchemaName": "new_k", "KeyAttributes": [wrong]}),
        ("POST", "RelationshipDefinitions", {"SchemaName": "new_r", "Lookup": wrong}),
        ("PUT", CONTACT, wrong),
        ("POST", "$batch", wrong),
    ]
    for call in calls:
        reply = shared.call(*call)
        assert reply.status < 500 or reply.status == 501, (call, reply.text)


@pytest.mark.parametrize(
    "target",
    [
        "contacts?$filter=",
        "contacts?$apply=groupby((nosuch/fullname))",
        "contacts?$skiptoken=%3Ccookie%20pagenumber=%222%22"
        "%20pagingcookie=%22%255B%257B%257D%255D%22%20istracking=%22False%22%20/%3E",
        "contacts?$deltatoken=x",
        "contacts()",
        "RetrieveTotalRecordCount(EntityNames=5)",
    ],
)
def test_a_wrong_address_is_refused(shared: Local, target: str) -> None:
    assert shared.call("GET", target).error[0] == 400
