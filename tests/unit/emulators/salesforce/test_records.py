"""Create, change and delete records in the pretend org, one by one and in collections; what it refuses, and how."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.emulators.salesforce import ids
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front


def contact(**values: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Contact"}, **values}


@pytest.mark.fact("salesforce:id_checks")
def test_ids_have_their_check_characters() -> None:
    assert ids.lengthen("001D000000IqhSL") == "001D000000IqhSLIAZ"
    assert ids.parse("001D000000IqhSLIAZ") == ids.parse("001D000000IqhSL") == "001D000000IqhSLIAZ"
    assert ids.parse("001D000000IqhSLIAA") is None
    assert ids.parse("001D000000Iqh") is None
    assert len({ids.make("003", n) for n in range(1, 5000)}) == 4999


@pytest.mark.fact(
    "salesforce:create",
    "salesforce:json_values",
    "salesforce:absent_untouched",
    "salesforce:entity_is_deleted",
    "salesforce:id_lengths",
)
def test_a_record_is_created_shown_changed_and_deleted(front: Front, clock: DeskClock) -> None:
    answer = front.ask("POST", "sobjects/Contact", {"LastName": " Ng ", "FirstName": "", "Birthdate": "1990-02-03"})
    record_id = answer.body["id"]
    assert (answer.status, answer.body["success"], answer.body["errors"]) == (201, True, [])
    assert answer.headers["Location"] == f"/services/data/v59.0/sobjects/Contact/{record_id}"
    clock.forward(90)
    assert front.ask("PATCH", f"sobjects/contact/{record_id[:15]}", {"email": "a@x.org"}).status == 204
    shown = front.ask("GET", f"sobjects/Contact/{record_id}").body
    assert shown["attributes"] == {"type": "Contact", "url": f"/services/data/v59.0/sobjects/Contact/{record_id}"}
    assert (shown["LastName"], shown["FirstName"], shown["Name"], shown["Email"]) == ("Ng", None, "Ng", "a@x.org")
    assert (shown["HasOptedOutOfEmail"], shown["IsDeleted"]) == (False, False)
    assert shown["CreatedDate"] == "2024-05-01T10:00:00.000+0000"
    assert shown["SystemModstamp"] == shown["LastModifiedDate"] == "2024-05-01T10:01:30.000+0000"
    few = front.ask("GET", f"sobjects/Contact/{record_id}", query={"fields": "Id,Email"}).body
    assert few == {"attributes": shown["attributes"], "Id": record_id, "Email": "a@x.org"}
    assert front.ask("DELETE", f"sobjects/Contact/{record_id}").status == 204
    for method in ("GET", "DELETE"):
        assert front.error(front.ask(method, f"sobjects/Contact/{record_id}")) == (404, "ENTITY_IS_DELETED")
    assert front.error(front.ask("PATCH", f"sobjects/Contact/{record_id}", {"Email": None})) == (
        404,
        "ENTITY_IS_DELETED",
    )


@pytest.mark.fact("salesforce:record_errors")
@pytest.mark.parametrize(
    ("values", "code", "fields"),
    [
        ({"LastName": None}, "REQUIRED_FIELD_MISSING", ["LastName"]),
        ({"LastName": "  "}, "REQUIRED_FIELD_MISSING", ["LastName"]),
        ({"FirstName": "x" * 41}, "STRING_TOO_LONG", ["FirstName"]),
        ({"Email": "a@b"}, "INVALID_EMAIL_ADDRESS", ["Email"]),
        ({"Email": "a b@c.org"}, "INVALID_EMAIL_ADDRESS", ["Email"]),
        ({"Name": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Name"]),
        ({"SystemModstamp": "2024-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["SystemModstamp"]),
        ({"AccountId": "003D000000IqhSL"}, "MALFORMED_ID", ["AccountId"]),
        ({"AccountId": "x"}, "MALFORMED_ID", ["AccountId"]),
        ({"AccountId": "001D000000IqhSL"}, "INVALID_CROSS_REFERENCE_KEY", []),
        ({"Nickname__c": "x"}, "INVALID_FIELD", None),
        ({"Id": "003D000000IqhSL"}, "INVALID_FIELD", None),
        ({"Birthdate": "1990-02-30"}, "JSON_PARSER_ERROR", None),
        ({"Birthdate": "02/03/1990"}, "JSON_PARSER_ERROR", None),
        ({"HasOptedOutOfEmail": None}, "JSON_PARSER_ERROR", None),
        ({"HasOptedOutOfEmail": "FALSE"}, "JSON_PARSER_ERROR", None),
        ({"LastName": 5}, "JSON_PARSER_ERROR", None),
        ({"LastName": {"a": 1}}, "JSON_PARSER_ERROR", None),
    ],
)
def test_refused_values(front: Front, values: dict[str, Any], code: str, fields: list[str] | None) -> None:
    answer = front.ask("POST", "sobjects/Contact", {"LastName": "Ng", **values})
    assert front.error(answer) == (400, code)
    assert answer.body[0].get("fields") == fields
    assert front.soql("SELECT Id FROM Contact") == []


def test_numbers_keep_their_type(front: Front) -> None:
    account = front.create("Account", Name="A", NumberOfEmployees="12", AnnualRevenue=10.4)
    shown = front.ask("GET", f"sobjects/Account/{account}", query={"fields": "NumberOfEmployees,AnnualRevenue"}).body
    assert (shown["NumberOfEmployees"], shown["AnnualRevenue"]) == (12, 10.0)
    for wrong in (1.5, "many", True, 2**31):
        answer = front.ask("PATCH", f"sobjects/Account/{account}", {"NumberOfEmployees": wrong})
        assert front.error(answer) == (400, "JSON_PARSER_ERROR")
    assert front.error(front.ask("PATCH", f"sobjects/Account/{account}", {"NumberOfEmployees": 10**8})) == (
        400,
        "NUMBER_OUTSIDE_VALID_RANGE",
    )


@pytest.mark.fact("salesforce:method_not_allowed")
def test_unknown_and_unsupported_things_are_told_apart(front: Front) -> None:
    assert front.error(front.ask("GET", "sobjects/Kontact/describe")) == (404, "NOT_FOUND")
    assert front.error(front.ask("GET", "sobjects/Contact/003D000000IqhSL")) == (404, "NOT_FOUND")
    assert front.error(front.ask("PUT", "sobjects/Contact/003D000000IqhSL", {})) == (405, "METHOD_NOT_ALLOWED")
    for path in ("sobjects/Campaign/describe", "chatter/feeds", "tooling/query", "analytics/reports", "actions"):
        assert front.ask("GET", path).status == 501


def test_deleting_an_account_takes_its_contacts_along_and_clears_other_references(front: Front) -> None:
    parent = front.create("Account", Name="Parent")
    child = front.create("Account", Name="Child", ParentId=parent)
    front.create("Contact", LastName="Ng", AccountId=parent)
    front.ask("DELETE", f"sobjects/Account/{parent}")
    assert front.soql("SELECT Id FROM Contact") == []
    assert front.soql("SELECT Id, ParentId FROM Account") == [{"Id": child, "ParentId": None}]
    orphan = front.ask("POST", "sobjects/Contact", {"LastName": "X", "AccountId": parent})
    assert front.error(orphan) == (400, "ENTITY_IS_DELETED")


def test_a_precondition_in_whole_seconds_guards_an_update(front: Front, clock: DeskClock) -> None:
    record_id = front.create("Contact", LastName="Ng")
    path = f"sobjects/Contact/{record_id}"
    clock.forward(30)

    def change(name: str, since: str) -> int:
        return front.ask("PATCH", path, {"LastName": name}, headers={"if-unmodified-since": since}).status

    assert change("Early", "Wed, 01 May 2024 09:59:59 GMT") == 412
    assert change("Exact", "Wed, 01 May 2024 10:00:00 GMT") == 204
    assert change("Stale", "Wed, 01 May 2024 10:00:00 GMT") == 412
    assert change("Odd", "yesterday") == 400
    assert front.names("Id != null") == ["Exact"]


@pytest.mark.fact("salesforce:duplicate_value")
def test_a_unique_key_is_held_ignoring_case_and_names_its_holder(front: Front) -> None:
    front.key_field()
    holder = front.create("Contact", LastName="A", Key__c="k1")
    answer = front.ask("POST", "sobjects/Contact", {"LastName": "B", "Key__c": "K1"})
    assert front.error(answer) == (400, "DUPLICATE_VALUE")
    assert answer.body[0]["message"] == (
        f"duplicate value found: Key__c duplicates value on record with id: {holder[:15]}"
    )
    front.ask("DELETE", f"sobjects/Contact/{holder}")
    front.create("Contact", LastName="B", Key__c="K1")


@pytest.mark.fact("salesforce:upsert_status", "salesforce:upsert_key_in_path")
def test_upsert_by_key(front: Front) -> None:
    front.key_field()
    made = front.ask("PATCH", "sobjects/Contact/Key__c/k1", {"LastName": "A"})
    assert (made.status, made.body["created"]) == (201, True)
    again = front.ask("PATCH", "sobjects/Contact/Key__c/k1", {"LastName": "B"})
    assert (again.status, again.body["created"], again.body["id"]) == (200, False, made.body["id"])
    assert front.ask("PATCH", "sobjects/Contact/Key__c/k1", {"LastName": "C"}, version=45.0).status == 204
    assert front.ask("GET", "sobjects/Contact/Key__c/k1").body["LastName"] == "C"
    only = front.ask("PATCH", "sobjects/Contact/Key__c/k2", {"LastName": "D"}, query={"updateOnly": "true"})
    assert front.error(only) == (404, "NOT_FOUND")
    assert front.error(front.ask("PATCH", "sobjects/Contact/Phone/k1", {})) == (404, "NOT_FOUND")
    keyed = front.ask("PATCH", "sobjects/Contact/Key__c/k1", {"Key__c": "k1"})
    assert front.error(keyed) == (400, "INVALID_FIELD")


def test_a_parent_may_be_named_by_its_key(front: Front) -> None:
    front.key_field("Account")
    account = front.create("Account", Name="Acme", Key__c="a1")
    front.create("Contact", LastName="Ng", Account={"Key__c": "a1"})
    assert front.soql("SELECT AccountId FROM Contact") == [{"AccountId": account}]
    lost = front.ask("POST", "sobjects/Contact", {"LastName": "Ng", "Account": {"Key__c": "a2"}})
    assert front.error(lost) == (400, "INVALID_FIELD")


@pytest.mark.fact("salesforce:collection_rows", "salesforce:collection_status_code")
def test_a_collection_keeps_order_and_fails_row_by_row(front: Front) -> None:
    rows = [contact(LastName="A"), contact(FirstName="B"), contact(LastName="C", Email="x")]
    answer = front.ask("POST", "composite/sobjects", {"allOrNone": False, "records": rows})
    assert answer.status == 200
    assert [row["success"] for row in answer.body] == [True, False, False]
    assert "id" not in answer.body[1]
    assert answer.body[1]["errors"] == [
        {
            "statusCode": "REQUIRED_FIELD_MISSING",
            "message": "Required fields are missing: [LastName]",
            "fields": ["LastName"],
        }
    ]
    assert front.names("Id != null") == ["A"]


@pytest.mark.fact("salesforce:all_or_none")
def test_all_or_none_undoes_the_good_rows(front: Front) -> None:
    rows = [contact(LastName="A"), contact(FirstName="B")]
    answer = front.ask("POST", "composite/sobjects", {"allOrNone": True, "records": rows})
    assert [row["errors"][0]["statusCode"] for row in answer.body] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert front.soql("SELECT Id FROM Contact") == []


@pytest.mark.fact("salesforce:collection_limit")
def test_a_collection_with_an_unreadable_row_fails_whole(front: Front) -> None:
    for bad in ({"Nickname__c": "x"}, {"Birthdate": "soon"}):
        rows = [contact(LastName="A"), contact(LastName="B", **bad)]
        assert front.ask("POST", "composite/sobjects", {"records": rows}).status == 400
    assert front.error(front.ask("POST", "composite/sobjects", {"records": [contact(LastName="A")] * 201})) == (
        400,
        "LIMIT_EXCEEDED",
    )
    assert front.soql("SELECT Id FROM Contact") == []


@pytest.mark.fact("salesforce:collection_upsert")
def test_collections_update_upsert_retrieve_and_delete(front: Front) -> None:
    front.key_field()
    upserted = front.ask(
        "PATCH",
        "composite/sobjects/Contact/Key__c",
        {"records": [contact(LastName="A", Key__c="1"), contact(LastName="B", Key__c="2"), contact(LastName="C")]},
    ).body
    assert [row.get("created") for row in upserted] == [True, True, None]
    one, two = upserted[0]["id"], upserted[1]["id"]
    again = front.ask("PATCH", "composite/sobjects/Contact/Key__c", {"records": [contact(LastName="A2", Key__c="1")]})
    assert again.body == [{"id": one, "success": True, "errors": [], "created": False}]
    unknown = "003Hs0000099999IAA"
    updated = front.ask(
        "PATCH",
        "composite/sobjects",
        {"records": [contact(id=two, LastName="B2"), contact(id=unknown, LastName="X"), contact(LastName="Y")]},
    ).body
    assert [row["success"] for row in updated] == [True, False, False]
    assert updated[2]["errors"][0]["statusCode"] == "MISSING_ARGUMENT"
    asked = {"ids": [two, unknown, one], "fields": ["LastName"]}
    shown = front.ask("POST", "composite/sobjects/Contact", asked).body
    assert [row and row["LastName"] for row in shown] == ["B2", None, "A2"]
    deleted = front.ask("DELETE", "composite/sobjects", query={"ids": f"{one},{unknown},{one}"}).body
    assert [row["success"] for row in deleted] == [True, False, False]
    assert front.names("Id != null") == ["B2"]


@pytest.mark.fact("salesforce:get_updated", "salesforce:get_deleted")
def test_replication_tells_what_changed_and_what_is_gone(front: Front, clock: DeskClock) -> None:
    gone, kept = front.create("Contact", LastName="A"), front.create("Contact", LastName="B")
    clock.forward(60)
    front.ask("DELETE", f"sobjects/Contact/{gone}")
    clock.forward(60)
    window = {"start": "2024-05-01T10:00:00+00:00", "end": "2024-05-01T10:02:00+00:00"}
    assert front.ask("GET", "sobjects/Contact/updated", query=window).body == {
        "ids": [kept],
        "latestDateCovered": "2024-05-01T10:02:00.000+0000",
    }
    deleted = front.ask("GET", "sobjects/Contact/deleted", query=window).body
    assert deleted["deletedRecords"] == [{"id": gone, "deletedDate": "2024-05-01T10:01:00.000+0000"}]
    backwards = {"start": window["end"], "end": window["start"]}
    answer = front.ask("GET", "sobjects/Contact/updated", query=backwards)
    assert front.error(answer) == (400, "INVALID_REPLICATION_DATE")
