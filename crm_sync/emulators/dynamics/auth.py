"""Entra ID for one tenant: openid-configuration, the v2.0 token endpoint for client credentials, checking tokens."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import TokenBook


class Entra:
    """Issues and checks tokens."""

    def __init__(self, state: State, settings: EmulatorSettings) -> None:
        self._state = state
        self._settings = settings
        self._tokens = TokenBook(state)

    def configuration(self, tenant: str) -> Answer:
        """Return the openid-configuration of a tenant."""
        if tenant != self._settings.tenant:
            return self._error(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found.")
        base = f"{self._settings.url}/{tenant}"
        return Answer.of(
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_types_supported": ["code"],
                "issuer": f"{base}/v2.0",
                "tenant_region_scope": "EU",
            }
        )

    def issue(self, tenant: str, form: Mapping[str, str]) -> Answer:
        """Answer the token endpoint."""
        if tenant != self._settings.tenant:
            return self._error(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        grant = form.get("grant_type")
        if grant != "client_credentials":
            raise Unsupported(f"the grant type {grant}")
        if "client_assertion" in form:
            raise Unsupported("client assertions")
        client_id = form.get("client_id", "")
        if client_id != self._settings.client_id:
            return self._error(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id}' was not found.",
            )
        given = form.get("client_secret")
        if given is None:
            return self._error(
                401,
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )
        if not secrets.compare_digest(given.encode(), self._settings.client_secret.encode()):
            return self._error(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure that the value of the secret was sent.",
            )
        scope = form.get("scope", "")
        resource, _, name = scope.rpartition("/")
        if name != ".default":
            return self._error(
                400, "invalid_scope", 70011, f"The provided value for the input parameter 'scope' is not valid: {scope}"
            )
        if resource.rstrip("/") != self._settings.url:
            return self._error(
                400, "invalid_resource", 500011, f"The resource principal named {resource} was not found in the tenant."
            )
        seconds = self._settings.token_seconds
        issued = self._tokens.issue(seconds, facts={"client_id": client_id})
        life = max(0, int(seconds))
        body = {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": issued.token}
        return Answer.of(body, 200, Cache_Control="no-store, no-cache")

    def check(self, call: Call) -> None:
        """Raise ODataError 401 without a token that lives."""
        kind, _, token = (call.headers.get("authorization") or "").partition(" ")
        if kind.lower() == "bearer" and self._tokens.valid(token.strip()):
            return
        url, tenant = self._settings.url, self._settings.tenant
        challenge = f"Bearer authorization_uri={url}/{tenant}/oauth2/authorize, resource_id={url}/"
        raise Unauthorized({"WWW-Authenticate": challenge})

    def _error(self, status: int, error: str, code: int, text: str) -> Answer:
        trace, correlation = str(uuid4()), str(uuid4())
        moment = datetime.fromtimestamp(self._state.now_us() / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        body: dict[str, Any] = {
            "error": error,
            "error_description": (
                f"AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {moment}"
            ),
            "error_codes": [code],
            "timestamp": moment,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={code}",
        }
        return Answer.of(body, status)


class Unauthorized(ODataError):
    """The token is missing, unknown or expired; the body is empty."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(401, "", "Unauthorized", headers)

    def answer(self) -> Answer:
        """Return the bare 401."""
        return Answer(401, b"", dict(self.headers))
