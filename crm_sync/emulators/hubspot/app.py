"""Put the HubSpot emulator together: authorisation, limits, correlation ids and error bodies around the routes.

Goals: what a sync and an ordinary session of HubSpot's own clients send for contacts, companies, their associations
and properties. Non-goals, each answered by a 501 that names the request: other objects, property history, custom
objects and labels, consent, marketing, webhooks, date-versioned paths.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crm_sync.emulators.declarations import Schema, load
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hubspot.associations import Associations
from crm_sync.emulators.hubspot.auth import Gate, Limits
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.desk import HubspotDesk
from crm_sync.emulators.hubspot.properties import Properties
from crm_sync.emulators.hubspot.records import Records, prepare
from crm_sync.emulators.hubspot.refusals import Refusal, not_supported
from crm_sync.emulators.hubspot.routes import Handler, Routes
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State

DECLARATIONS = Path(__file__).with_name("declarations.toml")
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def build(state: State, faults: Faults, settings: EmulatorSettings) -> Starlette:
    """Build the application of one portal."""
    prepare(state)
    properties = Properties(Schema(state, load(DECLARATIONS)))
    records = Records(state, properties, Associations(state))
    gate, limits = Gate(state, settings), Limits(state, faults)
    routes = Routes(records, gate, faults)

    def endpoint(handler: Handler, path: str, *, open_: bool) -> Any:
        async def answer(request: Request) -> Response:
            params = {key: str(value) for key, value in request.path_params.items()}
            # Counts are kept per object: only ids and names are folded into their parameter.
            request.scope["emulator_route"] = path.replace("{object}", params.get("object", "")).replace(
                "{to_object}", params.get("to_object", "")
            )
            call = Call(
                request.method, request.url.path, params, tuple(request.query_params.multi_items()),
                await request.body(), settings.url,
            )  # fmt: skip
            authorization = request.headers.get("authorization")
            return await run_in_threadpool(_respond, call, handler, authorization, open_)

        return answer

    def _respond(call: Call, handler: Handler, authorization: str | None, open_: bool) -> Response:
        correlation = str(uuid.uuid4())
        headers = {"x-hubspot-correlation-id": correlation}
        try:
            if not open_:
                gate.check(authorization)
                headers |= limits.check(search=call.path.endswith("/search"))
            status, body = handler(call)
        except Refusal as refused:
            status, body = refused.status, {**refused.body, "correlationId": correlation}
            headers |= refused.headers
        return _json(status, body, headers)

    table = [Route(path, endpoint(handler, path, open_=True), methods=[m]) for m, path, handler in routes.open_table()]
    table += [Route(path, endpoint(handler, path, open_=False), methods=[m]) for m, path, handler in routes.table()]
    table.append(Route("/{path:path}", endpoint(_unsupported, "/{path}", open_=False), methods=METHODS))
    app = Starlette(routes=table)
    app.router.redirect_slashes = False
    app.state.desk = HubspotDesk(records)
    return app


def _unsupported(call: Call) -> Any:
    raise not_supported(f"{call.method} {call.path}")


def _json(status: int, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Response:
    if body is None:
        return Response(status_code=status, headers=dict(headers))
    return Response(
        orjson.dumps(body), status, headers={**headers, "Content-Type": "application/json;charset=utf-8"}
    )  # fmt: skip
