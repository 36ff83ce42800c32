"""Connections to the store's database: a small pool, transactions, retries of serialisation failures."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar

import psycopg
from psycopg import conninfo
from psycopg import errors as pg_errors
from psycopg.pq import TransactionStatus

from crm_sync.errors import BadSettings, StoreTrouble
from crm_sync.store.behind import BehindConnection
from crm_sync.store.dumping import PlainListDumper
from crm_sync.store.refusals import trouble, without_values

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
"""A connection inside a transaction; rows are tuples."""

_Result = TypeVar("_Result")
_FLOOR: Final = 15
_IDLE_CONNECTIONS: Final = 8
_ATTEMPTS: Final = 6


class Database:
    """The store's database. Safe to share between threads; each transaction has a connection of its own.

    Leaving its context closes it.
    """

    def __init__(self, url: str) -> None:
        """Check that the server answers and is new enough; BadSettings where not. The password is never shown."""
        self.url = url
        self._idle: list[Connection] = []
        self._guard = threading.Lock()
        self._closed = False
        self._answered = False
        self._give_back(self.connect())
        self._answered = True

    def connect(self) -> Connection:
        """Open a connection of the caller's own, in autocommit, with our search path; the caller closes it.

        BadSettings where the server was never reached, StoreTrouble where it is gone.
        """
        try:
            connection: Connection = BehindConnection.connect(
                self.url, autocommit=True, connect_timeout=10, application_name="crm-sync"
            )
        except psycopg.ProgrammingError:
            raise BadSettings(
                "CRM_SYNC_DATABASE_URL is not a database address; expected postgresql://user:password@host:port/database."
            ) from None
        except psycopg.OperationalError as error:
            if self._answered:
                # The address is right, and who asks again later may be lucky: a restart takes seconds.
                raise StoreTrouble(
                    f"The database at {_where(self.url)} answered before, but not now ({_reason(error, self.url)}). "
                    "Nothing is lost; run again once it is back, `crm-sync status` tells."
                ) from None
            raise BadSettings(
                f"The database at {_where(self.url)} cannot be reached ({_reason(error, self.url)}). Check that the "
                "server runs and that CRM_SYNC_DATABASE_URL is right; without that variable an embedded server is used."
            ) from None
        version = connection.info.server_version
        if version < _FLOOR * 10000:
            connection.close()
            raise BadSettings(
                f"The database at {_where(self.url)} is PostgreSQL {version // 10000}; expected {_FLOOR} or newer. "
                "Upgrade it, or unset CRM_SYNC_DATABASE_URL to use the embedded server."
            )
        with without_values():
            connection.execute("SET search_path TO crm_sync; SET timezone TO 'UTC'")
        connection.adapters.register_dumper(list, PlainListDumper)
        return connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection in a new transaction (read committed): committed at the end, rolled back on any error.

        The driver's errors leave as StoreTrouble, without the values that they quote.
        """
        with without_values(), self._transaction() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        connection = self._take()
        try:
            with connection.transaction():
                yield connection
        finally:
            self._give_back(connection)

    def run(self, work: Callable[[Connection], _Result]) -> _Result:
        """Do `work` in a transaction, and again from the start after a serialisation failure or a deadlock.

        `work` must have no effect outside the transaction. The last failure is raised, as StoreTrouble.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self._transaction() as connection:
                    return work(connection)
            except psycopg.Error as error:
                again = isinstance(error, pg_errors.SerializationFailure | pg_errors.DeadlockDetected)
                if not again or attempt == _ATTEMPTS - 1:
                    raise trouble(error) from None
                # Jitter, or two that met once would meet again.
                time.sleep(random.uniform(0.0, 0.02 * 2**attempt))  # noqa: S311
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they come back."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> Connection:
        while True:
            with self._guard:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if _usable(connection):
                return connection
            connection.close()
        return self.connect()

    def _give_back(self, connection: Connection) -> None:
        with self._guard:
            keep = (
                not self._closed
                and not connection.closed
                and connection.info.transaction_status == TransactionStatus.IDLE
                and len(self._idle) < _IDLE_CONNECTIONS
            )
            if keep:
                self._idle.append(connection)
                return
        connection.close()


def lock_number(kind: str, name: str) -> int:
    """Return the number of the advisory lock for a name: 64 bits of its SHA-256, signed as PostgreSQL wants it."""
    digest = hashlib.sha256(f"crm-sync\0{kind}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _usable(connection: Connection) -> bool:
    if connection.closed:
        return False
    try:
        # The server may have been restarted while the connection lay idle.
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _where(url: str) -> str:
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "the given address"
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _reason(error: psycopg.OperationalError, url: str) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    try:
        password = conninfo.conninfo_to_dict(url).get("password")
    except psycopg.ProgrammingError:
        return type(error).__name__
    return text.replace(str(password), "***") if password else text
