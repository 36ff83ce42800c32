"""Addresses, secrets, options and tokens of a connection: where they come from, and one token refresh at a time.

Belongs here: what is the same for every CRM. Not here: how one CRM issues tokens (its auth.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from crm_sync.errors import BadSettings
from crm_sync.ports import Services, Token
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec

MARGIN: Final = timedelta(seconds=60)
"""A token that expires sooner than this is renewed at once, so that no call starts with one that dies under way."""


def address(connection: ConnectionSpec, settings: Settings) -> str:
    """Return the CRM's base address without a trailing slash; BadSettings names the variable."""
    text = settings.environment.get(connection.address_env, "").strip()
    if not text.startswith("https://"):
        found = "not set" if not text else "not an https address"
        raise BadSettings(
            f"{connection.name}: the variable {connection.address_env} is {found}. Expected the CRM's base address, "
            "https://host[:port]."
        )
    return text.rstrip("/")


def secret(connection: ConnectionSpec, settings: Settings, name: str) -> str:
    """Return one secret of a connection; BadSettings names the variable, never its value."""
    variable = connection.secrets_env.get(name)
    if variable is None:
        raise BadSettings(
            f"{connection.name}: connections.yaml names no variable for the secret {name!r}, which auth "
            f"{connection.auth!r} needs; it names {', '.join(sorted(connection.secrets_env)) or 'none'}."
        )
    value = settings.environment.get(variable, "").strip()
    if not value:
        raise BadSettings(
            f"{connection.name}: the variable {variable} ({name}) is not set. Set it, or leave the connection out with "
            "`enabled: false` in config/connections.yaml."
        )
    return value


def overlap_seconds(connection: ConnectionSpec, usual: float) -> float:
    """Return how far a read reaches back before its watermark; BadSettings for an option that is no number."""
    given = connection.options.get("overlap_seconds", usual)
    if isinstance(given, bool) or not isinstance(given, int | float) or given < 0:
        raise BadSettings(
            f"{connection.name}: options.overlap_seconds in connections.yaml is not a number of seconds of 0 or more."
        )
    return float(given)


class Access:
    """Keeps the access token of one connection; safe to use from several threads and processes.

    `fetch` asks the CRM for a new token; it is given the stored one (for its refresh token) or None.
    """

    def __init__(self, connection: str, services: Services, fetch: Callable[[Token | None], Token]) -> None:
        self._connection = connection
        self._services = services
        self._fetch = fetch
        self._held: Token | None = None
        self._lock = threading.Lock()
        self._given = threading.local()

    def token(self) -> str:
        """Return an access token not known to be expired; fetch one under the refresh lock where there is none."""
        held = self._held
        if held is None or not self._fresh(held):
            held = self._services.tokens.get(self._connection)
            if held is None or not self._fresh(held):
                held = self._renew()
            self._held = held
        self._given.access = held.access
        return held.access

    def refused(self) -> None:
        """Forget the token that this thread used last, unless another has been stored meanwhile."""
        used = getattr(self._given, "access", None)
        tokens = self._services.tokens
        with self._lock, tokens.refreshing(self._connection):
            if self._held is not None and self._held.access == used:
                self._held = None
            stored = tokens.get(self._connection)
            if stored is not None and stored.access == used:
                tokens.forget(self._connection)

    def _renew(self) -> Token:
        tokens = self._services.tokens
        with self._lock, tokens.refreshing(self._connection):
            stored = tokens.get(self._connection)
            if stored is not None and self._fresh(stored):
                return stored
            fetched = self._fetch(stored)
            tokens.put(self._connection, fetched)
            return fetched

    def _fresh(self, token: Token) -> bool:
        if not token.access:
            return False
        return token.expires_at is None or token.expires_at - MARGIN > self._services.clock.now()
