"""The HubSpot connector and tokens, limits, outages and properties that stand in the way."""

# ruff: noqa: F811 - fixtures are imported by name

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_sync.connectors import build
from crm_sync.connectors.base import Connector
from crm_sync.errors import BadCredentials, ErrorClass, LimitReached, Refused, Unreachable
from crm_sync.ports import Lane
from crm_sync.records import Status
from crm_sync.settings import Settings
from crm_sync.specs.model import MappingSpec, SpecSet
from tests.unit.connectors.hubspot_world import (  # noqa: F401
    Ports,
    companies,
    contacts,
    creation,
    hubspot,
    portal,
    ports,
    specs,
    written,
)
from tests.unit.emulators.hubspot_portal import Portal


def test_a_token_that_expires_is_refreshed_once_and_kept_with_its_refresh_token(
    hubspot: Connector, portal: Portal, ports: Ports, specs: SpecSet, contacts: MappingSpec
) -> None:
    secrets = {name: f"HUBSPOT_{name.upper()}" for name in ("client_id", "client_secret", "refresh_token")}
    spec = replace(specs.connections["hubspot"], auth="refresh_token", secrets_env=secrets)
    connector = build(spec, ports.services, Settings.load(portal.environment()))
    connector.describe(contacts)
    connector.describe(contacts)
    assert ports.refreshes == 1
    portal.control("tokens/expire", {})
    connector.describe(contacts)
    assert ports.refreshes == 2 and ports.stored is not None
    assert ports.stored.refresh == portal.settings.refresh_token
    stale = replace(ports.stored, access="", refresh="revoked meanwhile")
    ports.stored = stale
    connector.close()
    fresh = build(spec, ports.services, Settings.load(portal.environment()))
    fresh.describe(contacts)
    assert ports.refreshes == 3, "the configured refresh token is tried where the stored one is refused"
    fresh.close()


def test_a_refused_private_token_names_the_variable_and_is_not_tried_again(
    portal: Portal, ports: Ports, specs: SpecSet, contacts: MappingSpec
) -> None:
    settings = Settings.load(portal.environment() | {"HUBSPOT_TOKEN": "pat-na1-wrong"})
    connector = build(specs.connections["hubspot"], ports.services, settings)
    with pytest.raises(BadCredentials, match="HUBSPOT_TOKEN") as refused:
        connector.write(contacts, [creation(1, firstname="Ann")], Lane.OUTBOUND)
    assert "pat-na1-wrong" not in str(refused.value)
    assert sum(portal.calls().values()) == 1
    connector.close()


def test_a_burst_limit_is_waited_for_and_a_daily_one_ends_the_read(
    hubspot: Connector, portal: Portal, ports: Ports, contacts: MappingSpec
) -> None:
    burst = {"policyName": "TEN_SECONDLY_ROLLING", "errorType": "RATE_LIMIT"}
    portal.control("faults", {"action": "status", "status": 429, "body": burst})
    assert len(hubspot.fetch(contacts, ["5"], Lane.NOTICE)) == 1
    assert ports.pauses == [10.0] and max(ports.slept) >= 10.0
    portal.control("knobs", {"limits": True, "daily_limit": 0})
    with pytest.raises(LimitReached) as reached:
        hubspot.fetch(contacts, ["5"], Lane.NOTICE)
    assert reached.value.error_class is ErrorClass.LIMIT_DAILY


def test_the_daily_quota_is_learnt_from_the_headers(
    hubspot: Connector, portal: Portal, ports: Ports, contacts: MappingSpec
) -> None:
    portal.control("knobs", {"limits": True, "daily_limit": 1000})
    hubspot.describe(contacts)
    assert ports.observed == [(1000, 999)]


def test_a_daily_limit_in_the_middle_of_a_write_leaves_the_rest_for_later(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    portal.control("knobs", {"limits": True, "daily_limit": 1})
    outcomes = written(hubspot, contacts, *(creation(number, firstname=f"n{number}") for number in range(120)))
    assert [one.status for one in outcomes] == [Status.DELIVERED] * 100 + [Status.RETRY] * 20
    assert outcomes[-1].error_class is ErrorClass.LIMIT_DAILY and outcomes[-1].retry_after_seconds


def test_a_portal_that_is_down_is_unreachable(hubspot: Connector, portal: Portal, contacts: MappingSpec) -> None:
    portal.control("down", {"down": True})
    with pytest.raises(Unreachable):
        list(hubspot.changes(contacts, None, None, Lane.INCREMENTAL))
    portal.control("down", {"down": False})
    list(hubspot.changes(contacts, None, None, Lane.INCREMENTAL))


def test_a_key_property_that_is_not_unique_stops_the_provisioning(
    portal: Portal, ports: Ports, specs: SpecSet, contacts: MappingSpec
) -> None:
    definition = {
        "name": "crm_sync_id",
        "label": "Mine",
        "type": "string",
        "fieldType": "text",
        "groupName": "contactinformation",
    }
    assert portal.send("POST", "/crm/v3/properties/contacts", definition).status_code == 201
    connector = build(specs.connections["hubspot"], ports.services, Settings.load(portal.environment()))
    with pytest.raises(Refused, match="not unique"):
        connector.provision(contacts, apply=False)
    connector.close()
