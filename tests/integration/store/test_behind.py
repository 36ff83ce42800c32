"""Copies that run behind keep the order of statements, and fail inside the transaction that they belong to."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from crm_sync.store.behind import BehindConnection
from crm_sync.store.database import Connection, Database
from crm_sync.store.staging import ConstraintError, copy_columns

ROWS = 3000


@pytest.fixture
def things(database: Database) -> Iterator[str]:
    """Return a table with a key and another that refers to it."""
    with database.transaction() as conn:
        conn.execute("create table thing (id uuid primary key, name text not null)")
        conn.execute("create table part (thing uuid not null references thing, name text)")
    yield "thing"
    with database.transaction() as conn:
        conn.execute("drop table part, thing")


def ids(count: int = ROWS) -> list[UUID]:
    return [uuid4() for _ in range(count)]


def count(conn: Connection, table: str = "thing") -> int:
    row = conn.execute(f"select count(*) from {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_a_query_sees_what_was_copied_before_it(database: Database, things: str) -> None:
    def work(conn: Connection) -> tuple[int, int]:
        copied = ids()
        copy_columns(conn, things, {"id": copied, "name": ["x"] * ROWS})
        copy_columns(conn, "part", {"thing": copied})
        with conn.cursor() as cursor:
            first = cursor.execute("select count(*) from part").fetchone()
        assert first is not None
        return int(first[0]), count(conn)

    assert database.run(work) == (ROWS, ROWS)
    assert database.run(count) == ROWS


def test_what_is_copied_last_is_committed_with_the_rest(database: Database, things: str) -> None:
    database.run(lambda conn: copy_columns(conn, things, {"id": ids(), "name": ["x"] * ROWS}))
    assert database.run(count) == ROWS


def test_a_refusal_ends_the_savepoint_that_it_belongs_to(database: Database, things: str) -> None:
    def work(conn: Connection) -> int:
        copy_columns(conn, things, {"id": ids(5), "name": ["x"] * 5})
        with pytest.raises(ConstraintError), conn.transaction():
            copy_columns(conn, things, {"id": ids(), "name": [*["x"] * (ROWS - 1), None]})
        return count(conn)

    assert database.run(work) == 5
    assert database.run(count) == 5


def test_a_refusal_is_raised_by_the_next_statement(database: Database, things: str) -> None:
    def work(conn: Connection) -> None:
        twice = uuid4()
        copy_columns(conn, things, {"id": [twice, twice], "name": ["x", "y"]})
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute("select 1")
        raise LookupError

    with pytest.raises(LookupError):
        database.run(work)
    assert database.run(count) == 0


def test_an_error_of_our_own_rolls_back_what_was_under_way(database: Database, things: str) -> None:
    def work(conn: Connection) -> None:
        copy_columns(conn, things, {"id": ids(), "name": ["x"] * ROWS})
        raise LookupError

    with pytest.raises(LookupError):
        database.run(work)
    assert database.run(count) == 0


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Return how to be interrupted, as by Ctrl-C, in so many seconds."""

    def ring(*_: object) -> None:
        raise KeyboardInterrupt

    def set_for(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)

    before = signal.signal(signal.SIGALRM, ring)
    yield set_for
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_interrupt_never_leaves_what_was_copied_behind(
    database: Database, things: str, alarm: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    really = BehindConnection._copy

    def late(self: BehindConnection, behind: Any, statement: Any, data: Any) -> None:
        time.sleep(0.1)
        really(self, behind, statement, data)

    monkeypatch.setattr(BehindConnection, "_copy", late)

    def work(conn: Connection) -> None:
        copy_columns(conn, things, {"id": ids(), "name": ["x"] * ROWS})
        alarm(0.02)
        conn.execute("select 1")

    with pytest.raises(KeyboardInterrupt):
        database.run(work)
    time.sleep(0.2)
    assert database.run(count) == 0


def test_an_interrupt_stops_what_the_server_does(
    database: Database, things: str, alarm: Callable[[float], None]
) -> None:
    key = uuid4()

    def work(conn: Connection) -> None:
        copy_columns(conn, things, {"id": [key], "name": ["x"]})
        alarm(0.05)
        conn.execute("select 1")

    with database.transaction() as other:
        other.execute("insert into thing values (%s, 'theirs')", [key])
        # The copy waits for the other's end, which comes after this.
        with pytest.raises(KeyboardInterrupt):
            database.run(work)
        assert count(other) == 1
    assert database.run(count) == 1


def test_a_connection_left_open_is_still_told_of(database: Database, things: str) -> None:
    connection = database.connect()
    copy_columns(connection, things, {"id": ids(3), "name": ["x"] * 3})
    assert count(connection) == 3
    with pytest.warns(ResourceWarning, match="was deleted while still open"):
        del connection
        gc.collect()
