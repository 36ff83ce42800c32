"""Judge HubSpot's answers: one table of status, category and code -> what to do about it.

HubSpot's messages repeat field values, so only codes and property names leave this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from crm_sync.connectors.transport import GOOD, Kind, Verdict
from crm_sync.errors import RETRYABLE_CLASSES, BadCredentials, ErrorClass, Refused
from crm_sync.records import Status

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `document` is the parsed JSON object, None where the body was none."""

    status: int
    headers: Mapping[str, str]
    document: dict[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fault:
    """What one error object of HubSpot says, without field values."""

    error_class: ErrorClass
    code: str
    message: str
    existing_id: str | None = None
    fields: tuple[str, ...] = ()


class Rejected(Refused):
    """A whole request was refused and nothing of it was done."""

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(message, error_class=fault.error_class, code=fault.code)
        self.fault = fault

    @property
    def is_of_all(self) -> bool:
        """Tell whether no part of the request could have passed either (a permission, not an input)."""
        return self.fault.error_class is ErrorClass.PERMISSION


CODES: Final[Mapping[str, ErrorClass]] = {
    "PROPERTY_DOESNT_EXIST": ErrorClass.SCHEMA,
    "READ_ONLY_VALUE": ErrorClass.SCHEMA,
    "INVALID_OPTION": ErrorClass.VALIDATION,
    "INVALID_EMAIL": ErrorClass.VALIDATION,
    "CONFLICTING_UNIQUE_VALUE": ErrorClass.DUPLICATE,
}
CATEGORIES: Final[Mapping[str, ErrorClass]] = {
    "VALIDATION_ERROR": ErrorClass.VALIDATION,
    "CONFLICT": ErrorClass.DUPLICATE,
    "OBJECT_NOT_FOUND": ErrorClass.NOT_FOUND,
    "MISSING_SCOPES": ErrorClass.PERMISSION,
    "BANNED": ErrorClass.PERMISSION,
    "RATE_LIMITS": ErrorClass.LIMIT_BURST,
    "RATE_LIMIT": ErrorClass.LIMIT_BURST,
    "INVALID_AUTHENTICATION": ErrorClass.AUTH,
    "EXPIRED_AUTHENTICATION": ErrorClass.AUTH,
    "INTERNAL_ERROR": ErrorClass.TRANSIENT,
}
STATUSES: Final[Mapping[int, ErrorClass]] = {
    400: ErrorClass.VALIDATION,
    403: ErrorClass.PERMISSION,
    404: ErrorClass.NOT_FOUND,
    409: ErrorClass.DUPLICATE,
    414: ErrorClass.VALIDATION,
}
TRANSIENT_STATUSES: Final = frozenset({500, 502, 503, 504, 520, 521, 522, 523, 524})
LOCK_STATUS, MIGRATING_STATUS, BAD_TOKEN_STATUS = 423, 477, 530
LOCK_SECONDS: Final = 2.0
BURST_SECONDS: Final[Mapping[str, float]] = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0}
"""How long HubSpot's own client waits by kind of limit where no Retry-After is sent."""

_PROPERTY_ERRORS = "Property values were not valid: "
_EXISTING_ID = re.compile(r"Existing ID:\s*(\d+)")
_CODE = re.compile(r'"error"\s*:\s*"([A-Z_]+)"')
_NAME = re.compile(r"^[A-Za-z0-9_.]{1,100}$")


def read_fault(document: Document | None, status: int | None = None) -> Fault:
    """Read one error object, of a whole answer or of one input of a batch (there `status` is None)."""
    document = document or {}
    message = str(document.get("message") or "")
    problems = _problems(document, message)
    codes = list(dict.fromkeys(code for code, _ in problems if code))
    names = list(dict.fromkeys(name for _, name in problems if name))
    category = str(document.get("category") or document.get("policyName") or document.get("errorType") or "")
    code = codes[0] if codes else category or (f"HTTP_{status}" if status else "")
    known = [CODES[one] for one in codes if one in CODES]
    # A broken schema or value stays broken when the duplicate is gone, so the most final class speaks for the row.
    final = [one for one in known if one is not ErrorClass.DUPLICATE] or known
    error_class = final[0] if final else CATEGORIES.get(category) or STATUSES.get(status or 0) or ErrorClass.UNKNOWN
    existing = _EXISTING_ID.search(message)
    listed = f"codes {', '.join(codes)}" if len(codes) > 1 else ""
    where = f"properties {', '.join(names)}" if names else ""
    text = "; ".join(part for part in (listed, where) if part)
    if existing is None:
        return Fault(error_class, code, text, fields=tuple(names))
    # The only value by which HubSpot itself finds that a contact exists already is its e-mail address.
    return Fault(error_class, code, text or "properties email", existing.group(1), tuple(names) or ("email",))


def _problems(document: Document, message: str) -> list[tuple[str, str]]:
    """List (code, property name) of the single problems, from the JSON inside the message and from `errors`."""
    found: list[tuple[str, str]] = []
    at = message.find(_PROPERTY_ERRORS)
    if at >= 0:
        try:
            entries = orjson.loads(message[at + len(_PROPERTY_ERRORS) :])
            found += [(str(one.get("error") or ""), _name(one.get("name"))) for one in entries if isinstance(one, dict)]
        except orjson.JSONDecodeError:
            found += [(code, "") for code in _CODE.findall(message)]
    for one in document.get("errors") or []:
        if isinstance(one, dict):
            names = (one.get("context") or {}).get("propertyName") or [""]
            found += [(str(one.get("code") or ""), _name(name)) for name in names]
    return found


def _name(given: object) -> str:
    """Return a property name; anything else could be a value."""
    return given if isinstance(given, str) and _NAME.match(given) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, None where there is none that can be read."""
    text = headers.get("Retry-After") or headers.get("retry-after") or ""
    try:
        return max(0.0, float(text))
    except ValueError:
        return None


def judge(answer: Answer | Exception) -> Verdict:
    """Judge an answer of any CRM call; re-raise an exception that is not HubSpot's."""
    if isinstance(answer, UnicodeDecodeError):
        return Verdict(Kind.TRANSIENT, ErrorClass.TRANSIENT, code="NOT_TEXT", message="the error page is not text")
    if isinstance(answer, Exception):
        raise answer
    status = answer.status
    if 200 <= status < 300:
        if answer.document is None and status != 204:
            return Verdict(
                Kind.TRANSIENT, ErrorClass.TRANSIENT, code="NOT_JSON", message=f"{status} without a JSON object"
            )
        return GOOD
    fault = read_fault(answer.document, status)
    if status == 401:
        return Verdict(Kind.AUTH, ErrorClass.AUTH, fault.code, "the token was refused", processed=False)
    if status == 429:
        return _judge_limit(answer, fault)
    if status == LOCK_STATUS:
        seconds = max(LOCK_SECONDS, retry_after(answer.headers) or 0.0)
        return Verdict(Kind.TRANSIENT, ErrorClass.LOCK, fault.code, "locked", seconds, processed=False)
    if status == MIGRATING_STATUS:
        seconds = retry_after(answer.headers) or LOCK_SECONDS
        return Verdict(Kind.TRANSIENT, ErrorClass.TRANSIENT, fault.code, "account is moving", seconds, processed=False)
    if status in TRANSIENT_STATUSES:
        return Verdict(
            Kind.TRANSIENT, ErrorClass.TRANSIENT, fault.code, f"status {status}", retry_after(answer.headers)
        )
    if status == BAD_TOKEN_STATUS:
        return Verdict(Kind.AUTH, ErrorClass.AUTH, fault.code, "the token is malformed", processed=False)
    said = f"HubSpot refused the request: status {status}, {' '.join(x for x in (fault.code, fault.message) if x)}"
    return Verdict(
        Kind.REFUSED,
        fault.error_class,
        fault.code,
        fault.message,
        processed=False,
        error=Rejected(said, fault),
    )


def _judge_limit(answer: Answer, fault: Fault) -> Verdict:
    document = answer.document or {}
    policy = str(document.get("policyName") or "").upper()
    text = str(document.get("message") or "").lower()
    seconds = retry_after(answer.headers)
    if policy == "DAILY" or ("daily" in text and not policy):
        return Verdict(
            Kind.LIMIT, ErrorClass.LIMIT_DAILY, policy or fault.code, "daily limit", seconds, processed=False
        )
    if seconds is None:
        seconds = (
            BURST_SECONDS.get(policy) or BURST_SECONDS["TEN_SECONDLY_ROLLING" if "ten_secondly" in text else "SECONDLY"]
        )
    return Verdict(Kind.LIMIT, ErrorClass.LIMIT_BURST, policy or fault.code, "rate limit", seconds, processed=False)


def judge_static_token(connection: str, variable: str) -> Verdict:
    """Return what a refused private-app token means: nobody but a person can mend it."""
    said = (
        f"{connection}: HubSpot refused the private-app token. Create or rotate one there (Settings, Integrations) "
        f"with the scopes for contacts, companies and their schemas, and put it into the variable {variable}."
    )
    return Verdict(Kind.REFUSED, ErrorClass.AUTH, "INVALID_AUTHENTICATION", "token refused", error=BadCredentials(said))


def judge_token_answer(answer: Answer | Exception, connection: str, variables: str) -> Verdict:
    """Judge an answer of the OAuth token endpoint, whose errors have `status` where others have `category`."""
    verdict = judge(answer)
    if verdict.kind not in (Kind.REFUSED, Kind.AUTH) or isinstance(answer, Exception):
        return verdict
    document = answer.document or {}
    code = _name(document.get("status")) or _name(document.get("error")) or f"HTTP_{answer.status}"
    said = (
        f"{connection}: HubSpot issued no access token ({code}). Check the variables {variables}; install the app anew "
        "where the refresh token was revoked."
    )
    return Verdict(Kind.REFUSED, ErrorClass.AUTH, code, "no token", processed=False, error=BadCredentials(said))


def status_of(error_class: ErrorClass) -> Status:
    """Tell what becomes of a command whose input HubSpot refused for this reason (nothing was written)."""
    if error_class in RETRYABLE_CLASSES:
        return Status.RETRY
    return Status.REFUSED
