"""What connectors need from the store: tokens and the journal, and all ports together."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from crm_sync.errors import CrmSyncError, StoreTrouble
from crm_sync.ports import Lane, Services, Token
from crm_sync.store.budget import Budgets
from crm_sync.store.clock import SystemClock
from crm_sync.store.database import Database
from crm_sync.store.journal import Journal, calls_of_run
from crm_sync.store.keyring import Keyring
from crm_sync.store.tokens import Tokens

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


# -- tokens ---------------------------------------------------------------------------------------------------------


def test_a_token_comes_back_whole_and_is_encrypted_on_disk(database: Database, keyring: Keyring) -> None:
    tokens = Tokens(database, keyring)
    assert tokens.get("one") is None
    token = Token("access-secret", NOON, "refresh-secret")
    tokens.put("one", token)
    assert Tokens(database, keyring).get("one") == token
    with database.transaction() as conn:
        row = conn.execute("SELECT access, refresh FROM crm_token WHERE connection = 'one'").fetchone()
    assert row is not None
    assert b"secret" not in row[0] + row[1]


def test_forgetting_keeps_the_refresh_token_only(database: Database, keyring: Keyring) -> None:
    tokens = Tokens(database, keyring)
    tokens.put("two", Token("refused", None, "keep"))
    tokens.forget("two")
    left = tokens.get("two")
    assert left is not None
    assert (left.access, left.refresh) == ("", "keep")
    assert left.expires_at is not None
    assert left.expires_at < NOON
    tokens.put("three", Token("refused", None))
    tokens.forget("three")
    assert tokens.get("three") is None


def test_a_token_moved_to_another_connection_is_refused(database: Database, keyring: Keyring) -> None:
    tokens = Tokens(database, keyring)
    tokens.put("mine", Token("access", NOON))
    with database.transaction() as conn:
        conn.execute("UPDATE crm_token SET connection = 'yours' WHERE connection = 'mine'")
    with pytest.raises(CrmSyncError, match="'token'"):
        tokens.get("yours")


def test_only_one_process_refreshes_and_the_others_find_its_token(
    database: Database, keyring: Keyring, master_key: str
) -> None:
    program = """
import sys
from crm_sync.ports import Token
from crm_sync.store.database import Database
from crm_sync.store.keyring import Keyring
from crm_sync.store.tokens import Tokens

url, key = sys.argv[1:]
database = Database(url)
tokens = Tokens(database, Keyring.open(database, key))
with tokens.refreshing("shared"):
    if tokens.get("shared") is None:
        tokens.put("shared", Token("fetched", None))
        print("fetched")
"""
    command = [sys.executable, "-c", program, database.url, master_key]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = "".join(racer.communicate()[0] for racer in racers)
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert said == "fetched\n"


def test_the_refresh_lock_also_excludes_threads(database: Database, keyring: Keyring) -> None:
    tokens = Tokens(database, keyring)
    inside: list[str] = []

    def refresh(_: int) -> None:
        with tokens.refreshing("threads"):
            inside.append("in")
            assert inside.count("in") - inside.count("out") == 1
            inside.append("out")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(refresh, range(8)))
    assert len(inside) == 16


# -- journal --------------------------------------------------------------------------------------------------------


def test_calls_are_counted_and_added_up(database: Database) -> None:
    run_id = uuid4()
    with Journal(database, run_id) as journal:
        for _ in range(3):
            journal.call("one", "read", ok=True)
        journal.call("one", "read", ok=False)
        assert calls_of_run(database, run_id) == {}
    with Journal(database, run_id) as journal:
        journal.call("one", "read", ok=True)
    assert calls_of_run(database, run_id) == {("one", "read", True): 4, ("one", "read", False): 1}


def test_counts_of_many_threads_are_exact(database: Database) -> None:
    run_id = uuid4()
    with Journal(database, run_id) as journal, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: journal.call("one", "write", ok=True), range(2000)))
    assert calls_of_run(database, run_id) == {("one", "write", True): 2000}


def test_counts_survive_a_failed_flush(database: Database) -> None:
    run_id = uuid4()
    journal = Journal(database, run_id)
    journal.call("one", "read", ok=True)
    with database.transaction() as conn:
        conn.execute("ALTER TABLE api_call RENAME TO api_call_away")
    with pytest.raises(StoreTrouble, match="api_call"):
        journal.flush()
    with database.transaction() as conn:
        conn.execute("ALTER TABLE api_call_away RENAME TO api_call")
    journal.flush()
    journal.flush()
    assert calls_of_run(database, run_id) == {("one", "read", True): 1}


def test_operations_are_audited_even_if_the_work_rolls_back(database: Database) -> None:
    run_id = uuid4()
    journal = Journal(database, run_id)
    with pytest.raises(RuntimeError), database.transaction():
        journal.operation("one", "token", "refused", "invalid_client")
        raise RuntimeError
    with database.transaction() as conn:
        rows = conn.execute(
            "SELECT connection, operation, result, detail FROM audit_operation WHERE run_id = %s", (run_id,)
        ).fetchall()
    assert rows == [("one", "token", "refused", "invalid_client")]


def test_together_they_are_what_a_connector_receives(database: Database, keyring: Keyring) -> None:
    clock = SystemClock()
    services = Services(
        clock=clock,
        tokens=Tokens(database, keyring),
        budget=Budgets(database, {}, clock),
        journal=Journal(database, uuid4()),
    )
    services.budget.acquire("any", Lane.NOTICE)
    assert services.clock.now().tzinfo is UTC
    services.clock.sleep(-1)
