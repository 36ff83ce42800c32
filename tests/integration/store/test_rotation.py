"""Rotation of the master key: whole, interrupted at every commit, and beside processes that still hold the old key."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from uuid import UUID, uuid4

import pytest

from crm_sync.errors import BadSettings
from crm_sync.store.crypto import new_master_key
from crm_sync.store.database import Database
from crm_sync.store.keyring import Keyring

SUBJECTS = 25
ROTATE_AND_DIE = """
import os, sys
from crm_sync.store import masters
from crm_sync.store.database import Database
from crm_sync.store.keyring import Keyring

url, old, new, commits = sys.argv[1:]
masters._ROWS = 4
database = Database(url)
ring = Keyring.open(database, old)
seen = 0
whole = Database.transaction

class Counted:
    def __init__(self, inner):
        self.inner = inner
    def __enter__(self):
        return self.inner.__enter__()
    def __exit__(self, *error):
        global seen
        result = self.inner.__exit__(*error)
        seen += 1
        if seen == int(commits):
            os._exit(9)
        return result

Database.transaction = lambda self: Counted(whole(self))
ring.rotate(new)
"""


@pytest.fixture
def filled(database: Database) -> tuple[str, dict[UUID, bytes], bytes]:
    """Return master key, subject keys and a sealed value of a database that begins anew."""
    with database.transaction() as conn:
        conn.execute("TRUNCATE master_key, subject_key")
        conn.execute("DELETE FROM data_key")
    text = new_master_key()
    ring = Keyring.open(database, text)
    with database.transaction() as conn:
        keys = ring.create_subject_keys(conn, [uuid4() for _ in range(SUBJECTS)])
    ring.vector_key()
    return text, keys, ring.seal_day(date(2026, 11, 24), [b"landed"], [b"page"])[0]


def _intact(database: Database, ring: Keyring, keys: dict[UUID, bytes], blob: bytes) -> None:
    with database.transaction() as conn:
        assert ring.subject_keys(conn, list(keys)) == keys
    assert ring.open_day([blob], [b"page"]) == [b"landed"]


def test_after_a_rotation_only_the_new_key_opens_the_database(
    database: Database, filled: tuple[str, dict[UUID, bytes], bytes]
) -> None:
    old, keys, blob = filled
    new = new_master_key()
    ring = Keyring.open(database, old)
    assert ring.rotate(new) == SUBJECTS + 2
    _intact(database, ring, keys, blob)
    _intact(database, Keyring.open(database, new), keys, blob)
    with pytest.raises(BadSettings, match="does not belong"):
        Keyring.open(database, old)
    assert Keyring.open(database, new).rotate(new) == 0


@pytest.mark.parametrize("commits", [1, 2, 3, 5, 9, 11])
def test_a_rotation_killed_after_any_commit_is_finished_with_the_new_key_alone(
    database: Database, filled: tuple[str, dict[UUID, bytes], bytes], commits: int
) -> None:
    old, keys, blob = filled
    new = new_master_key()
    died = subprocess.run([sys.executable, "-c", ROTATE_AND_DIE, database.url, old, new, str(commits)], check=False)
    assert died.returncode == 9
    with pytest.raises(BadSettings, match="former key: a rotation"):
        Keyring.open(database, old)
    ring = Keyring.open(database, new)
    assert ring.rotating
    _intact(database, ring, keys, blob)
    ring.rotate(new)
    assert not Keyring.open(database, new).rotating
    _intact(database, Keyring.open(database, new), keys, blob)
    with database.transaction() as conn:
        masters = "SELECT count(DISTINCT master_fingerprint) FROM (TABLE subject_key) AS s"
        assert conn.execute(masters).fetchone() == (1,)


def test_a_process_with_the_old_key_can_no_longer_create_keys(
    database: Database, filled: tuple[str, dict[UUID, bytes], bytes]
) -> None:
    old, keys, _ = filled
    late = Keyring.open(database, old)
    Keyring.open(database, old).rotate(new_master_key())
    with pytest.raises(BadSettings, match="was replaced while this process ran"), database.transaction() as conn:
        late.create_subject_keys(conn, [uuid4()])
    with pytest.raises(BadSettings, match="was replaced while this process ran"):
        late.seal_day(date(2030, 1, 1), [b"x"], [b""])
    with pytest.raises(BadSettings, match="was replaced while this process ran"), database.transaction() as conn:
        late.subject_keys(conn, list(keys))
    with pytest.raises(BadSettings, match="was replaced while this process ran"):
        late.rotate(new_master_key())
