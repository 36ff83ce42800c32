"""Put the pretend org together as a Starlette application, and send each request to its room."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crm_sync.emulators.desk import Desk
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.salesforce import metadata
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.collections import Collections
from crm_sync.emulators.salesforce.composite import batch, composite
from crm_sync.emulators.salesforce.failures import (
    Answer,
    Call,
    Failure,
    Invalid,
    Problem,
    Unsupported,
    failed,
    not_found,
)
from crm_sync.emulators.salesforce.querying import Querying
from crm_sync.emulators.salesforce.records import Records, Several
from crm_sync.emulators.salesforce.replication import deleted_ids, updated_ids
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State

JSON = "application/json;charset=UTF-8"
LONGEST_URI = 16_384
VERSION = re.compile(r"v(\d\d)\.0(?:/(.*))?")
Handler = Callable[..., Answer]


class OrgDesk(Desk):
    """A person at the screen: ids of the org's form, defaults filled, deletions cascade."""

    def __init__(self, org: Org, records: Records) -> None:
        super().__init__(org.state)
        self.org, self.records = org, records

    def new_id(self, object: str) -> str:
        """Return a fresh record id."""
        return self.org.new_id(object)

    def create(self, object: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> str:
        """Create a record with the defaults of its object."""
        defaults = {f.name: f.default for f in self.org.schema.fields(object).values() if f.default is not None}
        return super().create(object, {**defaults, **values}, associations)

    def delete(self, object: str, id: str) -> bool:
        """Delete a record and what hangs on it."""
        found = self.state.get(object, id)
        if found is None or found.deleted:
            return False
        self.records.delete(object, id)
        return True


class Rest:
    """The resources below /services/data/vNN.0/."""

    def __init__(self, org: Org, doorman: Doorman) -> None:
        self.org = org
        self.records = records = Records(org)
        collections, querying = Collections(records), Querying(org)
        more = querying.more

        def table(*rows: tuple[str, dict[str, Handler]]) -> list[tuple[re.Pattern[str], str, dict[str, Handler]]]:
            out = []
            for path, handlers in rows:
                pattern = re.sub(r"\{\w+\}", r"([^/]+)", path)
                out.append((re.compile(pattern), path, handlers))
            return out

        def with_object(show: Callable[[Org, Call, str], Answer]) -> Handler:
            return lambda call, name: show(org, call, records.sobject(name))

        self.routes = table(
            ("", {"GET": metadata.resources}),
            ("limits", {"GET": lambda call: doorman.limits()}),
            ("query", {"GET": partial(querying.query, deleted=False)}),
            ("queryAll", {"GET": partial(querying.query, deleted=True)}),
            ("query/{locator}", {"GET": more}),
            ("queryAll/{locator}", {"GET": more}),
            ("sobjects", {"GET": partial(metadata.all_objects, org)}),
            ("sobjects/{object}", {"GET": with_object(metadata.basic), "POST": records.post}),
            ("sobjects/{object}/describe", {"GET": with_object(metadata.describe)}),
            ("sobjects/{object}/updated", {"GET": with_object(updated_ids)}),
            ("sobjects/{object}/deleted", {"GET": with_object(deleted_ids)}),
            (
                "sobjects/{object}/{id}",
                {"GET": records.get, "PATCH": records.patch, "DELETE": records.remove},
            ),
            (
                "sobjects/{object}/{key}/{value}",
                {"GET": records.get_by_key, "PATCH": records.patch_by_key, "DELETE": records.remove_by_key},
            ),
            ("composite", {"POST": lambda call: composite(org.state, call, self.handle)}),
            ("composite/batch", {"POST": lambda call: batch(call, self.handle)}),
            (
                "composite/sobjects",
                {"POST": collections.create, "PATCH": collections.update, "DELETE": collections.delete},
            ),
            ("composite/sobjects/{object}", {"GET": collections.retrieve, "POST": collections.retrieve}),
            ("composite/sobjects/{object}/{key}", {"PATCH": collections.upsert}),
            ("tooling/sobjects/CustomField", {"POST": partial(metadata.create_field, org)}),
        )

    def find(self, call: Call) -> tuple[str, Handler | None, tuple[str, ...], list[str]]:
        """Return the route's path, its handler, the path's parts, and the methods that it has."""
        for pattern, path, handlers in self.routes:
            match = pattern.fullmatch(call.path)
            if match is not None:
                return path, handlers.get(call.method), match.groups(), sorted(handlers)
        raise Unsupported(f"{call.method} {call.base}/{call.path}")

    def handle(self, call: Call) -> Answer:
        """Answer a call; every failure becomes an answer."""
        try:
            with self.org.state.transaction() if call.method in ("PATCH", "POST") else nullcontext():
                return self.dispatch(call)
        except Unsupported as what:
            return failed(501, [Problem("NOT_IMPLEMENTED", f"This pretend org does not support {what}.")])
        except Invalid as invalid:
            return failed(invalid.status, invalid.problems)
        except Several as several:
            base = f"{call.base}/{call.path.split('/')[0]}/{call.path.split('/')[1]}"
            return Answer(300, [f"{base}/{one}" for one in several.ids])
        except Failure as failure:
            return failed(failure.status, failure.problems)

    def dispatch(self, call: Call) -> Answer:
        """Send a call to its handler."""
        _, handler, parts, methods = self.find(call)
        if handler is None:
            text = f"HTTP Method '{call.method}' not allowed. Allowed are {','.join(methods)}"
            raise Failure(405, Problem("METHOD_NOT_ALLOWED", text))
        return handler(call, *parts)


def build(state: State, faults: Faults, settings: EmulatorSettings) -> Starlette:
    """Build the application of the pretend org."""
    org = Org(state, faults)
    doorman = Doorman(state, faults, settings)
    rest = Rest(org, doorman)

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        authorization = request.headers.get("authorization")
        try:
            return respond(await run_in_threadpool(doorman.token, form, authorization))
        except Unsupported as what:
            return respond(failed(501, [Problem("NOT_IMPLEMENTED", f"This pretend org does not support {what}.")]))

    async def versions(request: Request) -> Response:
        return respond(metadata.versions())

    async def resource(request: Request) -> Response:
        raw = await request.body()
        answer, route = await run_in_threadpool(answered, rest, doorman, request, raw)
        request.scope["emulator_route"] = route
        return respond(answer)

    async def elsewhere(request: Request) -> Response:
        what = f"This pretend org does not support {request.method} {request.url.path}."
        return respond(failed(501, [Problem("NOT_IMPLEMENTED", what)]))

    methods = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]
    app = Starlette(
        routes=[
            Route("/services/oauth2/token", token, methods=["POST"]),
            Route("/services/data", versions, methods=["GET"]),
            Route("/services/data/", versions, methods=["GET"]),
            Route("/services/data/{rest:path}", resource, methods=methods),
            Route("/{rest:path}", elsewhere, methods=methods),
        ]
    )
    app.state.desk = OrgDesk(org, rest.records)
    return app


def answered(rest: Rest, doorman: Doorman, request: Request, raw: bytes) -> tuple[Answer, str]:
    """Answer a request below /services/data; also return its route for the counts."""
    route = "/services/data/vNN.N"
    try:
        match = VERSION.fullmatch(request.path_params["rest"].strip("/"))
        if match is None or not metadata.OLDEST <= int(match[1]) <= metadata.NEWEST:
            raise not_found()
        if len(str(request.url)) > LONGEST_URI:
            return Answer(414, [Problem("URI_TOO_LONG", "URI Too Long").request_form()]), route
        doorman.admit(request.headers.get("authorization"))
        doorman.count()
        call = call_of(request, match, raw)
    except Failure as failure:
        return failed(failure.status, failure.problems), route
    try:
        route = f"{route}/{rest.find(call)[0]}"
    except Unsupported:
        route = f"{route}/(unsupported)"
    answer = rest.handle(call)
    headers = {**answer.headers, "Sforce-Limit-Info": doorman.usage()}
    return Answer(answer.status, answer.body, headers), route


def call_of(request: Request, match: re.Match[str], raw: bytes) -> Call:
    """Read a request as a call. Raises Failure for a body that is no JSON."""
    method = request.query_params.get("_HttpMethod", request.method) if request.method == "POST" else request.method
    body: Any = None
    if raw:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise Failure(400, Problem("JSON_PARSER_ERROR", f"The HTTP entity body is not JSON: {error}")) from None
    headers = {key.casefold(): value for key, value in request.headers.items()}
    return Call(method.upper(), match[2] or "", float(match[1]), dict(request.query_params), headers, body)


def respond(answer: Answer) -> Response:
    """Return an answer as HTTP."""
    if answer.body is None:
        return Response(status_code=answer.status, headers=answer.headers)
    content = orjson.dumps(answer.body)
    return Response(content, answer.status, headers=answer.headers, media_type=JSON)
