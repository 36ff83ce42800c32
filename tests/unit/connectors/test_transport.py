"""Tell which calls are repeated, which waits are slept through, and what every failure becomes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3

from crm_sync.connectors import KINDS, build
from crm_sync.connectors.access import Access, address, secret
from crm_sync.connectors.transport import GOOD, Kind, Transport, Verdict, network_verdict
from crm_sync.errors import BadCredentials, BadSettings, CursorExpired, ErrorClass, LimitReached, Refused, Unreachable
from crm_sync.ports import Lane, Token
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec
from tests.unit.connectors.memory_ports import Ports

SPEC = ConnectionSpec(
    name="north",
    crm="salesforce",
    auth="client_credentials",
    address_env="NORTH_URL",
    secrets_env={"client_id": "NORTH_ID", "client_secret": "NORTH_SECRET"},
    mappings="salesforce",
    entities=("contact",),
)


@pytest.fixture
def ports() -> Ports:
    return Ports()


def answering(*answers: Any) -> Callable[[], Any]:
    """Give the answers one after another; exceptions are raised."""
    waiting = list(answers)

    def send() -> Any:
        answer = waiting.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return send


def by_itself(answer: Any) -> Verdict:
    """Judge: an answer that is a verdict is its own verdict, a text is good, other exceptions are unknown."""
    if isinstance(answer, Verdict):
        return answer
    if isinstance(answer, Exception):
        raise answer
    return GOOD


TROUBLE = Verdict(Kind.TRANSIENT, ErrorClass.TRANSIENT, code="SERVER_UNAVAILABLE")
BURST = Verdict(Kind.LIMIT, ErrorClass.LIMIT_BURST, code="429", retry_after_seconds=7.0, processed=False)
STALE_TOKEN = Verdict(Kind.AUTH, ErrorClass.AUTH, code="INVALID_SESSION_ID", processed=False)


def call(ports: Ports, *answers: Any, idempotent: bool = True, attempts: int = 5) -> Any:
    transport = Transport(SPEC, ports.services, attempts=attempts)
    return transport.call("read", answering(*answers), lane=Lane.OUTBOUND, idempotent=idempotent, judge=by_itself)


def test_a_good_answer_costs_one_counted_call_within_the_budget(ports: Ports) -> None:
    assert call(ports, "page") == "page"
    assert (ports.acquired, ports.counted, ports.slept) == ([Lane.OUTBOUND], [("read", True)], [])


def test_server_trouble_is_repeated_with_growing_jitter_and_every_attempt_is_counted(ports: Ports) -> None:
    assert call(ports, TROUBLE, TROUBLE, TROUBLE, "page") == "page"
    assert ports.counted == [("read", False)] * 3 + [("read", True)]
    assert len(ports.slept) == 3
    assert all(0 <= seconds <= 0.5 * 2**n for n, seconds in enumerate(ports.slept))


def test_attempts_run_out(ports: Ports) -> None:
    with pytest.raises(Unreachable, match="SERVER_UNAVAILABLE"):
        call(ports, TROUBLE, TROUBLE, TROUBLE, attempts=3)
    assert len(ports.counted) == 3
    assert ports.audited == [("read", "transient", "SERVER_UNAVAILABLE")]


def test_a_write_that_may_have_happened_is_not_repeated(ports: Ports) -> None:
    with pytest.raises(Unreachable) as caught:
        call(ports, requests.ConnectionError("reset"), "never asked", idempotent=False)
    assert caught.value.possibly_processed
    assert len(ports.counted) == 1


def test_a_write_that_never_arrived_is_repeated(ports: Ports) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    session = Transport.session(None, pool=1)
    transport = Transport(SPEC, ports.services, attempts=3)
    with pytest.raises(Unreachable) as caught:
        transport.call(
            "write",
            lambda: session.post(f"http://127.0.0.1:{port}/"),
            lane=Lane.OUTBOUND,
            idempotent=False,
            judge=by_itself,
        )
    assert not caught.value.possibly_processed
    assert transport.calls == 3


def test_a_burst_limit_is_waited_out_even_for_writes_and_pauses_everybody(ports: Ports) -> None:
    assert call(ports, BURST, "written", idempotent=False) == "written"
    assert ports.slept[0] >= 7.0
    assert ports.pauses == [(7.0, "read: 429")]


def test_a_wait_longer_than_a_minute_ends_the_call(ports: Ports) -> None:
    long = Verdict(Kind.LIMIT, ErrorClass.LIMIT_BURST, code="429", retry_after_seconds=61.0)
    with pytest.raises(LimitReached) as caught:
        call(ports, long, "never asked")
    assert caught.value.retry_after_seconds == 61.0
    assert ports.slept == []


def test_a_daily_limit_ends_the_call_and_pauses_the_connection(ports: Ports) -> None:
    with pytest.raises(LimitReached) as caught:
        call(ports, Verdict(Kind.LIMIT, ErrorClass.LIMIT_DAILY, code="REQUEST_LIMIT_EXCEEDED"))
    assert caught.value.error_class is ErrorClass.LIMIT_DAILY
    assert caught.value.retry_after_seconds == 900.0
    assert ports.pauses == [(900.0, "read: REQUEST_LIMIT_EXCEEDED")]


def test_a_refused_token_is_renewed_once_even_for_writes(ports: Ports) -> None:
    ports.stored = Token("old", None)
    assert call(ports, STALE_TOKEN, "written", idempotent=False) == "written"
    assert ports.stored is None


def test_a_token_refused_twice_is_bad_credentials(ports: Ports) -> None:
    with pytest.raises(BadCredentials, match="NORTH_SECRET"):
        call(ports, STALE_TOKEN, STALE_TOKEN, "never asked")


def test_a_refusal_keeps_its_class_and_code(ports: Ports) -> None:
    with pytest.raises(Refused) as caught:
        call(ports, Verdict(Kind.REFUSED, ErrorClass.SCHEMA, code="INVALID_FIELD"))
    assert (caught.value.error_class, caught.value.code) == (ErrorClass.SCHEMA, "INVALID_FIELD")


def test_a_verdict_may_bring_its_own_error(ports: Ports) -> None:
    with pytest.raises(CursorExpired):
        call(ports, Verdict(Kind.REFUSED, error=CursorExpired("gone")))


def test_what_no_judge_knows_is_not_swallowed(ports: Ports) -> None:
    with pytest.raises(ZeroDivisionError):
        call(ports, ZeroDivisionError())


def test_our_own_errors_pass_untouched(ports: Ports) -> None:
    with pytest.raises(BadSettings, match="mine"):
        call(ports, BadSettings("mine"))
    assert ports.counted == []


def test_urllib3_failures_are_network_failures_too() -> None:
    pool = urllib3.HTTPConnectionPool("127.0.0.1", 1)
    refused = urllib3.exceptions.NewConnectionError(urllib3.connection.HTTPConnection("127.0.0.1"), "refused")
    never = network_verdict(urllib3.exceptions.MaxRetryError(pool, "/", refused), "north")
    broke = network_verdict(urllib3.exceptions.ProtocolError("gone"), "north")
    assert never is not None and not never.processed
    assert broke is not None and broke.processed
    assert network_verdict(KeyError("x"), "north") is None


def test_the_session_has_a_timeout_and_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setattr("crm_sync.connectors.transport.READ_SECONDS", 0.05)

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release.wait(10)

    release = threading.Event()
    with HTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with Transport.session(None, pool=1) as session, pytest.raises(requests.ReadTimeout):
            session.get(f"http://127.0.0.1:{server.server_port}/")
        release.set()
        thread.join()


def test_a_missing_ca_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="CRM_SYNC_CA_BUNDLE"):
        Transport.session(tmp_path / "none.pem", pool=1)


def test_many_threads_fetch_one_token(ports: Ports) -> None:
    fetched: list[Token | None] = []

    def fetch(stored: Token | None) -> Token:
        fetched.append(stored)
        return Token("new", ports.time + timedelta(hours=1))

    access = Access("north", ports.services, fetch)
    threads = [threading.Thread(target=access.token) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == [None]
    assert access.token() == "new"


def test_a_token_near_its_end_is_renewed_with_the_stored_one_at_hand(ports: Ports) -> None:
    old = Token("old", ports.time + timedelta(seconds=30), refresh="grant")
    ports.stored = old
    given: list[Token | None] = []

    def fetch(stored: Token | None) -> Token:
        given.append(stored)
        return Token("new", None)

    assert Access("north", ports.services, fetch).token() == "new"
    assert given == [old]


def test_a_refused_token_is_not_forgotten_once_another_process_has_renewed_it(ports: Ports) -> None:
    ports.stored = Token("old", None)
    access = Access("north", ports.services, lambda _: Token("mine", None))
    assert access.token() == "old"
    ports.stored = Token("theirs", None)
    access.refused()
    assert access.token() == "theirs"
    access.refused()
    assert access.token() == "mine"


@pytest.mark.parametrize(
    ("environment", "said"), [({}, "NORTH_URL is not set"), ({"NORTH_URL": "http://x"}, "NORTH_URL is not an https")]
)
def test_a_wrong_address_names_its_variable(environment: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        address(SPEC, Settings.load(environment))


def test_a_missing_secret_names_its_variable() -> None:
    with pytest.raises(BadSettings, match="NORTH_SECRET"):
        secret(SPEC, Settings.load({"NORTH_ID": "x"}), "client_secret")
    with pytest.raises(BadSettings, match="names no variable"):
        secret(SPEC, Settings.load({}), "token")


def test_an_unknown_kind_of_crm_lists_the_known(ports: Ports) -> None:
    spec = ConnectionSpec("north", "siebel", "token", "U", {}, "siebel", ())
    with pytest.raises(BadSettings, match=", ".join(KINDS)):
        build(spec, ports.services, Settings.load({}))
