"""The journal of operations: counts of API calls and audit rows. Implements ports.Journal.

Belongs here: tables api_call and audit_operation. Not here: the audit of records (audit).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from crm_sync.store.database import Database
from crm_sync.store.queries import queries

Q = queries("journal")
_FLUSH_CALLS: Final = 500
_Call = tuple[str, str, bool]


class Journal:
    """The journal of one run. Safe to share between threads; leaving its context flushes the counts."""

    def __init__(self, database: Database, run_id: UUID) -> None:
        self._database = database
        self._run_id = run_id
        self._guard = threading.Lock()
        self._waiting: Counter[_Call] = Counter()

    def call(self, connection: str, operation: str, *, ok: bool) -> None:
        """Count one API call, retries included; it reaches the table with the next flush."""
        with self._guard:
            self._waiting[(connection, operation, ok)] += 1
            full = self._waiting.total() >= _FLUSH_CALLS
        if full:
            self.flush()

    def operation(self, connection: str, operation: str, result: str, detail: str = "") -> None:
        """Write an audit row for an operation, durable at once; `detail` must be free of field values and secrets."""
        values = {
            "run_id": self._run_id,
            "connection": connection,
            "operation": operation,
            "result": result,
            "detail": detail,
        }
        with self._database.transaction() as conn:
            conn.execute(Q["operation"], values)

    def flush(self) -> None:
        """Add the counts since the last flush to the table; a failure keeps them for the next."""
        with self._guard:
            taken, self._waiting = self._waiting, Counter()
        if not taken:
            return
        keys = sorted(taken)
        values = {
            "run_id": self._run_id,
            "connections": [key[0] for key in keys],
            "operations": [key[1] for key in keys],
            "oks": [key[2] for key in keys],
            "calls": [taken[key] for key in keys],
        }
        try:
            with self._database.transaction() as conn:
                conn.execute(Q["add_calls"], values)
        except BaseException:
            with self._guard:
                self._waiting += taken
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()


def calls_of_run(database: Database, run_id: UUID) -> Mapping[tuple[str, str, bool], int]:
    """Return the API calls of a run, flushed so far, by (connection, operation, ok)."""
    with database.transaction() as conn:
        rows = conn.execute(Q["calls_of_run"], {"run_id": run_id}).fetchall()
    return {(row[0], row[1], row[2]): row[3] for row in rows}
