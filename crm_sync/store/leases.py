"""Exclusive work across processes: one holder at a time, and a fence that a holder which lost its lock cannot pass.

The lock is an advisory lock of a connection of its own, so it ends with its holder, however that ends. Each taking
bumps a token in table `lease`; a transaction that checks the token (`Lease.fence`) cannot commit beside a successor,
since the check holds the row until the transaction ends.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import psycopg

from crm_sync.errors import Busy, LostLock
from crm_sync.store.database import Connection, Database, lock_number
from crm_sync.store.queries import queries
from crm_sync.store.refusals import trouble, without_values

Q = queries("lease")
_LOOK_SECONDS: Final = 0.1
_PREDECESSOR_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Lease:
    """A lock that we hold; `token` is higher than that of every earlier holder."""

    name: str
    token: int

    def fence(self, conn: Connection) -> None:
        """Check inside a transaction that the lease is still ours; LostLock where it was taken over.

        From here until the transaction ends nobody can take it over.
        """
        row = conn.execute(Q["fence"], {"name": self.name}).fetchone()
        if row is None or row[0] != self.token:
            raise LostLock(
                f"The lock {self.name!r} was taken over while this process worked (its connection to the database was "
                "interrupted); the transaction is rolled back. Nothing is lost: run again."
            )


class Leases:
    """The exclusive locks of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holder = f"process {os.getpid()} on {socket.gethostname()}"

    @contextmanager
    def lease(self, name: str, *, wait_seconds: float = 0.0) -> Iterator[Lease]:
        """Hold the lock of that name; Busy names the holder where it is not free within `wait_seconds`."""
        with own_lock(self._database, "lease", name, wait_seconds) as conn:
            if conn is None:
                raise Busy(self._busy_text(name))
            yield Lease(name, self._bump(conn, name))

    def _bump(self, conn: Connection, name: str) -> int:
        try:
            with conn.transaction():
                # A former holder may be in the middle of a fenced transaction: it may end it, not hold us up for ever.
                conn.execute(f"SET LOCAL lock_timeout = '{_PREDECESSOR_SECONDS}s'")
                row = conn.execute(Q["take"], {"name": name, "holder": self._holder}).fetchone()
        except psycopg.errors.LockNotAvailable:
            raise Busy(self._busy_text(name)) from None
        except psycopg.Error as error:
            raise trouble(error) from None
        if row is None:
            raise LostLock(f"The lock {name!r} could not be written down; run again.")
        return int(row[0])

    def _busy_text(self, name: str) -> str:
        with self._database.transaction() as conn:
            row = conn.execute(Q["holder"], {"name": name}).fetchone()
        who = f"{row[0]}, since {row[1]:%Y-%m-%d %H:%M:%S} UTC" if row else "a process that has just begun"
        return f"The lock {name!r} is held by {who}. That run does the work; try again when it has ended."


@contextmanager
def own_lock(database: Database, kind: str, name: str, wait_seconds: float) -> Iterator[Connection | None]:
    """Hold an advisory lock on a connection of its own and yield that; yield None where it is not free in time."""
    conn = database.connect()
    try:
        number = lock_number(kind, name)
        deadline = time.monotonic() + wait_seconds
        while True:
            with without_values():
                row = conn.execute(Q["try_lock"], {"number": number}).fetchone()
            if row is not None and row[0]:
                break
            left = deadline - time.monotonic()
            if left <= 0:
                yield None
                return
            time.sleep(min(_LOOK_SECONDS, left))
        try:
            yield conn
        finally:
            # Closing frees the lock too, but only once the server has noticed. With the server gone, so is the lock.
            with suppress(psycopg.OperationalError):
                conn.execute(Q["unlock"], {"number": number})
    finally:
        conn.close()
