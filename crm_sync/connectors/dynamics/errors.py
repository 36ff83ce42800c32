"""What Dataverse's answers mean: one table of its codes, used for whole calls and for single parts of a $batch.

Codes decide, HTTP status only where there is no known code: Dataverse has moved statuses between versions. Messages are
ours: Dataverse's own texts quote field values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import requests

from crm_sync.connectors.transport import GOOD, Kind, Verdict
from crm_sync.errors import BadCredentials, CrmSyncError, CursorExpired, ErrorClass, Refused

ROW_NOT_FOUND: Final = frozenset({"0x80040217", "0x80060891"})
STALE: Final = "0x80060882"
KEY_TAKEN: Final = "0x80040237"
OTHER_KEY_TAKEN: Final = "0x80060892"
CURSOR_EXPIRED: Final = "0x80044352"
NOT_TRACKED: Final = "0x80072491"
BAD_REQUEST: Final = "0x80060888"

_CODES: Final[Mapping[str, tuple[ErrorClass, str]]] = {
    "0x80040217": (ErrorClass.NOT_FOUND, "no row with this id"),
    "0x80060891": (ErrorClass.NOT_FOUND, "no row with these key values"),
    "0x80060888": (
        ErrorClass.SCHEMA,
        "a property, address or option that the table does not know; `crm-sync provision --plan` lists what it lacks",
    ),
    "0x8006088a": (ErrorClass.SCHEMA, "a table that the environment does not know"),
    "0x80048d19": (ErrorClass.VALIDATION, "the body does not parse, such as a value of the wrong type"),
    "0x80040203": (ErrorClass.VALIDATION, "a bad argument"),
    "0x80040200": (ErrorClass.VALIDATION, "a required column is missing"),
    "0x80044331": (ErrorClass.VALIDATION, "a text longer than its column"),
    "0x80044330": (ErrorClass.VALIDATION, "a number out of its range"),
    "0x8004431a": (ErrorClass.VALIDATION, "an option that the column does not have"),
    "0x80040265": (ErrorClass.VALIDATION, "a plug-in of this environment refused the write"),
    KEY_TAKEN: (ErrorClass.DUPLICATE, "a row with this primary key exists"),
    OTHER_KEY_TAKEN: (ErrorClass.DUPLICATE, "an alternate key is taken by another row"),
    "0x80040333": (ErrorClass.DUPLICATE, "a duplicate detection rule found another row"),
    STALE: (ErrorClass.CONFLICT, "the row was changed since it was read"),
    "0x8006088d": (ErrorClass.SCHEMA, "the table does not support optimistic concurrency"),
    "0x80040220": (ErrorClass.PERMISSION, "a privilege is missing"),
    "0x80048306": (ErrorClass.PERMISSION, "no access to this row"),
    "0x80095ffc": (ErrorClass.PERMISSION, "the app is not on the environment's allow list"),
    CURSOR_EXPIRED: (ErrorClass.SCHEMA, "the change token has expired or the table's definition changed"),
    NOT_TRACKED: (ErrorClass.SCHEMA, "change tracking is off for this table; run `crm-sync provision --apply`"),
    "0x8004418a": (ErrorClass.VALIDATION, "the request is too large"),
    "0x80044150": (ErrorClass.LOCK, "a database error such as a deadlock"),
    "0x80044151": (ErrorClass.TRANSIENT, "the database timed out"),
    "0x80044339": (ErrorClass.LOCK, "a lock in the database"),
    "0x80048551": (ErrorClass.TRANSIENT, "the database was not reachable"),
    "0x80048553": (ErrorClass.TRANSIENT, "the database was not reachable"),
    "0x80048554": (ErrorClass.TRANSIENT, "the database was not reachable"),
    "0x80048559": (ErrorClass.TRANSIENT, "the database was not reachable"),
    "0x80048561": (ErrorClass.TRANSIENT, "the database was not reachable"),
    "0x80072322": (ErrorClass.LIMIT_BURST, "too many requests in 5 minutes"),
    "0x80072321": (ErrorClass.LIMIT_BURST, "too much execution time in 5 minutes"),
    "0x80072326": (ErrorClass.LIMIT_BURST, "too many concurrent requests"),
}
_NO_APPLICATION_USER: Final = "0x80072560"
_STATUSES: Final[Mapping[int, tuple[ErrorClass, str]]] = {
    403: (ErrorClass.PERMISSION, "forbidden"),
    404: (ErrorClass.NOT_FOUND, "not found"),
    405: (ErrorClass.SCHEMA, "method not allowed"),
    412: (ErrorClass.CONFLICT, "precondition failed"),
    413: (ErrorClass.VALIDATION, "the request is too large"),
    429: (ErrorClass.LIMIT_BURST, "too many requests"),
}
_KINDS: Final[Mapping[ErrorClass, Kind]] = {
    ErrorClass.LIMIT_BURST: Kind.LIMIT,
    ErrorClass.TRANSIENT: Kind.TRANSIENT,
    ErrorClass.LOCK: Kind.TRANSIENT,
}
_PARSE: Final = "0x80048d19"
_UNKNOWN_PROPERTY: Final = re.compile(
    r"invalid property|undeclared property|could not find a property|does not exist on type", re.IGNORECASE
)
_MISSING_ROW: Final = re.compile(r"(\w+)'? With Id", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Fault:
    """One error in our words; `message` is free of field values; `table` is the one whose row is missing."""

    error_class: ErrorClass
    code: str
    message: str
    table: str = ""


def fault(status: int, body: bytes, sent: Collection[str] = ()) -> Fault:
    """Classify an error answer; of its text only the names among `sent` (the fields of the request) are kept."""
    code, text = _error(body)
    known = _CODES.get(code)
    if known is None:
        known = _STATUSES.get(status)
    if known is None:
        known = (
            (ErrorClass.TRANSIENT, "the server had trouble") if status >= 500 else (ErrorClass.VALIDATION, "refused")
        )
    error_class, meaning = known
    if code == _PARSE and _UNKNOWN_PROPERTY.search(text):
        error_class, meaning = ErrorClass.SCHEMA, "a property that the table does not know"
    named = sorted(set(_WORD.findall(text)) & set(sent))
    fields = f" (column {', '.join(named)})" if named else ""
    missing = _MISSING_ROW.search(text) if error_class is ErrorClass.NOT_FOUND else None
    return Fault(
        error_class, code or f"HTTP {status}", f"{meaning}{fields}", missing.group(1).lower() if missing else ""
    )


def _error(body: bytes) -> tuple[str, str]:
    try:
        error: Any = orjson.loads(body)["error"]
        return str(error.get("code") or "").lower(), str(error.get("message") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return "", ""


def judge(answer: requests.Response | Exception, sent: Collection[str] = ()) -> Verdict:
    """Judge one answer of the Web API; `sent` as in `fault`."""
    if isinstance(answer, Exception):
        raise answer
    status = answer.status_code
    if status < 400:
        return _success(answer)
    if status == 401:
        return Verdict(
            Kind.AUTH, ErrorClass.AUTH, code="HTTP 401", message="the access token was refused", processed=False
        )
    found = fault(status, answer.content, sent)
    kind = _KINDS.get(found.error_class, Kind.REFUSED)
    return Verdict(
        kind,
        found.error_class,
        code=found.code,
        message=found.message,
        retry_after_seconds=retry_after(answer.headers.get("Retry-After")),
        processed=kind is not Kind.LIMIT,
        error=_settled(found),
    )


def _success(answer: requests.Response) -> Verdict:
    kind = answer.headers.get("Content-Type", "").lower()
    if answer.status_code == 200 and not kind.startswith(("application/json", "multipart/mixed")):
        return Verdict(
            Kind.TRANSIENT, ErrorClass.TRANSIENT, code="HTTP 200", message="the answer is not of the Web API"
        )
    return GOOD


def _settled(found: Fault) -> CrmSyncError | None:
    if found.code == CURSOR_EXPIRED:
        return CursorExpired(
            f"{found.code}: {found.message}; everything must be read again.",
            error_class=ErrorClass.SCHEMA,
            code=found.code,
        )
    if found.code == _NO_APPLICATION_USER:
        return BadCredentials(
            f"{found.code}: the app is known to Entra ID but has no application user in this environment. Add one in "
            "the Power Platform admin centre and give it a security role."
        )
    return None


def stream_lost(error: Refused) -> bool:
    """Tell whether a stored link was refused because it no longer leads anywhere."""
    return error.code in {CURSOR_EXPIRED, BAD_REQUEST, "0x80040203", "0x80048d19"}


def retry_after(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header; None where there is none in seconds."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
