"""Make calls through hubspot-api-client: its API objects on one pool, raw bodies, our transport around each call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import orjson
from hubspot import HubSpot
from hubspot.crm.associations.v4.exceptions import ApiException as AssociationsException
from hubspot.crm.objects.exceptions import ApiException as ObjectsException
from hubspot.crm.properties.exceptions import ApiException as PropertiesException
from hubspot.oauth.exceptions import ApiException as OAuthException
from urllib3.util.retry import Retry

from crm_sync.connectors.access import address
from crm_sync.connectors.hubspot.auth import tokens_of
from crm_sync.connectors.hubspot.errors import Answer, judge, judge_static_token, judge_token_answer
from crm_sync.connectors.transport import CONNECT_SECONDS, READ_SECONDS, Kind, Transport, Verdict
from crm_sync.errors import BadSettings
from crm_sync.ports import Lane, Services
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec

_VENDOR_ERRORS = (ObjectsException, AssociationsException, PropertiesException, OAuthException)
NO_RETRIES: Final = Retry(
    total=0,
    connect=0,
    read=0,
    status=0,
    other=0,
    redirect=False,
    raise_on_status=False,
    respect_retry_after_header=False,
)
"""The transport retries; a second loop inside the library would multiply the attempts and write twice."""
POOL: Final = 8


class Client:
    """HubSpot of one connection; safe to use from several threads."""

    def __init__(self, connection: ConnectionSpec, services: Services, settings: Settings) -> None:
        self.connection = connection
        self.services = services
        if settings.ca_bundle is not None and not settings.ca_bundle.is_file():
            raise BadSettings(
                f"CRM_SYNC_CA_BUNDLE names {settings.ca_bundle}, which is not a file. Expected a PEM file; unset the "
                "variable to trust the system's certificates."
            )
        self._pool: Any = None
        self._vendor = HubSpot(
            host=address(connection, settings),
            retry=NO_RETRIES,
            ssl_ca_cert=str(settings.ca_bundle) if settings.ca_bundle else None,
            connection_pool_maxsize=POOL,
            api_factory=self._make_api,
        )
        self._tokens = tokens_of(connection, services, settings, self._ask_for_token)
        self.transport = Transport(connection, services, on_refused_token=self._tokens.refused)

    def _make_api(self, package: Any, name: str, config: dict[str, Any]) -> Any:
        """Make one of the library's API objects; all of them share the first one's pool."""
        configuration = package.Configuration()
        configuration.host = config["host"]
        configuration.retries = config["retry"]
        configuration.ssl_ca_cert = config.get("ssl_ca_cert")
        configuration.connection_pool_maxsize = config["connection_pool_maxsize"]
        api_client = package.ApiClient(configuration=configuration)
        if self._pool is None:
            self._pool = api_client.rest_client.pool_manager
        api_client.rest_client.pool_manager = self._pool
        return getattr(package, name)(api_client=api_client)

    @cached_property
    def objects(self) -> Any:
        """Single records and lists."""
        return self._vendor.crm.objects.basic_api

    @cached_property
    def batches(self) -> Any:
        """Batches of records."""
        return self._vendor.crm.objects.batch_api

    @cached_property
    def searches(self) -> Any:
        """Search."""
        return self._vendor.crm.objects.search_api

    @cached_property
    def associations(self) -> Any:
        """Batches of associations."""
        return self._vendor.crm.associations.v4.batch_api

    @cached_property
    def properties(self) -> Any:
        """Property definitions."""
        return self._vendor.crm.properties.core_api

    @cached_property
    def _token_api(self) -> Any:
        return self._vendor.oauth.tokens_api

    def call(
        self,
        operation: str,
        api: Callable[..., Any],
        *arguments: Any,
        lane: Lane,
        idempotent: bool = True,
        **options: Any,
    ) -> dict[str, Any]:
        """Call one method of the library and return the JSON object that it answered ({} for 204).

        Raises Rejected (HubSpot refused the whole request, nothing done), and what Transport.call raises.
        """

        def send() -> Answer:
            bearer = f"Bearer {self._tokens.token()}"
            auth = {"in": "header", "key": "Authorization", "value": bearer}
            answer = _send(api, *arguments, _request_auth=auth, **options)
            self._observe(answer)
            return answer

        answer = self.transport.call(operation, send, lane=lane, idempotent=idempotent, judge=self._judge)
        return answer.document or {}

    def _judge(self, answer: Answer | Exception) -> Verdict:
        verdict = judge(answer)
        if verdict.kind is Kind.AUTH and not self._tokens.renewable:
            return judge_static_token(self.connection.name, self.connection.secrets_env["token"])
        return verdict

    def _observe(self, answer: Answer) -> None:
        limit = answer.headers.get("X-HubSpot-RateLimit-Daily")
        remaining = answer.headers.get("X-HubSpot-RateLimit-Daily-Remaining")
        if limit and remaining and limit.isdigit() and remaining.isdigit():
            self.services.budget.observe(self.connection.name, limit=int(limit), remaining=int(remaining))

    def _ask_for_token(self, client_id: str, client_secret: str, refresh_token: str) -> Answer:
        def send() -> Answer:
            return _send(
                self._token_api.create,
                grant_type="refresh_token",
                client_id=client_id,
                client_secret=client_secret,
                refresh_token=refresh_token,
            )

        variables = ", ".join(self.connection.secrets_env.values())
        name = self.connection.name
        return self.transport.call(
            "oauth/token",
            send,
            lane=Lane.NOTICE,
            idempotent=True,
            judge=lambda answer: judge_token_answer(answer, name, variables),
        )

    def close(self) -> None:
        """Close the sockets of the pool."""
        if self._pool is not None:
            self._pool.clear()


def _send(api: Callable[..., Any], *arguments: Any, **options: Any) -> Answer:
    """Call the library for a raw answer, whatever its status."""
    try:
        response = api(*arguments, _preload_content=False, _request_timeout=(CONNECT_SECONDS, READ_SECONDS), **options)
        status, headers, body = response.status, response.headers, response.data
    except _VENDOR_ERRORS as error:
        status, headers, body = error.status, error.headers or {}, error.body
    return Answer(int(status or 0), headers, _parsed(body))


def _parsed(body: bytes | str | None) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
