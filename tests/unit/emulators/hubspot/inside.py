"""A HubSpot emulator inside the test's own process, called as an ASGI application: no socket, no thread of a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

from starlette.types import Message

from crm_sync.emulators import matrix
from crm_sync.emulators.control import build_control
from crm_sync.emulators.faults import Fault, FaultMiddleware, Faults
from crm_sync.emulators.hubspot.app import build
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State

TOKEN, SECRET, URL = "pat-na1-test", "app-secret", "https://localhost:1"
OBJECTS = "/crm/v3/objects"
Facts = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the emulator answered; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Inside:
    """One portal, frozen at a moment of its own clock."""

    def __init__(self, directory: Path, declared: Mapping[str, Any] | None = None) -> None:
        self.state = State(directory / "hubspot.sqlite", resolution_us=1000)
        self.faults = Faults({}, self.state.now_us)
        self.faults.restrict(matrix.faults("hubspot") or {})
        settings = EmulatorSettings(
            "hubspot", URL, "app", SECRET, "refresh", TOKEN, "tenant", directory, declared=declared or {}
        )
        app = build(self.state, self.faults, settings)
        self.hooks, self.desk = app.state.hooks, app.state.desk
        self.app = FaultMiddleware(app, build_control(app.state.desk, self.faults, self.hooks), self.faults)
        self.loop = asyncio.new_event_loop()
        self.state.move_clock(freeze=True, set_us=1_770_000_000_000_000)

    def close(self) -> None:
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.state.close()

    def advance(self, seconds: float) -> None:
        self.state.move_clock(advance_seconds=seconds)

    def arm(self, action: str, **more: Any) -> None:
        self.faults.add([Fault.read({"action": action, **more})])

    def struck(self, action: str) -> int:
        return len(self.faults.log(action))

    # -- calls

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = TOKEN,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request: `body` goes as JSON (bytes as they are), `form` form-encoded."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        if form is not None:
            raw = urlencode(form).encode()
        return self.loop.run_until_complete(self._call(method, path, raw, headers))

    async def _call(self, method: str, path: str, raw: bytes, headers: list[tuple[bytes, bytes]]) -> Answer:
        plain, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https",
            "path": unquote(plain), "raw_path": plain.encode(), "query_string": query.encode(), "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("localhost", 1),
        }  # fmt: skip
        got: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Message) -> None:
            got.append(message)

        await self.app(scope, receive, send)
        text = b"".join(one.get("body", b"") for one in got[1:])
        told = {key.decode().lower(): value.decode() for key, value in got[0]["headers"]}
        return Answer(got[0]["status"], told, json.loads(text) if text else None)

    def get(self, path: str) -> Any:
        """GET what must be there."""
        answer = self.send("GET", path)
        assert answer.status == 200, answer
        return answer.body

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        """POST what must be accepted."""
        answer = self.send("POST", path, body)
        assert answer.status == status, answer
        return answer.body

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Send what must be refused and return (status, category)."""
        answer = self.send(method, path, body)
        assert answer.status >= 400, answer
        return answer.status, answer.body.get("category", "")

    # -- words for tests

    def create(self, object: str = "contacts", associations: Sequence[Facts] = (), **properties: Any) -> str:
        body = {"properties": properties, "associations": list(associations)}
        return str(self.post(f"{OBJECTS}/{object}", body, 201)["id"])

    def read(self, object: str, id: str, *names: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"{OBJECTS}/{object}/{id}?properties={','.join(names)}")["properties"]
        return found

    def search(self, object: str = "contacts", *filters: Facts, **more: Any) -> list[str]:
        body = {"filterGroups": [{"filters": list(filters)}], "limit": 100, **more}
        return [one["id"] for one in self.post(f"{OBJECTS}/{object}/search", body)["results"]]

    def batch(self, object: str, deed: str, *inputs: Facts, **more: Any) -> Answer:
        return self.send("POST", f"{OBJECTS}/{object}/batch/{deed}", {"inputs": list(inputs), **more})


def to(id: str, type_id: int, category: str = "HUBSPOT_DEFINED") -> Facts:
    """Return an association as a create takes it."""
    return {"to": {"id": id}, "types": [{"associationCategory": category, "associationTypeId": type_id}]}


def where(name: str, operator: str, value: Any = None, **more: Any) -> Facts:
    """Return a search filter."""
    return {"propertyName": name, "operator": operator, **({} if value is None else {"value": value}), **more}
