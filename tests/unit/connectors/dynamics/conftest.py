"""One emulator for all tests of the Dynamics connector, provisioned once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_sync.connectors.dynamics.connector import DynamicsConnector
from crm_sync.emulators.launcher import EmulatorProcess, environment
from tests.unit.connectors.dynamics.world import (
    ACCOUNT,
    CONTACT,
    Environment,
    Ports,
    connect,
)


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(tmp_path_factory.mktemp("dynamics"), only=("dynamics",)) as running:
        yield running


@pytest.fixture(scope="session")
def provisioned(process: EmulatorProcess) -> None:
    connector, _ = connect(environment(process.addresses))
    for mapping in (ACCOUNT, CONTACT):
        connector.provision(mapping, apply=True)
    connector.close()


@pytest.fixture
def crm(process: EmulatorProcess, provisioned: None) -> Iterator[Environment]:
    made = Environment(process)
    made.control("faults", method="DELETE")
    made.control("knobs", {"limits": False, "page_rows": 5000})
    yield made
    made.close()


@pytest.fixture
def connected(crm: Environment) -> Iterator[tuple[DynamicsConnector, Ports]]:
    connector, ports = connect(crm.variables)
    yield connector, ports
    connector.close()


@pytest.fixture
def connector(connected: tuple[DynamicsConnector, Ports]) -> DynamicsConnector:
    return connected[0]


@pytest.fixture
def ports(connected: tuple[DynamicsConnector, Ports]) -> Ports:
    return connected[1]
