"""A pretend org without HTTP: calls go straight to its resources; time stands where the test puts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce.app import build
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.grants import Grants
from crm_sync.emulators.salesforce.rest import Rest
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from tests.unit.emulators.salesforce.desk_clock import DeskClock, Front
from tests.unit.emulators.salesforce.wire import Wire


@pytest.fixture
def clock() -> DeskClock:
    return DeskClock()


@pytest.fixture
def state(tmp_path: Path, clock: DeskClock, faults: Faults) -> Iterator[State]:
    made = State(tmp_path / "org.sqlite", clock, resolution_us=1_000_000)
    made.postpone(faults.lateness)
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path: Path) -> EmulatorSettings:
    return EmulatorSettings(
        crm="salesforce",
        url="https://localhost:1",
        client_id="app",
        client_secret="secret",
        refresh_token="refresh",
        token="password",
        tenant="",
        state_dir=tmp_path,
        token_seconds=60.0,
    )


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def doorman(state: State, faults: Faults, settings: EmulatorSettings) -> Doorman:
    return Doorman(state, faults, settings)


@pytest.fixture
def org(state: State, faults: Faults) -> Org:
    return Org(state, faults)


@pytest.fixture
def grants(org: Org, doorman: Doorman) -> Grants:
    return Grants(doorman)


@pytest.fixture
def app(state: State, faults: Faults, settings: EmulatorSettings) -> Starlette:
    return build(state, faults, settings)


@pytest.fixture
def wire(app: Starlette) -> Wire:
    made = Wire(app)
    made.sign_in()
    return made


@pytest.fixture
def front(org: Org, doorman: Doorman, clock: DeskClock) -> Front:
    return Front(Rest(org, doorman, url="https://localhost:1"), clock)


@pytest.fixture
def key(front: Front) -> None:
    """Give contacts the external id Key__c before the application starts (ask for it first)."""
    front.key_field()
