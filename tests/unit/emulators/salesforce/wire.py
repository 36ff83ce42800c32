"""Speak HTTP to the pretend org without a socket: one request, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode

import orjson
from starlette.types import ASGIApp, Message


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Wire:
    """A client of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.token = ""

    def send(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Heard:
        """Send a request: a dict or list goes as JSON, bytes as they are."""
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        given = {"host": "localhost:1", **({"authorization": f"Bearer {self.token}"} if self.token else {})}
        given |= {key.lower(): value for key, value in (headers or {}).items()}
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "https", "path": unquote(path),
            "raw_path": path.encode(), "root_path": "", "query_string": urlencode(query or {}).encode(),
            "headers": [(key.encode(), value.encode()) for key, value in given.items()],
            "client": ("127.0.0.1", 1), "server": ("localhost", 1),
        }  # fmt: skip
        return asyncio.run(self._send(scope, raw))

    async def _send(self, scope: dict[str, Any], raw: bytes) -> Heard:
        heard: list[Message] = []
        asked = 0

        async def receive() -> Message:
            nonlocal asked
            asked += 1
            if asked == 1:
                return {"type": "http.request", "body": raw, "more_body": False}
            await asyncio.sleep(3600)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            heard.append(message)

        await self.app(scope, receive, send)
        start = heard[0]
        headers = {key.decode(): value.decode() for key, value in start["headers"]}
        return Heard(start["status"], headers, b"".join(one.get("body", b"") for one in heard[1:]))

    def sign_in(self) -> None:
        """Use a token of the connected app from now on."""
        form = b"grant_type=client_credentials&client_id=app&client_secret=secret"
        self.token = self.send("POST", "/services/oauth2/token", form).json["access_token"]
