"""Fetch access tokens from Salesforce by the client-credentials grant."""

from __future__ import annotations

from typing import Any

import requests

from crm_sync.connectors.access import address, secret
from crm_sync.connectors.transport import GOOD, Kind, Transport, Verdict
from crm_sync.errors import BadCredentials, BadSettings, ErrorClass
from crm_sync.ports import Lane, Token
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec

PATH = "/services/oauth2/token"


class Login:
    """Knows the org's address and the connected app's credentials.

    A token is kept as "<instance url> <session id>", since the token endpoint may send us to another host.
    """

    def __init__(
        self, connection: ConnectionSpec, settings: Settings, transport: Transport, session: requests.Session
    ) -> None:
        if connection.auth != "client_credentials":
            raise BadSettings(
                f"{connection.name}: auth is {connection.auth!r} in connections.yaml; expected client_credentials."
            )
        self._connection = connection
        self._transport = transport
        self._session = session
        self._client = {name: secret(connection, settings, name) for name in ("client_id", "client_secret")}
        self._address = address(connection, settings)

    def fetch(self, stored: Token | None) -> Token:
        """Ask for a new token. Salesforce does not say when it ends; a 401 does."""
        form = {"grant_type": "client_credentials", **self._client}
        response = self._transport.call(
            "token",
            lambda: self._session.post(self._address + PATH, data=form),
            lane=Lane.NOTICE,
            idempotent=True,
            judge=self._judge,
        )
        body = response.json()
        return Token(access=f"{body.get('instance_url') or self._address} {body['access_token']}", expires_at=None)

    def split(self, access: str) -> tuple[str, str]:
        """Return instance url and session id of a stored token."""
        instance, _, session_id = access.rpartition(" ")
        return instance or self._address, session_id

    def _judge(self, answer: requests.Response | Exception) -> Verdict:
        if isinstance(answer, Exception):
            raise answer
        body: Any = None
        if "json" in answer.headers.get("Content-Type", ""):
            body = answer.json()
        if answer.status_code == 200 and isinstance(body, dict) and body.get("access_token"):
            return GOOD
        if answer.status_code == 429 or answer.status_code in (500, 502, 503, 504):
            return Verdict(Kind.TRANSIENT, ErrorClass.TRANSIENT, code=f"HTTP_{answer.status_code}")
        name = self._connection.name
        if not isinstance(body, dict) or "error" not in body:
            wrong = BadSettings(
                f"{name}: {self._address}{PATH} answered HTTP {answer.status_code} and no OAuth answer. "
                f"Expected the org's My Domain address in {self._connection.address_env}."
            )
            return Verdict(Kind.REFUSED, ErrorClass.AUTH, code=f"HTTP_{answer.status_code}", error=wrong)
        code = str(body["error"])
        refused = BadCredentials(
            f"{name}: Salesforce refused the app's credentials ({code}: {body.get('error_description', '')}). "
            f"Check {', '.join(self._connection.secrets_env.values())}, and that the app allows the client-credentials "
            "flow with a run-as user."
        )
        return Verdict(Kind.REFUSED, ErrorClass.AUTH, code=code, error=refused)
