"""Start the three emulators once, provision them, and hand each test one CRM after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.specs.loader import load
from crm_sync.specs.model import SpecSet
from tests.contract.crms import FACTS
from tests.contract.side import Side

CONFIG = Path(__file__).parents[2] / "config"
CRMS = tuple(FACTS)


@pytest.fixture(scope="session")
def specs() -> SpecSet:
    return load(CONFIG)


@pytest.fixture(scope="session")
def sides(tmp_path_factory: pytest.TempPathFactory, specs: SpecSet) -> Iterator[dict[str, Side]]:
    """Seed enough contacts that every CRM needs several pages; provision once."""
    seed = ("--seed", "2601", "--accounts", "150", "--contacts", "3600")
    with EmulatorProcess(tmp_path_factory.mktemp("contract"), options=seed) as process:
        out = {crm: Side(crm, process.addresses, environment(process.addresses), specs) for crm in CRMS}
        for side in out.values():
            for mapping in (side.account, side.contact):
                side.connector.provision(mapping, apply=True)
        yield out
        for side in out.values():
            side.close()


@pytest.fixture(params=CRMS)
def side(request: pytest.FixtureRequest, sides: dict[str, Side]) -> Iterator[Side]:
    one = sides[request.param]
    one.reset()
    yield one
    one.reset()


