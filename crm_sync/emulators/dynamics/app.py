"""Put the pretend Dynamics 365 together: Entra ID below /<tenant>/, the Web API below /api/data/v9.2/."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crm_sync.emulators.dynamics.announcing import Announcer
from crm_sync.emulators.dynamics.auth import Entra
from crm_sync.emulators.dynamics.desk import DynamicsDesk
from crm_sync.emulators.dynamics.endpoints import ENDPOINTS
from crm_sync.emulators.dynamics.limits import Protection
from crm_sync.emulators.dynamics.protocol import ANY_SERVICE_PATH, Answer, Call, ODataError, Unsupported
from crm_sync.emulators.dynamics.service import Service
from crm_sync.emulators.dynamics.webhooks import WebhookPolicy
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State

LONGEST_URL: Final = 32_768
METHODS: Final = ("GET", "POST", "PATCH", "PUT", "DELETE")
KEYS: Final = re.compile(r"\([^()]*\)")


class Front:
    """What stands before the Web API: tokens, limits, faults of the server as a whole."""

    def __init__(self, state: State, faults: Faults, settings: EmulatorSettings) -> None:
        self._faults = faults
        self.entra = Entra(state, faults, settings)
        self.service = Service(state, faults, settings)
        self._protection = Protection(state, faults)
        host = urlsplit(settings.url).netloc
        self.hooks = Hooks(state, faults, WebhookPolicy(host), settings.ca_bundle)
        announcer = Announcer(state, self.service.tables, self.hooks, settings.name or "dynamics")
        self.service.writer.tell = announcer.tell

    def answer(self, call: Call) -> Answer:
        """Answer one request."""
        try:
            self.entra.check(call)
            with self._protection.request() as headers:
                if self._faults.strike("server_error"):
                    raise ODataError(500, "0x80040216", "An unexpected error occurred.")
                self.service.tick()
                made = self.service.batch(call) if call.path == "$batch" else self.service.handle(call)
                return Answer(made.status, made.body, {**made.headers, **headers})
        except ODataError as error:
            return error.answer(call)

    def token(self, tenant: str, form: dict[str, str], *, v1: bool) -> Answer:
        """Answer a token endpoint."""
        try:
            return self.entra.issue(tenant, form, v1=v1)
        except Unsupported as error:
            return error.answer(Call("POST", "token", "", {}, b"", ""))


def build(state: State, faults: Faults, settings: EmulatorSettings) -> Starlette:
    """Build the application of one environment."""
    front = Front(state, faults, settings)
    app = Starlette(routes=_routes(front, settings))
    app.state.desk = DynamicsDesk(state, front.service.tables, front.service.writer, front.service.actions)
    app.state.endpoints = ENDPOINTS
    app.state.hooks = front.hooks
    app.state.front = front
    return app


def _routes(front: Front, settings: EmulatorSettings) -> list[Route]:
    async def web_api(request: Request) -> Response:
        raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        whole = raw.decode("latin-1").split("?", 1)[0]
        query = request.scope["query_string"].decode("latin-1")
        found = ANY_SERVICE_PATH.match(whole)
        if found is None:
            return _response(Unsupported("this version").answer(Call(request.method, whole, query, {}, b"", "")))
        path = whole[found.end() :]
        request.scope["emulator_route"] = found.group() + KEYS.sub("()", path)
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
        body = await request.body()
        call = Call(request.method, path, query, headers, body, settings.url + found.group())
        if len(raw) + len(query) > LONGEST_URL:
            return _response(ODataError(414, "0x80060888", "The URL is too long.").answer(call))
        return _response(await run_in_threadpool(front.answer, call))

    def entra(answer: Callable[[Request], Answer]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            return _response(await run_in_threadpool(answer, request))

        return endpoint

    def token(v1: bool) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            form = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
            tenant = request.path_params["tenant"]
            return _response(await run_in_threadpool(front.token, tenant, form, v1=v1))

        return endpoint

    async def elsewhere(request: Request) -> Response:
        call = Call(request.method, request.url.path, request.url.query, {}, b"", "")
        return _response(Unsupported("this path").answer(call))

    def configuration(version: str) -> Callable[[Request], object]:
        return entra(lambda request: front.entra.configuration(request.path_params["tenant"], version))

    instances = entra(lambda request: front.entra.instances(dict(request.query_params)))
    return [
        Route("/api/data/{rest:path}", web_api, methods=METHODS),
        Route("/common/discovery/instance", instances, methods=["GET"]),
        Route("/{tenant}/v2.0/.well-known/openid-configuration", configuration("v2.0/"), methods=["GET"]),
        Route("/{tenant}/.well-known/openid-configuration", configuration(""), methods=["GET"]),
        Route("/{tenant}/oauth2/v2.0/token", token(v1=False), methods=["POST"]),
        Route("/{tenant}/oauth2/token", token(v1=True), methods=["POST"]),
        Route("/{rest:path}", elsewhere, methods=METHODS),
    ]


def _response(made: Answer) -> Response:
    headers = {**made.complete(), "x-ms-service-request-id": str(uuid4())}
    return Response(made.body, made.status, headers)
