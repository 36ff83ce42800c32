"""Get into an org: credentials, tokens, limits, provisioning, and the messages where that fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_sync.connectors import build
from crm_sync.connectors.salesforce.connector import SalesforceConnector
from crm_sync.errors import BadCredentials, BadSettings, ErrorClass, LimitReached, Refused, Unreachable
from crm_sync.ports import Lane, Token
from crm_sync.records import Status
from crm_sync.settings import Settings
from tests.unit.connectors.memory_ports import Ports
from tests.unit.connectors.salesforce.org import CONTACT, LANE, SPEC, Org, creating


def test_provisioning_creates_what_is_missing_once(org: Org, connector: SalesforceConnector) -> None:
    assert [step.needed for step in connector.provision(CONTACT, apply=False)] == [False]
    described = connector.describe(CONTACT)
    key = described.fields["Crm_Sync_Id__c"]
    assert (key.max_length, key.unique, key.writable) == (36, True, True)
    assert described.fields["LastName"].max_length == 80
    assert "Dr." in described.fields["Salutation"].options
    assert not described.fields["SystemModstamp"].writable


def test_an_org_that_is_down_is_unreachable(org: Org, connector: SalesforceConnector) -> None:
    org.ask("POST", "down", {"down": True})
    try:
        with pytest.raises(Unreachable):
            list(connector.changes(CONTACT, None, None, LANE))
    finally:
        org.ask("POST", "down", {"down": False})


def test_the_daily_limit_stops_reads_and_leaves_writes_for_later(
    org: Org, connector: SalesforceConnector, ports: Ports
) -> None:
    org.ask("POST", "knobs", {"limits": True, "daily_limit": 0})
    with pytest.raises(LimitReached) as caught:
        list(connector.changes(CONTACT, None, None, LANE))
    assert caught.value.error_class is ErrorClass.LIMIT_DAILY
    (outcome,) = connector.write(CONTACT, [creating({"LastName": "Later"})], Lane.OUTBOUND)
    assert (outcome.status, outcome.error_class) == (Status.RETRY, ErrorClass.LIMIT_DAILY)
    assert outcome.retry_after_seconds == 900.0
    assert ports.pauses


def test_the_orgs_quota_reaches_the_budget(org: Org, connector: SalesforceConnector, ports: Ports) -> None:
    list(connector.changes(CONTACT, None, None, LANE))
    limit, remaining = ports.observed[-1]
    assert limit == 5_000_000 and remaining is not None and remaining < limit


def test_expired_tokens_are_renewed_in_the_middle_of_a_write(
    org: Org, connector: SalesforceConnector, ports: Ports
) -> None:
    org.ask("POST", "tokens/expire")
    (outcome,) = connector.write(CONTACT, [creating({"LastName": "A"})], Lane.OUTBOUND)
    assert outcome.status is Status.DELIVERED
    assert org.calls()["POST /services/oauth2/token"] == 1


def test_a_stale_token_in_the_store_is_replaced(org: Org, ports: Ports, settings: Settings) -> None:
    ports.stored = Token("00DHs0000000001!AQstale", None)
    made = build(SPEC, ports.services, settings)
    assert made.describe(CONTACT).object == "Contact"
    assert ports.stored is not None and "stale" not in ports.stored.access
    made.close()


@pytest.mark.parametrize(("name", "code"), [("SECRET", "invalid_client"), ("ID", "invalid_client_id")])
def test_wrong_credentials_name_variables(org: Org, ports: Ports, settings: Settings, name: str, code: str) -> None:
    wrong = {**settings.environment, f"SALESFORCE_CLIENT_{name}": "wrong"}
    made = build(SPEC, ports.services, Settings.load(wrong))
    with pytest.raises(BadCredentials, match=f"{code}.*SALESFORCE_CLIENT_ID, SALESFORCE_CLIENT_SECRET"):
        made.describe(CONTACT)
    with pytest.raises(BadCredentials):
        made.write(CONTACT, [creating({"LastName": "A"})], Lane.OUTBOUND)
    made.close()


def test_an_untrusted_certificate_names_the_ca_bundle(org: Org, ports: Ports, settings: Settings) -> None:
    trusting = {k: v for k, v in settings.environment.items() if k != "CRM_SYNC_CA_BUNDLE"}
    made = build(SPEC, ports.services, Settings.load(trusting))
    with pytest.raises(BadSettings, match="CRM_SYNC_CA_BUNDLE"):
        made.describe(CONTACT)
    made.close()


def test_an_unknown_object_is_refused_as_a_matter_of_schema(org: Org, connector: SalesforceConnector) -> None:
    with pytest.raises(Refused) as caught:
        list(connector.changes(replace(CONTACT, object="Kontact"), None, None, LANE))
    assert (caught.value.error_class, caught.value.code) == (ErrorClass.SCHEMA, "INVALID_TYPE")


def test_a_key_field_that_is_hidden_from_us_is_a_matter_of_permission(org: Org, connector: SalesforceConnector) -> None:
    org.ask("POST", "knobs", {"hidden_fields": ["Contact.Crm_Sync_Id__c"]})
    assert [step.needed for step in connector.provision(CONTACT, apply=False)] == [True]
    with pytest.raises(Refused, match="hidden from us") as caught:
        connector.provision(CONTACT, apply=True)
    assert caught.value.error_class is ErrorClass.PERMISSION


def test_an_address_that_is_no_org_names_its_variable(org: Org, ports: Ports, settings: Settings) -> None:
    elsewhere = {**settings.environment, "SALESFORCE_URL": f"{org.url}/elsewhere"}
    made = build(SPEC, ports.services, Settings.load(elsewhere))
    with pytest.raises(BadSettings, match=r"SALESFORCE_URL"):
        made.describe(CONTACT)
    made.close()
