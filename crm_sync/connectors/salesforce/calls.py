"""Make calls to one Salesforce org through simple-salesforce, each by way of the transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import orjson
import requests
from simple_salesforce.api import Salesforce

from crm_sync.connectors.access import Access
from crm_sync.connectors.salesforce.auth import Login
from crm_sync.connectors.salesforce.errors import judge
from crm_sync.connectors.transport import Transport
from crm_sync.ports import Lane, Services
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec

T = TypeVar("T")

API_VERSION: Final = "59.0"
PAGE_SIZE: Final = 2000


class _Org(Salesforce):
    """simple-salesforce, its answers parsed by orjson: the standard library's parser took half of a read."""

    def parse_result_to_json(self, result: requests.Response) -> Any:
        try:
            return orjson.loads(result.content)
        except orjson.JSONDecodeError as error:
            raise requests.exceptions.JSONDecodeError(error.msg, error.doc, error.pos) from None


class Calls:
    """The calls that reader, writer and provisioning need; safe to use from several threads."""

    def __init__(self, connection: ConnectionSpec, services: Services, settings: Settings) -> None:
        self.connection = connection
        self.clock = services.clock
        self._budget = services.budget
        self._session = Transport.session(settings.ca_bundle, pool=max(4, connection.max_concurrent))
        self._session.hooks["response"].append(self._learn_time)
        self._transport = Transport(connection, services)
        self._login = Login(connection, settings, self._transport, self._session)
        self._access = Access(connection.name, services, self._login.fetch)
        self._transport.on_refused_token = self._access.refused
        self._org: tuple[str, Salesforce] | None = None
        self.skew: timedelta = timedelta(0)
        """How far the org's clock is ahead of ours, by the last `Date` header (whole seconds, cut: never too far)."""

    @property
    def made(self) -> int:
        """Count the calls that the current thread has made."""
        return self._transport.calls

    def query(self, sobject: str, soql: str, *, deleted: bool, lane: Lane) -> dict[str, Any]:
        """Run a query; `deleted` includes the recycle bin. Returns {totalSize, done, records[, nextRecordsUrl]}."""
        options = {"Sforce-Query-Options": f"batchSize={PAGE_SIZE}"}
        answer: dict[str, Any] = self._call(
            f"query {sobject}",
            lambda org: org.query(soql, include_deleted=deleted, headers=options),
            lane=lane,
            idempotent=True,
        )
        return answer

    def more(self, sobject: str, next_records_url: str, *, lane: Lane) -> dict[str, Any]:
        """Return the next page of a query."""
        options = {"Sforce-Query-Options": f"batchSize={PAGE_SIZE}"}
        answer: dict[str, Any] = self._call(
            f"query_more {sobject}",
            lambda org: org.query_more(next_records_url, identifier_is_url=True, headers=options),
            lane=lane,
            idempotent=True,
        )
        return answer

    def describe(self, sobject: str, lane: Lane = Lane.INCREMENTAL) -> dict[str, Any]:
        """Return the description of an object."""
        answer: dict[str, Any] = self._call(
            f"describe {sobject}", lambda org: org.restful(f"sobjects/{sobject}/describe"), lane=lane, idempotent=True
        )
        return answer

    def create(self, sobject: str, records: list[dict[str, Any]], *, lane: Lane) -> list[dict[str, Any]]:
        """Create up to 200 records, each for itself; returns one result a record, in order."""
        body = {"allOrNone": False, "records": records}
        results: list[dict[str, Any]] = self._call(
            f"create {sobject}",
            lambda org: org.restful("composite/sobjects", method="POST", json=body),
            lane=lane,
            idempotent=False,
        )
        return results

    def composite(self, sobject: str, requests_: list[dict[str, Any]], *, lane: Lane) -> list[dict[str, Any]]:
        """Send up to 25 subrequests, each for itself; returns one {body, httpStatusCode, ...} each, in order."""
        body = {"allOrNone": False, "compositeRequest": requests_}
        answer: dict[str, Any] = self._call(
            f"update {sobject}",
            lambda org: org.restful("composite", method="POST", json=body),
            lane=lane,
            idempotent=False,
        )
        results: list[dict[str, Any]] = answer["compositeResponse"]
        return results

    def create_field(self, definition: Mapping[str, Any], *, lane: Lane) -> None:
        """Create a custom field through the Tooling API."""
        self._call(
            "create_field",
            lambda org: org.toolingexecute("sobjects/CustomField", method="POST", data=dict(definition)),
            lane=lane,
            idempotent=False,
        )

    def path(self, rest: str) -> str:
        """Return the absolute path of a REST resource, as subrequests need it."""
        return f"/services/data/v{API_VERSION}/{rest}"

    def server_time(self, ours: datetime) -> datetime:
        """Translate a moment of our clock into the org's."""
        return ours + self.skew

    def close(self) -> None:
        """Release sockets."""
        self._session.close()

    def _call(self, operation: str, send: Callable[[Salesforce], T], *, lane: Lane, idempotent: bool) -> Any:
        def attempt() -> T:
            org = self._connected()
            answer = send(org)
            usage = org.api_usage.get("api-usage")
            if usage is not None:
                left = max(0, usage.total - usage.used)
                self._budget.observe(self.connection.name, limit=usage.total, remaining=left)
            return answer

        return self._transport.call(operation, attempt, lane=lane, idempotent=idempotent, judge=judge)

    def _connected(self) -> Salesforce:
        """Return simple-salesforce for the current token; made with a session id, it never logs in by itself."""
        access = self._access.token()
        held = self._org
        if held is None or held[0] != access:
            instance, session_id = self._login.split(access)
            made = _Org(session_id=session_id, instance_url=instance, version=API_VERSION, session=self._session)
            held = (access, made)
            self._org = held
        return held[1]

    def _learn_time(self, response: requests.Response, *args: object, **kwargs: object) -> None:
        stated = response.headers.get("Date")
        if stated:
            self.skew = parsedate_to_datetime(stated) - self.clock.now()
