"""Every connector turns broken connections, limits and refused credentials into what the flows understand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from crm_sync.connectors.base import Connector
from crm_sync.errors import BadCredentials, BadSettings, ErrorClass, LimitReached, Unreachable
from crm_sync.records import Status
from tests.contract.ports_fake import MemoryServices, services
from tests.contract.side import LANE, Side


@contextmanager
def connected(side: Side, ports: MemoryServices, **how: object) -> Iterator[Connector]:
    connector = side.connect(ports=ports, **how)  # type: ignore[arg-type]
    try:
        yield connector
    finally:
        connector.close()


def test_a_create_whose_answer_was_lost_is_unknown_and_never_doubled(side: Side) -> None:
    commands = [side.command(side.contact, last_name=f"Lost {n}") for n in range(3)]
    side.fault("drop_after", side.facts.creates, method="POST")
    outcomes = side.write(side.contact, *commands)
    assert [o.status for o in outcomes] == [Status.UNKNOWN] * 3
    found = side.connector.fetch_by_key(side.contact, [str(c.hub_id) for c in commands], LANE)
    assert sorted(map(str, found.hub_ids)) == sorted(str(c.hub_id) for c in commands)
    outcomes = side.write(side.contact, *commands)
    assert [o.status for o in outcomes] == [Status.CHANGED] * 3
    assert [len(side.holders(side.contact, c.hub_id)) for c in commands] == [1, 1, 1]


def test_a_create_that_may_not_have_arrived_is_unknown_and_can_be_repeated(side: Side) -> None:
    command = side.command(side.contact, last_name="Never arrived")
    side.fault("drop_before", side.facts.creates, method="POST")
    [outcome] = side.write(side.contact, command)
    assert outcome.status is Status.UNKNOWN
    assert len(side.connector.fetch_by_key(side.contact, [str(command.hub_id)], LANE)) == 0
    [outcome] = side.write(side.contact, command)
    assert outcome.status is Status.DELIVERED


def test_an_update_whose_answer_was_lost_is_unknown(side: Side) -> None:
    id = side.created(side.contact, last_name="Lost update")
    command = side.seen(side.contact, side.command(side.contact, id, job_title="Written"))
    side.fault("drop_after", side.facts.updates, method="POST")
    [outcome] = side.write(side.contact, command)
    assert (outcome.status, outcome.record_id) == (Status.UNKNOWN, id)
    assert side.stored(side.contact, id)["job_title"] == "Written"


def test_a_broken_read_is_repeated(side: Side) -> None:
    expected = set(side.everything(side.account))
    side.fault("drop_after", side.facts.reads, times=2)
    pages = list(side.connector.snapshot(side.account, None, LANE))
    assert expected <= {id for page in pages for id in page.batch.record_ids}
    side.fault("status", side.facts.reads, status=503, body="<html>Service Unavailable</html>")
    assert list(side.connector.snapshot(side.account, None, LANE))
    assert side.services.clock.slept


def test_a_crm_that_is_down_is_unreachable_and_writes_are_kept(side: Side) -> None:
    command = side.command(side.account, name="Kept")
    side.warm()
    side.control("down", {"down": True})
    with pytest.raises(Unreachable) as caught:
        list(side.connector.snapshot(side.account, None, LANE))
    assert side.connection.name in str(caught.value)
    [outcome] = side.write(side.account, command)
    assert outcome.status in (Status.UNKNOWN, Status.RETRY)
    side.control("down", {"down": False})
    [outcome] = side.write(side.account, command)
    assert outcome.status is Status.DELIVERED


def test_a_burst_limit_is_waited_out_within_the_budget(side: Side) -> None:
    ports = services()
    with connected(side, ports) as connector:
        side.warm(connector)
        before = ports.journal.failed_calls
        side.control("faults", [{"action": "status", "path": side.facts.reads, "times": 2, **side.facts.burst}])
        assert list(connector.snapshot(side.account, None, LANE))
        assert ports.journal.failed_calls == before + 2
        assert ports.clock.slept
        assert sum(ports.budget.acquired.values()) == ports.journal.calls
        command = side.command(side.account, name="After the burst")
        side.control("faults", [{"action": "status", "path": side.facts.creates, "method": "POST", **side.facts.burst}])
        [outcome] = connector.write(side.account, [command], LANE)
        assert outcome.status is Status.DELIVERED
        assert len(side.holders(side.account, command.hub_id)) == 1


def test_a_used_up_quota_ends_the_run_and_pauses_the_connection(side: Side) -> None:
    ports = services()
    with connected(side, ports) as connector:
        side.warm(connector)
        side.control("faults", [{"action": "status", "path": side.facts.reads, "times": 99, **side.facts.daily}])
        with pytest.raises(LimitReached) as caught:
            list(connector.snapshot(side.account, None, LANE))
        assert caught.value.error_class in (ErrorClass.LIMIT_DAILY, ErrorClass.LIMIT_BURST)
        assert caught.value.retry_after_seconds is None or caught.value.retry_after_seconds > 60
        assert ports.budget.pauses and ports.budget.pauses[-1][1] > 60
        side.reset()
        side.control("faults", [{"action": "status", "path": side.facts.creates, "times": 99, **side.facts.daily}])
        command = side.command(side.account, name="Tomorrow")
        [outcome] = connector.write(side.account, [command], LANE)
        assert outcome.status is Status.RETRY
        assert outcome.error_class in (ErrorClass.LIMIT_DAILY, ErrorClass.LIMIT_BURST)
        assert side.holders(side.account, command.hub_id) == []


def test_real_limits_are_kept_to_by_waiting(side: Side) -> None:
    """The emulator's own limits, not a fault: whatever it answers, nothing is lost and nothing leaks."""
    side.control("knobs", {"limits": True})
    commands = [side.command(side.account, name=f"Limited {n}") for n in range(5)]
    outcomes = side.write(side.account, *commands)
    assert {o.status for o in outcomes} <= {Status.DELIVERED, Status.RETRY}


def test_wrong_credentials_are_named_and_never_shown(side: Side) -> None:
    wrong = {side.facts.wrong_secret: "pat-na1-certainly-not-the-secret"}
    ports = services()
    with connected(side, ports, environment=wrong) as connector:
        with pytest.raises(BadCredentials) as caught:
            list(connector.snapshot(side.account, None, LANE))
        assert "certainly-not" not in str(caught.value) and side.connection.name in str(caught.value)
        with pytest.raises(BadCredentials):
            connector.write(side.account, [side.command(side.account, name="Never")], LANE)
        assert not any("certainly-not" in str(row) for row in ports.journal.rows)


def test_a_missing_secret_names_its_variable(side: Side) -> None:
    with (
        pytest.raises(BadSettings, match=side.facts.wrong_secret),
        connected(side, services(), environment={side.facts.wrong_secret: ""}) as connector,
    ):
        side.warm(connector)


def test_an_expired_token_is_renewed_once_for_all(side: Side) -> None:
    ports = services()
    threads: list[threading.Thread] = []
    failures: list[BaseException] = []
    with connected(side, ports, oauth=True) as one, connected(side, ports, oauth=True) as other:
        side.warm(one)
        assert ports.tokens.puts == 1
        side.control("tokens/expire", {})
        side.control("calls/reset", {})
        start = threading.Barrier(4)

        def read(connector: Connector) -> None:
            try:
                start.wait(10)
                list(connector.snapshot(side.account, None, LANE))
            except BaseException as error:
                failures.append(error)

        threads += [threading.Thread(target=read, args=(c,)) for c in (one, one, other, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        asked = sum(n for route, n in side.look("calls")["by"].items() if route.endswith("/token"))
        assert asked == 1
        assert ports.tokens.puts == 2 and ports.tokens.put_outside_lock == 0
        stored = ports.tokens.get(side.connection.name)
        assert stored is not None and stored.access


def test_a_write_meets_an_expired_token(side: Side) -> None:
    ports = services()
    with connected(side, ports, oauth=True) as connector:
        side.warm(connector)
        side.control("tokens/expire", {})
        command = side.command(side.account, name="Renewed")
        [outcome] = connector.write(side.account, [command], LANE)
        assert outcome.status is Status.DELIVERED
        assert len(side.holders(side.account, command.hub_id)) == 1


def test_a_token_of_another_process_is_used(side: Side) -> None:
    ports = services()
    with connected(side, ports, oauth=True) as one, connected(side, ports, oauth=True) as other:
        side.warm(one)
        side.warm(other)
        assert ports.tokens.puts == 1


def test_every_call_is_acquired_and_counted(side: Side) -> None:
    ports = services()
    with connected(side, ports) as connector:
        side.control("calls/reset", {})
        pages = list(connector.snapshot(side.contact, None, LANE))
        connector.write(side.contact, [side.command(side.contact, last_name="Counted")], LANE)
        by = side.look("calls")["by"]
        signing_in = sum(n for route, n in by.items() if "token" in route or "openid" in route)
        assert 0 <= ports.journal.calls - (side.calls() - signing_in) <= signing_in
        assert ports.budget.acquired[LANE] >= sum(page.calls for page in pages)
