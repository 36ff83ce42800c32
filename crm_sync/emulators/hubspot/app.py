"""Put the HubSpot emulator together: authorisation, limits, correlation ids and error bodies around the endpoints.

Goals and non-goals, endpoint by endpoint: matrix.toml. What is not emulated is a 501 that names the request.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.portal import Portal
from crm_sync.emulators.hubspot.refusals import Refusal, not_supported, refusal
from crm_sync.emulators.hubspot.routing import Endpoint, paths
from crm_sync.emulators.hubspot.scopes import missing, needed
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def build(state: State, faults: Faults, settings: EmulatorSettings) -> Starlette:
    """Build the application of one portal."""
    portal = Portal(state, faults, settings)
    front = Front(portal, settings.url)
    table = portal.endpoints()
    served = [(one, path, shown) for one in table for path, shown in paths(one)]
    routes = [Route(path, front.endpoint(one, shown), methods=[one.method]) for one, path, shown in served]
    nothing = Endpoint("*", "/{path}", _unsupported)
    routes.append(Route("/{path:path}", front.endpoint(nothing, "/{path}"), methods=METHODS))
    app = Starlette(routes=routes, middleware=[Middleware(SlashesIgnored)])
    app.router.redirect_slashes = False
    app.state.desk = portal.desk
    app.state.hooks = portal.hooks
    app.state.late_commit = True  # late.py: with associations and webhooks
    app.state.endpoints = [(one.method, shown) for one, _, shown in served]
    return app


def _unsupported(call: Call) -> Any:
    raise not_supported(f"{call.method} {call.path}")


class SlashesIgnored:
    """Serve a path that ends with a slash as the one without it, as HubSpot does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        path = str(scope.get("path", ""))
        trimmed = {**scope, "path": path.rstrip("/")} if path.rstrip("/") else scope
        await self._app(trimmed, receive, send)


class Front:
    """What every request passes before and after its handler."""

    def __init__(self, portal: Portal, url: str) -> None:
        self._portal, self._url = portal, url

    def endpoint(self, one: Endpoint, shown: str) -> Any:
        """Return the coroutine that answers the requests of one endpoint."""

        async def answer(request: Request) -> Response:
            params = {key: str(value) for key, value in request.path_params.items()}
            # Counts are kept per object: only ids and names are folded into their parameter.
            request.scope["emulator_route"] = shown.replace("{object}", params.get("object", "")).replace(
                "{to_object}", params.get("to_object", "")
            )
            call = Call(
                request.method, request.url.path, params, tuple(request.query_params.multi_items()),
                await request.body(), self._url, self._portal.catalog,
            )  # fmt: skip
            return await run_in_threadpool(self._respond, call, one, request.headers.get("authorization"))

        return answer

    def _respond(self, call: Call, one: Endpoint, authorization: str | None) -> Response:
        correlation = str(uuid.uuid4())
        headers = {"x-hubspot-correlation-id": correlation}
        try:
            self._portal.late.apply_due()
            if not one.open:
                headers |= self._admit(call, one, authorization)
            status, body = one.handler(call)
            if status == 201 and isinstance(body, dict) and "id" in body:
                headers["Location"] = f"{call.base}{call.path}/{body['id']}"
        except Refusal as refused:
            headers |= refused.headers
            if refused.status == 302:
                return Response(status_code=302, headers=headers)
            status, body = refused.status, {**refused.body, "correlationId": correlation}
        return _json(status, body, headers)

    def _admit(self, call: Call, one: Endpoint, authorization: str | None) -> dict[str, str]:
        """Check token, scopes and limits, and return the headers that tell of the limits."""
        scopes = self._portal.gate.check(authorization, call.one("hapikey"))
        headers = self._portal.limits.check(search=one.search, oauth=scopes is not None)
        named = call.params.get("object", "").lower()
        self._portal.limits.strike(named)
        fault = self._portal.faults.strike("server_error", object=named)
        if fault is not None:
            raise refusal(fault.status, None, "Internal error")
        if one.object_scope:
            object = call.object()
            traits = call.catalog.traits(object)
            wanted = needed(object, traits, writes=one.writes)
            if scopes is not None and not set(wanted) & set(scopes):
                raise missing(wanted)
            if one.writes and traits.get("read_only"):
                raise not_supported(f"{call.method} {call.path}: {object} are only read")
        return headers


def _json(status: int, body: Any, headers: Mapping[str, str]) -> Response:
    if body is None:
        return Response(status_code=status, headers=dict(headers))
    return Response(
        orjson.dumps(body), status, headers={**headers, "Content-Type": "application/json;charset=utf-8"}
    )  # fmt: skip
