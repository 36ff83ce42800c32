"""Entra ID for one tenant: openid-configuration, instance discovery, the token endpoints v1 and v2, checking tokens.

Grants: client credentials (secret or certificate), password, refresh token. A refresh token stays good after its
use, as Entra's do, until the fault rotate_refresh_token takes it away.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from crm_sync.emulators.dynamics.assertions import BadAssertion, check_assertion
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import TokenBook

SHARED: Final = ("common", "organizations")
"""Names that stand for the tenant of whoever signs in."""


class Refused(Exception):
    """Entra ID refuses: HTTP status, OAuth error, AADSTS number, text."""

    def __init__(self, status: int, error: str, code: int, text: str) -> None:
        super().__init__(text)
        self.status, self.error, self.code, self.text = status, error, code, text


class Entra:
    """Issues and checks tokens."""

    def __init__(self, state: State, faults: Faults, settings: EmulatorSettings) -> None:
        self._state = state
        self._faults = faults
        self._settings = settings
        self._tokens = TokenBook(state)

    @property
    def _certificate(self) -> Path:
        return self._settings.state_dir / f"{self._settings.name or 'dynamics'}-certificate.pem"

    def configuration(self, tenant: str, version: str) -> Answer:
        """Return the openid-configuration of a tenant; `version` is "v2.0/" or empty for v1."""
        try:
            self._tenant(tenant)
        except Refused as refused:
            return self._error(Refused(400, "invalid_tenant", refused.code, refused.text))
        base = f"{self._settings.url}/{tenant}"
        oauth = f"{base}/oauth2/{version}"
        return Answer.of(
            {
                "token_endpoint": f"{oauth}token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "authorization_endpoint": f"{oauth}authorize",
                "jwks_uri": f"{base}/discovery/{version}keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": f"{base}/v2.0" if version else f"{self._settings.url}/{tenant}/",
                "tenant_region_scope": "EU",
                "cloud_instance_name": urlsplit(self._settings.url).hostname,
            }
        )

    def instances(self, query: Mapping[str, str]) -> Answer:
        """Answer instance discovery: which hosts are one Entra ID."""
        endpoint = urlsplit(query.get("authorization_endpoint", ""))
        tenant = endpoint.path.strip("/").split("/")[0] or SHARED[0]
        host = urlsplit(self._settings.url).netloc
        one = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        where = f"{self._settings.url}/{tenant}/v2.0/.well-known/openid-configuration"
        return Answer.of({"tenant_discovery_endpoint": where, "api-version": "1.1", "metadata": [one]})

    def issue(self, tenant: str, form: Mapping[str, str], *, v1: bool) -> Answer:
        """Answer a token endpoint."""
        try:
            self._tenant(tenant)
            audience = f"{self._settings.url}/{tenant}/oauth2/{'' if v1 else 'v2.0/'}token"
            refreshing = self._granted(form, audience)
            self._resource(form, v1=v1)
        except Refused as refused:
            return self._error(refused)
        life = max(0, int(self._settings.token_seconds))
        issued = self._tokens.issue(self._settings.token_seconds, facts={"client_id": form.get("client_id", "")})
        body: dict[str, Any] = {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life}
        body["access_token"] = issued.token
        if refreshing:
            body["refresh_token"] = self._refresh_token()
        if v1:
            now = self._state.now_us() // 1_000_000
            body |= {"expires_in": str(life), "ext_expires_in": str(life), "expires_on": str(now + life)}
            body |= {"not_before": str(now), "resource": form.get("resource", "")}
        elif refreshing:
            body["scope"] = form.get("scope", "")
        return Answer.of(body, 200, Cache_Control="no-store, no-cache")

    def _tenant(self, tenant: str) -> None:
        if tenant not in (self._settings.tenant, *SHARED):
            raise Refused(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")

    def _granted(self, form: Mapping[str, str], audience: str) -> bool:
        """Check who asks, and return whether a refresh token goes with the answer. Raises Refused."""
        grant = form.get("grant_type")
        if grant not in ("client_credentials", "password", "refresh_token"):
            raise Unsupported(f"the grant type {grant}")
        client_id = form.get("client_id", "")
        if client_id != self._settings.client_id:
            raise Refused(
                400, "unauthorized_client", 700016, f"Application with identifier '{client_id}' was not found."
            )
        if "client_assertion" in form:
            now = self._state.now_us() / 1_000_000
            try:
                check_assertion(form["client_assertion"], self._certificate, client_id, audience, now)
            except BadAssertion as error:
                raise Refused(401, "invalid_client", error.code, error.text) from None
        elif grant == "client_credentials" or "client_secret" in form:
            self._secret(form)
        if grant == "password":
            self._password(form)
        if grant == "refresh_token":
            self._refresh(form)
        return grant != "client_credentials"

    def _secret(self, form: Mapping[str, str]) -> None:
        given = form.get("client_secret")
        if given is None:
            message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
            raise Refused(401, "invalid_client", 7000218, message)
        if not secrets.compare_digest(given.encode(), self._settings.client_secret.encode()):
            message = "Invalid client secret provided. Ensure that the value of the secret was sent."
            raise Refused(401, "invalid_client", 7000215, message)

    def _password(self, form: Mapping[str, str]) -> None:
        """The password of every user is the emulator's token."""
        if not secrets.compare_digest(form.get("password", "").encode(), self._settings.token.encode()):
            message = "Error validating credentials due to invalid username or password."
            raise Refused(400, "invalid_grant", 50126, message)

    def _refresh(self, form: Mapping[str, str]) -> None:
        given = form.get("refresh_token", "")
        gone = self._state.get_meta("refresh_gone", [])
        if given in gone or given != self._refresh_token():
            message = "The refresh token has expired due to inactivity or was revoked."
            raise Refused(400, "invalid_grant", 700082, message)
        if self._faults.strike("rotate_refresh_token"):
            self._state.set_meta("refresh_gone", [*gone, given])
            self._state.set_meta("refresh_now", secrets.token_urlsafe(24))

    def _refresh_token(self) -> str:
        kept: str = self._state.get_meta("refresh_now") or self._settings.refresh_token
        return kept

    def _resource(self, form: Mapping[str, str], *, v1: bool) -> None:
        if v1:
            resource = form.get("resource", "")
        else:
            scopes = [
                one for one in form.get("scope", "").split() if one not in ("openid", "profile", "offline_access")
            ]
            scope = scopes[0] if scopes else ""
            resource, _, name = scope.rpartition("/")
            if form.get("grant_type") == "client_credentials" and name != ".default":
                text = f"The provided value for the input parameter 'scope' is not valid: {scope}"
                raise Refused(400, "invalid_scope", 70011, text)
        if resource.rstrip("/") != self._settings.url:
            text = f"The resource principal named {resource} was not found in the tenant."
            raise Refused(400, "invalid_resource", 500011, text)

    # -- tokens in use

    def check(self, call: Call) -> None:
        """Raise ODataError 401 without a token that lives."""
        kind, _, token = (call.headers.get("authorization") or "").partition(" ")
        token = token.strip()
        if kind.lower() == "bearer" and self._tokens.valid(token):
            if self._faults.strike("expire_token"):
                self._tokens.expire(token)
            elif self._faults.strike("revoke_token"):
                self._tokens.revoke(token)
            else:
                return
        url, tenant = self._settings.url, self._settings.tenant
        challenge = f"Bearer authorization_uri={url}/{tenant}/oauth2/authorize, resource_id={url}/"
        raise Unauthorized({"WWW-Authenticate": challenge})

    def _error(self, refused: Refused) -> Answer:
        trace, correlation = str(uuid4()), str(uuid4())
        moment = datetime.fromtimestamp(self._state.now_us() / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        body: dict[str, Any] = {
            "error": refused.error,
            "error_description": (
                f"AADSTS{refused.code}: {refused.text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}"
                f"\r\nTimestamp: {moment}"
            ),
            "error_codes": [refused.code],
            "timestamp": moment,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={refused.code}",
        }
        return Answer.of(body, refused.status)


class Unauthorized(ODataError):
    """The token is missing, unknown or expired; the body is empty."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(401, "", "Unauthorized", headers)

    def answer(self, call: Call) -> Answer:
        """Return the bare 401."""
        return Answer(401, b"", dict(self.headers))
