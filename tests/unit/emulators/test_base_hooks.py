"""Webhooks: kept with the write, batched, tried again as the policy says; lost, doubled, reordered, late on demand."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from crm_sync.emulators.control import build_control
from crm_sync.emulators.desk import Desk
from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.posting import ACCEPTED, GIVEN_UP, Event, Outgoing, Reply, Subscription, Verdict, post, retry
from crm_sync.emulators.state import State
from crm_sync.emulators.striking import Fault, Faults

URL = "http://127.0.0.1:9/in"


class Plain:
    """Three events a request; 503 and silence are tried again after 10 s, twice."""

    batch_size = 3
    timeout_seconds = 5.0

    def check(self, url: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        if facts.get("type") == "unheard":
            raise ValueError("no such type")
        return {"type": "any", **facts}

    def compose(self, subscription: Subscription, events: Sequence[Event]) -> Outgoing:
        rows = [{"n": one.body["n"], "attempt": one.attempt} for one in events]
        return Outgoing(subscription.url, orjson.dumps(rows), {"content-type": "application/json"})

    def judge(self, reply: Reply | None, attempt: int) -> Verdict:
        if reply is not None and reply.status < 300:
            return ACCEPTED
        return retry(10.0) if attempt < 3 and (reply is None or reply.status == 503) else GIVEN_UP


@dataclass
class Receiver:
    """Takes requests in memory; answers what `replies` say, then 200."""

    got: list[list[tuple[int, int]]] = field(default_factory=list)
    replies: list[Reply | None] = field(default_factory=list)

    def __call__(self, outgoing: Outgoing, timeout_seconds: float) -> Reply | None:
        self.got.append([(row["n"], row["attempt"]) for row in orjson.loads(outgoing.body)])
        return self.replies.pop(0) if self.replies else Reply(200, {}, b"")

    def numbers(self) -> list[list[int]]:
        return [[n for n, _ in batch] for batch in self.got]


@dataclass
class World:
    state: State
    faults: Faults
    hooks: Hooks
    receiver: Receiver
    subscription: str

    def emit(self, *numbers: int) -> None:
        with self.state.transaction():
            for n in numbers:
                self.hooks.emit(self.subscription, {"n": n}, object="contact")

    def arm(self, **raw: Any) -> None:
        self.faults.add([Fault.read(raw)])

    def states(self) -> list[str]:
        return [one["state"] for one in self.hooks.events()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    state = State(tmp_path / "crm.sqlite")
    state.move_clock(freeze=True)
    faults, receiver = Faults(now_us=state.now_us), Receiver()
    hooks = Hooks(state, faults, Plain())
    hooks.post = receiver
    yield World(state, faults, hooks, receiver, hooks.subscribe(URL).id)
    state.close()


def test_events_go_out_in_batches_and_in_order(world: World) -> None:
    world.emit(1, 2, 3, 4)
    assert world.hooks.deliver_due() == 2 and world.receiver.numbers() == [[1, 2, 3], [4]]
    assert world.states() == ["accepted"] * 4 and world.hooks.deliver_due() == 0


def test_an_event_is_there_only_if_its_write_is(world: World) -> None:
    with pytest.raises(RuntimeError), world.state.transaction():
        world.emit(1)
        raise RuntimeError
    assert world.hooks.deliver_due() == 0 and world.hooks.events() == []


def test_what_is_not_accepted_is_tried_again_when_the_policy_says(world: World) -> None:
    world.receiver.replies = [Reply(503, {}, b""), None, Reply(503, {}, b"")]
    world.emit(1)
    assert [world.hooks.deliver_due(), world.hooks.deliver_due()] == [1, 0]
    world.emit(2)
    world.hooks.deliver_due()
    for _ in range(2):
        world.state.move_clock(advance_seconds=10)
        world.hooks.deliver_due()
    assert world.receiver.got == [[(1, 1)], [(2, 1)], [(1, 2), (2, 2)], [(1, 3), (2, 3)]]
    assert world.states() == ["accepted", "accepted"]
    world.receiver.replies = [Reply(400, {}, b"")]
    world.emit(3)
    world.hooks.deliver_due()
    assert world.hooks.events("given_up")[0]["body"] == {"n": 3}


def test_an_event_that_cannot_be_told_keeps_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with world.state.transaction():
        world.hooks.emit(world.subscription, {"m": 1})
    world.hooks.deliver_due()
    world.emit(2)
    world.hooks.deliver_due()
    assert world.receiver.numbers() == [[2]] and world.states() == ["given_up", "accepted"]
    assert "cannot be put into a request" in caplog.text


def test_a_lost_event_is_never_sent(world: World) -> None:
    world.arm(action="webhook_lost", object="contact", skip=1)
    world.emit(1, 2, 3)
    world.hooks.deliver_due()
    assert world.receiver.numbers() == [[1, 3]] and world.states() == ["accepted", "lost", "accepted"]
    [struck] = world.faults.log("webhook_lost")
    assert (struck["object"], struck["target"]) == ("contact", URL)
    world.emit(4)
    world.hooks.deliver_due()
    assert world.receiver.numbers() == [[1, 3], [4]]


def test_a_doubled_event_comes_twice(world: World) -> None:
    world.arm(action="webhook_doubled", path="/in$")
    world.emit(1, 2)
    world.hooks.deliver_due()
    assert sorted(world.receiver.numbers()) == [[1], [1, 2]]
    world.emit(3)
    world.hooks.deliver_due()
    assert world.receiver.numbers()[-1] == [3]


def test_a_reordered_event_comes_behind_the_next(world: World) -> None:
    world.arm(action="webhook_reordered")
    world.emit(1, 2, 3)
    world.hooks.deliver_due()
    assert world.receiver.numbers() == [[2, 3], [1]]
    world.arm(action="webhook_reordered", seconds=5)
    world.emit(4)
    world.hooks.deliver_due()
    world.emit(5)
    world.hooks.deliver_due()
    world.state.move_clock(advance_seconds=5)
    world.hooks.deliver_due()
    world.emit(6, 7)
    world.hooks.deliver_due()
    assert world.receiver.numbers()[2:] == [[5], [4], [6, 7]]


def test_a_late_event_comes_late(world: World) -> None:
    world.arm(action="webhook_late", seconds=60)
    world.emit(1, 2)
    world.hooks.deliver_due()
    assert world.receiver.numbers() == [[2]]
    world.state.move_clock(advance_seconds=60)
    world.hooks.deliver_due()
    world.emit(3)
    world.hooks.deliver_due()
    assert world.receiver.numbers() == [[2], [1], [3]]


def test_subscriptions_are_checked_kept_and_removed(world: World, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such type"):
        world.hooks.subscribe(URL, {"type": "unheard"})
    with pytest.raises(ValueError, match="expected http"):
        world.hooks.subscribe("ftp://x")
    world.emit(1)
    again = State(tmp_path / "crm.sqlite")
    hooks = Hooks(again, world.faults, Plain())
    assert hooks.subscriptions() == [Subscription(world.subscription, URL, {"type": "any"})]
    again.close()
    assert world.hooks.unsubscribe(world.subscription) and not world.hooks.unsubscribe(world.subscription)
    assert world.hooks.deliver_due() == 0 and world.states() == ["removed"]
    with pytest.raises(LookupError, match="no subscription"):
        world.emit(2)


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    got: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(202)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/in?a=b", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_requests_reach_a_receiver_over_http(listener: tuple[str, list[bytes]]) -> None:
    url, got = listener
    reply = post(Outgoing(url, b"hello", {"x": "y"}), 10)
    assert reply is not None and (reply.status, reply.body, got) == (202, b"ok", [b"hello"])
    assert post(Outgoing(URL, b""), 10) is None


def test_the_thread_sends_after_the_commit_and_wakes_with_the_clock(
    tmp_path: Path, listener: tuple[str, list[bytes]]
) -> None:
    state = State(tmp_path / "crm.sqlite")
    state.move_clock(freeze=True)
    arrived = threading.Semaphore(0)
    hooks = Hooks(state, Faults(), Plain())
    send = hooks.post

    def told(outgoing: Outgoing, seconds: float) -> Reply | None:
        reply = send(outgoing, seconds)
        arrived.release()
        return reply

    hooks.post = told
    subscription = hooks.subscribe(listener[0]).id
    hooks.start()
    with state.transaction():
        hooks.emit(subscription, {"n": 1})
        hooks.emit(subscription, {"n": 2}, delay_seconds=3600)
    assert arrived.acquire(timeout=30)
    state.move_clock(advance_seconds=3600)
    assert arrived.acquire(timeout=30)
    hooks.stop()
    state.close()
    assert [[row["n"] for row in orjson.loads(body)] for body in listener[1]] == [[1], [2]]


def test_receivers_are_managed_over_the_control_api(world: World) -> None:
    app = build_control(Desk(world.state), world.faults, world.hooks)

    def call(method: str, path: str, body: object = None) -> tuple[int, Any]:
        return asyncio.run(asked(app, method, f"/__emulator__/{path}", body))

    status, made = call("POST", "hooks", {"url": URL, "type": "contact.creation"})
    assert (status, made["facts"]) == (200, {"type": "contact.creation"})
    assert call("POST", "hooks", {"url": URL, "type": "unheard"}) == (400, {"error": "no such type"})
    assert [one["id"] for one in call("GET", "hooks")[1]["hooks"]] == [world.subscription, made["id"]]
    world.emit(1)
    world.hooks.deliver_due()
    [event] = call("GET", "hooks/events?state=accepted")[1]["events"]
    assert (event["body"], event["attempt"], event["object"]) == ({"n": 1}, 1, "contact")
    assert call("DELETE", f"hooks?id={made['id']}")[0] == 200 and call("DELETE", "hooks?id=9")[0] == 404


async def asked(app: Starlette, method: str, path: str, body: object) -> tuple[int, Any]:
    """Call an application without a network."""
    sent: list[Message] = []
    content = b"" if body is None else orjson.dumps(body)

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    place, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "path": place, "raw_path": place.encode(), "query_string": query.encode(),
        "headers": [], "http_version": "1.1", "scheme": "https", "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], orjson.loads(b"".join(message.get("body", b"") for message in sent[1:]))
