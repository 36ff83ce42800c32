"""Get access tokens for Dataverse from Entra ID by client credentials, through msal.

A new msal application is made for every token: msal replays failures from memory for a minute or longer, and keeps its
own token cache, which would hand out a token that Dataverse has just refused. Tokens are fetched once an hour, so
nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msal
import requests
from msal.exceptions import MsalServiceError

from crm_sync.connectors.access import secret
from crm_sync.connectors.transport import GOOD, Kind, Transport, Verdict
from crm_sync.errors import BadCredentials, BadSettings, ErrorClass
from crm_sync.ports import Lane, Token
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec

PUBLIC_AUTHORITY: Final = "login.microsoftonline.com"
_CODE: Final = re.compile(r"AADSTS(\d+)")
_WRONG_PLACE: Final = frozenset({"90002", "500011", "70011"})
"""No such tenant, no such resource, no such scope: an address is wrong, not the secret."""
_PASSING: Final = frozenset({"temporarily_unavailable", "server_error"})


class ClientCredentials:
    """Fetches tokens of one connection."""

    def __init__(
        self, connection: ConnectionSpec, settings: Settings, base: str, session: requests.Session, transport: Transport
    ) -> None:
        self._connection = connection
        self._base = base
        self._session = session
        self._transport = transport
        self._client_id = secret(connection, settings, "client_id")
        self._client_secret = secret(connection, settings, "client_secret")
        self._authority = authority(connection, settings)

    def fetch(self, stored: Token | None) -> Token:
        """Return a new token. Raises BadCredentials, BadSettings (authority or address), Unreachable, LimitReached."""
        before = self._transport.services.clock.now()
        answer = self._transport.call("token", self._acquire, lane=Lane.NOTICE, idempotent=True, judge=self._judge)
        self._transport.services.journal.operation(self._connection.name, "token", "issued")
        return Token(str(answer["access_token"]), before + timedelta(seconds=int(answer["expires_in"])))

    def _acquire(self) -> dict[str, Any]:
        public = urlsplit(self._authority).hostname == PUBLIC_AUTHORITY
        application = msal.ConfidentialClientApplication(
            self._client_id,
            client_credential=self._client_secret,
            authority=self._authority,
            http_client=self._session,
            instance_discovery=None if public else False,
        )
        answer: dict[str, Any] = application.acquire_token_for_client(scopes=[f"{self._base}/.default"])
        return answer

    def _judge(self, answer: Mapping[str, Any] | Exception) -> Verdict:
        if isinstance(answer, MsalServiceError):
            return Verdict(
                Kind.TRANSIENT, ErrorClass.TRANSIENT, code="HTTP 5xx", message="the token endpoint had trouble"
            )
        if isinstance(answer, ValueError | KeyError):
            # msal reports an authority without a usable openid-configuration like this; its text quotes the answer
            return self._refused(
                "AUTHORITY",
                BadSettings(
                    f"{self._connection.name}: {_variable(self._connection)} does not name an Entra ID authority: no "
                    "openid-configuration was found there. Expected https://login.microsoftonline.com/<tenant id>."
                ),
            )
        if isinstance(answer, Exception):
            raise answer
        if "access_token" in answer:
            return GOOD
        error = str(answer.get("error", ""))
        found = _CODE.search(str(answer.get("error_description", "")))
        code = found.group(1) if found else ""
        if error in _PASSING:
            return Verdict(Kind.TRANSIENT, ErrorClass.TRANSIENT, code=error, message="the token endpoint had trouble")
        said = f"AADSTS{code}" if code else error or "no token"
        if code in _WRONG_PLACE:
            return self._refused(
                said,
                BadSettings(
                    f"{self._connection.name}: Entra ID answered {said}: the tenant in {_variable(self._connection)} "
                    f"or the address in {self._connection.address_env} does not exist. Check both."
                ),
            )
        return self._refused(
            said,
            BadCredentials(
                f"{self._connection.name}: Entra ID refused the client credentials ({said}). Check the variables "
                f"{self._connection.secrets_env['client_id']} and {self._connection.secrets_env['client_secret']}."
            ),
        )

    @staticmethod
    def _refused(code: str, error: BadSettings | BadCredentials) -> Verdict:
        return Verdict(Kind.REFUSED, ErrorClass.AUTH, code=code, message="no token was issued", error=error)


def authority(connection: ConnectionSpec, settings: Settings) -> str:
    """Return the authority's address: from the secret `authority`, or built from the secret `tenant`."""
    if "authority" in connection.secrets_env:
        text = secret(connection, settings, "authority").rstrip("/")
    else:
        text = f"https://{PUBLIC_AUTHORITY}/{secret(connection, settings, 'tenant')}"
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.netloc or not parts.path.strip("/"):
        raise BadSettings(
            f"{connection.name}: {_variable(connection)} is not an https address with a tenant. Expected "
            f"https://{PUBLIC_AUTHORITY}/<tenant id>."
        )
    return text


def _variable(connection: ConnectionSpec) -> str:
    return connection.secrets_env.get("authority") or connection.secrets_env.get("tenant") or "the secret `authority`"
