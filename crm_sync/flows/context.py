"""What every flow works with: rules, database, keys, connectors, and the run it belongs to.

Belongs here: putting these together, and the locks of the flows. Not here: the flows themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID, uuid4

from crm_sync.connectors import build
from crm_sync.connectors.base import Connector
from crm_sync.errors import BadSettings
from crm_sync.flows.lens import Lens
from crm_sync.ports import Clock, Services
from crm_sync.settings import Settings
from crm_sync.specs.loader import load
from crm_sync.specs.model import ConnectionSpec, EntitySpec, SpecSet
from crm_sync.store import audit, postgres, runs
from crm_sync.store.budget import Budgets
from crm_sync.store.clock import SystemClock
from crm_sync.store.database import Connection, Database, lock_number
from crm_sync.store.journal import Journal
from crm_sync.store.keyring import Keyring
from crm_sync.store.leases import Lease, Leases
from crm_sync.store.migrating import migrate
from crm_sync.store.tokens import Tokens

Result = TypeVar("Result")


@dataclass
class Context:
    """One run's view of everything. Threads may share it; each transaction is its own."""

    settings: Settings
    specs: SpecSet
    database: Database
    keyring: Keyring
    clock: Clock
    run_id: UUID
    journal: Journal
    services: Services
    vector_key_id: int
    vector_key: str
    boundary: Callable[[str], None] = lambda name: None
    """Called at every named boundary (landed, absorbed, intent_written, sent, receipted, watermark); tests kill
    here."""
    _connectors: dict[str, Connector] = field(default_factory=dict)
    _lenses: dict[tuple[str, str], Lens] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def connector(self, name: str) -> Connector:
        """Return the connector of a connection, made on first use."""
        with self._guard:
            if name not in self._connectors:
                self._connectors[name] = build(self.connection_spec(name), self.services, self.settings)
            return self._connectors[name]

    def connection_spec(self, name: str) -> ConnectionSpec:
        """Return the spec of a connection; BadSettings names those that exist."""
        spec = self.specs.connections.get(name)
        if spec is None:
            known = ", ".join(self.specs.connections) or "none"
            raise BadSettings(f"There is no connection {name!r}; config/connections.yaml has: {known}.")
        return spec

    def entity(self, name: str) -> EntitySpec:
        """Return an entity spec; BadSettings names those that exist."""
        spec = self.specs.entities.get(name)
        if spec is None:
            raise BadSettings(f"There is no entity {name!r}; config/entities has: {', '.join(self.specs.entities)}.")
        return spec

    def lens(self, connection: str, entity: str) -> Lens:
        """Return the rules of one stream, ready to apply."""
        key = (connection, entity)
        with self._guard:
            if key not in self._lenses:
                self._lenses[key] = Lens.build(
                    self.specs, connection, entity, self.vector_key_id, self.vector_key, self.database
                )
            return self._lenses[key]

    def streams(self, entity: str) -> list[Lens]:
        """Return the streams of an entity, in the order of connections.yaml."""
        return [
            self.lens(name, entity)
            for name, spec in self.specs.connections.items()
            if spec.enabled and (name, entity) in self.specs.mappings
        ]

    def locked(self, entity: str, work: Callable[[Connection], Result]) -> Result:
        """Do `work` in a transaction that alone changes this entity's golden records, links and shadows."""

        def inside(conn: Connection) -> Result:
            conn.execute("select pg_advisory_xact_lock(%s)", (lock_number("entity", entity),))
            return work(conn)

        return self.database.run(inside)

    @contextmanager
    def leased(self, name: str) -> Iterator[Lease]:
        """Hold a lease that excludes other runs ("read/<connection>", "write/<connection>"); Busy where one has it."""
        with Leases(self.database).lease(name) as held:
            yield held

    def close(self) -> None:
        """Release sockets and write what is still in memory."""
        for connector in self._connectors.values():
            connector.close()
        self.journal.flush()


@contextmanager
def open_context(settings: Settings, *, run_id: UUID | None = None, kind: str = "run") -> Iterator[Context]:
    """Open everything that a run needs and close it again; Misconfigured errors tell what a person must do."""
    specs = load(settings.config_dir, settings.environment)
    with ExitStack() as stack:
        url = settings.database_url or stack.enter_context(postgres.running(settings.state_dir))
        migrate(url)
        database = Database(url)
        stack.callback(database.close)
        keyring = Keyring.open(database, settings.master_key)
        clock = SystemClock()
        identity = run_id or uuid4()
        journal = Journal(database, identity)
        services = Services(
            clock=clock,
            tokens=Tokens(database, keyring),
            budget=Budgets(database, specs.connections, clock),
            journal=journal,
        )
        key_id, key = keyring.vector_key()
        context = Context(settings, specs, database, keyring, clock, identity, journal, services, key_id, key)
        stack.callback(context.close)

        def begin(conn: Connection) -> None:
            audit.ensure_partitions(conn)
            runs.start_run(conn, identity, kind)

        database.run(begin)
        try:
            yield context
        except BaseException:
            database.run(lambda conn: runs.end_run(conn, identity, "failed", {}))
            raise
        database.run(lambda conn: runs.end_run(conn, identity, "done", {}))
