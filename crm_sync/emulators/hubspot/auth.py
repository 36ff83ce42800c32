"""Who may call: a private app's token, or access tokens by OAuth v1 and v3.

Source: "Manage OAuth access tokens", OAuth API reference v1 and v3. Faults that strike here: expire_token,
revoke_token, rotate_refresh_token.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.refusals import PORTAL_ID, Refusal, refusal
from crm_sync.emulators.hubspot.scopes import SCOPES
from crm_sync.emulators.hubspot.sources import APP_ID, USER_ID
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from crm_sync.emulators.tokens import Grant, TokenBook

HUB_DOMAIN, PERSON = "emulator.hubspot.test", "person@emulator.test"
CODE_SECONDS = 600
Form = Mapping[str, str]
Shown = dict[str, Any]


def _bad_token(kind: str, message: str, error: str = "invalid_grant") -> Refusal:
    return Refusal(400, {"status": kind, "error": error, "error_description": message, "message": message})


def _unauthenticated() -> Refusal:
    return refusal(
        401,
        "INVALID_AUTHENTICATION",
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find "
        "more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
    )


def _expired(expires_us: int, now_us: int) -> Refusal:
    ago = (now_us - expires_us) // 1_000_000
    return refusal(
        401,
        "EXPIRED_AUTHENTICATION",
        f"The OAuth token used to make this call expired {ago} second(s) ago.",
        context={"expire time": [instant(expires_us)]},
    )


class Gate:
    """Issues and checks tokens."""

    def __init__(self, state: State, settings: EmulatorSettings, faults: Faults) -> None:
        self._state, self._settings, self._faults = state, settings, faults
        self._tokens = TokenBook(state)

    # -- consent of a person

    def authorize(self, query: Form) -> str:
        """Return where the consent screen leads to: the app's redirect_uri with a single-use code.

        The emulated person consents at once. Raises BAD_CLIENT_ID and BAD_REDIRECT_URI.
        """
        if query.get("client_id") != self._settings.client_id:
            raise _bad_token("BAD_CLIENT_ID", "missing or unknown client id")
        if not query.get("redirect_uri"):
            raise _bad_token("BAD_REDIRECT_URI", "missing redirect URI")
        scopes = " ".join([query.get("scope") or "", query.get("optional_scope") or ""]).split()
        code = secrets.token_urlsafe(24)
        facts = {
            "redirect_uri": query["redirect_uri"], "scopes": scopes or SCOPES,
            "expires_us": self._state.now_us() + CODE_SECONDS * 1_000_000,
            "challenge": query.get("code_challenge"), "method": query.get("code_challenge_method") or "plain",
        }  # fmt: skip
        self._state.set_meta(f"oauth-code:{code}", facts)
        more = {"state": query["state"]} if query.get("state") else {}
        separator = "&" if "?" in query["redirect_uri"] else "?"
        return f"{query['redirect_uri']}{separator}{urlencode({'code': code, **more})}"

    # -- tokens

    def token(self, form: Form) -> Shown:
        """Answer POST /oauth/v1/token."""
        presented = (form.get("client_id"), form.get("client_secret"))
        if presented != (self._settings.client_id, self._settings.client_secret):
            raise _bad_token("BAD_CLIENT_ID", "missing or invalid client id or client secret")
        match form.get("grant_type"):
            case "refresh_token":
                refresh = form.get("refresh_token") or ""
                scopes = self._refresh_scopes(refresh)
                if scopes is None:
                    raise _bad_token("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
                if self._faults.strike("rotate_refresh_token"):
                    self._end_refresh(refresh)
                    refresh = self._new_refresh(scopes)
                return self._issue(scopes, refresh)
            case "authorization_code":
                scopes = self._redeem(form)
                return self._issue(scopes, self._new_refresh(scopes))
            case "client_credentials":
                return self._issue(str(form.get("scope") or "").split() or SCOPES, None)
            case other:
                said = f"grant_type {other or '(none)'} is not one of refresh_token, authorization_code"
                raise _bad_token("BAD_GRANT_TYPE", said, "unsupported_grant_type")

    def token_by_v3(self, form: Form) -> Shown:
        """Answer POST /oauth/v3/token, which tells what the token is for."""
        own = form.get("grant_type") == "client_credentials"
        return {"token_use": "client_credentials" if own else "access_token", **self.token(form)}

    def _issue(self, scopes: list[str], refresh: str | None) -> Shown:
        facts = {"refreshed": True, "scopes": scopes}
        grant = self._tokens.issue(self._settings.token_seconds, prefix="CM", facts=facts)
        return {
            "token_type": "bearer",
            **({"refresh_token": refresh} if refresh else {}),
            "access_token": grant.token,
            "hub_id": PORTAL_ID,
            "scopes": scopes,
            "expires_in": int(self._settings.token_seconds),
        }

    def _redeem(self, form: Form) -> list[str]:
        code = form.get("code") or ""
        facts = self._state.get_meta(f"oauth-code:{code}")
        if facts is None:
            raise _bad_token("BAD_AUTH_CODE", "missing or unknown auth code")
        self._state.set_meta(f"oauth-code:{code}", None)
        if facts["expires_us"] <= self._state.now_us():
            raise _bad_token("EXPIRED_AUTH_CODE", "expired auth code")
        if facts["redirect_uri"] != form.get("redirect_uri"):
            raise _bad_token("BAD_REDIRECT_URI", "redirect URI is not the one of the auth code")
        if facts["challenge"] and not _verifies(facts, form.get("code_verifier") or ""):
            raise _bad_token("BAD_AUTH_CODE", "missing or wrong code verifier")
        scopes: list[str] = facts["scopes"]
        return scopes

    def _new_refresh(self, scopes: list[str]) -> str:
        token = secrets.token_urlsafe(24)
        self._state.set_meta(f"refresh:{token}", {"scopes": scopes})
        return token

    def _refresh_scopes(self, token: str) -> list[str] | None:
        """Return what a living refresh token is good for; None for any other text."""
        kept = self._state.get_meta(f"refresh:{token}")
        if kept is None:
            return SCOPES if token == self._settings.refresh_token else None
        return None if kept.get("ended") else list(kept["scopes"])

    def _end_refresh(self, token: str) -> None:
        self._state.set_meta(f"refresh:{token}", {"ended": True, "scopes": []})

    def end_refresh(self, token: str) -> None:
        """Answer DELETE /oauth/v1/refresh-tokens/{token}; access tokens live on."""
        if self._refresh_scopes(token) is None:
            raise refusal(404, "OBJECT_NOT_FOUND", "The refresh token does not exist.")
        self._end_refresh(token)

    # -- what is known of a token

    def describe(self, token: str) -> Shown:
        """Answer GET /oauth/v1/access-tokens/{token}."""
        grant = self._tokens.find(token)
        if grant is None or grant.expires_us <= self._state.now_us():
            raise refusal(404, "OBJECT_NOT_FOUND", "The access token does not exist or has expired.")
        left = (grant.expires_us - self._state.now_us()) // 1_000_000
        scopes = grant.facts.get("scopes") or SCOPES
        signed = {
            "expiresAt": grant.expires_us // 1000, "scopes": ",".join(scopes), "hubId": PORTAL_ID, "userId": USER_ID,
            "appId": APP_ID, "signature": hashlib.sha256(token.encode()).hexdigest(), "isPrivateDistribution": False,
        }  # fmt: skip
        return {
            "token": token, "user": PERSON, "hub_domain": HUB_DOMAIN, "scopes": scopes, "hub_id": PORTAL_ID,
            "app_id": APP_ID, "expires_in": left, "user_id": USER_ID, "token_type": "access",
            "signed_access_token": signed,
        }  # fmt: skip

    def describe_refresh(self, token: str) -> Shown:
        """Answer GET /oauth/v1/refresh-tokens/{token}."""
        scopes = self._refresh_scopes(token)
        if scopes is None:
            raise refusal(404, "OBJECT_NOT_FOUND", "The refresh token does not exist.")
        return {
            "token": token, "user": PERSON, "hub_domain": HUB_DOMAIN, "scopes": scopes,
            "hub_id": PORTAL_ID, "client_id": self._settings.client_id, "user_id": USER_ID, "token_type": "refresh",
        }  # fmt: skip

    def describe_private(self, given: Mapping[str, Any]) -> Shown:
        """Answer POST /oauth/v2/private-apps/get/access-token-info: {"tokenKey"} of a private app."""
        if given.get("tokenKey") != self._settings.token:
            raise refusal(404, "OBJECT_NOT_FOUND", "The token is none of a private app.")
        return {"userId": USER_ID, "hubId": PORTAL_ID, "appId": APP_ID, "scopes": SCOPES}

    def introspect(self, form: Form) -> Shown:
        """Answer POST /oauth/v3/token/introspect: {"active": false} for a token that is over or unknown."""
        token = form.get("token") or form.get("access_token") or form.get("refresh_token") or ""
        grant, shown = self._tokens.find(token), {"hub_id": PORTAL_ID, "user_id": USER_ID, "app_id": APP_ID}
        if grant is not None and grant.expires_us > self._state.now_us():
            left = (grant.expires_us - self._state.now_us()) // 1_000_000
            scopes = grant.facts.get("scopes") or SCOPES
            return {"active": True, "token_use": "access_token", "scopes": scopes, "expires_in": left, **shown}
        found = self._refresh_scopes(token)
        if found is not None:
            return {"active": True, "token_use": "refresh_token", "scopes": found, **shown}
        return {"active": False}

    def revoke(self, form: Form) -> None:
        """Answer POST /oauth/v3/token/revoke: the token is over, whatever kind it was."""
        token = form.get("token") or form.get("refresh_token") or form.get("access_token") or ""
        if self._tokens.find(token) is not None:
            self._state.set_meta(f"token:{token}", None)
        elif self._refresh_scopes(token) is not None:
            self._end_refresh(token)

    # -- calls

    def check(self, authorization: str | None, hapikey: str | None = None) -> list[str] | None:
        """Let a request with a good token pass and return its scopes (None: a private app's, all); 401 for others."""
        scheme, _, token = (authorization or "").partition(" ")
        if not authorization and hapikey:
            scheme, token = "bearer", hapikey
        if scheme.lower() != "bearer":
            raise _unauthenticated()
        private = token == self._settings.token
        grant = None if private else self._tokens.find(token)
        if not private and grant is None:
            raise _unauthenticated()
        self._strike(token, grant)
        if grant is None:
            return None
        if grant.expires_us <= self._state.now_us():
            raise _expired(grant.expires_us, self._state.now_us())
        return grant.facts.get("scopes") or SCOPES

    def _strike(self, token: str, grant: Grant | None) -> None:
        """End the token of this call, if a fault says so; a private app's token is only refused this once."""
        if self._faults.strike("expire_token"):
            now = self._state.now_us()
            if grant is not None:
                self._state.set_meta(f"token:{token}", {"expires_us": now, "facts": grant.facts})
            raise _expired(now, now)
        if self._faults.strike("revoke_token"):
            if grant is not None:
                self._state.set_meta(f"token:{token}", None)
            raise _unauthenticated()


def _verifies(facts: Mapping[str, Any], verifier: str) -> bool:
    """Tell whether a PKCE verifier fits the challenge of the code."""
    if facts["method"] == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        verifier = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return bool(verifier == facts["challenge"])
