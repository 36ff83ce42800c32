"""One pretend org for all tests of this directory, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from crm_sync.connectors import build
from crm_sync.connectors.salesforce.connector import SalesforceConnector
from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.emulators.serving import open_state
from crm_sync.settings import Settings
from tests.unit.connectors.memory_ports import Ports
from tests.unit.connectors.salesforce.org import ACCOUNT, CONTACT, SPEC, Org


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(tmp_path_factory.mktemp("org"), ["salesforce"]) as running:
        yield running


@pytest.fixture
def org(process: EmulatorProcess) -> Iterator[Org]:
    state = open_state(process.state_dir, "salesforce")
    found = Org(process.addresses["salesforce"]["url"], str(process.addresses["ca_bundle"]), state)
    with state.transaction():
        for sobject in ("Contact", "Account"):
            for record in state.scan(sobject, deleted=None):
                state.purge(sobject, record.id)
    found.ask("DELETE", "faults")
    found.ask("POST", "knobs", {"limits": False, "daily_limit": None, "hidden_fields": []})
    found.ask("POST", "calls/reset")
    yield found
    found.session.close()
    state.close()


@pytest.fixture
def ports() -> Ports:
    return Ports(datetime.now(UTC))


@pytest.fixture
def settings(process: EmulatorProcess) -> Settings:
    return Settings.load(environment(process.addresses))


@pytest.fixture
def connector(org: Org, ports: Ports, settings: Settings) -> Iterator[SalesforceConnector]:
    made = build(SPEC, ports.services, settings)
    assert isinstance(made, SalesforceConnector)
    for mapping in (ACCOUNT, CONTACT):
        made.provision(mapping, apply=True)
    org.calls()
    yield made
    made.close()
