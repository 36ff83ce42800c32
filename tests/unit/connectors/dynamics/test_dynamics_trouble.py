"""Lost connections, limits, tokens and wrong settings, against the pretend Dataverse."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from crm_sync.connectors.dynamics.connector import DynamicsConnector
from crm_sync.errors import BadCredentials, BadSettings, ErrorClass, LimitReached, Refused
from crm_sync.ports import Lane
from crm_sync.records import Status
from crm_sync.specs.model import FieldMapping
from tests.unit.connectors.dynamics.world import (
    CONTACT,
    Environment,
    Ports,
    changes,
    connect,
    create,
    watermark,
    write,
)

# -- what goes wrong on the way


def test_a_connection_lost_after_the_write_is_unknown_and_makes_no_duplicate(
    connector: DynamicsConnector, crm: Environment
) -> None:
    hub_id = uuid4()
    crm.fault("batch$", "drop_after")
    (lost,) = write(connector, create(hub_id, lastname="Lost"))
    assert lost.status is Status.UNKNOWN
    found = connector.fetch_by_key(CONTACT, [str(hub_id)], Lane.OUTBOUND)
    assert len(found) == 1
    (again,) = write(connector, create(hub_id, lastname="Lost"))
    assert again.status is Status.CHANGED
    assert len(crm.find("crmsync_hubid", str(hub_id))) == 1


def test_a_connection_lost_stops_the_calls_behind_it(connector: DynamicsConnector, crm: Environment) -> None:
    crm.fault("batch$", "drop_before")
    outcomes = write(connector, *(create(uuid4(), number, lastname="Li") for number in range(150)))
    assert [one.status for one in outcomes] == [Status.UNKNOWN] * 100 + [Status.RETRY] * 50


def test_a_read_survives_broken_connections_and_server_trouble(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    crm.fault("/contacts", "drop_before")
    crm.fault("/contacts", "status", status=503, headers={"Retry-After": "2"})
    (page,) = changes(connector, None)
    assert page.calls >= 3 and len(ports.slept) == 2 and ports.slept[1] >= 2


def test_a_short_limit_is_waited_for_and_a_long_one_ends_the_read(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    body = {"error": {"code": "0x80072322", "message": "Number of requests exceeded the limit of 6000."}}
    crm.fault("/contacts", "status", status=429, headers={"Retry-After": "4"}, body=body)
    assert watermark(changes(connector, None))
    assert [seconds for seconds, _ in ports.pauses] == [4.0] and ports.slept[0] >= 4
    crm.fault("/contacts", "status", status=429, headers={"Retry-After": "240"}, body=body)
    with pytest.raises(LimitReached) as caught:
        changes(connector, None)
    assert caught.value.retry_after_seconds == 240


def test_a_limit_while_writing_leaves_the_commands_for_later(connector: DynamicsConnector, crm: Environment) -> None:
    body = {"error": {"code": "0x80072322", "message": "m"}}
    crm.fault("batch$", "status", status=429, headers={"Retry-After": "240"}, body=body)
    (outcome,) = write(connector, create(uuid4(), lastname="Li"))
    assert (outcome.status, outcome.error_class) == (Status.RETRY, ErrorClass.LIMIT_BURST)
    assert outcome.retry_after_seconds == 240


def test_the_limits_of_the_crm_itself_are_met_and_respected(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    changes(connector, None)
    crm.control("knobs", {"limits": True, "window_requests": 2, "window_seconds": 200})
    try:
        changes(connector, None)
        changes(connector, None)
        with pytest.raises(LimitReached):
            changes(connector, None)
    finally:
        crm.control("knobs", {"limits": False, "window_requests": 6000, "window_seconds": 300})
    assert ports.pauses and ports.pauses[0][0] > 60


def test_a_call_refused_for_its_content_is_halved_until_the_culprit_stands_alone(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    body = {"error": {"code": "0x8004418A", "message": "too large"}}
    for skip in (0, 0, 0):
        crm.fault("batch$", "status", status=413, body=body, skip=skip)
    outcomes = write(connector, *(create(uuid4(), number, lastname="Li") for number in range(4)))
    assert [one.status for one in outcomes] == [Status.REFUSED] + [Status.DELIVERED] * 3
    assert ports.operations.count("write contacts") == 5


# -- tokens


def test_one_token_serves_all_calls_and_a_refused_one_is_renewed_once(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    changes(connector, None)
    changes(connector, None)
    assert ports.operations.count("token") == 1
    crm.control("tokens/expire")
    assert watermark(changes(connector, None))
    assert ports.operations.count("token") == 2


def test_a_token_refused_twice_is_a_matter_of_credentials(connector: DynamicsConnector, crm: Environment) -> None:
    crm.fault("/contacts", "status", status=401, times=2)
    with pytest.raises(BadCredentials):
        changes(connector, None)


@pytest.mark.parametrize("variable", ["DYNAMICS_CLIENT_SECRET", "DYNAMICS_CLIENT_ID"])
def test_wrong_credentials_are_told_with_the_variables_and_without_the_secret(crm: Environment, variable: str) -> None:
    connector, ports = connect({**crm.variables, variable: "wrong-value"})
    with pytest.raises(BadCredentials) as caught:
        changes(connector, None)
    assert "DYNAMICS_CLIENT_SECRET" in str(caught.value) and "wrong-value" not in str(caught.value)
    assert ports.stored is None
    with pytest.raises(BadCredentials):
        write(connector, create(uuid4(), lastname="Li"))
    connector.close()


def test_a_wrong_tenant_names_the_authority(crm: Environment) -> None:
    connector, _ = connect({**crm.variables, "DYNAMICS_AUTHORITY": f"{crm.url}/no-such-tenant"})
    with pytest.raises(BadSettings, match="DYNAMICS_AUTHORITY"):
        changes(connector, None)
    connector.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DYNAMICS_AUTHORITY", "http://localhost/x"), ("DYNAMICS_CLIENT_ID", ""), ("DYNAMICS_URL", "localhost")],
)
def test_settings_that_cannot_be_right_are_told_before_the_first_call(
    crm: Environment, variable: str, value: str
) -> None:
    with pytest.raises(BadSettings, match=variable):
        connect({**crm.variables, variable: value})


def test_the_token_endpoint_may_have_trouble_for_a_moment(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    crm.fault("/token$", "status", status=503)
    crm.fault("/token$", "drop_before")
    assert watermark(changes(connector, None))
    assert ports.operations.count("token") == 3


def test_a_write_without_a_token_was_certainly_not_made(crm: Environment) -> None:
    connector, _ = connect(crm.variables)
    crm.fault("/token$", "drop_before", times=20)
    (outcome,) = write(connector, create(uuid4(), lastname="Li"))
    assert outcome.status is Status.RETRY
    connector.close()


def test_a_column_that_the_table_lacks_is_named(connector: DynamicsConnector) -> None:
    mapping = replace(CONTACT, fields=(*CONTACT.fields, FieldMapping("nickname", "new_nickname", "text")))
    with pytest.raises(Refused, match="new_nickname"):
        list(connector.changes(mapping, None, None, Lane.INCREMENTAL))
