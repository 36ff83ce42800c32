"""Where HubSpot's access token comes from: a private app's own, or OAuth by refresh token.

A private-app token never expires and stays in the environment; an OAuth token lives 30 minutes and is shared through
the token store, with the refresh token that HubSpot returned beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from crm_sync.connectors.access import Access, secret
from crm_sync.connectors.hubspot.errors import Answer
from crm_sync.errors import BadCredentials, BadSettings
from crm_sync.ports import Services, Token
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec

AskForToken = Callable[[str, str, str], Answer]
"""(client id, client secret, refresh token) -> the token endpoint's good answer; raises BadCredentials."""


class Tokens(Protocol):
    """Gives the token of the next call."""

    renewable: bool

    def token(self) -> str:
        """Return an access token that is not known to be expired."""
        ...

    def refused(self) -> None:
        """Take note that the token given last was refused."""
        ...


class PrivateToken:
    """The token of a private app; a refused one stays refused."""

    renewable = False

    def __init__(self, connection: ConnectionSpec, settings: Settings) -> None:
        self._token = secret(connection, settings, "token")

    def token(self) -> str:
        """Return the token."""
        return self._token

    def refused(self) -> None:
        """Do nothing: there is no other token to fetch."""


class OAuthToken:
    """Access tokens fetched by refresh token."""

    renewable = True

    def __init__(self, connection: ConnectionSpec, services: Services, settings: Settings, ask: AskForToken) -> None:
        self._services = services
        self._ask = ask
        self._client_id = secret(connection, settings, "client_id")
        self._client_secret = secret(connection, settings, "client_secret")
        self._configured = secret(connection, settings, "refresh_token")
        self._access = Access(connection.name, services, self._fetch)

    def token(self) -> str:
        """Return the stored token, or a new one fetched under the refresh lock."""
        return self._access.token()

    def refused(self) -> None:
        """Forget the token that was refused."""
        self._access.refused()

    def _fetch(self, stored: Token | None) -> Token:
        # The stored refresh token is the newer one, but an operator who installed the app anew has put another one into
        # the environment, so that is tried where HubSpot no longer knows the stored one.
        candidates = [self._configured]
        if stored is not None and stored.refresh and stored.refresh != self._configured:
            candidates.insert(0, stored.refresh)
        asked_at = self._services.clock.now()
        for refresh in candidates[:-1]:
            try:
                return self._read(self._ask(self._client_id, self._client_secret, refresh), refresh, asked_at)
            except BadCredentials:
                continue
        return self._read(self._ask(self._client_id, self._client_secret, candidates[-1]), candidates[-1], asked_at)

    @staticmethod
    def _read(answer: Answer, refresh: str, asked_at: datetime) -> Token:
        document = answer.document or {}
        return Token(
            access=str(document["access_token"]),
            expires_at=asked_at + timedelta(seconds=float(document.get("expires_in") or 1800)),
            refresh=str(document.get("refresh_token") or refresh),
        )


def tokens_of(connection: ConnectionSpec, services: Services, settings: Settings, ask: AskForToken) -> Tokens:
    """Choose by the connection's `auth`; BadSettings where HubSpot has no such way."""
    if connection.auth == "token":
        return PrivateToken(connection, settings)
    if connection.auth == "refresh_token":
        return OAuthToken(connection, services, settings, ask)
    raise BadSettings(
        f"{connection.name}: auth {connection.auth!r} in connections.yaml is not a way into HubSpot; "
        "use token or refresh_token."
    )
