"""A HubSpot connector at a pretend portal, with all ports in memory: fixtures and short words for the tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from crm_sync.connectors import build
from crm_sync.connectors.base import Connector
from crm_sync.ports import Lane, Services, Token
from crm_sync.records import Action, Command, Outcome, SourceBatch, Status
from crm_sync.settings import Settings
from crm_sync.specs.loader import load
from crm_sync.specs.model import MappingSpec, SpecSet
from tests.unit.emulators.hubspot_portal import Portal, portal_in

CONFIG = Path(__file__).parents[3] / "config"
COMPANIES = "associations.companies"


class Ports:
    """All ports in memory; the clock runs, but does not wait."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.pauses: list[float] = []
        self.observed: list[tuple[int | None, int | None]] = []
        self.audited: list[str] = []
        self.stored: Token | None = None
        self.refreshes = 0
        self.lock = threading.Lock()
        self.services = Services(clock=self, tokens=self, budget=self, journal=self)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def get(self, connection: str) -> Token | None:
        return self.stored

    def put(self, connection: str, token: Token) -> None:
        assert self.lock.locked()
        self.stored, self.refreshes = token, self.refreshes + 1

    def forget(self, connection: str) -> None:
        assert self.stored is not None
        self.stored = Token("", None, self.stored.refresh)

    @contextmanager
    def refreshing(self, connection: str) -> Iterator[None]:
        with self.lock:
            yield

    def acquire(self, connection: str, lane: Lane, calls: int = 1) -> None:
        pass

    def pause(self, connection: str, seconds: float, reason: str) -> None:
        self.pauses.append(seconds)

    def observe(self, connection: str, *, limit: int | None, remaining: int | None) -> None:
        self.observed.append((limit, remaining))

    def call(self, connection: str, operation: str, *, ok: bool) -> None:
        pass

    def operation(self, connection: str, operation: str, result: str, detail: str = "") -> None:
        self.audited.append(f"{operation} {result} {detail}")


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    with portal_in(tmp_path) as running:
        yield running


@pytest.fixture
def ports() -> Ports:
    return Ports()


@pytest.fixture(scope="module")
def specs() -> SpecSet:
    return load(CONFIG, {})


@pytest.fixture
def contacts(specs: SpecSet) -> MappingSpec:
    return specs.mapping("hubspot", "contact")


@pytest.fixture
def companies(specs: SpecSet) -> MappingSpec:
    return specs.mapping("hubspot", "account")


@pytest.fixture
def hubspot(portal: Portal, ports: Ports, specs: SpecSet) -> Iterator[Connector]:
    settings = Settings.load(portal.environment())
    connector = build(specs.connections["hubspot"], ports.services, settings)
    for entity in ("account", "contact"):
        connector.provision(specs.mapping("hubspot", entity), apply=True)
    portal.calls()
    yield connector
    connector.close()


def creation(number: int, hub_id: UUID | None = None, company: str | None = None, **values: Any) -> Command:
    references = {COMPANIES: company} if company else {}
    return Command(number, Action.CREATE, hub_id or uuid4(), None, values, references)


def change(number: int, id: str, company: object = ..., **values: Any) -> Command:
    references: dict[str, str | None] = {} if company is ... else {COMPANIES: company}  # type: ignore[dict-item]
    return Command(number, Action.UPDATE, uuid4(), id, values, references, version="seen before")


def written(connector: Connector, mapping: MappingSpec, *commands: Command) -> list[Outcome]:
    return connector.write(mapping, commands, Lane.OUTBOUND)


def made(connector: Connector, mapping: MappingSpec, *commands: Command) -> list[str]:
    outcomes = written(connector, mapping, *commands)
    assert [one.status for one in outcomes] == [Status.DELIVERED] * len(commands)
    return [str(one.record_id) for one in outcomes]


def column(batch: SourceBatch, name: str) -> dict[str, Any]:
    return dict(zip(batch.record_ids, batch.values[name], strict=True))


def company_of(connector: Connector, mapping: MappingSpec, id: str) -> Any:
    return connector.fetch(mapping, [id], Lane.NOTICE).values[COMPANIES][0]
