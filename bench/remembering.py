"""Serve a pretend CRM that remembers its answers: python -m bench.remembering --state DIR --only CRM.

A pretend CRM computes each answer from SQLite, which takes longer than a client takes to read it. Asked to remember,
it answers the same read again from memory: what is measured then is the client alone. Anything that writes makes it
forget.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import orjson

from crm_sync.emulators import __main__ as emulators
from crm_sync.emulators import serving

ANSWERS: Final = "/__bench__/answers"
"""GET: remember from now on, and tell the requests remembered so far, in order. DELETE: forget, and compute again."""
SAME: Final = ("authorization", "prefer", "accept", "content-type", "odata-version", "odata-maxversion")
"""What all reads of one client have in common, and a floor repeats."""
_ASKING: Final = re.compile(r"/(search|batch/read)$")
_NEUTRAL: Final = re.compile(r"/token$|/openid-configuration$|^/__emulator__/(calls|dump|find)")

Message = dict[str, Any]


class Remembering:
    """An ASGI application that answers reads from memory once they were answered by the application within."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._answers: dict[tuple[str, str, bytes], list[Message]] = {}
        self._headers: dict[str, str] = {}
        self._on = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _body_of(receive)
        target = scope["path"] + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        if scope["path"] == ANSWERS:
            await self._tell(scope["method"], send)
            return
        neutral = _NEUTRAL.search(scope["path"]) is not None
        reading = scope["method"] == "GET" or _ASKING.search(scope["path"]) is not None
        if not self._on or neutral or not reading:
            if not neutral and not reading:
                self._answers.clear()
            await self._app(scope, _given(body), send)
            return
        key = (scope["method"], target, body)
        self._headers = {k.decode(): v.decode() for k, v in scope["headers"] if k.decode() in SAME}
        if key not in self._answers:
            said: list[Message] = []

            async def keep(message: Message) -> None:
                said.append(message)

            await self._app(scope, _given(body), keep)
            if said[0]["status"] >= 300:
                for message in said:
                    await send(message)
                return
            self._answers[key] = _whole(said)
        for message in self._answers[key]:
            await send(dict(message))

    async def _tell(self, method: str, send: Any) -> None:
        told = orjson.dumps([[m, t, b.decode(), self._headers] for m, t, b in self._answers])
        if method == "DELETE":
            self._answers.clear()
        self._on = method != "DELETE"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})


def _whole(said: list[Message]) -> list[Message]:
    body = b"".join(m.get("body", b"") for m in said[1:])
    return [said[0], {"type": "http.response.body", "body": body}]


async def _body_of(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _given(body: bytes) -> Any:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def main() -> int:
    """Run until a signal, as crm_sync.emulators does."""
    plain = serving.server_of
    serving.server_of = lambda app, server_pem: plain(Remembering(app), server_pem)
    return emulators.main()


if __name__ == "__main__":
    sys.exit(main())
