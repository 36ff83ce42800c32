"""The stage of a scenario: three pretend CRMs, a database of its own, the product run in this process."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from crm_sync.emulators import truth
from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.emulators.settings import CRMS
from crm_sync.flows import edit as editing
from crm_sync.flows.context import Context, open_context
from crm_sync.flows.provision import provision
from crm_sync.flows.sync import SyncReport, sync
from crm_sync.settings import Settings
from crm_sync.specs.loader import load
from crm_sync.specs.model import SpecSet
from crm_sync.store import runs
from crm_sync.store.crypto import new_master_key
from tests.scenarios.screens import Records, Screen, writing

CONFIG = Path(__file__).resolve().parents[2] / "config"
_LONGEST_SLEEP = 0.02


@dataclass(frozen=True, slots=True)
class Round:
    """One sync: its report, and what the CRMs saw of it."""

    report: SyncReport
    calls: Mapping[str, Mapping[str, int]]

    @property
    def totals(self) -> Counter[str]:
        return self.report.totals

    @property
    def missed(self) -> dict[str, str]:
        return self.report.missed

    @property
    def writes(self) -> dict[str, dict[str, int]]:
        """Return CRM -> route -> calls that wrote; empty where nobody wrote."""
        return {name: found for name, by in self.calls.items() if (found := writing(by))}

    def sum(self, column: str) -> int:
        """Return the sum of a column of the report's table."""
        return sum(int(row.get(column, 0)) for row in self.report.rows)


@dataclass
class Stage:
    """Everything a story needs. `screens` by connection name."""

    directory: Path
    settings: Settings
    emulators: EmulatorProcess
    screens: dict[str, Screen] = field(default_factory=dict)

    @cached_property
    def specs(self) -> SpecSet:
        return load(self.settings.config_dir, self.settings.environment)

    def use(self, **changes: Any) -> None:
        """Go on with other settings, such as another config_dir."""
        self.settings = replace(self.settings, **changes)
        self.__dict__.pop("specs", None)

    def at(self, connection: str, entity: str) -> str:
        """Return the emulator's name of the object in which an entity lives."""
        return self.specs.mapping(connection, entity).singular

    @contextmanager
    def opened(self, kind: str = "run", *, hurried: bool = False, **changes: Any) -> Iterator[Context]:
        """Open the product; `hurried` cuts its waiting short, `changes` are other settings."""
        with open_context(replace(self.settings, **changes), kind=kind) as ctx:
            if hurried:
                ctx.clock.sleep = lambda seconds: time.sleep(min(seconds, _LONGEST_SLEEP))  # type: ignore[method-assign]
            yield ctx

    def sync(
        self, connections: Sequence[str] | None = None, *, full: bool = False, hurried: bool = False, **changes: Any
    ) -> Round:
        """Run one sync and count what reached the CRMs."""
        for screen in self.screens.values():
            screen.reset_calls()
        with self.opened(hurried=hurried, **changes) as ctx:
            report = sync(ctx, connections, full=full)
        return Round(report, {name: screen.calls() for name, screen in self.screens.items()})

    def settle(self, most: int = 4, **options: Any) -> list[Round]:
        """Sync until a round sends nothing; AssertionError where that takes more than `most` rounds."""
        rounds: list[Round] = []
        while len(rounds) < most:
            rounds.append(self.sync(**options))
            if not rounds[-1].writes and not rounds[-1].sum("sent"):
                return rounds
        raise AssertionError(f"still sending after {most} rounds: {[(r.writes, dict(r.totals)) for r in rounds]}")

    def edit(self, entity: str, hub_id: UUID, changes: Mapping[str, object]) -> None:
        """Edit a golden record, as a person at the hub."""
        with self.opened("edit") as ctx:
            editing.edit(ctx, entity, hub_id, changes, "a tester")

    def records(self, connection: str, entity: str) -> Records:
        """Return all live records of a CRM."""
        return self.screens[connection].records(self.at(connection, entity))

    def source(self, connection: str, entity: str, name: str) -> str:
        """Return what a CRM calls a field."""
        return self.specs.mapping(connection, entity).field(name).source

    def shown(self, connection: str, entity: str, record_id: str, name: str) -> Any:
        """Return what a CRM shows in a field, in its own words."""
        values = self.screens[connection].values(self.at(connection, entity), record_id)
        return values.get(self.source(connection, entity, name))

    def change(self, connection: str, entity: str, record_id: str, **changes: Any) -> None:
        """Change fields (our names, the CRM's values) at a CRM's screen."""
        values = {self.source(connection, entity, name): value for name, value in changes.items()}
        self.screens[connection].edit(self.at(connection, entity), record_id, values)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask the product's database."""
        assert self.settings.database_url is not None
        with psycopg.connect(self.settings.database_url, autocommit=True) as connection:
            connection.execute("SET search_path TO crm_sync")
            found = connection.execute(statement, parameters)
            return found.fetchall() if found.description else []

    def count(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Return the single number that a statement answers."""
        return int(self.rows(statement, parameters)[0][0])

    def books(self) -> dict[tuple[str, str], Any]:
        """Return the books over all runs."""
        run_ids = [row[0] for row in self.rows("select run_id from run")]
        with self.opened("books") as ctx:
            return dict(ctx.database.run(lambda conn: runs.books(conn, run_ids)))

    def check_books(self) -> None:
        """Fail where a record that was read is not accounted for."""
        books = self.books()
        assert books, "nothing was ever read"
        assert {s: b for s, b in books.items() if not b.balanced()} == {}

    def truth(self) -> dict[str, Any]:
        """Return the truth of the seeded population."""
        return truth.read(self.directory / "emulators" / "truth.json")


@contextmanager
def set_up(
    directory: Path,
    database_url: str,
    *,
    seed: int | None = None,
    accounts: int = 30,
    contacts: int = 120,
    config: Path = CONFIG,
    knobs: Sequence[str] = (),
    invalid_share: float | None = None,
) -> Iterator[Stage]:
    """Set up a stage; without a seed the CRMs are empty."""
    options = [part for knob in knobs for part in ("--knob", knob)]
    if seed is not None:
        options += ["--seed", str(seed), "--accounts", str(accounts), "--contacts", str(contacts)]
    if invalid_share is not None:
        options += ["--invalid-share", str(invalid_share)]
    with EmulatorProcess(directory / "emulators", options=options) as emulators:
        variables = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
            **environment(emulators.addresses),
            "CRM_SYNC_STATE_DIR": str(directory / "state"),
            "CRM_SYNC_CONFIG_DIR": str(config),
            "CRM_SYNC_DATABASE_URL": database_url,
            "CRM_SYNC_MASTER_KEY": new_master_key(),
        }
        ca_bundle = Path(emulators.addresses["ca_bundle"])
        screens = {name: Screen(emulators.addresses[name]["url"], ca_bundle) for name in CRMS}
        stage = Stage(directory, Settings.load(variables), emulators, screens)
        with stage.opened("provision") as ctx:
            provision(ctx, None, apply=True)
        yield stage
