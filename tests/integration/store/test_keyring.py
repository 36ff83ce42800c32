"""The keyring against a real database: first use, wrong keys, day and subject keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from uuid import uuid4

import numpy as np
import pytest
from pandas.util import hash_array

from crm_sync.errors import BadSettings, CrmSyncError, StoreTrouble
from crm_sync.store.crypto import new_master_key
from crm_sync.store.database import Database
from crm_sync.store.keyring import Keyring

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)


def test_the_wrong_master_key_is_refused_at_once(database: Database, keyring: Keyring) -> None:
    with pytest.raises(BadSettings, match=r"does not belong to this database.*expected"):
        Keyring.open(database, new_master_key())
    with pytest.raises(BadSettings, match="not set"):
        Keyring.open(database, None)


def test_another_process_with_the_same_key_reads_what_this_one_wrote(
    database: Database, keyring: Keyring, master_key: str
) -> None:
    sealed = keyring.seal_day(MONDAY, [b"a", b"b"], [b"1", b"2"]) + keyring.seal_day(TUESDAY, [b"c"], [b"3"])
    again = Keyring.open(database, master_key)
    assert again.open_day(sealed, [b"1", b"2", b"3"]) == [b"a", b"b", b"c"]
    assert again.match_key() == keyring.match_key()
    assert again.vector_key() == keyring.vector_key()


def test_day_keys_of_different_days_differ_and_can_be_destroyed(keyring: Keyring) -> None:
    (old,) = keyring.seal_day(date(2020, 1, 1), [b"old"], [b""])
    (new,) = keyring.seal_day(MONDAY, [b"new"], [b""])
    assert keyring.destroy_day_keys(date(2020, 1, 2)) == 1
    assert keyring.open_day([new], [b""]) == [b"new"]
    with pytest.raises(CrmSyncError, match="no longer exist"):
        keyring.open_day([old], [b""])


def test_threads_that_need_a_new_key_at_once_agree_on_one(database: Database, master_key: str) -> None:
    rings = [Keyring.open(database, master_key) for _ in range(6)]
    day = date(2031, 1, 1)
    with ThreadPoolExecutor(6) as pool:
        sealed = list(pool.map(lambda ring: ring.seal_day(day, [b"x"], [b""])[0], rings))
    assert len({blob[:9] for blob in sealed}) == 1
    assert rings[0].open_day(sealed, [b""] * 6) == [b"x"] * 6


def test_vector_keys_are_what_hash_array_takes_and_old_ones_stay_readable(keyring: Keyring) -> None:
    first_id, first = keyring.vector_key()
    second_id, second = keyring.new_vector_key()
    assert second_id > first_id
    assert keyring.vector_key() == (second_id, second)
    assert keyring.vector_key_of(first_id) == first
    texts = np.array(["t:Ada", "0"], dtype=object)
    one = hash_array(texts, hash_key=first, categorize=False)
    other = hash_array(texts, hash_key=second, categorize=False)
    assert not (one == other).any()


def test_subject_keys_live_and_die_with_the_callers_transaction(database: Database, keyring: Keyring) -> None:
    kept, undone = [uuid4(), uuid4()], [uuid4()]
    with database.transaction() as conn:
        made = keyring.create_subject_keys(conn, kept)
    with pytest.raises(RuntimeError, match="crash"), database.transaction() as conn:
        keyring.create_subject_keys(conn, undone)
        assert set(keyring.subject_keys(conn, undone)) == set(undone)
        raise RuntimeError("crash")
    with database.transaction() as conn:
        assert keyring.subject_keys(conn, [*kept, *undone]) == made
        assert keyring.create_subject_keys(conn, []) == {}
        assert keyring.subject_keys(conn, []) == {}


def test_a_golden_record_has_one_key_for_ever(database: Database, keyring: Keyring) -> None:
    hub_id = uuid4()
    with database.transaction() as conn:
        keyring.create_subject_keys(conn, [hub_id])
    with pytest.raises(StoreTrouble, match="UniqueViolation"), database.transaction() as conn:
        keyring.create_subject_keys(conn, [hub_id])


def test_without_its_key_a_golden_record_is_unreadable(database: Database, keyring: Keyring) -> None:
    ada, bob = uuid4(), uuid4()
    with database.transaction() as conn:
        keys = keyring.create_subject_keys(conn, [ada, bob])
        sealed = keyring.seal_subject(keys, [ada, bob], [b"Ada", b"Bob"], "hub_record.doc")
        assert keyring.destroy_subject_keys(conn, [ada]) == 1
    with database.transaction() as conn:
        left = keyring.subject_keys(conn, [ada, bob])
    assert set(left) == {bob}
    assert keyring.open_subject(left, [bob], sealed[1:], "hub_record.doc") == [b"Bob"]
    with pytest.raises(CrmSyncError, match=str(ada)):
        keyring.open_subject(left, [ada], sealed[:1], "hub_record.doc")


def test_a_key_moved_to_another_row_is_noticed(database: Database, keyring: Keyring) -> None:
    ada, eve = uuid4(), uuid4()
    with database.transaction() as conn:
        keyring.create_subject_keys(conn, [ada, eve])
        conn.execute(
            "UPDATE subject_key SET wrapped = (SELECT wrapped FROM subject_key WHERE hub_id = %s) WHERE hub_id = %s",
            (ada, eve),
        )
    moved = pytest.raises(CrmSyncError, match=f"golden record {eve} is damaged or was moved")
    with moved, database.transaction() as conn:
        keyring.subject_keys(conn, [eve])
