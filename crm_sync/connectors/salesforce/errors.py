"""What Salesforce's error codes mean: one table, for whole calls and for single rows.

Messages of Salesforce often carry field values; only codes and field names leave this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simple_salesforce.exceptions import SalesforceError

from crm_sync.connectors.transport import GOOD, Kind, Verdict
from crm_sync.errors import RETRYABLE_CLASSES, ErrorClass
from crm_sync.records import Status

CLASSES: Final[Mapping[str, ErrorClass]] = {
    "INVALID_SESSION_ID": ErrorClass.AUTH,
    "INVALID_AUTH_HEADER": ErrorClass.AUTH,
    "SERVER_UNAVAILABLE": ErrorClass.TRANSIENT,
    "UNKNOWN_EXCEPTION": ErrorClass.TRANSIENT,
    "QUERY_TIMEOUT": ErrorClass.TRANSIENT,
    "UNABLE_TO_LOCK_ROW": ErrorClass.LOCK,
    "TooManyLockFailure": ErrorClass.LOCK,
    "DUPLICATE_VALUE": ErrorClass.DUPLICATE,
    "DUPLICATES_DETECTED": ErrorClass.DUPLICATE,
    "DUPLICATE_EXTERNAL_ID": ErrorClass.DUPLICATE,
    "REQUIRED_FIELD_MISSING": ErrorClass.VALIDATION,
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": ErrorClass.VALIDATION,
    "STRING_TOO_LONG": ErrorClass.VALIDATION,
    "INVALID_EMAIL_ADDRESS": ErrorClass.VALIDATION,
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": ErrorClass.VALIDATION,
    "NUMBER_OUTSIDE_VALID_RANGE": ErrorClass.VALIDATION,
    "FIELD_INTEGRITY_EXCEPTION": ErrorClass.VALIDATION,
    "JSON_PARSER_ERROR": ErrorClass.VALIDATION,
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": ErrorClass.VALIDATION,
    "CANNOT_EXECUTE_FLOW_TRIGGER": ErrorClass.VALIDATION,
    "INVALID_CROSS_REFERENCE_KEY": ErrorClass.REFERENCE,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": ErrorClass.REFERENCE,
    "MALFORMED_ID": ErrorClass.REFERENCE,
    "INSUFFICIENT_ACCESS_OR_READONLY": ErrorClass.PERMISSION,
    "INSUFFICIENT_ACCESS": ErrorClass.PERMISSION,
    "API_DISABLED_FOR_ORG": ErrorClass.PERMISSION,
    "INVALID_FIELD": ErrorClass.SCHEMA,
    "INVALID_FIELD_FOR_INSERT_UPDATE": ErrorClass.SCHEMA,
    "INVALID_TYPE": ErrorClass.SCHEMA,
    "MALFORMED_QUERY": ErrorClass.SCHEMA,
    "NOT_FOUND": ErrorClass.NOT_FOUND,
    "ENTITY_IS_DELETED": ErrorClass.NOT_FOUND,
}

RETRYABLE_ROWS: Final = RETRYABLE_CLASSES - {ErrorClass.AUTH}
CONCURRENT_WAIT_SECONDS: Final = 5.0
"""How long to wait when too many long requests run at once; Salesforce sends no Retry-After."""

_WRAPPERS: Final = ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER")
_DUPLICATE: Final = re.compile(r"duplicate value found: (\w+) duplicates value on record with id: (\w{15,18})")


@dataclass(frozen=True, slots=True)
class RowError:
    """One error of Salesforce without its text: code, class, field names; for a taken unique value also whose it is."""

    code: str
    error_class: ErrorClass
    fields: tuple[str, ...] = ()
    taken_field: str | None = None
    taken_by: str | None = None

    @property
    def message(self) -> str:
        """Say code and fields, never values."""
        return f"{self.code} on {', '.join(self.fields)}" if self.fields else self.code

    @property
    def status(self) -> Status:
        """Tell whether the row may be written later."""
        return Status.RETRY if self.error_class in RETRYABLE_ROWS else Status.REFUSED


def row_error(errors: Sequence[Mapping[str, Any]]) -> RowError:
    """Choose the error that decides of a row: the first that refuses it for good, else the first."""
    read = [_one(error) for error in errors] or [RowError("UNKNOWN", ErrorClass.UNKNOWN)]
    return next((error for error in read if error.status is Status.REFUSED), read[0])


def _one(error: Mapping[str, Any]) -> RowError:
    code = str(error.get("statusCode") or error.get("errorCode") or error.get("error") or "UNKNOWN")
    text = str(error.get("message") or "")
    fields = tuple(str(name) for name in error.get("fields") or ())
    error_class = CLASSES.get(code, ErrorClass.UNKNOWN)
    if code == "REQUEST_LIMIT_EXCEEDED":
        error_class = ErrorClass.LIMIT_BURST if text.startswith("Concurrent") else ErrorClass.LIMIT_DAILY
    if code in _WRAPPERS and "UNABLE_TO_LOCK_ROW" in text:
        error_class = ErrorClass.LOCK
    taken = _DUPLICATE.search(text) if code == "DUPLICATE_VALUE" else None
    if taken is None:
        return RowError(code, error_class, fields)
    return RowError(code, error_class, fields or (taken[1],), taken[1], taken[2])


def judge(answer: object) -> Verdict:
    """Judge a whole call: simple-salesforce raises for every status from 300 on, so that any other answer is good."""
    if not isinstance(answer, Exception):
        return GOOD
    if not isinstance(answer, SalesforceError):
        raise answer
    status = answer.status
    content: Any = answer.content
    errors = content if isinstance(content, list) else [content] if isinstance(content, dict) else []
    error = row_error([e for e in errors if isinstance(e, dict)])
    code = error.code if errors else f"HTTP_{status}"
    if status == 401 or error.error_class is ErrorClass.AUTH:
        return Verdict(Kind.AUTH, ErrorClass.AUTH, code, processed=False)
    if error.error_class is ErrorClass.LIMIT_BURST or status in (420, 429):
        return Verdict(
            Kind.LIMIT, ErrorClass.LIMIT_BURST, code, retry_after_seconds=CONCURRENT_WAIT_SECONDS, processed=False
        )
    if error.error_class is ErrorClass.LIMIT_DAILY:
        return Verdict(Kind.LIMIT, ErrorClass.LIMIT_DAILY, code, processed=False)
    if error.error_class is ErrorClass.LOCK:
        return Verdict(Kind.TRANSIENT, ErrorClass.LOCK, code, processed=False)
    if (status >= 500 and status != 501) or status == 406 or error.error_class is ErrorClass.TRANSIENT:
        return Verdict(Kind.TRANSIENT, ErrorClass.TRANSIENT, code)
    fields = f"on {', '.join(error.fields)}" if error.fields else ""
    return Verdict(Kind.REFUSED, error.error_class, code, message=fields)
