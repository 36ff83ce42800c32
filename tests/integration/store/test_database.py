"""Connections: transactions, retries, a pool that survives a restart, and refusals that show no password."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from crm_sync.errors import BadSettings, StoreTrouble
from crm_sync.store import database as database_module
from crm_sync.store.database import Connection, Database
from crm_sync.store.queries import queries


@pytest.fixture(scope="module", autouse=True)
def _table(database: Database) -> None:
    with database.transaction() as conn:
        conn.execute("CREATE TABLE counter (name text PRIMARY KEY, count int NOT NULL)")
        conn.execute("INSERT INTO counter VALUES ('a', 0), ('b', 0)")


def _count(database: Database, name: str) -> int:
    with database.transaction() as conn:
        row = conn.execute("SELECT count FROM counter WHERE name = %s", (name,)).fetchone()
    assert row is not None
    return int(row[0])


def test_our_tables_are_found_and_times_are_utc(database: Database) -> None:
    with database.transaction() as conn:
        assert conn.execute("SELECT current_schema(), current_setting('timezone')").fetchone() == ("crm_sync", "UTC")


def test_an_error_rolls_back_and_the_connection_stays_good(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as conn:
        conn.execute("UPDATE counter SET count = 99 WHERE name = 'a'")
        raise RuntimeError
    with pytest.raises(StoreTrouble, match='relation "nowhere" does not exist'), database.transaction() as conn:
        conn.execute("SELECT * FROM nowhere")
    assert _count(database, "a") == 0


def test_connections_are_used_again(database: Database) -> None:
    pids = set()
    for _ in range(5):
        with database.transaction() as conn:
            pids.add(conn.info.backend_pid)
    assert len(pids) == 1


def test_threads_have_connections_of_their_own(database: Database) -> None:
    together = threading.Barrier(4, timeout=30)

    def pid(_: int) -> int:
        with database.transaction() as conn:
            together.wait()
            return conn.info.backend_pid

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(pid, range(4)))) == 4


def test_a_connection_that_broke_while_idle_is_replaced(database: Database) -> None:
    with database.transaction() as conn:
        pid = conn.info.backend_pid
    with psycopg.connect(database.url, autocommit=True) as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,)).fetchone() == (True,)
    assert _count(database, "a") == 0


def test_a_deadlock_is_tried_again_until_both_are_done(database: Database) -> None:
    before = _count(database, "a"), _count(database, "b")
    both_hold_one = threading.Barrier(2, timeout=30)
    attempts: list[str] = []

    def add(first: str, second: str) -> None:
        def work(conn: Connection) -> None:
            attempts.append(first)
            conn.execute("UPDATE counter SET count = count + 1 WHERE name = %s", (first,))
            if attempts.count(first) == 1:
                both_hold_one.wait()
            conn.execute("UPDATE counter SET count = count + 1 WHERE name = %s", (second,))

        database.run(work)

    with ThreadPoolExecutor(2) as pool:
        for done in (pool.submit(add, "a", "b"), pool.submit(add, "b", "a")):
            done.result()
    assert len(attempts) == 3
    assert (_count(database, "a"), _count(database, "b")) == (before[0] + 2, before[1] + 2)


def test_a_failure_that_stays_is_raised_in_the_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(database_module.time, "sleep", slept.append)

    def work(conn: Connection) -> None:
        raise psycopg.errors.SerializationFailure

    with pytest.raises(StoreTrouble, match="SerializationFailure"):
        database.run(work)
    assert len(slept) == 5


def test_other_errors_are_not_tried_again(database: Database) -> None:
    attempts: list[int] = []

    def work(conn: Connection) -> None:
        attempts.append(1)
        conn.execute("SELECT 1 / 0")

    with pytest.raises(StoreTrouble, match="DivisionByZero"):
        database.run(work)
    assert len(attempts) == 1


def test_nothing_stays_open_after_close(database_url: str) -> None:
    with Database(database_url) as opened, opened.transaction() as conn:
        opened.close()
        assert not conn.closed
    assert conn.closed


def test_a_server_that_is_not_there(server_url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        expected = rf"127\.0\.0\.1:{port}/crm cannot be reached.*CRM_SYNC_DATABASE_URL"
        with pytest.raises(BadSettings, match=expected) as raised:
            Database(f"postgresql://user:hidden-word@127.0.0.1:{port}/crm")
    assert "hidden-word" not in str(raised.value)


def test_a_wrong_password_is_not_shown(server_url: str) -> None:
    address = server_url.rpartition("@")[2]
    with pytest.raises(BadSettings, match="password authentication failed") as raised:
        Database(f"postgresql://crm_sync:hidden-word@{address}")
    assert "hidden-word" not in str(raised.value)


@pytest.mark.parametrize("url", ["mysql://user:hidden-word@host/db", "hidden-word", "postgresql://a:hidden-word@[bad"])
def test_an_address_of_another_kind(url: str) -> None:
    with pytest.raises(BadSettings) as raised:
        Database(url)
    assert "hidden-word" not in str(raised.value)


def test_a_server_below_the_floor(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "_FLOOR", 99)
    with pytest.raises(BadSettings, match="is PostgreSQL 18; expected 99 or newer"):
        Database(server_url)


def test_every_query_file_keeps_the_form() -> None:
    files = sorted((Path(database_module.__file__).parent / "sql" / "queries").glob("*.sql"))
    assert len(files) > 5
    for file in files:
        assert queries(file.stem), file.name


def test_a_query_file_that_breaks_the_form(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_sync.store.queries._QUERIES", tmp_path)
    for content, complaint in (
        ("SELECT 1", "no queries"),
        ("-- name: one\nSELECT 1", "query one has no description"),
        ("-- name: one\n-- First.\nSELECT 1\n-- name: one\n-- Again.\nSELECT 2", "query one is named twice"),
    ):
        name = f"broken_{uuid4().hex}"
        (tmp_path / f"{name}.sql").write_text(content)
        with pytest.raises(ValueError, match=complaint):
            queries(name)
