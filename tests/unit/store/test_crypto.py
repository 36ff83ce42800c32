"""Ciphertexts are bound to their key, purpose and place, and say nothing about their content when they fail."""

from __future__ import annotations

import base64
from uuid import uuid4

import pytest

from crm_sync.errors import BadSettings, CrmSyncError
from crm_sync.store import crypto
from crm_sync.store.crypto import MasterKey, new_master_key

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
SECRET = b"ada@example.com"


def test_values_under_a_shared_key_come_back_in_order() -> None:
    plaintexts = [b"", b"one", SECRET * 1000]
    aads = [b"a", b"b", b"c"]
    sealed = crypto.seal_keyed(7, KEY, "day", plaintexts, aads)
    assert crypto.key_ids(sealed, "day") == [7, 7, 7]
    assert crypto.open_keyed({7: KEY}, "day", sealed, aads) == plaintexts


def test_the_same_value_never_looks_the_same_twice() -> None:
    sealed = crypto.seal_keyed(7, KEY, "day", [SECRET] * 50, [b""] * 50)
    assert len(set(sealed)) == 50
    assert not any(SECRET in blob for blob in sealed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]),
        lambda blob: blob[:12] + bytes([blob[12] ^ 1]) + blob[13:],
        lambda blob: b"",
        lambda blob: blob[:20],
        lambda blob: b"\x02" + blob[1:],
        lambda blob: SECRET + SECRET + SECRET,
    ],
)
def test_a_damaged_value_is_refused_without_showing_it(damage) -> None:
    (blob,) = crypto.seal_keyed(7, KEY, "day", [SECRET], [b"landing/1"])
    with pytest.raises(CrmSyncError, match="'day'") as raised:
        crypto.open_keyed({7: KEY}, "day", [damage(blob)], [b"landing/1"])
    assert "ada" not in str(raised.value)


def test_a_value_opens_only_with_its_key_its_purpose_and_its_place() -> None:
    (blob,) = crypto.seal_keyed(7, KEY, "day", [SECRET], [b"landing/1"])
    for keys, purpose, aad in (
        ({7: OTHER}, "day", b"landing/1"),
        ({7: KEY}, "token", b"landing/1"),
        ({7: KEY}, "day", b"landing/2"),
        ({8: KEY}, "day", b"landing/1"),
    ):
        with pytest.raises(CrmSyncError, match=f"'{purpose}'"):
            crypto.open_keyed(keys, purpose, [blob], [aad])
    relabelled = blob[:8] + b"\x08" + blob[9:]
    with pytest.raises(CrmSyncError):
        crypto.open_keyed({8: KEY}, "day", [relabelled], [b"landing/1"])


def test_a_subjects_value_opens_only_for_that_subject_and_purpose() -> None:
    ada, bob = uuid4(), uuid4()
    keys = {ada: crypto.SubjectKey(ada, KEY), bob: crypto.SubjectKey(bob, OTHER)}
    sealed = crypto.seal_by_subject(keys, [ada, bob, ada], [b"1", b"2", b"3"], "hub_record.doc")
    assert crypto.open_by_subject(keys, [ada, bob, ada], sealed, "hub_record.doc") == [b"1", b"2", b"3"]
    with pytest.raises(CrmSyncError, match=r"hub_record\.doc.*" + str(bob)):
        crypto.open_by_subject({bob: crypto.SubjectKey(bob, KEY)}, [bob], [sealed[0]], "hub_record.doc")
    with pytest.raises(CrmSyncError, match=r"shadow\.base"):
        crypto.open_by_subject(keys, [ada], [sealed[0]], "shadow.base")
    with pytest.raises(CrmSyncError, match="has no key"):
        crypto.open_by_subject({}, [ada], [sealed[0]], "hub_record.doc")
    with pytest.raises(CrmSyncError, match="has no key"):
        crypto.seal_by_subject({}, [ada], [b"1"], "hub_record.doc")


def test_batches_of_unequal_length_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="argument"):
        crypto.seal_keyed(7, KEY, "day", [b"1", b"2"], [b"only one"])


def test_a_new_master_key_is_32_random_bytes() -> None:
    first, second = new_master_key(), new_master_key()
    assert len(base64.b64decode(first)) == 32
    assert first != second
    assert MasterKey.parse(first).fingerprint == MasterKey.parse(f" {first}\n").fingerprint
    assert MasterKey.parse(first).fingerprint != MasterKey.parse(second).fingerprint


@pytest.mark.parametrize("text", [None, "", "  "])
def test_a_missing_master_key_says_how_to_make_one(text: str | None) -> None:
    with pytest.raises(BadSettings, match=r"CRM_SYNC_MASTER_KEY is not set.*crm-sync keys new"):
        MasterKey.parse(text)


@pytest.mark.parametrize("text", ["hunter2", base64.b64encode(bytes(31)).decode(), "ä" * 44, "=" * 44])
def test_a_malformed_master_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(BadSettings, match="malformed; expected base64 of 32 bytes") as raised:
        MasterKey.parse(text)
    assert text not in str(raised.value)


def test_a_wrapped_key_is_bound_to_its_row_and_its_master() -> None:
    master, other = MasterKey.parse(new_master_key()), MasterKey.parse(new_master_key())
    wrapped = master.wrap(KEY, b"row 1")
    assert master.unwrap(wrapped, b"row 1", "row 1") == KEY
    for opener, context in ((master, b"row 2"), (other, b"row 1")):
        with pytest.raises(CrmSyncError, match="stored key of the row"):
            opener.unwrap(wrapped, context, "the row")


def test_a_master_key_never_shows_in_a_text() -> None:
    text = new_master_key()
    master = MasterKey.parse(text)
    assert text not in repr(master)
    assert base64.b64decode(text).hex() not in repr(master)
