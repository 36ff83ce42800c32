"""Translate Salesforce's answers without any call: error codes, ids, moments, records, row results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest
from simple_salesforce.exceptions import SalesforceError, SalesforceGeneralError

from crm_sync.connectors.salesforce.calls import Calls
from crm_sync.connectors.salesforce.decoding import batch, literal, long_id, stamps_of
from crm_sync.connectors.salesforce.errors import judge, row_error
from crm_sync.connectors.salesforce.provisioning import provision
from crm_sync.connectors.salesforce.reader import Position
from crm_sync.connectors.salesforce.writer import Writer
from crm_sync.connectors.transport import Kind
from crm_sync.errors import BadCredentials, ErrorClass, LimitReached, Refused, Unreachable
from crm_sync.ports import Lane
from crm_sync.records import MISSING, Action, Command, Status
from crm_sync.specs.model import FieldMapping
from tests.unit.connectors.salesforce.org import CONTACT, SPEC

HUB = UUID("01890000-0000-7000-8000-000000000001")
Answers = Sequence[list[dict[str, Any]] | Exception]


def refusal(status: int, code: str, message: str = "text with a secret") -> SalesforceError:
    return SalesforceGeneralError("url", status, "name", cast(Any, [{"message": message, "errorCode": code}]))


@pytest.mark.parametrize(
    ("error", "kind", "error_class", "processed"),
    [
        (refusal(401, "INVALID_SESSION_ID"), Kind.AUTH, ErrorClass.AUTH, False),
        (refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests .."), Kind.LIMIT, ErrorClass.LIMIT_DAILY, False),
        (
            refusal(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
            Kind.LIMIT,
            ErrorClass.LIMIT_BURST,
            False,
        ),
        (refusal(400, "UNABLE_TO_LOCK_ROW"), Kind.TRANSIENT, ErrorClass.LOCK, False),
        (refusal(503, "SERVER_UNAVAILABLE"), Kind.TRANSIENT, ErrorClass.TRANSIENT, True),
        (refusal(500, "UNKNOWN_EXCEPTION"), Kind.TRANSIENT, ErrorClass.TRANSIENT, True),
        (refusal(400, "QUERY_TIMEOUT"), Kind.TRANSIENT, ErrorClass.TRANSIENT, True),
        (refusal(400, "INVALID_FIELD"), Kind.REFUSED, ErrorClass.SCHEMA, True),
        (refusal(400, "INVALID_QUERY_LOCATOR"), Kind.REFUSED, ErrorClass.UNKNOWN, True),
        (refusal(403, "API_DISABLED_FOR_ORG"), Kind.REFUSED, ErrorClass.PERMISSION, True),
        (refusal(404, "NOT_FOUND"), Kind.REFUSED, ErrorClass.NOT_FOUND, True),
        (refusal(501, "NOT_IMPLEMENTED"), Kind.REFUSED, ErrorClass.UNKNOWN, True),
        (SalesforceGeneralError("url", 502, "name", b"<html>"), Kind.TRANSIENT, ErrorClass.TRANSIENT, True),
        (SalesforceGeneralError("url", 420, "name", b""), Kind.LIMIT, ErrorClass.LIMIT_BURST, False),
        (SalesforceGeneralError("url", 406, "name", b""), Kind.TRANSIENT, ErrorClass.TRANSIENT, True),
    ],
)
def test_whole_calls(error: SalesforceError, kind: Kind, error_class: ErrorClass, processed: bool) -> None:
    verdict = judge(error)
    assert (verdict.kind, verdict.error_class, verdict.processed) == (kind, error_class, processed)
    assert "secret" not in verdict.code + verdict.message


def test_any_answer_is_good_and_an_unknown_exception_is_ours() -> None:
    assert judge({"records": []}).kind is Kind.GOOD
    with pytest.raises(KeyError):
        judge(KeyError("x"))


def test_rows_are_decided_by_what_refuses_them_for_good() -> None:
    lock = {"statusCode": "UNABLE_TO_LOCK_ROW", "message": "", "fields": []}
    long = {"statusCode": "STRING_TOO_LONG", "message": "data value too large: secret", "fields": ["FirstName"]}
    assert row_error([lock]).status is Status.RETRY
    assert (row_error([lock, long]).code, row_error([lock, long]).message) == (
        "STRING_TOO_LONG",
        "STRING_TOO_LONG on FirstName",
    )
    trigger = {"statusCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "message": "T: caused by UNABLE_TO_LOCK_ROW"}
    assert row_error([trigger]).error_class is ErrorClass.LOCK
    assert row_error([{**trigger, "message": "T: x"}]).error_class is ErrorClass.VALIDATION
    assert row_error([]).status is Status.REFUSED


def test_ids_get_their_long_form() -> None:
    assert long_id("001D000000IqhSL") == "001D000000IqhSLIAZ"
    assert long_id("001D000000IqhSLIAZ") == "001D000000IqhSLIAZ"


def test_moments_keep_their_instant() -> None:
    texts = ["2024-05-01T10:00:00.000+0000", "2024-05-01T10:00:01.000Z"]
    assert stamps_of(texts).tolist() == [datetime(2024, 5, 1, 10), datetime(2024, 5, 1, 10, 0, 1)]
    odd = ["2024-05-01T12:00:00.000+02:00", texts[0]]
    assert stamps_of(odd).tolist() == [datetime(2024, 5, 1, 10)] * 2
    assert stamps_of([]).dtype == np.dtype("datetime64[us]")
    there = datetime(2024, 5, 1, 12, 0, 0, 999999, tzinfo=timezone(timedelta(hours=2)))
    assert literal(there) == "2024-05-01T10:00:00Z"


def test_what_a_record_does_not_carry_is_missing_not_null() -> None:
    stamp = "2024-05-01T10:00:00.000+0000"
    records = [
        {"attributes": {}, "Id": "001D000000IqhSLIAZ", "SystemModstamp": stamp, "Email": None, "New": 1},
        {"Id": "001D000000IqhSL", "SystemModstamp": stamp, "IsDeleted": True, "LastName": "Ng", "MasterRecordId": None},
    ]
    made = batch("salesforce", CONTACT, records)
    assert list(made.values) == list(CONTACT.source_fields)
    assert made.values["Email"].tolist() == [None, MISSING]
    assert made.values["LastName"].tolist() == [MISSING, MISSING]
    assert (made.record_ids[1], made.versions[0], made.hub_ids) == ("001D000000IqhSLIAZ", stamp, [None, None])
    assert len(batch("salesforce", CONTACT, [])) == 0


def test_a_position_survives_its_text() -> None:
    position = Position("2024-05-01T10:00:00.000+0000", "001D000000IqhSLIAZ", "2024-05-01T10:00:00Z")
    assert Position.read(position.text()) == position


class Scripted:
    """Calls that answer what the test says, one answer a call, and remember what was sent."""

    def __init__(self, answers: Answers, fields: Sequence[str] = ()) -> None:
        self.connection = SPEC
        self.answers = list(answers)
        self.sent: list[list[dict[str, Any]]] = []
        self.fields = fields

    def create(self, sobject: str, records: list[dict[str, Any]], *, lane: Lane) -> list[dict[str, Any]]:
        self.sent.append(records)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    composite = create

    def describe(self, sobject: str, lane: Lane = Lane.OUTBOUND) -> dict[str, Any]:
        described = [{"name": name, "createable": True, "updateable": True} for name in self.fields]
        return {"fields": [{**one, "unique": True, "externalId": False} for one in described]}

    @staticmethod
    def path(rest: str) -> str:
        return f"/{rest}"


def write(scripted: Scripted, commands: Sequence[Command]) -> list[tuple[Status, str]]:
    outcomes = Writer(cast(Calls, scripted)).write(CONTACT, commands, Lane.OUTBOUND)
    assert [o.command_id for o in outcomes] == [c.command_id for c in commands]
    return [(o.status, o.code) for o in outcomes]


def create(number: int, account: str | None = None) -> Command:
    return Command(number, Action.CREATE, HUB, None, {"LastName": f"N{number}", "Email": None}, {"AccountId": account})


def update(number: int) -> Command:
    moment = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    return Command(number, Action.UPDATE, HUB, "003", {"HasOptedOutOfEmail": None, "Email": None}, {}, stamp=moment)


def good(number: int) -> list[dict[str, Any]]:
    return [{"id": "001D000000IqhSL", "success": True, "errors": []}] * number


def subrequest(status: int, code: str = "") -> dict[str, Any]:
    return {"httpStatusCode": status, "body": [{"errorCode": code, "message": ""}] if code else None}


def test_a_create_carries_the_key_and_no_nulls_and_siblings_go_together() -> None:
    scripted = Scripted([good(3)])
    write(scripted, [create(1, "B"), create(2, "A"), create(3, "B")])
    assert [row["AccountId"] for row in scripted.sent[0]] == ["A", "B", "B"]
    assert scripted.sent[0][0] == {
        "attributes": {"type": "Contact"},
        "LastName": "N2",
        "AccountId": "A",
        "Crm_Sync_Id__c": str(HUB),
    }


def test_an_update_carries_its_precondition_and_unticks_what_has_no_null() -> None:
    scripted = Scripted([[subrequest(204)]])
    write(scripted, [update(7)])
    assert scripted.sent[0][0] == {
        "method": "PATCH",
        "url": "/sobjects/Contact/003",
        "referenceId": "c7",
        "body": {"HasOptedOutOfEmail": False, "Email": None},
        "httpHeaders": {"If-Unmodified-Since": "Wed, 01 May 2024 10:00:00 GMT"},
    }


@pytest.mark.parametrize(
    ("result", "status", "error_class"),
    [
        (subrequest(204), Status.DELIVERED, None),
        (subrequest(412, "PRECONDITION_FAILED"), Status.CHANGED, ErrorClass.CONFLICT),
        (subrequest(412), Status.CHANGED, ErrorClass.CONFLICT),
        (subrequest(404, "ENTITY_IS_DELETED"), Status.CHANGED, ErrorClass.NOT_FOUND),
        (subrequest(400, "ENTITY_IS_DELETED"), Status.REFUSED, ErrorClass.REFERENCE),
        (subrequest(400, "UNABLE_TO_LOCK_ROW"), Status.RETRY, ErrorClass.LOCK),
        (subrequest(400, "DUPLICATE_VALUE"), Status.REFUSED, ErrorClass.DUPLICATE),
        (subrequest(500, "UNKNOWN_EXCEPTION"), Status.UNKNOWN, ErrorClass.TRANSIENT),
        (subrequest(503), Status.UNKNOWN, ErrorClass.TRANSIENT),
        (subrequest(400, "SOMETHING_NEW"), Status.REFUSED, ErrorClass.UNKNOWN),
    ],
)
def test_results_of_updates(result: dict[str, Any], status: Status, error_class: ErrorClass | None) -> None:
    (outcome,) = Writer(cast(Calls, Scripted([[result]]))).write(CONTACT, [update(1)], Lane.OUTBOUND)
    assert (outcome.status, outcome.error_class, outcome.record_id) == (status, error_class, "003")


def test_a_taken_value_of_another_field_is_no_taken_key() -> None:
    def taken(field: str) -> dict[str, Any]:
        text = f"duplicate value found: {field} duplicates value on record with id: 001D000000IqhSL"
        return {"success": False, "errors": [{"statusCode": "DUPLICATE_VALUE", "message": text, "fields": []}]}

    scripted = Scripted([[taken("Crm_Sync_Id__c"), taken("Badge__c")]])
    ours, theirs = Writer(cast(Calls, scripted)).write(CONTACT, [create(1), create(2)], Lane.OUTBOUND)
    assert (ours.status, ours.record_id) == (Status.CHANGED, "001D000000IqhSLIAZ")
    assert (theirs.status, theirs.error_class, theirs.message) == (
        Status.REFUSED,
        ErrorClass.DUPLICATE,
        "DUPLICATE_VALUE on Badge__c",
    )


def test_an_unanswered_call_is_unknown_and_one_that_never_arrived_is_tried_later() -> None:
    broke, never = Unreachable("x"), Unreachable("x", possibly_processed=False)
    assert write(Scripted([broke]), [create(1)]) == [(Status.UNKNOWN, "NO_ANSWER")]
    assert write(Scripted([never]), [create(1)]) == [(Status.RETRY, "NO_ANSWER")]


def test_after_a_limit_nothing_more_is_sent_and_what_was_sent_counts() -> None:
    limit = LimitReached("x", error_class=ErrorClass.LIMIT_DAILY, retry_after_seconds=900.0)
    scripted = Scripted([good(200), limit])
    found = write(scripted, [create(n) for n in range(500)])
    assert [status for status, _ in found] == [Status.DELIVERED] * 200 + [Status.RETRY] * 300
    assert len(scripted.sent) == 2


def test_credentials_refused_at_once_raise_and_later_leave_the_rest_for_later() -> None:
    with pytest.raises(BadCredentials):
        write(Scripted([BadCredentials("x")]), [create(1)])
    found = write(Scripted([good(200), BadCredentials("x")]), [create(n) for n in range(201)])
    assert found[200] == (Status.RETRY, "AUTH")


def test_a_refused_call_is_halved_until_the_culprit_stands_alone() -> None:
    bad = Refused("x", error_class=ErrorClass.VALIDATION, code="JSON_PARSER_ERROR")
    scripted = Scripted([bad, good(2), bad, bad, good(1)])
    found = write(scripted, [create(n) for n in range(4)])
    assert [status for status, _ in found] == [Status.DELIVERED, Status.DELIVERED, Status.REFUSED, Status.DELIVERED]


def test_rows_that_name_unknown_fields_are_told_by_the_description() -> None:
    bad = Refused("x", error_class=ErrorClass.SCHEMA, code="INVALID_FIELD")
    known = ("LastName", "Email", "AccountId", "Crm_Sync_Id__c")
    scripted = Scripted([bad, good(2)], known)
    odd = replace(create(2), values={"LastName": "x", "Odd__c": 1})
    found = write(scripted, [create(1), odd, create(3)])
    assert [status for status, _ in found] == [Status.DELIVERED, Status.REFUSED, Status.DELIVERED]
    assert len(scripted.sent) == 2


def test_a_key_field_that_is_not_unique_cannot_be_used() -> None:
    with pytest.raises(Refused, match="no unique external id"):
        provision(cast(Calls, Scripted([], ["Crm_Sync_Id__c"])), CONTACT, apply=False)


def test_the_plan_names_every_field_to_make() -> None:
    fields = (
        FieldMapping("opt_out", "Opt_Out__c", "boolean", provision=True),
        FieldMapping("kind", "Kind__c", "picklist", options={"values": {"a": ["A", "AA"], "b": "B"}}, provision=True),
        FieldMapping("note", "Note__c", "text", options={"max_length": 500}, provision=True),
        FieldMapping("name", "LastName", "text"),
    )
    steps = provision(cast(Calls, Scripted([])), replace(CONTACT, fields=fields), apply=False)
    assert [(step.what, step.needed) for step in steps] == [
        ("field Crm_Sync_Id__c (Text, unique external id)", True),
        ("field Opt_Out__c (Checkbox)", True),
        ("field Kind__c (Picklist)", True),
        ("field Note__c (LongTextArea)", True),
    ]
