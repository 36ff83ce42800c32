"""The master key in force, and its rotation.

Belongs here: table master_key, and rewrapping all keys under a new master. Not here: what the keys are for (keyring).

A rotation first commits the new master's fingerprint together with the former master, wrapped by the new one; then it
rewraps key after key, and last forgets the former master. Each wrapped key names its master by fingerprint, so at every
moment the new master alone opens everything. The reverse, the new master wrapped by the former one, would hand the new
key to whoever stole the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from crm_sync.errors import BadSettings, CrmSyncError
from crm_sync.store.crypto import MasterKey, data_key_context, subject_key_context
from crm_sync.store.database import Connection, Database
from crm_sync.store.queries import queries

Q = queries("keys")
_ROWS: Final = 5000
_Row = tuple[Any, ...]


class Masters:
    """The current master key of a database, and the former one while a rotation lasts."""

    def __init__(self, current: MasterKey, former: MasterKey | None) -> None:
        self.current = current
        self.former = former

    @classmethod
    def open(cls, database: Database, master: MasterKey) -> Masters:
        """Check `master` against the database; the first one ever is taken into force. BadSettings for a wrong one."""
        with database.transaction() as conn:
            conn.execute(Q["first_master"], {"fingerprint": master.fingerprint})
            row = conn.execute(Q["master"]).fetchone()
        if row is None:
            raise CrmSyncError("Table master_key is empty after writing to it; expected one row.")
        fingerprint, former, wrapped = row
        if fingerprint == master.fingerprint:
            return cls(master, master.unwrap_master(wrapped) if wrapped else None)
        if former == master.fingerprint:
            raise BadSettings(
                "CRM_SYNC_MASTER_KEY is the former key: a rotation to a new key began and did not end. Set it to the "
                "new key and run the rotation to that same key again."
            )
        raise BadSettings(
            f"CRM_SYNC_MASTER_KEY does not belong to this database: its fingerprint is {_short(master.fingerprint)}, "
            f"expected {_short(fingerprint)}. Set it to the key that this database was written under."
        )

    def of(self, fingerprint: bytes) -> MasterKey:
        """Return the master with that fingerprint; BadSettings where it is neither ours nor the former one."""
        for master in (self.current, self.former):
            if master is not None and master.fingerprint == fingerprint:
                return master
        raise _superseded()

    def hold(self, conn: Connection) -> None:
        """Keep our master in force until the caller's transaction ends; BadSettings where it was replaced.

        A key wrapped under a master that is just being replaced would be missed by the rotation, and lost with it.
        """
        if conn.execute(Q["hold_master"], {"fingerprint": self.current.fingerprint}).fetchone() is None:
            raise _superseded()

    def replace(self, database: Database, new: MasterKey) -> None:
        """Put a new master into force and keep the former one until all keys are rewrapped."""
        former = self.current
        values = {"fingerprint": new.fingerprint, "former": former.fingerprint, "wrapped": new.wrap_master(former)}
        with database.transaction() as conn:
            if conn.execute(Q["replace_master"], values).rowcount != 1:
                raise _superseded()
        self.current, self.former = new, former


def rewrap_all(database: Database, masters: Masters) -> int:
    """Rewrap every key under the current master, in batches; return how many. Safe to repeat, and twice at once."""
    count = 0
    while True:
        count += _rewrap(database, masters, "data_keys", 0, _data_key)
        count += _rewrap(database, masters, "subject_keys", UUID(int=0), _subject_key)
        with database.transaction() as conn:
            ended = conn.execute(Q["end_rotation"], {"fingerprint": masters.current.fingerprint}).rowcount
        # Another process that rewraps at the same time may have held rows back from us: then look again.
        if ended:
            masters.former = None
            return count


def _data_key(row: _Row) -> tuple[bytes, str]:
    return data_key_context(row[3], row[4]), f"table data_key, id {row[0]}, purpose {row[3]}"


def _subject_key(row: _Row) -> tuple[bytes, str]:
    return subject_key_context(row[0]), f"golden record {row[0]}"


def _rewrap(
    database: Database, masters: Masters, table: str, after: int | UUID, described: Callable[[_Row], tuple[bytes, str]]
) -> int:
    count = 0
    current = masters.current
    while True:
        with database.transaction() as conn:
            masters.hold(conn)
            page = {"after": after, "fingerprint": current.fingerprint, "limit": _ROWS}
            rows = conn.execute(Q[f"{table}_to_rewrap"], page).fetchall()
            if not rows:
                return count
            fresh = []
            for row in rows:
                context, what = described(row)
                fresh.append(current.wrap(masters.of(row[2]).unwrap(row[1], context, what), context))
            values = {"ids": [row[0] for row in rows], "wrapped": fresh, "fingerprint": current.fingerprint}
            conn.execute(Q[f"rewrap_{table}"], values)
        after = rows[-1][0]
        count += len(rows)


def _short(fingerprint: bytes) -> str:
    return bytes(fingerprint).hex()[:8]


def _superseded() -> BadSettings:
    return BadSettings(
        "The master key was replaced while this process ran. Restart it with CRM_SYNC_MASTER_KEY set to the new key."
    )
