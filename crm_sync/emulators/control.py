"""Serve the control API of an emulator (listed in faults.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from crm_sync.emulators.clock import iso, moment
from crm_sync.emulators.desk import Desk
from crm_sync.emulators.faults import CONTROL, Fault, Faults
from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.snapshots import Snapshots
from crm_sync.emulators.state import Duplicate, State
from crm_sync.emulators.tokens import TokenBook

Answer = Callable[[dict[str, Any]], Any]
Row = tuple[str, Answer, str]
"""Path below the control API, answer, method."""


def json_response(content: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def build_control(
    desk: Desk, faults: Faults, hooks: Hooks | None = None, snapshots: Snapshots | None = None
) -> Starlette:
    """Build the control application of one emulator; without `hooks` or `snapshots` it has no such routes."""
    tokens = TokenBook(desk.state)

    def route(path: str, answer: Answer, method: str = "POST") -> Route:
        return Route(CONTROL + path, _endpoint(answer, method), methods=[method])

    def add_faults(body: Any) -> Any:
        faults.add([Fault.read(one) for one in (body if isinstance(body, list) else [body])])
        return {"faults": faults.waiting()}

    def clear(_: Any) -> Any:
        faults.clear()
        return {"faults": []}

    def reset(_: Any) -> Any:
        faults.reset_calls()
        return faults.calls()

    def clear_log(_: Any) -> Any:
        faults.clear_log()
        return {"log": []}

    def down(body: dict[str, Any]) -> Any:
        faults.down = bool(body["down"])
        return {"down": faults.down}

    def create(body: dict[str, Any]) -> Any:
        return {"id": desk.create(body["object"], body["values"], body.get("associations") or {})}

    def edit(body: dict[str, Any]) -> Any:
        _found(desk.edit(body["object"], body["id"], body.get("values") or {}, body.get("associations") or {}), body)
        return {"id": body["id"]}

    def delete(body: dict[str, Any]) -> Any:
        _found(desk.delete(body["object"], body["id"]), body)
        return {"id": body["id"]}

    def merge(body: dict[str, Any]) -> Any:
        if not desk.merge(body["object"], body["winner"], body["loser"]):
            raise LookupError(f"{body['object']}: {body['winner']} and {body['loser']} are not two live records")
        return {"id": body["winner"]}

    more = [*_clock(desk.state), *(_hooks(hooks) if hooks else ()), *(_snapshots(snapshots) if snapshots else ())]
    control = Starlette(
        routes=[
            route("faults", add_faults),
            route("faults", lambda _: {"faults": faults.waiting()}, "GET"),
            route("faults", clear, "DELETE"),
            route("faults/log", lambda query: {"log": faults.log(query.get("action", ""))}, "GET"),
            route("faults/log", clear_log, "DELETE"),
            *(Route(CONTROL + path, _endpoint(answer, method), methods=[method]) for path, answer, method in more),
            route("down", down),
            route("calls", lambda _: faults.calls(), "GET"),
            route("calls/reset", reset),
            route("knobs", faults.turn),
            route("knobs", lambda _: faults.turn({}), "GET"),
            route("tokens/expire", lambda _: {"expired": tokens.expire_all()}),
            route("create", create),
            route("edit", edit),
            route("delete", delete),
            route("merge", merge),
            Route(CONTROL + "dump", _dump(desk), methods=["GET"]),
            route("find", lambda query: {"records": desk.find(query["object"], query["field"], query["value"])}, "GET"),
        ]
    )
    calls: dict[str, list[str]] = {}
    for one in control.routes:
        if isinstance(one, Route):
            calls.setdefault(one.path.removeprefix(CONTROL), []).extend(sorted((one.methods or set()) - {"HEAD"}))
    known = ", ".join(f"{path} ({', '.join(methods)})" for path, methods in calls.items())

    def unknown(request: Request, _: Exception) -> Response:
        """Say what there is."""
        return json_response({"error": f"{request.method} {request.url.path} is none of {CONTROL}: {known}"}, 404)

    control.add_exception_handler(404, unknown)
    control.add_exception_handler(405, unknown)
    return control


def _dump(desk: Desk) -> Callable[[Request], Awaitable[Response]]:
    """Answer with all live records of an object, or a page of them, without holding them all."""

    def text(object: str, after: str, limit: int | None) -> Iterator[bytes]:
        begun = b'{"records":['
        for record in desk.live(object, after=after, limit=limit):
            yield begun + orjson.dumps(record)
            begun = b","
        yield b"]}" if begun == b"," else begun + b"]}"

    async def endpoint(request: Request) -> Response:
        query = request.query_params
        if "object" not in query or not query.get("limit", "0").isdigit():
            return json_response({"error": f"found {dict(query)}; expected object=, and limit= in digits if any"}, 400)
        limit = int(query["limit"]) if "limit" in query else None
        rows = text(query["object"], query.get("after", ""), limit)
        return StreamingResponse(iterate_in_threadpool(rows), media_type="application/json")

    return endpoint


def _clock(state: State) -> list[Row]:
    def told(now_us: int) -> Any:
        return {"now": iso(now_us), "now_us": now_us, "frozen": state.clock.kept()["frozen_us"] is not None}

    def move(body: dict[str, Any]) -> Any:
        strange = body.keys() - {"freeze", "advance_seconds", "set"}
        if strange:
            raise ValueError(f"found {strange.pop()!r}; expected some of freeze, advance_seconds, set")
        set_us = moment(body["set"]) if "set" in body else None
        advance = float(body.get("advance_seconds", 0))
        return told(state.move_clock(freeze=body.get("freeze"), advance_seconds=advance, set_us=set_us))

    return [("clock", move, "POST"), ("clock", lambda _: told(state.now_us()), "GET")]


def _hooks(hooks: Hooks) -> list[Row]:
    def subscribe(body: dict[str, Any]) -> Any:
        facts = {name: value for name, value in body.items() if name not in ("url", "id")}
        return asdict(hooks.subscribe(body["url"], facts, body.get("id")))

    def unsubscribe(query: dict[str, Any]) -> Any:
        if not hooks.unsubscribe(query["id"]):
            raise LookupError(f"no subscription {query['id']!r}")
        return {"id": query["id"]}

    return [
        ("hooks", subscribe, "POST"),
        ("hooks", lambda _: {"hooks": [asdict(one) for one in hooks.subscriptions()]}, "GET"),
        ("hooks", unsubscribe, "DELETE"),
        ("hooks/events", lambda query: {"events": hooks.events(query.get("state", ""))}, "GET"),
    ]


def _snapshots(snapshots: Snapshots) -> list[Row]:
    def told(answer: Callable[[str], None]) -> Answer:
        def named(body: dict[str, Any]) -> Any:
            answer(body["name"])
            return {"name": body["name"]}

        return named

    return [
        ("snapshots", told(snapshots.save), "POST"),
        ("snapshots", lambda _: {"snapshots": snapshots.list()}, "GET"),
        ("snapshots", told(snapshots.delete), "DELETE"),
        ("snapshots/restore", told(snapshots.restore), "POST"),
    ]


def _found(found: bool, body: dict[str, Any]) -> None:
    if not found:
        raise LookupError(f"no live {body['object']} with id {body['id']}")


def _endpoint(answer: Answer, method: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        raw = b"" if method in ("GET", "DELETE") else await request.body()
        try:
            given: Any = orjson.loads(raw) if raw else dict(request.query_params)
            return json_response(await run_in_threadpool(answer, given))
        except orjson.JSONDecodeError as error:
            return json_response({"error": f"the body cannot be read as JSON: {error}"}, 400)
        except KeyError as error:
            there = ", ".join(map(str, given)) or "nothing"
            told = f"found {there}; expected {error.args[0]!r}, which is missing or unknown"
            return json_response({"error": told}, 400)
        except LookupError as error:
            return json_response({"error": str(error)}, 404)
        except Duplicate as error:
            return json_response({"error": str(error)}, 409)
        except (ValueError, TypeError) as error:
            return json_response({"error": str(error)}, 400)

    return endpoint
