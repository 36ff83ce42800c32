"""The resource `library`: one context of crm_sync's flows for the length of a run.

Belongs here: opening and closing a context for Dagster. Not here: what a context is (crm_sync/flows/context.py),
settings of this machine (crm_sync/settings.py; the environment of the process that runs Dagster's code).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

from dagster import ConfigurableResource, InitResourceContext
from pydantic import PrivateAttr

from crm_sync.flows.context import Context, open_context
from crm_sync.settings import Settings
from crm_sync.store import runs
from crm_sync.store.database import Database
from crm_sync.store.outbox import due_connections
from crm_sync.store.postgres import running


class Library(ConfigurableResource[Any]):
    """Give assets and sensors what the flows work with; the library's run id is Dagster's."""

    _context: Context | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator[Library]:
        """Hold one context for a whole run; without a run (a sensor) nothing is opened."""
        if context.run is None:
            yield self
            return
        with open_context(Settings.load(), run_id=UUID(context.run.run_id)) as opened:
            self._context = opened
            try:
                yield self
            finally:
                self._context = None

    @property
    def context(self) -> Context:
        """Return the context of the run; RuntimeError outside of one."""
        if self._context is None:
            raise RuntimeError("The resource `library` was used outside of a run; a sensor asks the store instead.")
        return self._context

    def calls(self, connection: str) -> int:
        """Return how many API calls this run has made to a connection so far, retries included."""
        self.context.journal.flush()
        made = self.context.database.run(lambda conn: runs.calls(conn, [self.context.run_id]))
        return sum(calls for (name, _), calls in made.items() if name == connection)

    def due_connections(self) -> list[tuple[str, int, int]]:
        """Ask the store, outside of a run: (connection, newest command, commands) where something is due."""
        settings = Settings.load()
        with ExitStack() as stack:
            url = settings.database_url or stack.enter_context(running(settings.state_dir))
            database = Database(url)
            stack.callback(database.close)
            return database.run(due_connections)
