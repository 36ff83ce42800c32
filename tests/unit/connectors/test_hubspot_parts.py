"""HubSpot's answers read without HubSpot: records, associations, error bodies, batches of commands."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import orjson
import pytest

from crm_sync.connectors.hubspot.decoding import decode, encode, requested
from crm_sync.connectors.hubspot.errors import Answer, Rejected, judge, judge_token_answer, read_fault
from crm_sync.connectors.hubspot.provisioning import wanted_by
from crm_sync.connectors.hubspot.writer import WRITE_LIMIT, parts_of
from crm_sync.connectors.transport import Kind
from crm_sync.errors import BadCredentials, ErrorClass
from crm_sync.records import MISSING, Action, Command
from crm_sync.specs.model import Association, FieldMapping, MappingSpec

CONTACT = MappingSpec(
    crm="hubspot",
    entity="contact",
    object="contacts",
    singular="contact",
    version=1,
    id_field="hs_object_id",
    stamp_field="lastmodifieddate",
    external_key="crm_sync_id",
    fields=(
        FieldMapping("first_name", "firstname", "text"),
        FieldMapping("opt_out", "our_opt_out", "boolean", provision=True),
        FieldMapping(
            "rank", "our_rank", "picklist", provision=True, options={"values": {"high": ["HIGH", "TOP"], "low": "LOW"}}
        ),
        FieldMapping(
            "account", "associations.companies", "reference", association=Association("companies", 279, label_type_id=1)
        ),
    ),
)
SECRET = "mia.wong@private.test"


def record(id: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    stamp = "2026-03-04T05:06:07.089Z"
    return {"id": id, "properties": properties, "createdAt": stamp, "updatedAt": stamp, "archived": False, **more}


def inline(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"companies": {"results": [{"id": id, "type": type_} for id, type_ in pairs]}}


def v4(*pairs: tuple[int, list[int]]) -> dict[str, Any]:
    items = [
        {
            "toObjectId": id,
            "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": one, "label": None} for one in types],
        }
        for id, types in pairs
    ]
    return {"companies": {"results": items}}


def account_of(associations: dict[str, Any] | None) -> object:
    document = record("1", {"firstname": "Mia"})
    if associations is not None:
        document["associations"] = associations
    return decode("hub", CONTACT, encode([document])).values["associations.companies"][0]


def test_a_null_an_absent_and_an_unknown_property_are_three_things() -> None:
    batch = decode("hub", CONTACT, encode([record("7", {"firstname": None, "surprise": "x", "crm_sync_id": ""})]))
    assert batch.values["firstname"][0] is None
    assert batch.values["our_opt_out"][0] is MISSING
    assert set(batch.values) == {"firstname", "our_opt_out", "our_rank", "associations.companies"}
    assert batch.hub_ids == [None]


def test_stamps_keep_milliseconds_and_versions_their_text_even_without_a_fraction() -> None:
    whole = record("8", {}) | {"updatedAt": "2026-03-04T05:06:07Z"}
    batch = decode("hub", CONTACT, encode([record("7", {}), whole]))
    assert batch.stamps.tolist() == [
        datetime(2026, 3, 4, 5, 6, 7, 89000),
        datetime(2026, 3, 4, 5, 6, 7),
    ]
    assert batch.stamps.dtype == np.dtype("datetime64[us]")
    assert batch.versions == ["2026-03-04T05:06:07.089Z", "2026-03-04T05:06:07Z"]


def test_an_archived_and_a_merged_record_carry_no_values() -> None:
    archived = record("7", {"firstname": "Mia", "crm_sync_id": "k"}) | {
        "archived": True,
        "archivedAt": "2026-05-01T00:00:00Z",
    }
    merged = {"id": "8", "archived": True, "mergedInto": "9", "goneAt": "2026-05-02T00:00:00.000Z"}
    batch = decode("hub", CONTACT, encode([archived, merged]))
    assert batch.deleted.tolist() == [True, True]
    assert batch.merged_into == [None, "9"]
    assert all(value is MISSING for column in batch.values.values() for value in column)
    assert batch.stamps.tolist() == [datetime(2026, 5, 1), datetime(2026, 5, 2)]
    assert batch.hub_ids == ["k", None]


@pytest.mark.parametrize(
    ("associations", "expected"),
    [
        (None, MISSING),
        ({}, MISSING),
        (inline(), None),
        (inline(("9", "contact_to_company_unlabeled"), ("10", "contact_to_company_unlabeled")), "9"),
        (inline(("9", "contact_to_company_unlabeled"), ("10", "contact_to_company")), "10"),
        (v4((10, [279]), (9, [279])), "9"),
        (v4((9, [279]), (10, [1, 279])), "10"),
        (v4((9, [279]), (10, [279, 77])), "9"),
    ],
)
def test_the_primary_company_counts_else_the_one_with_the_lowest_number(
    associations: dict[str, Any] | None, expected: object
) -> None:
    assert account_of(associations) == expected or account_of(associations) is expected


def test_what_is_asked_for_includes_the_key_and_the_stamp() -> None:
    assert requested(CONTACT) == ["firstname", "our_opt_out", "our_rank", "crm_sync_id", "lastmodifieddate"]


def property_errors(*codes: tuple[str, str]) -> dict[str, Any]:
    entries = [{"isValid": False, "message": f"{SECRET} is bad", "error": code, "name": name} for code, name in codes]
    return {
        "status": "error",
        "category": "VALIDATION_ERROR",
        "message": "Property values were not valid: " + orjson.dumps(entries).decode(),
    }


@pytest.mark.parametrize(
    ("document", "status", "error_class", "code"),
    [
        (property_errors(("INVALID_EMAIL", "email")), 400, ErrorClass.VALIDATION, "INVALID_EMAIL"),
        (property_errors(("PROPERTY_DOESNT_EXIST", "x")), 400, ErrorClass.SCHEMA, "PROPERTY_DOESNT_EXIST"),
        (
            property_errors(("CONFLICTING_UNIQUE_VALUE", "crm_sync_id")),
            400,
            ErrorClass.DUPLICATE,
            "CONFLICTING_UNIQUE_VALUE",
        ),
        (
            property_errors(("CONFLICTING_UNIQUE_VALUE", "crm_sync_id"), ("INVALID_EMAIL", "email")),
            400,
            ErrorClass.VALIDATION,
            "CONFLICTING_UNIQUE_VALUE",
        ),
        (
            {"category": "CONFLICT", "message": "Contact already exists. Existing ID: 34"},
            409,
            ErrorClass.DUPLICATE,
            "CONFLICT",
        ),
        ({"message": "resource not found"}, 404, ErrorClass.NOT_FOUND, "HTTP_404"),
        ({"category": "MISSING_SCOPES", "message": SECRET}, 403, ErrorClass.PERMISSION, "MISSING_SCOPES"),
        (None, 418, ErrorClass.UNKNOWN, "HTTP_418"),
    ],
)
def test_a_refused_request_is_classified_without_repeating_a_value(
    document: dict[str, Any] | None, status: int, error_class: ErrorClass, code: str
) -> None:
    verdict = judge(Answer(status, {}, document))
    assert (verdict.kind, verdict.error_class, verdict.code) == (Kind.REFUSED, error_class, code)
    assert isinstance(verdict.error, Rejected)
    assert SECRET not in f"{verdict.error} {verdict.message} {verdict!r} {Answer(status, {}, document)!r}"


def test_a_cut_off_problem_list_still_gives_its_codes() -> None:
    document = property_errors(("INVALID_OPTION", "salutation"))
    document["message"] = document["message"][:-3]
    assert read_fault(document).code == "INVALID_OPTION"


def test_the_existing_record_of_a_conflict_is_read_from_its_message() -> None:
    assert read_fault({"message": "Contact already exists. Existing ID: 3401"}).existing_id == "3401"


@pytest.mark.parametrize(
    ("body", "headers", "error_class", "seconds"),
    [
        ({"policyName": "TEN_SECONDLY_ROLLING"}, {}, ErrorClass.LIMIT_BURST, 10.0),
        ({"policyName": "TEN_SECONDLY_ROLLING"}, {"Retry-After": "3"}, ErrorClass.LIMIT_BURST, 3.0),
        (
            {"message": "You have reached your secondly limit.", "category": "RATE_LIMITS"},
            {},
            ErrorClass.LIMIT_BURST,
            1.0,
        ),
        ({"policyName": "DAILY"}, {}, ErrorClass.LIMIT_DAILY, None),
    ],
)
def test_burst_and_daily_limits_are_told_apart(
    body: dict[str, str], headers: dict[str, str], error_class: ErrorClass, seconds: float | None
) -> None:
    verdict = judge(Answer(429, headers, body))
    assert (verdict.kind, verdict.error_class, verdict.retry_after_seconds) == (Kind.LIMIT, error_class, seconds)


@pytest.mark.parametrize(("status", "processed"), [(423, False), (477, False), (500, True), (503, True), (523, True)])
def test_what_may_pass_is_transient_and_says_whether_it_was_processed(status: int, processed: bool) -> None:
    verdict = judge(Answer(status, {}, None))
    assert (verdict.kind, verdict.processed) == (Kind.TRANSIENT, processed)


def test_a_success_that_is_not_json_is_no_success() -> None:
    assert judge(Answer(200, {}, None)).kind is Kind.TRANSIENT
    assert judge(Answer(204, {}, None)).kind is Kind.GOOD


def test_an_exception_that_is_not_hubspots_is_not_judged() -> None:
    with pytest.raises(ZeroDivisionError):
        judge(ZeroDivisionError())


def test_a_refused_refresh_token_names_the_variables() -> None:
    answer = Answer(400, {}, {"status": "BAD_REFRESH_TOKEN", "message": SECRET})
    error = judge_token_answer(answer, "hub", "A, B").error
    assert isinstance(error, BadCredentials)
    assert "BAD_REFRESH_TOKEN" in str(error) and "A, B" in str(error) and SECRET not in str(error)


def command(number: int, record_id: str | None, hub_id: UUID | None = None) -> Command:
    action = Action.CREATE if record_id is None else Action.UPDATE
    return Command(number, action, hub_id or uuid4(), record_id, {"firstname": "x"}, {})


def test_a_batch_never_names_a_record_twice_and_keeps_the_order_of_its_writes() -> None:
    commands = [command(0, "a"), command(1, "b"), command(2, "a"), command(3, "a"), command(4, "c")]
    assert [[one.command_id for one in part] for part in parts_of(commands)] == [[0, 1, 4], [2], [3]]


def test_batches_are_filled_to_hubspots_limit() -> None:
    parts = parts_of([command(number, None) for number in range(2 * WRITE_LIMIT + 1)])
    assert [len(part) for part in parts] == [WRITE_LIMIT, WRITE_LIMIT, 1]


def test_a_second_write_to_a_record_of_a_full_batch_goes_behind_it() -> None:
    commands = [command(number, f"r{number}") for number in range(WRITE_LIMIT)] + [command(999, "r0")]
    assert [one.command_id for one in parts_of(commands)[1]] == [999]


def test_properties_of_our_own_are_defined_by_their_transform() -> None:
    key, opt_out, rank = wanted_by(CONTACT)
    assert (key["name"], key["hasUniqueValue"], key["groupName"]) == ("crm_sync_id", True, "contactinformation")
    assert (opt_out["type"], [one["value"] for one in opt_out["options"]]) == ("bool", ["true", "false"])
    assert [one["value"] for one in rank["options"]] == ["HIGH", "TOP", "LOW"]
