"""The keys of the store: one master key in the environment, all others in the database, wrapped by it.

Belongs here: tables data_key and subject_key. Not here: the master key (masters), the form of ciphertexts (crypto).

    vector   SipHash key of hash vectors; a new one may be made, old ones stay readable by id
    match    HMAC key of match hashes
    day      one key a UTC day, for what has no golden record yet: landing, inbox, quarantine
    token    access and refresh tokens of the CRMs
    subject  one key a golden record; without it everything about that record is unreadable
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from crm_sync.errors import CrmSyncError
from crm_sync.store import crypto
from crm_sync.store.crypto import KEY_BYTES, MasterKey, SubjectKey, data_key_context, subject_key_context
from crm_sync.store.database import Connection, Database
from crm_sync.store.dumping import Column
from crm_sync.store.masters import Masters, rewrap_all
from crm_sync.store.queries import queries
from crm_sync.store.staging import copy_columns

Q = queries("keys")
_Row = tuple[Any, ...]


class Keyring:
    """All keys of one database, opened with its master key. Safe to share between threads."""

    def __init__(self, database: Database, masters: Masters) -> None:
        self._database = database
        self._masters = masters
        self._guard = threading.Lock()
        self._by_id: dict[int, bytes] = {}
        self._by_label: dict[tuple[str, str], int] = {}

    @classmethod
    def open(cls, database: Database, master_key_text: str | None) -> Keyring:
        """Open the keys of a database; the first master key ever given is taken into force.

        BadSettings where the key is missing, malformed, or not the one that this database was written under.
        """
        return cls(database, Masters.open(database, MasterKey.parse(master_key_text)))

    @property
    def rotating(self) -> bool:
        """Tell whether a rotation of the master key began and did not end."""
        return self._masters.former is not None

    # -- shared keys ------------------------------------------------------------------------------------------------

    def vector_key(self) -> tuple[int, str]:
        """Return id and text (16 ASCII characters, as hash_array wants it) of the newest vector key."""
        row = self._newest_vector_row() or self._created("vector", "1", _vector_secret)
        return row[0], self._remember(row).decode("ascii")

    def vector_key_of(self, key_id: int) -> str:
        """Return the vector key of that id, however old."""
        return self._keys_by_id([key_id], "vector")[key_id].decode("ascii")

    def new_vector_key(self) -> tuple[int, str]:
        """Make a new vector key; vectors under older ones stay comparable among themselves."""
        newest = self._newest_vector_row()
        row = self._created("vector", str(int(newest[2]) + 1 if newest else 1), _vector_secret)
        return row[0], self._remember(row).decode("ascii")

    def match_key(self) -> bytes:
        """Return the 32-byte HMAC key of match hashes."""
        return self._shared_key("match", "")[1]

    def seal_day(self, day: date, plaintexts: Sequence[bytes], aads: Sequence[bytes]) -> list[bytes]:
        """Encrypt values under the key of a UTC day; `aads` say where each belongs. Same order and length."""
        key_id, key = self._shared_key("day", day.isoformat())
        return crypto.seal_keyed(key_id, key, "day", plaintexts, aads)

    def open_day(self, blobs: Sequence[bytes], aads: Sequence[bytes]) -> list[bytes]:
        """Decrypt values of any days; CrmSyncError where a value was damaged, moved, or its day's key destroyed."""
        keys = self._keys_by_id(crypto.key_ids(blobs, "day"), "day")
        return crypto.open_keyed(keys, "day", blobs, aads)

    def destroy_day_keys(self, before: date) -> int:
        """Destroy the keys of all days before `before`; return how many."""
        with self._database.transaction() as conn:
            destroyed = conn.execute(Q["destroy_day_keys"], {"before": before.isoformat()}).rowcount
        with self._guard:
            self._by_id.clear()
            self._by_label.clear()
        return destroyed

    def seal_token(self, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt one token."""
        key_id, key = self._shared_key("token", "")
        return crypto.seal_keyed(key_id, key, "token", [plaintext], [aad])[0]

    def open_token(self, blob: bytes, aad: bytes) -> bytes:
        """Decrypt one token."""
        keys = self._keys_by_id(crypto.key_ids([blob], "token"), "token")
        return crypto.open_keyed(keys, "token", [blob], [aad])[0]

    # -- keys of golden records -------------------------------------------------------------------------------------

    def create_subject_keys(self, conn: Connection, hub_ids: Sequence[UUID]) -> dict[UUID, SubjectKey]:
        """Make keys for new golden records inside the caller's transaction; return them by hub id."""
        if not hub_ids:
            return {}
        self._masters.hold(conn)
        master = self._masters.current
        random = os.urandom(KEY_BYTES * len(hub_ids))
        secrets = {h: random[n * KEY_BYTES : (n + 1) * KEY_BYTES] for n, h in enumerate(hub_ids)}
        wrapped = master.wrap_all(list(secrets.values()), [subject_key_context(hub_id) for hub_id in secrets])
        columns: dict[str, Column] = {"hub_id": list(secrets), "wrapped": wrapped}
        copy_columns(conn, "subject_key", columns | {"master_fingerprint": [master.fingerprint] * len(wrapped)})
        return {hub_id: SubjectKey(hub_id, secret) for hub_id, secret in secrets.items()}

    def subject_keys(self, conn: Connection, hub_ids: Sequence[UUID]) -> dict[UUID, SubjectKey]:
        """Return the keys of golden records by hub id; erased records are left out.

        Nothing is cached: unwrapping is cheap, and an erased or rolled back key must not live on in memory.
        """
        rows = conn.execute(Q["subject_keys"], {"hub_ids": list(hub_ids)}).fetchall() if hub_ids else []
        of = self._masters.of
        return {
            hub_id: SubjectKey(
                hub_id, of(fingerprint).unwrap(wrapped, subject_key_context(hub_id), f"golden record {hub_id}")
            )
            for hub_id, wrapped, fingerprint in rows
        }

    def destroy_subject_keys(self, conn: Connection, hub_ids: Sequence[UUID]) -> int:
        """Destroy the keys of erased golden records inside the caller's transaction; return how many."""
        return conn.execute(Q["destroy_subject_keys"], {"hub_ids": list(hub_ids)}).rowcount

    def seal_subject(
        self, keys: dict[UUID, SubjectKey], hub_ids: Sequence[UUID], plaintexts: Sequence[bytes], purpose: str
    ) -> list[bytes]:
        """Encrypt each value under its golden record's key, bound to `purpose` ("hub_record.doc") and hub id."""
        return crypto.seal_by_subject(keys, hub_ids, plaintexts, purpose)

    def open_subject(
        self, keys: dict[UUID, SubjectKey], hub_ids: Sequence[UUID], blobs: Sequence[bytes], purpose: str
    ) -> list[bytes]:
        """Decrypt what `seal_subject` made; CrmSyncError where a key is gone or a value was damaged or moved."""
        return crypto.open_by_subject(keys, hub_ids, blobs, purpose)

    # -- rotation of the master key ---------------------------------------------------------------------------------

    def rotate(self, new_master_text: str) -> int:
        """Rewrap all keys under a new master key; return how many were rewrapped here.

        Crash-safe: from the first commit on the new key alone opens the database, and a rotation to that same key goes
        on where it stopped. Other processes must be restarted with the new key; until then they can create no keys.
        """
        new = MasterKey.parse(new_master_text)
        done = rewrap_all(self._database, self._masters) if self.rotating else 0
        if new.fingerprint == self._masters.current.fingerprint:
            return done
        self._masters.replace(self._database, new)
        return done + rewrap_all(self._database, self._masters)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _unwrapped(self, row: _Row) -> bytes:
        key_id, purpose, label, wrapped, fingerprint = row
        what = f"table data_key, id {key_id}, purpose {purpose}"
        return self._masters.of(fingerprint).unwrap(wrapped, data_key_context(purpose, label), what)

    def _remember(self, row: _Row) -> bytes:
        with self._guard:
            key = self._by_id.get(row[0])
        if key is None:
            key = self._unwrapped(row)
            with self._guard:
                self._by_id[row[0]] = key
                self._by_label[(row[1], row[2])] = row[0]
        return key

    def _newest_vector_row(self) -> _Row | None:
        with self._database.transaction() as conn:
            return conn.execute(Q["newest_data_key"], {"purpose": "vector"}).fetchone()

    def _shared_key(self, purpose: str, label: str) -> tuple[int, bytes]:
        with self._guard:
            key_id = self._by_label.get((purpose, label))
            if key_id is not None:
                return key_id, self._by_id[key_id]
        row = self._created(purpose, label, lambda: os.urandom(KEY_BYTES))
        return row[0], self._remember(row)

    def _created(self, purpose: str, label: str, secret: Callable[[], bytes]) -> _Row:
        # In a transaction of its own: a key that others already use must not vanish with our caller's rollback.
        with self._database.transaction() as conn:
            row = conn.execute(Q["data_key_of"], {"purpose": purpose, "label": label}).fetchone()
            if row is not None:
                return row
            self._masters.hold(conn)
            wrapped = self._masters.current.wrap(secret(), data_key_context(purpose, label))
            fingerprint = self._masters.current.fingerprint
            conn.execute(
                Q["new_data_key"],
                {"purpose": purpose, "label": label, "wrapped": wrapped, "fingerprint": fingerprint},
            )
            row = conn.execute(Q["data_key_of"], {"purpose": purpose, "label": label}).fetchone()
        if row is None:
            raise CrmSyncError(f"The key of purpose {purpose} was destroyed while it was made; run again.")
        return row

    def _keys_by_id(self, key_ids: Sequence[int], purpose: str) -> dict[int, bytes]:
        wanted = set(key_ids)
        with self._guard:
            found = {key_id: self._by_id[key_id] for key_id in wanted if key_id in self._by_id}
        missing = wanted - found.keys()
        if missing:
            with self._database.transaction() as conn:
                rows = conn.execute(Q["data_keys"], {"key_ids": list(missing)}).fetchall()
            found.update({row[0]: self._remember(row) for row in rows})
            gone = missing - found.keys()
            if gone:
                raise CrmSyncError(
                    f"The keys {sorted(gone)} of purpose {purpose} no longer exist, so what they encrypted cannot be "
                    "read. If they were destroyed on purpose (retention), delete those rows too."
                )
        return found


def _vector_secret() -> bytes:
    # hash_array takes 16 characters that are 16 bytes in UTF-8: 7 random bits in each.
    return bytes(byte & 0x7F for byte in os.urandom(16))
