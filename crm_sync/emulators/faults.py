"""Strike faults of the transport around a CRM, and describe the control API under /__emulator__/ (no credentials).

    POST   faults   [{"action", "method": "*", "path": regex over path?query, "object": "", "skip": 0,
                      "times": 1 (null: until removed), "probability": 1, "seed": 0, ...}]   actions:
                    status {"status", "headers", "body"} | drop_before | drop_after | delay {"seconds"} | truncate
                    and those of the CRMs (striking.py): limit {"kind"}, automation {"field", "value"}, ...
    GET/DELETE faults     what is left of them / remove all
    GET    faults/log?action=   {"log": [{"number", "action", "object", "target", "request", "options", "moment"}]}
    DELETE faults/log     forget what struck
    POST   clock    {"freeze": bool?, "advance_seconds": n?, "set": iso?} -> {"now", "now_us", "frozen"};   GET clock
    POST   hooks    {"url", ...} subscribe a receiver;  GET hooks;  DELETE hooks?id=;  GET hooks/events?state=
    POST   snapshots {"name"};  GET snapshots;  POST snapshots/restore {"name"};  DELETE snapshots?name=
    POST   down     {"down": bool}        all other requests: connection closed without an answer
    GET    calls    {"total": n, "by": {"METHOD route": n}}         POST calls/reset
    POST   knobs    {"limits": bool, ...}  change what a CRM reads through `Faults.knob`;  GET knobs
    POST   tokens/expire                   all access tokens end now
    POST   create   {"object", "values", "associations"?} -> {"id"}     as a person at the CRM's screen
    POST   edit     {"object", "id", "values", "associations"?}
    POST   delete   {"object", "id"}
    POST   merge    {"object", "winner", "loser"}
    GET    dump?object=X&after=ID&limit=N  {"records": [{"id", "values", "created_us", "modified_us", "seq", ...}]}
    GET    find?object&field&value         the same shape

drop_after: the request is fully processed, then the connection closes without a response (an ambiguous outcome).
truncate: the request is fully processed, half of the body is sent under the full content-length, then the connection is
cut. delay: real time, as the client feels it, whatever the emulator's clock says.
"""

from __future__ import annotations

import asyncio

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_sync.emulators.striking import Fault, Faults, current_request

__all__ = ["CONTROL", "Fault", "FaultMiddleware", "Faults"]

CONTROL = "/__emulator__/"


def route_label(scope: Scope) -> str:
    """Return "METHOD /path/{param}"; a handler may set scope["emulator_route"] where its route is too coarse."""
    path: str = scope.get("emulator_route") or scope["path"]
    if "emulator_route" not in scope:
        for name, value in (scope.get("path_params") or {}).items():
            path = path.replace(str(value), "{" + name + "}") if str(value) else path
    return f"{scope['method']} {path}"


async def drop(receive: Receive, send: Send) -> None:
    """Close the connection without an answer (uvicorn's request cycle holds the transport)."""
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
    transport.close()

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), 1.0)
    except TimeoutError:
        transport.abort()
        await gone()


class FaultMiddleware:
    """Outermost layer of an emulator: control API first, then faults, then the CRM itself."""

    def __init__(self, app: ASGIApp, control: ASGIApp, faults: Faults) -> None:
        self.app, self.control, self.faults = app, control, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"].startswith(CONTROL):
            await self.control(scope, receive, send)
            return
        if self.faults.down:
            await drop(receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        target = scope["path"] + (f"?{query}" if query else "")
        current_request.set((scope["method"], target))
        await self._serve(self.faults.take(scope["method"], target), scope, receive, send)

    async def _serve(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or do not, and count the call before the client can know of either."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.faults.count(route_label(scope))
            await send(message)

        if fault is None:
            await self.app(scope, receive, counted)
        elif fault.action == "delay":
            await asyncio.sleep(fault.seconds)
            await self.app(scope, receive, counted)
        elif fault.action == "status":
            await _drain(receive)
            await _answer(fault, counted)
        elif fault.action == "drop_before":
            await _drain(receive)
            self.faults.count(route_label(scope))
            await drop(receive, send)
        else:
            messages: list[Message] = []

            async def keep(message: Message) -> None:
                messages.append(message)

            await self.app(scope, receive, keep)
            self.faults.count(route_label(scope))
            if fault.action == "truncate":
                await _half(messages, send)
            await drop(receive, send)


async def _half(messages: list[Message], send: Send) -> None:
    """Answer with the head and half of the body, under the length of the whole."""
    body = b"".join(message.get("body", b"") for message in messages)
    start = messages[0]
    plain = [(key, value) for key, value in start.get("headers", []) if key != b"content-length"]
    await send({**start, "headers": [*plain, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})


async def _drain(receive: Receive) -> None:
    """Read the request to its end, so that the connection can be used again."""
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)


async def _answer(fault: Fault, send: Send) -> None:
    body = fault.body.encode() if isinstance(fault.body, str) else orjson.dumps(fault.body or {})
    headers = {"content-type": "application/json;charset=utf-8", **{k.lower(): v for k, v in fault.headers.items()}}
    headers["content-length"] = str(len(body))
    pairs = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": fault.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
