"""Answer /services/oauth2/*: tokens by five grants, revocation, who the user is.

Any username signs in as the integration user, unless a User record has it: then as that one. The password is the
credential `token`, with or without the knob "security_token" behind it. Refresh tokens rotate under the knob
"rotate_refresh_tokens", or once by the fault rotate_refresh_token: the old one is dead then.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.assertions import BadAssertion, check_assertion
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.failures import Answer, Failure, Problem
from crm_sync.emulators.salesforce.moments import stamp

JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GRANTS = ("client_credentials", "refresh_token", "password", JWT)
REFRESH = "credentials:refresh_token"


class Grants:
    """The one connected app of an org."""

    def __init__(self, doorman: Doorman) -> None:
        self.doorman, self.state, self.settings = doorman, doorman.state, doorman.settings

    def token(self, form: Mapping[str, str], authorization: str | None = None) -> Answer:
        """POST token."""
        grant = form.get("grant_type")
        if grant not in GRANTS:
            return refused("unsupported_grant_type", "grant type not supported")
        if self.doorman.faults.strike("limit", kind="login"):
            return refused("invalid_grant", "login rate exceeded")
        user: str | None = None
        if grant == JWT:
            try:
                user = self.user(check_assertion(self.doorman, form.get("assertion", "")))
            except BadAssertion as bad:
                return refused(bad.error, str(bad))
        elif problem := self.client(form, authorization):
            return problem
        more: dict[str, str] = {}
        if grant == "refresh_token":
            if not same(form.get("refresh_token"), self.refresh_token):
                return refused("invalid_grant", "expired access/refresh token")
            more = self.rotated()
        if grant == "password":
            if not (form.get("username") and self.password_fits(form.get("password"))):
                return refused("invalid_grant", "authentication failure")
            user = self.user(form["username"])
        return Answer(body={**self.issued(user, signed=grant != JWT), **more})

    def client(self, form: Mapping[str, str], authorization: str | None) -> Answer | None:
        """Return what is wrong with the client's id and secret."""
        client, secret = basic(authorization) or (form.get("client_id"), form.get("client_secret"))
        if not same(client, self.settings.client_id):
            return refused("invalid_client_id", "client identifier invalid")
        if not same(secret, self.settings.client_secret):
            return refused("invalid_client", "invalid client credentials")
        return None

    @property
    def refresh_token(self) -> str:
        """Return the refresh token that is good now; "" where it was revoked."""
        kept = self.state.get_meta(REFRESH)
        return self.settings.refresh_token if kept is None else str(kept)

    def rotated(self) -> dict[str, str]:
        """Put a new refresh token in place of the old one where the app rotates them."""
        faults = self.doorman.faults
        if not (faults.strike("rotate_refresh_token") or faults.knob("rotate_refresh_tokens")):
            return {}
        made = f"5Aep861{secrets.token_urlsafe(32)}"
        self.state.set_meta(REFRESH, made)
        return {"refresh_token": made}

    def password_fits(self, password: str | None) -> bool:
        """Tell whether a password is right, with or without the security token behind it."""
        security = str(self.doorman.faults.knob("security_token", ""))
        return same(password, self.settings.token) or same(password, self.settings.token + security)

    def user(self, username: str) -> str | None:
        """Return the id of the user of that name."""
        found = self.state.find_unique("User", "Username", username)
        return found.id if found else None

    def issued(self, user: str | None, *, signed: bool) -> dict[str, Any]:
        """Issue an access token; no expires_in tells how long it lives."""
        org, who = ids.lengthen(ids.ORG), user or ids.lengthen(ids.USER)
        issued_at = str(self.state.now_us() // 1000)
        identity = f"{self.settings.url}/id/{org}/{who}"
        out = {
            "access_token": self.doorman.issue(user),
            "scope": "api",
            "instance_url": self.settings.url,
            "id": identity,
            "token_type": "Bearer",
            "api_instance_url": self.settings.url,
        }
        if signed:
            secret = self.settings.client_secret.encode()
            signature = hmac.digest(secret, (identity + issued_at).encode(), hashlib.sha256)
            out |= {"signature": base64.b64encode(signature).decode(), "issued_at": issued_at}
        return out

    def revoke(self, token: str) -> Answer:
        """POST or GET revoke: an access token, or the refresh token."""
        if token and same(token, self.refresh_token):
            self.state.set_meta(REFRESH, "")
            return Answer()
        if not self.doorman.book.revoke(token):
            return refused("invalid_token", "this token is not valid")
        return Answer()

    def identity(self, org: str, user: str, token: str) -> Answer:
        """GET /id/org/user, with the token in the header or as oauth_token."""
        self.doorman.session(token)
        if ids.parse(org) != ids.lengthen(ids.ORG) or ids.parse(user) != self.doorman.user_of(token):
            raise Failure(403, Problem("Missing_OAuth_Token", "Wrong_Org"))
        return Answer(body=self.who(self.doorman.user_of(token)))

    def who(self, user: str) -> dict[str, Any]:
        """Return what the identity service tells of a user."""
        url, org = self.settings.url, ids.lengthen(ids.ORG)
        found = self.state.get("User", user)
        values = found.values if found else {}
        names = [values.get("FirstName"), values.get("LastName")]
        service = f"{url}/services/data/v{{version}}"
        return {
            "id": f"{url}/id/{org}/{user}", "asserted_user": True, "user_id": user, "organization_id": org,
            "username": values.get("Username"), "nick_name": values.get("CommunityNickname"),
            "display_name": " ".join(one for one in names if one), "email": values.get("Email"),
            "email_verified": True, "first_name": names[0], "last_name": names[1], "timezone": "GMT",
            "photos": {"picture": f"{url}/profilephoto/005/F", "thumbnail": f"{url}/profilephoto/005/T"},
            "addr_street": None, "addr_city": None, "addr_state": None, "addr_country": None, "addr_zip": None,
            "mobile_phone": None, "mobile_phone_verified": False, "is_lightning_login_user": False,
            "status": {"created_date": None, "body": None}, "active": True, "user_type": "STANDARD",
            "language": "en_US", "locale": "en_US", "utcOffset": 0,
            "urls": {
                "enterprise": f"{url}/services/Soap/c/{{version}}/{ids.ORG}",
                "partner": f"{url}/services/Soap/u/{{version}}/{ids.ORG}",
                "rest": f"{service}/", "sobjects": f"{service}/sobjects/", "search": f"{service}/search/",
                "query": f"{service}/query/", "profile": f"{url}/{user}", "custom_domain": url,
            },
            "last_modified_date": stamp(found.modified_us) if found else None, "is_app_installed": True,
        }  # fmt: skip

    def userinfo(self, token: str) -> Answer:
        """GET or POST userinfo."""
        who = self.who(self.doorman.user_of(self.doorman.session(token)))
        same_names = ("user_id", "organization_id", "email", "email_verified", "photos", "urls", "active", "user_type",
                      "language", "locale", "utcOffset")  # fmt: skip
        out = {
            "sub": who["id"], "preferred_username": who["username"], "nickname": who["nick_name"],
            "name": who["display_name"], "given_name": who["first_name"], "family_name": who["last_name"],
            "zoneinfo": who["timezone"], **{name: who[name] for name in same_names},
        }  # fmt: skip
        return Answer(body=out)


def refused(error: str, description: str) -> Answer:
    """Return an OAuth error: a plain object, unlike the errors of the REST API."""
    return Answer(400, {"error": error, "error_description": description})


def basic(authorization: str | None) -> tuple[str, str] | None:
    """Read HTTP Basic credentials; None where there are none."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.casefold() != "basic":
        return None
    try:
        client, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ("", "")
    return client, secret


def same(given: str | None, expected: str) -> bool:
    """Compare secrets without telling where they differ; nothing is never right."""
    return bool(expected) and hmac.compare_digest((given or "").encode(), expected.encode())
