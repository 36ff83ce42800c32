"""Leases: one holder among processes, and no commit by a holder that lost its lock."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from crm_sync.errors import Busy, LostLock
from crm_sync.store.database import Database, lock_number
from crm_sync.store.leases import Leases

HOLD = """
import sys
from crm_sync.store.database import Database
from crm_sync.store.leases import Leases

with Leases(Database(sys.argv[1])).lease(sys.argv[2]) as lease:
    print(lease.token, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def leases(database: Database) -> Leases:
    """Return the locks of this module's database."""
    return Leases(database)


def _holder(database: Database, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, database.url, name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _cut(database: Database, name: str) -> None:
    """End the session that holds the lock, as a broken network would."""
    number = lock_number("lease", name) & 0xFFFFFFFFFFFFFFFF
    with database.transaction() as conn:
        ended = conn.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory'"
            " AND classid = %s AND objid = %s AND granted",
            (number >> 32, number & 0xFFFFFFFF),
        ).fetchall()
    assert ended == [(True,)]


def test_a_busy_lease_names_its_holder_and_is_free_after_it_died(database: Database, leases: Leases) -> None:
    with _holder(database, "deliver:one") as other:
        assert other.stdout is not None
        first = int(other.stdout.readline())
        held_by_it = pytest.raises(Busy, match=rf"'deliver:one' is held by process {other.pid} on .*, since 2")
        with held_by_it, leases.lease("deliver:one"):
            pass
        other.kill()
    with leases.lease("deliver:one", wait_seconds=30) as lease:
        assert lease.token == first + 1


def test_leases_of_other_names_are_free(leases: Leases) -> None:
    with leases.lease("a"), leases.lease("b"), pytest.raises(Busy), leases.lease("a"):
        pass


def test_one_who_waits_gets_it_when_the_holder_leaves(leases: Leases) -> None:
    with ThreadPoolExecutor(1) as pool:
        with leases.lease("waited for") as first:
            waiting = pool.submit(lambda: leases.lease("waited for", wait_seconds=60).__enter__().token)
            assert not waiting.done()
        assert waiting.result() == first.token + 1


def test_the_fence_lets_the_holder_commit(database: Database, leases: Leases) -> None:
    with leases.lease("fenced") as lease:
        for _ in range(2):
            with database.transaction() as conn:
                lease.fence(conn)


def test_a_holder_whose_lock_was_taken_over_cannot_commit(database: Database, leases: Leases) -> None:
    with database.transaction() as conn:
        conn.execute("CREATE TABLE written (by text)")
    with leases.lease("cut") as lost:
        _cut(database, "cut")
        with leases.lease("cut", wait_seconds=30) as successor:
            with pytest.raises(LostLock, match="'cut' was taken over"), database.transaction() as conn:
                conn.execute("INSERT INTO written VALUES ('lost')")
                lost.fence(conn)
            with database.transaction() as conn:
                conn.execute("INSERT INTO written VALUES ('successor')")
                successor.fence(conn)
    with database.transaction() as conn:
        assert conn.execute("SELECT by FROM written").fetchall() == [("successor",)]


def test_a_successor_cannot_begin_inside_a_fenced_transaction(
    database: Database, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_sync.store.leases._PREDECESSOR_SECONDS", 1)
    with leases.lease("in the middle") as lost:
        with database.transaction() as conn:
            lost.fence(conn)
            _cut(database, "in the middle")
            with pytest.raises(Busy), leases.lease("in the middle", wait_seconds=30):
                pass
        with leases.lease("in the middle", wait_seconds=30) as successor:
            assert successor.token == lost.token + 1


def test_an_error_inside_frees_the_lease(leases: Leases) -> None:
    with pytest.raises(psycopg.DataError), leases.lease("error"):
        raise psycopg.DataError("inside")
    with leases.lease("error"):
        pass
