"""Let the pretend org describe itself, and give it custom fields."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce.metadata import versions
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.state import State
from tests.unit.emulators.salesforce.desk_clock import Front

OBJECTS = ["Account", "Contact", "Lead", "Case", "CaseComment", "Task", "Event", "EmailMessage", "Opportunity",
           "Individual", "User", "Organization"]  # fmt: skip
TEXT = {"type": "Text", "label": "Key", "length": 36}


def field(front: Front, name: str, meta: dict[str, Any], sobject: str = "Contact") -> tuple[int, str]:
    body = {"FullName": f"{sobject}.{name}", "Metadata": meta}
    answer = front.ask("POST", "tooling/sobjects/CustomField", body)
    return (201, "") if answer.status == 201 else front.error(answer)


def described(front: Front, name: str, sobject: str = "Contact") -> dict[str, Any] | None:
    fields = front.ask("GET", f"sobjects/{sobject}/describe").body["fields"]
    return next((one for one in fields if one["name"] == name), None)


@pytest.mark.fact("salesforce:describe_keys")
def test_every_field_has_every_key(front: Front) -> None:
    body = front.ask("GET", "sobjects/Contact/describe").body
    assert len({tuple(one) for one in body["fields"]}) == 1
    assert (body["keyPrefix"], body["labelPlural"], body["queryable"]) == ("003", "Contacts", True)


@pytest.mark.fact("salesforce:describe_fields", "salesforce:child_relationships")
def test_fields_say_what_they_are(front: Front) -> None:
    last, account, birth = (described(front, name) for name in ("LastName", "AccountId", "Birthdate"))
    assert last and account and birth
    assert (last["length"], last["nillable"], last["compoundFieldName"], last["byteLength"]) == (80, False, "Name", 240)
    assert (account["referenceTo"], account["relationshipName"]) == (["Account"], "Account")
    assert (birth["type"], birth["soapType"]) == ("date", "xsd:date")
    children = front.ask("GET", "sobjects/Account/describe").body["childRelationships"]
    assert {(one["childSObject"], one["field"], one["cascadeDelete"]) for one in children} >= {
        ("Contact", "AccountId", True),
        ("Account", "ParentId", False),
    }


@pytest.mark.fact("salesforce:versions", "salesforce:global_describe")
def test_the_lists_of_versions_resources_and_objects(front: Front) -> None:
    assert {"label": "Winter '24", "url": "/services/data/v59.0", "version": "59.0"} in versions().body
    assert front.ask("GET", "").body["queryAll"] == "/services/data/v59.0/queryAll"
    assert [one["name"] for one in front.ask("GET", "sobjects").body["sobjects"]] == OBJECTS
    assert front.ask("GET", "sobjects/Account").body["objectDescribe"]["name"] == "Account"


def test_a_custom_field_is_there_at_once_and_after_a_restart(front: Front, state: State) -> None:
    assert field(front, "Key__c", {**TEXT, "unique": True, "externalId": True}) == (201, "")
    key = described(front, "Key__c")
    assert key and (key["unique"], key["externalId"], key["idLookup"], key["custom"], key["length"]) == (
        True, True, True, True, 36,
    )  # fmt: skip
    assert "Key__c" in Org(state, Faults()).fields("Contact")


@pytest.mark.parametrize(
    ("meta", "kind"),
    [
        ({"type": "Checkbox", "label": "L", "defaultValue": "false"}, "boolean"),
        ({"type": "Date", "label": "L"}, "date"),
        ({"type": "DateTime", "label": "L"}, "datetime"),
        ({"type": "Number", "label": "L", "precision": 18, "scale": 2}, "double"),
        ({"type": "LongTextArea", "label": "L", "length": 32000, "visibleLines": 3}, "textarea"),
        ({"type": "Email", "label": "L"}, "email"),
    ],
)
def test_custom_types(front: Front, meta: dict[str, Any], kind: str) -> None:
    assert field(front, "New__c", meta) == (201, "")
    found = described(front, "New__c")
    assert found and found["type"] == kind


def test_a_custom_datetime_is_kept_in_utc(front: Front) -> None:
    field(front, "When__c", {"type": "DateTime", "label": "L"})
    front.create("Contact", LastName="A", When__c="2024-05-01T12:00:00.250+02:00")
    rows = front.soql("SELECT When__c FROM Contact WHERE When__c <= 2024-05-01T10:00:00Z")
    assert rows == [{"When__c": "2024-05-01T10:00:00.000+0000"}]


@pytest.mark.fact("salesforce:unrestricted_picklists")
def test_a_restricted_picklist_takes_its_values_alone(front: Front) -> None:
    values = [{"fullName": "a", "label": "A", "default": False}]
    meta = {"type": "Picklist", "label": "L", "valueSet": {"restricted": True, "valueSetDefinition": {"value": values}}}
    assert field(front, "Kind__c", meta) == (201, "")
    front.create("Contact", LastName="A", Kind__c="a", Salutation="Captain")
    answer = front.ask("POST", "sobjects/Contact", {"LastName": "B", "Kind__c": "b"})
    assert front.error(answer) == (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")


@pytest.mark.parametrize(
    ("name", "meta", "code"),
    [
        ("Key", TEXT, "FIELD_INTEGRITY_EXCEPTION"),
        ("Two__Parts__c", TEXT, "FIELD_INTEGRITY_EXCEPTION"),
        ("Key__c", {"type": "Text", "label": "Key"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Key__c", {"type": "Text", "length": 36}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Key__c", {**TEXT, "length": 256}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Key__c", {**TEXT, "type": "Strings"}, "JSON_PARSER_ERROR"),
        ("Key__c", {"type": "Date", "label": "L", "unique": True}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Key__c", {"type": "Checkbox", "label": "L"}, "FIELD_INTEGRITY_EXCEPTION"),
    ],
)
def test_refused_custom_fields(front: Front, name: str, meta: dict[str, Any], code: str) -> None:
    assert field(front, name, meta) == (400, code)
    assert described(front, name) is None


def test_a_custom_field_cannot_be_made_twice_or_anywhere(front: Front) -> None:
    assert field(front, "Key__c", TEXT) == (201, "")
    assert field(front, "key__c", TEXT) == (400, "DUPLICATE_DEVELOPER_NAME")
    assert field(front, "Key__c", TEXT, "Kontact") == (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")
    assert field(front, "Other__c", {**TEXT, "type": "Lookup"})[0] == 501
