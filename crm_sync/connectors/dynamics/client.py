"""Speak to the Web API: addresses, headers, tokens; every call goes through the shared transport."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson
import requests

from crm_sync.connectors.access import Access, address
from crm_sync.connectors.dynamics.auth import ClientCredentials
from crm_sync.connectors.dynamics.errors import judge
from crm_sync.connectors.transport import Transport, Verdict
from crm_sync.errors import ErrorClass, Refused, Unreachable
from crm_sync.ports import Lane, Services
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec

SERVICE: Final = "/api/data/v9.2/"
_PLAIN: Final = "(),'$:@/=*-"
"""What may stand unescaped in the value of an OData option."""
_STANDARD: Final = {"Accept": "application/json", "OData-Version": "4.0", "OData-MaxVersion": "4.0"}


class WebApi:
    """The Web API of one environment."""

    def __init__(self, connection: ConnectionSpec, services: Services, settings: Settings) -> None:
        self.connection = connection
        self.services = services
        self.base = address(connection, settings)
        self._session = Transport.session(settings.ca_bundle, connection.max_concurrent)
        self._transport = Transport(connection, services, on_refused_token=self._refused_token)
        issuer = ClientCredentials(connection, settings, self.base, self._session, self._transport)
        self._access = Access(connection.name, services, issuer.fetch)

    @property
    def calls(self) -> int:
        """Count the calls that the current thread has made so far."""
        return self._transport.calls

    def get(
        self, target: str, *, operation: str, lane: Lane, prefer: Sequence[str] = (), columns: Collection[str] = ()
    ) -> dict[str, Any]:
        """GET a path below the service root, or a link that this environment gave, and return the JSON document.

        `columns` are the names that an error may mention.
        """
        headers = {"Prefer": ",".join(prefer)} if prefer else {}
        response = self.send(
            "GET", target, operation=operation, lane=lane, headers=headers, idempotent=True, columns=columns
        )
        document: dict[str, Any] = orjson.loads(response.content)
        return document

    def send(
        self,
        method: str,
        target: str,
        *,
        operation: str,
        lane: Lane,
        idempotent: bool,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        columns: Collection[str] = (),
    ) -> requests.Response:
        """Send one request and return the answer; errors as in connectors/base.py."""
        url = self._url(target)

        def attempt() -> requests.Response:
            given = {**_STANDARD, "Authorization": f"Bearer {self._token()}", **(headers or {})}
            return self._session.request(method, url, headers=given, data=body, allow_redirects=False)

        def judged(answer: requests.Response | Exception) -> Verdict:
            return judge(answer, columns)

        return self._transport.call(operation, attempt, lane=lane, idempotent=idempotent, judge=judged)

    def close(self) -> None:
        """Release sockets."""
        self._session.close()

    def _token(self) -> str:
        try:
            return self._access.token()
        except Unreachable as error:
            # it is Entra ID that gave no answer: the call itself was never made
            raise Unreachable(str(error), possibly_processed=False) from None

    def _refused_token(self) -> None:
        self._access.refused()

    def _url(self, target: str) -> str:
        if not target.startswith("https://"):
            return f"{self.base}{SERVICE}{target}"
        ours, theirs = urlsplit(self.base), urlsplit(target)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            # the token must not travel to another host
            raise Refused(
                f"{self.connection.name}: a stored link leads to another host than {self.connection.address_env} "
                "names; everything must be read again.",
                error_class=ErrorClass.SCHEMA,
                code="FOREIGN_LINK",
            )
        return target


def query(path: str, **options: str) -> str:
    """Return a path with OData options: query("contacts", select="a,b") is contacts?$select=a,b; values are escaped."""
    given = "&".join(f"${name}={quote(value, safe=_PLAIN)}" for name, value in options.items())
    return f"{path}?{given}" if given else path
