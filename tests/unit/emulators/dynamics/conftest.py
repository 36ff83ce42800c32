"""One pretend Dataverse for these tests, provisioned, and a plain requests session signed in by msal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_sync.emulators.launcher import EmulatorProcess, environment
from tests.unit.emulators.dynamics.client import Client
from tests.unit.emulators.dynamics.local import Local


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(tmp_path_factory.mktemp("dataverse"), only=("dynamics",)) as running:
        yield running


@pytest.fixture(scope="session")
def signed_in(emulator: EmulatorProcess) -> Iterator[Client]:
    client = Client(environment(emulator.addresses))
    client.provision("contact")
    client.provision("account")
    yield client
    client.close()


@pytest.fixture
def api(signed_in: Client) -> Client:
    signed_in.control("faults", method="DELETE")
    signed_in.control("knobs", {"limits": False, "page_rows": 5000, "delta_seconds": 604800})
    return signed_in


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Local]:
    """An environment of the test's own, without HTTP, whose clock stands still."""
    made = Local(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """An environment of a module's own, without HTTP."""
    made = Local(tmp_path_factory.mktemp("dataverse"))
    yield made
    made.close()
