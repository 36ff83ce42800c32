"""Every error of the library, grouped by what to do about it.

    CrmSyncError
    +-- Misconfigured          a person must change something before a retry makes sense (exit code 2)
    |   +-- BadSpec            config/ holds mistakes; all of them are listed
    |   +-- BadSettings        environment, address, port, directory or key
    |   +-- BadCredentials     the CRM refused who we say we are
    +-- Retryable              the same call may work later, nothing was lost
    |   +-- Unreachable        no answer; for a write the outcome may be unknown
    |   +-- LimitReached       a rate limit or quota; carries how long to wait
    +-- Refused                the CRM refused this request for good
    |   +-- CursorExpired      the position in the change stream is gone: read everything again
    +-- Busy                   another run holds the lock; it will do the work
    +-- LostLock               our lock was taken over while we worked; the transaction was rolled back
    +-- StoreTrouble           the database refused or failed a statement; the transaction was rolled back

Messages say what was found, what was expected, where, and the next step. They never carry a field's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ErrorClass(StrEnum):
    """What kind of trouble a CRM reported; each has one action."""

    AUTH = "auth"
    LIMIT_BURST = "limit_burst"
    LIMIT_DAILY = "limit_daily"
    LOCK = "lock"
    VALIDATION = "validation"
    DUPLICATE = "duplicate"
    REFERENCE = "reference"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    SCHEMA = "schema"
    CONFLICT = "conflict"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"


RETRYABLE_CLASSES = frozenset(
    {ErrorClass.AUTH, ErrorClass.LIMIT_BURST, ErrorClass.LIMIT_DAILY, ErrorClass.LOCK, ErrorClass.TRANSIENT}
)


class CrmSyncError(Exception):
    """Base of all errors that the library raises on purpose."""

    exit_code = 1


class Misconfigured(CrmSyncError):
    """A person must change something first."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in config/: where it is, what is wrong, and what may have been meant."""

    file: str
    line: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.file}:{self.line}: {self.message}{hint}"


class BadSpec(Misconfigured):
    """The rule files hold mistakes; `mistakes` lists every one of them."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        lines = "\n".join(f"  {m}" for m in mistakes)
        noun = "mistake" if len(mistakes) == 1 else "mistakes"
        super().__init__(f"{len(mistakes)} {noun} in the rule files; mend and run `crm-sync check`:\n{lines}")


class BadSettings(Misconfigured):
    """The environment does not allow the work: a variable, address, port, directory or key."""


class BadCredentials(Misconfigured):
    """The CRM refused our credentials."""


class Retryable(CrmSyncError):
    """Nothing was lost; the same call may work later."""


class Unreachable(Retryable):
    """No usable answer. For a write the outcome is unknown until it is read back, unless the call never arrived."""

    def __init__(self, message: str, *, possibly_processed: bool = True) -> None:
        super().__init__(message)
        self.possibly_processed = possibly_processed


class LimitReached(Retryable):
    """A limit of the CRM was hit."""

    def __init__(self, message: str, *, error_class: ErrorClass, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.retry_after_seconds = retry_after_seconds


class Refused(CrmSyncError):
    """The CRM refused the request for good; a repetition would be refused too."""

    def __init__(self, message: str, *, error_class: ErrorClass = ErrorClass.UNKNOWN, code: str = "") -> None:
        super().__init__(message)
        self.error_class = error_class
        self.code = code


class CursorExpired(Refused):
    """The position in the CRM's change stream is gone; a full read must follow."""


class Busy(CrmSyncError):
    """Another run holds the lock; it does the work, so nothing is lost."""


class LostLock(CrmSyncError):
    """Our lock was taken over while we worked; the transaction was rolled back."""


class StoreTrouble(CrmSyncError):
    """The database refused or failed a statement; the transaction was rolled back.

    Never carries what the server says of it, as that may hold values: only names and codes.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code
