"""One way to make an API call: within the budget, counted, retried where that is safe, errors translated.

Belongs here: what is true of any HTTP API. Not here: what one CRM's answers mean (its errors.py), tokens (access.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import requests
import urllib3.exceptions as wire
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

from crm_sync.errors import (
    BadCredentials,
    BadSettings,
    CrmSyncError,
    ErrorClass,
    LimitReached,
    Refused,
    Unreachable,
)
from crm_sync.ports import Lane, Services
from crm_sync.specs.model import ConnectionSpec

T = TypeVar("T")

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 120.0
LONGEST_WAIT_SECONDS: Final = 60.0
"""A longer wait is not slept through: the run ends, says so, and a later run goes on."""
DAILY_PAUSE_SECONDS: Final = 900.0
"""How long to leave a CRM alone that is out of its daily quota and does not say until when."""


class Kind(StrEnum):
    """What to do about an answer.

    GOOD       use it
    TRANSIENT  the server had trouble, or there was no answer: again, where that cannot write twice
    LIMIT      a rate limit or quota (`error_class` says which; such calls were not processed)
    AUTH       the token was refused: forget it, fetch another, once
    REFUSED    for good
    """

    GOOD = "good"
    TRANSIENT = "transient"
    LIMIT = "limit"
    AUTH = "auth"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a CRM's errors.py judges one answer.

    `code` and `message` carry no field values. `processed` is False where the CRM certainly did not process the request
    (only then may a call that is not idempotent be repeated). `error`, where given, is raised in the end instead of the
    kind's own (CursorExpired, BadSettings).
    """

    kind: Kind
    error_class: ErrorClass | None = None
    code: str = ""
    message: str = ""
    retry_after_seconds: float | None = None
    processed: bool = True
    error: CrmSyncError | None = None


GOOD: Final = Verdict(Kind.GOOD)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt's answer (or exception), its verdict, and whether another attempt is right."""

    answer: Any
    verdict: Verdict
    again: bool


class Transport:
    """Makes the calls of one connection; safe to use from several threads.

    `on_refused_token` runs after a refused token (default: forget the stored one); the next attempt's `send` must fetch
    a token anew.
    """

    def __init__(
        self,
        connection: ConnectionSpec,
        services: Services,
        *,
        attempts: int = 5,
        on_refused_token: Callable[[], None] | None = None,
    ) -> None:
        self.connection = connection
        self.services = services
        self._attempts = attempts
        self.on_refused_token = on_refused_token or (lambda: services.tokens.forget(connection.name))
        self._here = threading.local()

    @property
    def calls(self) -> int:
        """Count the attempts that the current thread has made so far; take differences to fill `Page.calls`."""
        return getattr(self._here, "calls", 0)

    def call(
        self,
        operation: str,
        send: Callable[[], T],
        *,
        lane: Lane,
        idempotent: bool,
        judge: Callable[[T | Exception], Verdict],
    ) -> T:
        """Make a call and return the answer that the judge calls good.

        Network exceptions (requests, urllib3) are judged here, everything else by `judge`, which re-raises what it does
        not know. A CrmSyncError from `send` passes untouched. Raises BadCredentials, LimitReached, Unreachable (its
        `possibly_processed` says whether a write may have happened), Refused, or the verdict's own error.
        """
        backoff = wait_random_exponential(multiplier=0.5, max=20.0)
        refused_tokens = 0

        def attempt() -> _Attempt:
            nonlocal refused_tokens
            self.services.budget.acquire(self.connection.name, lane)
            answer: T | Exception
            try:
                answer = send()
                verdict = judge(answer)
            except CrmSyncError:
                raise
            except Exception as error:  # the judge re-raises what it does not know
                answer = error
                verdict = network_verdict(error, self.connection.name) or judge(error)
            self._count(operation, verdict)
            if verdict.kind is Kind.AUTH:
                refused_tokens += 1
                self.on_refused_token()
                return _Attempt(answer, verdict, again=refused_tokens == 1)
            return _Attempt(answer, verdict, again=self._repeatable(verdict, idempotent))

        def wait(state: RetryCallState) -> float:
            verdict: Verdict = state.outcome.result().verdict if state.outcome else GOOD
            if verdict.kind is Kind.AUTH:
                return 0.0
            return max(verdict.retry_after_seconds or 0.0, backoff(state))

        retrying = Retrying(
            sleep=self.services.clock.sleep,
            stop=stop_after_attempt(self._attempts),
            wait=wait,
            retry=retry_if_result(lambda made: made.again),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        last: _Attempt = retrying(attempt)
        if last.verdict.kind is Kind.GOOD:
            answer: T = last.answer
            return answer
        raise self._failure(operation, last.verdict) from None

    def _count(self, operation: str, verdict: Verdict) -> None:
        self._here.calls = self.calls + 1
        name = self.connection.name
        self.services.journal.call(name, operation, ok=verdict.kind is Kind.GOOD)
        if verdict.kind is Kind.LIMIT:
            seconds = verdict.retry_after_seconds
            if verdict.error_class is ErrorClass.LIMIT_DAILY:
                seconds = seconds or DAILY_PAUSE_SECONDS
            if seconds:
                self.services.budget.pause(name, seconds, f"{operation}: {verdict.code or verdict.error_class}")

    @staticmethod
    def _repeatable(verdict: Verdict, idempotent: bool) -> bool:
        if (verdict.retry_after_seconds or 0.0) > LONGEST_WAIT_SECONDS:
            return False
        if verdict.kind is Kind.LIMIT:
            return verdict.error_class is not ErrorClass.LIMIT_DAILY
        return verdict.kind is Kind.TRANSIENT and (idempotent or not verdict.processed)

    def _failure(self, operation: str, verdict: Verdict) -> CrmSyncError:
        name = self.connection.name
        detail = " ".join(part for part in (verdict.code, verdict.message) if part)
        self.services.journal.operation(name, operation, verdict.kind.value, detail)
        if verdict.error is not None:
            return verdict.error
        said = f"{name}: {operation}: {detail or verdict.kind.value}"
        if verdict.kind is Kind.AUTH:
            return BadCredentials(
                f"{said}. The CRM refused a token that it had just issued. Check the app's permissions and the "
                f"variables {', '.join(self.connection.secrets_env.values())}."
            )
        if verdict.kind is Kind.LIMIT:
            error_class = verdict.error_class or ErrorClass.LIMIT_BURST
            seconds = verdict.retry_after_seconds
            if seconds is None and error_class is ErrorClass.LIMIT_DAILY:
                seconds = DAILY_PAUSE_SECONDS
            return LimitReached(said, error_class=error_class, retry_after_seconds=seconds)
        if verdict.kind is Kind.TRANSIENT:
            return Unreachable(said, possibly_processed=verdict.processed)
        return Refused(said, error_class=verdict.error_class or ErrorClass.UNKNOWN, code=verdict.code)

    @staticmethod
    def session(ca_bundle: Path | None, pool: int) -> requests.Session:
        """Make a session with timeouts on every request, no hidden retries, and nothing taken from the environment."""
        session = requests.Session()
        session.trust_env = False
        if ca_bundle is not None:
            if not ca_bundle.is_file():
                raise BadSettings(
                    f"CRM_SYNC_CA_BUNDLE names {ca_bundle}, which is not a file. Expected a PEM file; unset the "
                    "variable to trust the system's certificates."
                )
            session.verify = str(ca_bundle)
        session.mount("https://", _TimeoutAdapter(pool))
        session.mount("http://", _TimeoutAdapter(pool))
        return session


class _TimeoutAdapter(HTTPAdapter):
    """Adds a timeout to requests that were sent without one."""

    def __init__(self, pool: int) -> None:
        super().__init__(pool_connections=4, pool_maxsize=pool, max_retries=0, pool_block=False)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send with the default timeout where the caller gave none."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (CONNECT_SECONDS, READ_SECONDS)
        return super().send(request, *args, **kwargs)


def network_verdict(error: BaseException, connection: str) -> Verdict | None:
    """Judge an exception of requests or urllib3; None where it is neither.

    A connection that was never made is certainly not processed; one that broke later possibly is.
    """
    chain = list(_chain(error))
    if not any(isinstance(link, requests.RequestException | wire.HTTPError) for link in chain):
        return None
    names = type(error).__name__
    if any(isinstance(link, requests.exceptions.SSLError | wire.SSLError) for link in chain):
        text = " ".join(str(link) for link in chain)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            settled = BadSettings(
                f"{connection}: the CRM's certificate is not trusted. Check the address, and CRM_SYNC_CA_BUNDLE where "
                "the CRM uses a private certificate authority."
            )
            return Verdict(Kind.REFUSED, code="CERTIFICATE", message="certificate not trusted", error=settled)
    never_arrived = (wire.NewConnectionError, wire.ConnectTimeoutError, requests.exceptions.ConnectTimeout)
    if any(isinstance(link, never_arrived) for link in chain):
        return Verdict(
            Kind.TRANSIENT, ErrorClass.TRANSIENT, code=names, message="no connection could be made", processed=False
        )
    bad_address = (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema)
    if any(isinstance(link, bad_address) for link in chain):
        wrong = BadSettings(f"{connection}: the address is not a URL. Expected something like https://host[:port].")
        return Verdict(Kind.REFUSED, code="ADDRESS", message="not a URL", error=wrong)
    broke = "the connection broke before an answer came"
    return Verdict(Kind.TRANSIENT, ErrorClass.TRANSIENT, code=names, message=broke)


def _chain(error: BaseException) -> list[BaseException]:
    """List an exception with what it wraps: causes, contexts, urllib3's `reason`, exceptions among its arguments."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 20:
        link = waiting.pop()
        if not isinstance(link, BaseException) or link in found:
            continue
        found.append(link)
        waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return found
