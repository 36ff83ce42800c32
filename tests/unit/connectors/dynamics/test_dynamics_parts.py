"""Translate between our nouns and Dataverse's: requests, multipart answers, rows, errors. No network."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pytest
import requests

from crm_sync.connectors.dynamics.batching import Answer, Part, decode, encode
from crm_sync.connectors.dynamics.client import query
from crm_sync.connectors.dynamics.decoding import LOOKUP_TYPE, batch, gone, selection, stamped, target_type
from crm_sync.connectors.dynamics.errors import fault, judge
from crm_sync.connectors.dynamics.writer import outcome, part
from crm_sync.connectors.transport import Kind
from crm_sync.errors import BadCredentials, CursorExpired, ErrorClass
from crm_sync.records import MISSING, Action, Command, Status
from crm_sync.specs.model import FieldMapping, MappingSpec, ScopeRule

HUB = UUID("6f1f0f5e-2f3c-4e58-9a39-0f5d7b1c2a10")
ROW = "00aa00aa-bb11-cc22-dd33-44ee44ee44ee"
ACCOUNT = "ce9eaaef-f718-ed11-b83e-00224837179f"
NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)

MAPPING = MappingSpec(
    crm="dynamics",
    entity="contact",
    object="contacts",
    singular="contact",
    version=1,
    id_field="contactid",
    stamp_field="modifiedon",
    external_key="crmsync_hubid",
    fields=(
        FieldMapping("last_name", "lastname", "text"),
        FieldMapping("job_title", "jobtitle", "text"),
        FieldMapping(
            "account",
            "_parentcustomerid_value",
            "reference",
            bind="parentcustomerid_account",
            target_object="accounts",
        ),
    ),
    scope=(ScopeRule("statecode", "is", ("0",)),),
)


def command(action: Action, *, version: str | None = None, **fields: Any) -> Command:
    references = {"_parentcustomerid_value": fields.pop("account")} if "account" in fields else {}
    record_id = None if action is Action.CREATE else ROW
    return Command(7, action, HUB, record_id, fields, references, version)


def row(**values: Any) -> dict[str, Any]:
    return {
        "@odata.etag": 'W/"12"',
        "contactid": ROW,
        "modifiedon": "2026-01-02T03:04:05Z",
        "crmsync_hubid": None,
        "lastname": "Li",
        "jobtitle": None,
        "_parentcustomerid_value": None,
        "statecode": 0,
        **values,
    }


def error(status: int, code: str, message: str = "") -> Answer:
    return Answer(status, {}, orjson.dumps({"error": {"code": code, "message": message}}))


def response(status: int, body: bytes = b"", **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made._content = body
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


# -- requests


def test_a_create_goes_by_our_key_and_only_creates() -> None:
    made = part(MAPPING, command(Action.CREATE, lastname="Li", account=ACCOUNT))
    assert made.method == "PATCH"
    assert made.target.startswith(f"/api/data/v9.2/contacts(crmsync_hubid='{HUB}')?$select=contactid,modifiedon")
    assert made.headers["If-None-Match"] == "*" and "If-Match" not in made.headers
    assert orjson.loads(made.body) == {
        "lastname": "Li",
        "crmsync_hubid": str(HUB),
        "parentcustomerid_account@odata.bind": f"/accounts({ACCOUNT})",
    }


def test_an_update_is_bound_to_the_version_last_seen_and_can_clear() -> None:
    made = part(MAPPING, command(Action.UPDATE, version='W/"12"', jobtitle=None, account=None))
    assert made.target.startswith(f"/api/data/v9.2/contacts({ROW})?")
    assert made.headers["If-Match"] == 'W/"12"' and "If-None-Match" not in made.headers
    assert orjson.loads(made.body) == {"jobtitle": None, "parentcustomerid_account@odata.bind": None}


def test_an_update_without_a_version_still_never_creates() -> None:
    assert part(MAPPING, command(Action.UPDATE, jobtitle="CEO")).headers["If-Match"] == "*"


def test_options_are_escaped_once() -> None:
    assert query("contacts", filter="name eq 'a&b+c'") == "contacts?$filter=name%20eq%20'a%26b%2Bc'"


# -- multipart


def test_what_is_encoded_has_one_delimiter_a_part_and_ends() -> None:
    body = encode([Part("PATCH", "/x", {"If-Match": "*"}, b"{}"), Part("PATCH", "/y", {}, b"{}")], "b1")
    assert body.count(b"--b1\r\n") == 2 and body.endswith(b"--b1--\r\n")
    assert b"PATCH /x HTTP/1.1\r\nIf-Match: *\r\n\r\n{}\r\n" in body


ANSWER = b"""--batchresponse_1
Content-Type: application/http
Content-Transfer-Encoding: binary

HTTP/1.1 200 OK
Content-Type: application/json; odata.metadata=minimal
OData-Version: 4.0

{"a":"--batchresponse_1 inside a text"}
--batchresponse_1
Content-Type: application/http
Content-Transfer-Encoding: binary

HTTP/1.1 412 Precondition Failed
REQ_ID: 7
Retry-After: 3

{"error":{"code":"0x80060882","message":"m"}}
--batchresponse_1--
"""


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_answers_come_apart_in_order_whatever_the_line_ends(line_end: bytes) -> None:
    first, second = decode(ANSWER.replace(b"\n", line_end))
    assert (first.status, orjson.loads(first.body)) == (200, {"a": "--batchresponse_1 inside a text"})
    assert (second.status, second.headers["retry-after"]) == (412, "3")
    assert orjson.loads(second.body)["error"]["code"] == "0x80060882"


def test_an_answer_that_breaks_off_gives_only_the_parts_that_are_whole_enough() -> None:
    broken = ANSWER[: ANSWER.index(b"HTTP/1.1 412")]
    assert [one.status for one in decode(broken)] == [200]
    assert decode(b"<html>proxy</html>") == []
    assert decode(b"") == []


# -- outcomes


def test_a_written_row_tells_its_id_version_and_stamp() -> None:
    body = {"@odata.etag": 'W/"13"', "contactid": ROW, "modifiedon": "2026-01-02T03:04:05Z"}
    made = outcome(MAPPING, command(Action.UPDATE), Answer(200, {}, orjson.dumps(body)))
    assert (made.status, made.record_id, made.version) == (Status.DELIVERED, ROW, 'W/"13"')
    assert made.stamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_success_that_does_not_show_the_row_must_be_read_back() -> None:
    assert outcome(MAPPING, command(Action.CREATE), Answer(204, {}, b"")).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("action", "answer", "status", "error_class"),
    [
        (Action.UPDATE, error(412, "0x80060882"), Status.CHANGED, ErrorClass.CONFLICT),
        (Action.CREATE, error(412, "0x80040237"), Status.CHANGED, ErrorClass.CONFLICT),
        (Action.UPDATE, error(404, "0x80040217", f"contact With Id = {ROW} Does Not Exist"), Status.CHANGED, None),
        (
            Action.UPDATE,
            error(404, "0x80040217", f"Entity 'contact' With Id = {ROW} Does Not Exist"),
            Status.CHANGED,
            None,
        ),
        (Action.UPDATE, error(404, "0x80040217", "account With Id = g"), Status.REFUSED, ErrorClass.REFERENCE),
        (Action.CREATE, error(404, "0x80040217", "account With Id = g"), Status.REFUSED, ErrorClass.REFERENCE),
        (Action.UPDATE, error(412, "0x80060892"), Status.REFUSED, ErrorClass.DUPLICATE),
        (Action.UPDATE, error(500, "0x80040333"), Status.REFUSED, ErrorClass.DUPLICATE),
        (Action.UPDATE, error(400, "0x80044331"), Status.REFUSED, ErrorClass.VALIDATION),
        (Action.UPDATE, error(403, "0x80040220"), Status.REFUSED, ErrorClass.PERMISSION),
        (Action.UPDATE, error(500, "0x80044150"), Status.RETRY, ErrorClass.LOCK),
        (Action.UPDATE, error(500, "0x80044151"), Status.RETRY, ErrorClass.TRANSIENT),
        (Action.UPDATE, error(429, "0x80072322"), Status.RETRY, ErrorClass.LIMIT_BURST),
        (Action.UPDATE, Answer(503, {}, b"<html>"), Status.RETRY, ErrorClass.TRANSIENT),
    ],
)
def test_each_error_of_a_part_has_one_outcome(
    action: Action, answer: Answer, status: Status, error_class: ErrorClass | None
) -> None:
    made = outcome(MAPPING, command(action, lastname="Li"), answer)
    assert made.status is status and made.command_id == 7
    if error_class is not None:
        assert made.error_class is error_class


def test_messages_name_columns_but_never_values() -> None:
    text = (
        "The value 'Ann Li <ann@example.com>' of the 'jobtitle' attribute exceeded the maximum allowed length of '100'."
    )
    body = orjson.dumps({"error": {"code": "0x80044331", "message": text}})
    found = fault(400, body, {"jobtitle", "lastname"})
    assert "jobtitle" in found.message
    assert not {"Ann", "example", "lastname"} & set(found.message.replace("(", " ").replace(")", " ").split())


# -- whole calls


def test_codes_are_told_apart_by_code_not_by_status() -> None:
    body = orjson.dumps({"error": {"code": "0x80044352", "message": "token"}})
    for status in (400, 410, 404):
        verdict = judge(response(status, body))
        assert verdict.kind is Kind.REFUSED and isinstance(verdict.error, CursorExpired)


def test_limits_are_never_processed_and_tell_how_long() -> None:
    body = orjson.dumps({"error": {"code": "0x80072321", "message": "m"}})
    verdict = judge(response(429, body, Retry_After="17"))
    assert (verdict.kind, verdict.processed, verdict.retry_after_seconds) == (Kind.LIMIT, False, 17.0)


def test_a_missing_application_user_is_a_matter_of_credentials() -> None:
    verdict = judge(response(403, orjson.dumps({"error": {"code": "0x80072560", "message": "m"}})))
    assert isinstance(verdict.error, BadCredentials)


def test_a_page_that_is_not_of_the_web_api_is_no_answer() -> None:
    assert judge(response(200, b"<html>", Content_Type="text/html")).kind is Kind.TRANSIENT
    assert judge(response(200, b"{}", Content_Type="application/json; odata.metadata=minimal")).kind is Kind.GOOD


# -- rows


def test_the_selection_holds_mapped_scope_and_technical_columns_once() -> None:
    names = selection(MAPPING).split(",")
    assert len(names) == len(set(names))
    assert {"lastname", "statecode", "crmsync_hubid", "modifiedon", "contactid", "_masterid_value"} <= set(names)


def test_only_the_wanted_kind_of_target_counts() -> None:
    name = "_parentcustomerid_value"
    made = batch(
        "d365",
        MAPPING,
        [
            row(**{name: ACCOUNT, name + LOOKUP_TYPE: "account"}),
            row(**{name: ACCOUNT, name + LOOKUP_TYPE: "contact"}),
            row(),
        ],
    )
    assert list(made.values[name]) == [ACCOUNT, None, None]


def test_a_lookup_with_one_kind_of_target_is_taken_as_it_is() -> None:
    field = FieldMapping(
        "contact", "_primarycontactid_value", "reference", bind="primarycontactid", target_object="contacts"
    )
    assert target_type(field) is None
    assert target_type(MAPPING.field("account")) == "account"


def test_a_batch_carries_exactly_the_source_fields_and_ignores_others() -> None:
    made = batch("d365", MAPPING, [row(nickname="?", crmsync_hubid=str(HUB))])
    assert list(made.values) == list(MAPPING.source_fields)
    assert (made.versions, made.hub_ids) == (['W/"12"'], [str(HUB)])
    assert made.stamps[0] == np.datetime64("2026-01-02T03:04:05")


def test_a_column_that_was_not_sent_is_missing_not_null() -> None:
    document = row()
    del document["jobtitle"]
    assert batch("d365", MAPPING, [document]).values["jobtitle"][0] is MISSING


def test_deleted_and_merged_rows_carry_no_values() -> None:
    deleted = stamped({"id": ROW.upper(), "reason": "deleted"}, "contactid", NOW)
    made = batch("d365", MAPPING, [deleted, row(merged=True, _masterid_value=ACCOUNT, crmsync_hubid=str(HUB))])
    assert list(made.deleted) == [True, True]
    assert made.merged_into == [None, ACCOUNT]
    assert made.record_ids == [ROW, ROW]
    assert made.hub_ids == [None, None]
    assert all(value is MISSING for column in made.values.values() for value in column)
    assert made.stamps[0] == np.datetime64("2026-05-06T07:08:09")


def test_landed_documents_decode_to_the_same_batch() -> None:
    documents = [row(lastname="None"), gone(ROW, NOW, "absent")]
    made = batch("d365", MAPPING, documents)
    again = batch("d365", MAPPING, [orjson.loads(document) for document in made.raw])
    assert again.record_ids == made.record_ids and again.versions == made.versions and again.raw == made.raw
    assert (again.stamps == made.stamps).all() and (again.deleted == made.deleted).all()
    assert all(list(again.values[name]) == list(made.values[name]) for name in made.values)
