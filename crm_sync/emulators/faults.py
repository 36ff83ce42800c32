"""Faults on demand, counting of calls, and the control API under /__emulator__/ on every port (no credentials).

    POST   faults   [{"method": "*", "path": regex over path?query, "skip": 0, "times": 1, "action": ...}]   actions:
                    status {"status", "headers", "body"} | drop_before | drop_after | delay {"seconds"}
    GET/DELETE faults     what is left of them / remove all
    POST   down     {"down": bool}        all other requests: connection closed without an answer
    GET    calls    {"total": n, "by": {"METHOD route": n}}         POST calls/reset
    POST   knobs    {"limits": bool, ...}  change what a CRM reads through `Faults.knob`;  GET knobs
    POST   tokens/expire                   all access tokens end now
    POST   create   {"object", "values", "associations"?} -> {"id"}     as a person at the CRM's screen
    POST   edit     {"object", "id", "values", "associations"?}
    POST   delete   {"object", "id"}
    POST   merge    {"object", "winner", "loser"}
    GET    dump?object=X       {"records": [{"id", "values", "created_us", "modified_us", "seq", "associations"}]}
    GET    find?object&field&value         the same shape

drop_after: the request is fully processed, then the connection closes without a response (an ambiguous outcome).
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTROL = "/__emulator__/"
ACTIONS = ("status", "drop_before", "drop_after", "delay")


@dataclass(slots=True)
class Fault:
    """One fault; it lets `skip` matching requests pass, then hits `times` of them."""

    action: str
    method: str = "*"
    path: str = ""
    skip: int = 0
    times: int = 1
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"unknown action {self.action!r}; expected one of {', '.join(ACTIONS)}")
        re.compile(self.path)


class Faults:
    """The faults, knobs and call counts of one emulator; thread-safe."""

    def __init__(self, knobs: Mapping[str, Any] | None = None) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._knobs: dict[str, Any] = dict(knobs or {})
        self._calls: Counter[str] = Counter()
        self.down = False

    def add(self, faults: list[Fault]) -> None:
        """Add faults behind those that wait."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """Return what is left of the faults."""
        with self._lock:
            return [asdict(one) for one in self._faults]

    def take(self, method: str, target: str) -> Fault | None:
        """Return the first fault that hits this request, and use it up once."""
        with self._lock:
            for one in self._faults:
                if one.method not in ("*", method) or not re.search(one.path, target):
                    continue
                if one.skip > 0:
                    one.skip -= 1
                    continue
                one.times -= 1
                if one.times <= 0:
                    self._faults.remove(one)
                return one
        return None

    def knob(self, name: str, default: Any = None) -> Any:
        """Return the present value of a knob, such as "limits"."""
        with self._lock:
            return self._knobs.get(name, default)

    def turn(self, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """Set knobs and return all of them."""
        with self._lock:
            self._knobs.update(knobs)
            return dict(self._knobs)

    def count(self, label: str) -> None:
        """Count one call."""
        with self._lock:
            self._calls[label] += 1

    def calls(self) -> dict[str, Any]:
        """Return the counts since the last reset."""
        with self._lock:
            return {"total": sum(self._calls.values()), "by": dict(sorted(self._calls.items()))}

    def reset_calls(self) -> None:
        """Start counting from zero."""
        with self._lock:
            self._calls.clear()


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
        fault = self.faults.take(scope["method"], scope["path"] + (f"?{query}" if query else ""))
        try:
            await self._serve(fault, scope, receive, send)
        finally:
            self.faults.count(route_label(scope))

    async def _serve(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.action == "delay":
            await asyncio.sleep(fault.seconds)
            await self.app(scope, receive, send)
        elif fault.action == "status":
            await _drain(receive)
            await _answer(fault, send)
        elif fault.action == "drop_before":
            await _drain(receive)
            await drop(receive, send)
        else:

            async def swallow(message: Message) -> None:
                """Take the response and let nobody see it."""

            await self.app(scope, receive, swallow)
            await drop(receive, send)


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
