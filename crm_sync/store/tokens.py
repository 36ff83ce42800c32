"""Tokens of the CRMs, encrypted, shared by all processes. Implements ports.TokenStore.

Belongs here: table crm_token. Not here: how a token is fetched (connectors).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from crm_sync.errors import Busy
from crm_sync.ports import Token
from crm_sync.store.database import Database
from crm_sync.store.keyring import Keyring
from crm_sync.store.leases import own_lock
from crm_sync.store.queries import queries

Q = queries("crm_token")
_REFRESH_SECONDS: Final = 120.0
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Tokens:
    """The stored tokens of all connections."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    def get(self, connection: str) -> Token | None:
        """Return the stored token, or None.

        Where only a refresh token is left, `access` is empty and `expires_at` lies in the past.
        """
        with self._database.transaction() as conn:
            row = conn.execute(Q["get"], {"connection": connection}).fetchone()
        if row is None:
            return None
        access, refresh, expires_at = row
        opened = self._open(refresh, connection, "refresh") if refresh is not None else None
        if access is None:
            return Token("", _LONG_AGO, opened)
        return Token(self._open(access, connection, "access"), expires_at, opened)

    def put(self, connection: str, token: Token) -> None:
        """Persist a token; it is durable when this returns. A token without a refresh token removes the stored one."""
        values = {
            "connection": connection,
            "access": self._seal(token.access, connection, "access"),
            "refresh": self._seal(token.refresh, connection, "refresh") if token.refresh is not None else None,
            "expires_at": token.expires_at,
        }
        with self._database.transaction() as conn:
            conn.execute(Q["put"], values)

    def forget(self, connection: str) -> None:
        """Delete the stored access token; a refresh token is kept."""
        with self._database.transaction() as conn:
            conn.execute(Q["forget_access"], {"connection": connection})
            conn.execute(Q["forget_empty"], {"connection": connection})

    @contextmanager
    def refreshing(self, connection: str) -> Iterator[None]:
        """Hold the refresh lock of a connection across processes; Busy where it is not free within two minutes."""
        with own_lock(self._database, "token", connection, _REFRESH_SECONDS) as held:
            if held is None:
                raise Busy(
                    f"The token of connection {connection!r} has been in renewal by another process for "
                    f"{_REFRESH_SECONDS:.0f} s. Try again later, or end that process."
                )
            yield

    def _seal(self, text: str, connection: str, part: str) -> bytes:
        return self._keyring.seal_token(text.encode(), _place(connection, part))

    def _open(self, blob: bytes, connection: str, part: str) -> str:
        return self._keyring.open_token(blob, _place(connection, part)).decode()


def _place(connection: str, part: str) -> bytes:
    return f"crm_token\0{part}\0{connection}".encode()
