"""Serve emulators over TLS, each on its own port, in one process.

The private CA stays in the state directory, so that a restart keeps it. Ports are those given, else those of the last
run where free (`ports.json`), else any free one. `emulators.json` appears (atomically) once all of them listen, and
goes with them; after a kill it stays, and its pid is nobody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import importlib
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from crm_sync.emulators import matrix
from crm_sync.emulators.control import build_control
from crm_sync.emulators.credentials import app_key, certificates, credentials, write_private
from crm_sync.emulators.crossroads import Crossroads
from crm_sync.emulators.declarations import merged
from crm_sync.emulators.desk import Desk
from crm_sync.emulators.faults import Fault, FaultMiddleware, Faults
from crm_sync.emulators.hooks import Hooks
from crm_sync.emulators.settings import CRMS, EmulatorSettings
from crm_sync.emulators.snapshots import Snapshots
from crm_sync.emulators.state import State

PORTS = "ports.json"
RESOLUTION_US = {"salesforce": 1_000_000, "hubspot": 1_000, "dynamics": 1_000_000}
PR_SET_PDEATHSIG = 1
PATIENCE_SECONDS = 3.0
"""How long a start waits for a predecessor to end: longer than the latter waits for its clients."""


class CannotServe(Exception):
    """A port is taken or the state directory is unusable; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process serves.

    connections   name of a connection -> its CRM; each has its own port, records and credentials
    ports         connection -> port; those left out are chosen
    knobs         as in EmulatorSettings
    declared      CRM or connection -> further objects and fields, as `declarations.read_more` returns them
    faults        CRM or connection -> faults that wait from the start, as the control API takes them
    crossroads    port of the proxy for clients whose hosts are built in (0: a free one); None: no proxy
    """

    state_dir: Path
    connections: Mapping[str, str] = field(default_factory=lambda: {crm: crm for crm in CRMS})
    ports: Mapping[str, int] = field(default_factory=dict)
    token_seconds: float = 1800.0
    knobs: Mapping[str, Any] = field(default_factory=dict)
    declared: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, Any] = field(default_factory=dict)
    crossroads: int | None = None


def addresses_file(state_dir: Path) -> Path:
    """Return where the addresses of the running emulators are written."""
    return state_dir / "emulators.json"


@contextlib.contextmanager
def alone(state_dir: Path) -> Iterator[None]:
    """Keep others from serving the same records, and wait for one that is about to end. Raises CannotServe."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "serving.lock").open("a") as lock:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CannotServe(
                        f"The emulators of {state_dir} run already, and two must not share their records. End those "
                        "first, or choose another directory."
                    ) from None
                time.sleep(0.05)
        yield


def open_state(state_dir: Path, crm: str, name: str | None = None) -> State:
    """Open the records of one connection (named like its CRM if not given), as the emulator does."""
    return State(state_dir / f"{name or crm}.sqlite", resolution_us=RESOLUTION_US[crm])


def listen(port: int | None, preferred: int | None, name: str) -> socket.socket:
    """Return a listening loopback socket. Raises CannotServe if the given port is taken."""
    for candidate in [port] if port else [preferred, 0]:
        if candidate is None:
            continue
        # With the protocol named, asyncio turns Nagle's algorithm off: 44 ms less for every answer.
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", candidate))
            server.listen(256)
        except OSError as error:
            server.close()
            if port:
                raise CannotServe(
                    f"Port {port} for the {name} emulator cannot be opened ({error.strerror}). "
                    f"Stop what listens there, or choose another with --port {name}=N."
                ) from None
            continue
        return server
    raise CannotServe(f"No free port for the {name} emulator on 127.0.0.1.")


class Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to us (several run in one loop)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut idle connections: a polite TLS close waits half a minute for clients that are not listening."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is None or cycle.response_complete:
                connection.transport.abort()
        await super().shutdown(sockets)


@dataclass(slots=True)
class Running:
    """One emulator about to serve."""

    name: str
    socket: socket.socket
    state: State
    server: Server
    hooks: Hooks | None
    address: dict[str, Any]


def prepare(plan: Plan, name: str, server_pem: Path, preferred: int | None) -> Running:
    """Open the port and the state of one connection and build its application.

    A CRM's `build(state, faults, settings)` returns a Starlette application whose `state` may have `desk` (a Desk),
    `hooks` (a Hooks; it is started and stopped here), `endpoints` (see matrix.py) and `late_commit` (true: it asks for
    faults of that kind itself).
    """
    crm = plan.connections[name]
    sock = listen(plan.ports.get(name), preferred, name)
    url = f"https://localhost:{sock.getsockname()[1]}"
    state = open_state(plan.state_dir, crm, name)
    presented = credentials(state, crm)
    bundle, _ = certificates(plan.state_dir)
    settings = EmulatorSettings(
        crm=crm, url=url, state_dir=plan.state_dir, token_seconds=plan.token_seconds, knobs=plan.knobs, name=name,
        declared=merged(plan.declared.get(crm), plan.declared.get(name) if name != crm else None),
        ca_bundle=bundle, **presented,
    )  # fmt: skip
    faults = Faults({"security_token": presented["security_token"], **plan.knobs}, state.now_us)
    known = matrix.faults(crm)
    if known is not None:
        faults.restrict(known)
    waiting = [*plan.faults.get(crm, ()), *(plan.faults.get(name, ()) if name != crm else ())]
    try:
        faults.add([Fault.read(one) for one in waiting])
    except (ValueError, TypeError) as error:
        raise CannotServe(f"A fault for {name} in the file of faults is wrong: {error}.") from None
    told = {"crm": crm, "url": url, **presented, **_further(plan.state_dir, crm, name)}
    app: Starlette = importlib.import_module(f"crm_sync.emulators.{crm}.app").build(state, faults, settings)
    if not getattr(app.state, "late_commit", False):  # a CRM that makes rows late itself says so
        state.postpone(faults.lateness)
    desk: Desk = getattr(app.state, "desk", None) or Desk(state)
    hooks: Hooks | None = getattr(app.state, "hooks", None)
    snapshots = Snapshots(state, plan.state_dir / "snapshots" / name)
    wrapped = FaultMiddleware(app, build_control(desk, faults, hooks, snapshots), faults)
    return Running(name, sock, state, server_of(wrapped, server_pem), hooks, told)


def _further(state_dir: Path, crm: str, name: str) -> dict[str, str]:
    """Return what else clients of a CRM need; the certificate of an app that signs is put where its CRM looks."""
    if crm == "hubspot":
        return {"app_id": str(importlib.import_module("crm_sync.emulators.hubspot.sources").APP_ID)}
    key, certificate = app_key(state_dir)
    place = state_dir / {"salesforce": f"{name}.jwt.pem", "dynamics": f"{name}-certificate.pem"}[crm]
    if not place.exists():
        write_private(place, certificate.read_bytes())
    signing = {"private_key_file": str(key.absolute()), "certificate_file": str(certificate.absolute())}
    return signing | ({"username": "integration@acme.example"} if crm == "salesforce" else {})


def server_of(app: ASGIApp, server_pem: Path) -> Server:
    """Return the server of one application."""
    return Server(
        uvicorn.Config(
            app,
            ssl_certfile=str(server_pem),
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_level="warning",
            lifespan="off",
            timeout_keep_alive=60,
            timeout_graceful_shutdown=2,
        )
    )


def _last_ports(state_dir: Path) -> dict[str, int]:
    """Return connection -> the port that it had when it was served last."""
    try:
        return {name: int(port) for name, port in json.loads((state_dir / PORTS).read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def die_with_parent(parent: int) -> None:
    """Ask the kernel (Linux) to end this process when its parent `parent` ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


async def serve(plan: Plan) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotServe."""
    plan.state_dir.mkdir(parents=True, exist_ok=True)
    bundle, server_pem = certificates(plan.state_dir)
    last = _last_ports(plan.state_dir)
    running: list[Running] = []
    try:
        for name in plan.connections:
            one = prepare(plan, name, server_pem, last.get(name))
            running.append(one)
            if one.hooks is not None:
                one.hooks.start()
        ports = {one.name: one.socket.getsockname()[1] for one in running}
        write_private(plan.state_dir / PORTS, json.dumps(last | ports).encode())
        await _run(plan, running, bundle)
    finally:
        addresses_file(plan.state_dir).unlink(missing_ok=True)
        for one in running:
            if one.hooks is not None:
                one.hooks.stop()
            one.socket.close()
            one.state.close()


async def _run(plan: Plan, running: list[Running], bundle: Path) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for one in running:
            one.server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    ports: dict[str, int] = {}
    for one in running:
        ports.setdefault(one.address["crm"], one.socket.getsockname()[1])
    crossroads, led = Crossroads(ports), ""
    if plan.crossroads is not None:
        try:
            led = await crossroads.start(plan.crossroads)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            raise CannotServe(
                f"Port {plan.crossroads} for --crossroads cannot be opened ({reason}). Stop what listens there, or "
                "choose another; 0 is a free one."
            ) from None
    tasks = [asyncio.create_task(one.server.serve(sockets=[one.socket])) for one in running]
    while not all(one.server.started for one in running):
        if any(task.done() for task in tasks):
            stop()
            break
        await asyncio.sleep(0.01)
    else:
        addresses: dict[str, Any] = {"pid": os.getpid(), "ca_bundle": str(bundle.absolute())}
        addresses |= ({"crossroads": led} if led else {}) | {one.name: one.address for one in running}
        write_private(addresses_file(plan.state_dir), json.dumps(addresses, indent=2).encode())
        for one in running:
            sys.stdout.write(f"{one.name}: {one.address['url']}\n")
        sys.stdout.flush()
    await asyncio.gather(*tasks)
    crossroads.stop()
