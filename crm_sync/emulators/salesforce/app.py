"""Put the pretend org together as a Starlette application: HTTP in, answers out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from crm_sync.emulators.declarations import load
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.salesforce import metadata
from crm_sync.emulators.salesforce.auth import Doorman
from crm_sync.emulators.salesforce.bodies import body_of, refuse_forms, unpacked
from crm_sync.emulators.salesforce.bulk.first import FirstBulk
from crm_sync.emulators.salesforce.failures import (
    Answer,
    Call,
    Failure,
    Problem,
    Unsupported,
    failed,
    not_found,
)
from crm_sync.emulators.salesforce.grants import Grants
from crm_sync.emulators.salesforce.outbound import Outbound, OutboundMessages
from crm_sync.emulators.salesforce.rest import Rest
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.salesforce.screen import OrgDesk
from crm_sync.emulators.salesforce.soap.service import Soap
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State

LONGEST_URI = 16_384
VERSION = re.compile(r"v(\d\d)\.0(?:/(.*))?")
NESTED = re.compile(r".*/services/data/v\d\d\.0/(query(?:All)?/[^/]+)")
UPLOAD = re.compile(r"jobs/ingest/([^/]+)/batches")
METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]


class Front:
    """The HTTP side of one org."""

    def __init__(self, state: State, faults: Faults, settings: EmulatorSettings) -> None:
        declared = load(Path(__file__).with_name("declarations.toml"), settings.declared)
        self.org = Org(state, faults, declared)
        self.doorman = Doorman(state, faults, settings)
        self.grants = Grants(self.doorman)
        self.hooks = Hooks(state, faults, OutboundMessages(self.org, settings.url), settings.ca_bundle)
        self.rest = Rest(self.org, self.doorman, Outbound(self.org, self.hooks), settings.url)
        self.soap = Soap(self.grants, self.rest)
        self.first = FirstBulk(self.rest.jobs, self.doorman, self.rest.mischief)
        state.after_restore(self.rest.jobs.resume)
        self.rest.jobs.resume()

    # -- OAuth

    async def token(self, request: Request) -> Response:
        authorization = request.headers.get("authorization")
        return respond(await run_in_threadpool(self.grants.token, await form_of(request), authorization))

    async def revoke(self, request: Request) -> Response:
        form = dict(request.query_params) | await form_of(request)
        return respond(await run_in_threadpool(self.grants.revoke, form.get("token", "")))

    async def userinfo(self, request: Request) -> Response:
        return respond(await run_in_threadpool(refused, self.grants.userinfo, bearer(request)))

    async def identity(self, request: Request) -> Response:
        org, user = request.path_params["org"], request.path_params["user"]
        return respond(await run_in_threadpool(refused, self.grants.identity, org, user, bearer(request)))

    # -- SOAP

    async def soap_call(self, request: Request) -> Response:
        kind, version = request.path_params["kind"], request.path_params["version"]
        if kind not in ("u", "c"):
            return respond(elsewhere(request))
        try:
            body = await body_of(request)
        except Failure as failure:
            return respond(failed(failure.status, failure.problems))
        status, text = await run_in_threadpool(self.soap.answer, kind, version, body)
        return Response(text, status, media_type="text/xml;charset=UTF-8")

    # -- REST

    async def versions(self, request: Request) -> Response:
        return respond(metadata.versions())

    async def resource(self, request: Request) -> Response:
        version, path = address(quoted_path(request))
        if request.method == "PUT" and (match := UPLOAD.fullmatch(path)):
            return await self.upload(request, version, path, match[1])
        try:
            raw = await body_of(request)
        except Failure as failure:
            return respond(failed(failure.status, failure.problems))
        answer, route = await run_in_threadpool(self.answered, request, version, path, raw)
        request.scope["emulator_route"] = route
        return respond(answer)

    def answered(self, request: Request, version: float, path: str, raw: bytes) -> tuple[Answer, str]:
        """Answer a request below /services/data; also return its route for the counts."""
        route = "/services/data/vNN.N"
        try:
            if not metadata.OLDEST <= version <= metadata.NEWEST:
                raise not_found()
            if len(str(request.url)) > LONGEST_URI:
                return Answer(414, [Problem("URI_TOO_LONG", "URI Too Long").request_form()]), route
            self.admit(request)
            call = call_of(request, version, path, raw)
        except Failure as failure:
            return failed(failure.status, failure.problems), route
        try:
            route = f"{route}/{self.rest.find(call)[0]}"
        except Unsupported:
            route = f"{route}/(unsupported)"
        answer = self.rest.handle(call)
        headers = {**answer.headers, "Sforce-Limit-Info": self.doorman.usage()}
        return Answer(answer.status, answer.body, headers, answer.media), route

    def admit(self, request: Request) -> None:
        """Let a request in and count it. Raises Failure."""
        self.doorman.admit(request.headers.get("authorization"))
        self.doorman.count()
        self.rest.mischief.door()

    async def upload(self, request: Request, version: float, path: str, job: str) -> Response:
        """PUT jobs/ingest/id/batches: kept as it comes, never whole in memory."""
        request.scope["emulator_route"] = "/services/data/vNN.N/jobs/ingest/{id}/batches"
        stream = request.stream()
        try:
            await run_in_threadpool(self.admit, request)
            await run_in_threadpool(self.rest.jobs.start_upload, job)
            async for chunk in unpacked(stream, request.headers):
                if chunk:
                    await run_in_threadpool(self.rest.jobs.receive, job, chunk)
            await run_in_threadpool(self.rest.jobs.end_upload, job)
        except Failure as failure:
            async for _ in stream:
                pass
            return respond(failed(failure.status, failure.problems))
        return Response(status_code=201, headers={"Sforce-Limit-Info": self.doorman.usage()})

    async def first_bulk(self, request: Request) -> Response:
        try:
            raw = await body_of(request)
        except Failure as failure:
            return respond(failed(failure.status, failure.problems))
        parts = request.path_params["rest"].strip("/").split("/")
        request.scope["emulator_route"] = self.first.route(parts)
        headers = {key.casefold(): value for key, value in request.headers.items()}
        return respond(await run_in_threadpool(self.first.answer, request.method, parts, headers, raw))

    def endpoints(self) -> Iterator[tuple[str, str]]:
        """Yield (method, path) of everything that is answered."""
        for route in ROUTES:
            if "{rest" not in route[0] and route[0] != "/services/data/":
                yield from ((method, route[0]) for method in route[2])
        yield from self.rest.endpoints()
        yield from self.first.endpoints()


ROUTES: list[tuple[str, str, list[str]]] = [
    ("/services/oauth2/token", "token", ["POST"]),
    ("/services/oauth2/revoke", "revoke", ["GET", "POST"]),
    ("/services/oauth2/userinfo", "userinfo", ["GET", "POST"]),
    ("/id/{org}/{user}", "identity", ["GET"]),
    ("/services/Soap/{kind}/{version}", "soap_call", ["POST"]),
    ("/services/Soap/{kind}/{version}/{org}", "soap_call", ["POST"]),
    ("/services/async/{rest:path}", "first_bulk", METHODS),
    ("/services/data", "versions", ["GET"]),
    ("/services/data/", "versions", ["GET"]),
    ("/services/data/{rest:path}", "resource", METHODS),
]


def build(state: State, faults: Faults, settings: EmulatorSettings) -> Starlette:
    """Build the application of the pretend org."""
    front = Front(state, faults, settings)

    async def other(request: Request) -> Response:
        return respond(elsewhere(request))

    routes = [Route(path, getattr(front, name), methods=methods) for path, name, methods in ROUTES]
    app = Starlette(routes=[*routes, Route("/{rest:path}", other, methods=METHODS)])
    app.state.desk = OrgDesk(front.org, front.rest.records)
    app.state.hooks = front.hooks
    app.state.endpoints = list(front.endpoints())
    app.state.front = front
    return app


def elsewhere(request: Request) -> Answer:
    """Return the answer to what this org does not have."""
    what = f"This pretend org does not support {request.method} {request.url.path}."
    return failed(501, [Problem("NOT_IMPLEMENTED", what)])


def quoted_path(request: Request) -> str:
    """Return what stands behind /services/data/, still quoted: a slash in a key is no border."""
    return str(request.scope["raw_path"].decode("ascii", "replace")).partition("/services/data/")[2]


async def form_of(request: Request) -> dict[str, str]:
    """Read a form."""
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))


def bearer(request: Request) -> str:
    """Return the token of a request, from its header or as oauth_token."""
    given = request.headers.get("authorization", "").partition(" ")[2].strip()
    return given or request.query_params.get("oauth_token", "")


def refused(answer: Callable[..., Answer], *given: str) -> Answer:
    """Return the answer, or that of its failure."""
    try:
        return answer(*given)
    except Failure as failure:
        return failed(failure.status, failure.problems)


def address(rest: str) -> tuple[float, str]:
    """Return API version and path; the address of a next page put behind query/ is understood too."""
    match = VERSION.fullmatch(rest.strip("/"))
    if match is None:
        return 0.0, rest
    path = (match[2] or "").lstrip("/")
    nested = NESTED.fullmatch(path)
    return float(match[1]), nested[1] if nested else path


def call_of(request: Request, version: float, path: str, raw: bytes) -> Call:
    """Read a request as a call. Raises Failure for a body that is no JSON."""
    method = request.query_params.get("_HttpMethod", request.method) if request.method == "POST" else request.method
    body: Any = None
    headers = {key.casefold(): value for key, value in request.headers.items()}
    refuse_forms(request.method, path, headers)
    if raw:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise Failure(400, Problem("JSON_PARSER_ERROR", f"The HTTP entity body is not JSON: {error}")) from None
    method = "GET" if method.upper() == "HEAD" else method.upper()
    return Call(method, path, version, dict(request.query_params), headers, body)


def respond(answer: Answer) -> Response:
    """Return an answer as HTTP."""
    if answer.body is None:
        return Response(status_code=answer.status, headers=answer.headers)
    headers = {**answer.headers, "content-type": answer.media}
    if isinstance(answer.body, Iterator):
        return StreamingResponse(answer.body, answer.status, headers)
    content = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
    return Response(content, answer.status, headers)
