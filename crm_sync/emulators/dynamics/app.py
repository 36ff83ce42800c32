"""Put the pretend Dynamics 365 together: Entra ID below /<tenant>/, the Web API below /api/data/v9.2/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl
from uuid import uuid4

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crm_sync.emulators.declarations import Schema, load
from crm_sync.emulators.dynamics.actions import PREFIX, Actions
from crm_sync.emulators.dynamics.addressing import Addresses, Resource, resource
from crm_sync.emulators.dynamics.auth import Entra
from crm_sync.emulators.dynamics.batches import answer_batch
from crm_sync.emulators.dynamics.definitions import Definitions
from crm_sync.emulators.dynamics.desk import DynamicsDesk
from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.limits import Protection
from crm_sync.emulators.dynamics.protocol import SERVICE_PATH, Answer, Call, ODataError, Unsupported, no_segment
from crm_sync.emulators.dynamics.queries import Queries
from crm_sync.emulators.dynamics.rows import Rows
from crm_sync.emulators.dynamics.tables import Tables
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State

LONGEST_URL: Final = 32_768
METHODS: Final = ("GET", "POST", "PATCH", "PUT", "DELETE")
REAL_SETS: Final = frozenset(
    {
        "leads",
        "incidents",
        "opportunities",
        "tasks",
        "phonecalls",
        "emails",
        "appointments",
        "annotations",
        "systemusers",
        "sdkmessagefilters",
        "organizations",
        "RelationshipDefinitions",
        "GlobalOptionSetDefinitions",
        "$metadata",
    }
)
"""What a real environment has and this one has not: 501 instead of the 404 for what is nowhere."""


class Service:
    """The Web API."""

    def __init__(self, state: State, faults: Faults, settings: EmulatorSettings) -> None:
        url = settings.url
        self._state = state
        self._root = url + SERVICE_PATH
        schema = Schema(state, load(Path(__file__).with_name("declarations.toml")), fold_unique=True)
        self.tables = Tables(state, schema)
        self.keys = keys = Keys(state)
        self._addresses = Addresses(state, self.tables, keys, url)
        self._queries = Queries(state, self.tables, keys, faults, url)
        self.rows = Rows(state, self.tables, self._addresses, url)
        self._actions = Actions(state, self.tables, self.rows, self._addresses, url)
        self._definitions = Definitions(schema, self.tables, keys, url)

    def handle(self, call: Call) -> Answer:
        """Answer one call; never raises what it knows."""
        try:
            if call.method == "GET":
                return self._route(call)
            with self._state.transaction():
                return self._route(call)
        except ODataError as error:
            return error.answer()
        except Unsupported as error:
            return error.answer(call)

    def batch(self, call: Call) -> Answer:
        """Answer a $batch."""
        try:
            return answer_batch(call, self._state, self.handle)
        except ODataError as error:
            return error.answer()

    def _route(self, call: Call) -> Answer:
        if not call.path:
            return self._service_document()
        found = resource(call.path)
        if found.name == "WhoAmI" and call.method == "GET":
            return self._who_am_i()
        if found.name == "EntityDefinitions":
            return self._definitions.answer(call, found)
        if found.name in ("PublishXml", "PublishAllXml") and call.method == "POST":
            return Answer()
        if found.name == "Merge" and call.method == "POST":
            return self._actions.merge(call)
        if found.name in REAL_SETS:
            raise Unsupported(f"the table or function {found.name}")
        return self._rows_of(call, found)

    def _rows_of(self, call: Call, found: Resource) -> Answer:
        table = self.tables.by_set(found.name)
        if found.key is None:
            if found.rest.startswith(PREFIX):
                return self._actions.multiple(call, table, found.rest.removeprefix(PREFIX))
            if found.rest == "$count" and call.method == "GET":
                return self._queries.count(call, table)
            if found.rest:
                raise no_segment(found.rest)
            if call.method == "GET":
                return self._queries.many(call, table)
            if call.method == "POST":
                return self.rows.create(call, table)
            raise ODataError(405, "0x80060888", "The requested resource does not support this http method.")
        key = self._addresses.row_key(table, found.key)
        if found.rest:
            navigation, _, last = found.rest.partition("/")
            if last == "$ref" and call.method in ("PUT", "DELETE"):
                return self.rows.link(call, table, key, navigation)
            raise Unsupported("what follows the row's key")
        if call.method == "GET":
            return self._queries.one(call, table, self._addresses.existing(table, key))
        if call.method == "PATCH":
            return self.rows.upsert(call, table, key)
        if call.method == "DELETE":
            return self.rows.delete(call, table, key)
        raise ODataError(405, "0x80060888", "The requested resource does not support this http method.")

    def _service_document(self) -> Answer:
        sets = [self.tables.table(logical).set_name for logical in self.tables.names]
        rows = [{"name": name, "kind": "EntitySet", "url": name} for name in sets]
        return Answer.of({"@odata.context": f"{self._root}$metadata", "value": rows})

    def _who_am_i(self) -> Answer:
        return Answer.of(
            {
                "@odata.context": f"{self._root}$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
                "BusinessUnitId": self.tables.business_unit,
                "UserId": self.tables.user,
                "OrganizationId": self.tables.organization,
            }
        )


def build(state: State, faults: Faults, settings: EmulatorSettings) -> Starlette:
    """Build the application of one environment."""
    service = Service(state, faults, settings)
    entra = Entra(state, settings)
    protection = Protection(state, faults)

    def answer(call: Call) -> Answer:
        try:
            entra.check(call)
            with protection.request() as headers:
                service.keys.tick()
                made = service.batch(call) if call.path == "$batch" else service.handle(call)
                return Answer(made.status, made.body, {**made.headers, **headers})
        except ODataError as error:
            return error.answer()

    async def web_api(request: Request) -> Response:
        raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        path = raw.decode("latin-1").split("?", 1)[0].removeprefix(SERVICE_PATH)
        query = request.scope["query_string"].decode("latin-1")
        request.scope["emulator_route"] = SERVICE_PATH + re.sub(r"\(.*?\)", "()", path)
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
        call = Call(request.method, path, query, headers, await request.body())
        if len(raw) + len(query) > LONGEST_URL:
            return _response(ODataError(414, "0x80060888", "The URL is too long.").answer())
        return _response(await run_in_threadpool(answer, call))

    async def configuration(request: Request) -> Response:
        return _response(await run_in_threadpool(entra.configuration, request.path_params["tenant"]))

    async def token(request: Request) -> Response:
        body = await request.body()
        form = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
        try:
            return _response(await run_in_threadpool(entra.issue, request.path_params["tenant"], form))
        except Unsupported as error:
            call = Call("POST", "token", "", {}, b"")
            return _response(error.answer(call))

    async def elsewhere(request: Request) -> Response:
        call = Call(request.method, request.url.path, request.url.query, {}, b"")
        return _response(Unsupported("this path").answer(call))

    app = Starlette(
        routes=[
            Route(SERVICE_PATH + "{rest:path}", web_api, methods=METHODS),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", configuration, methods=["GET"]),
            Route("/{tenant}/oauth2/v2.0/token", token, methods=["POST"]),
            Route("/{rest:path}", elsewhere, methods=METHODS),
        ]
    )
    app.state.desk = DynamicsDesk(state, service.tables, service.rows)
    return app


def _response(made: Answer) -> Response:
    headers = {**made.complete(), "x-ms-service-request-id": str(uuid4())}
    return Response(made.body, made.status, headers)
