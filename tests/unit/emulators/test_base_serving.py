"""Faults, control API and TLS of the emulators, around a tiny application."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from crm_sync.emulators import serving
from crm_sync.emulators.__main__ import main
from crm_sync.emulators.control import build_control
from crm_sync.emulators.desk import Desk
from crm_sync.emulators.faults import Fault, FaultMiddleware, Faults
from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.emulators.serving import CannotServe, Plan, alone, certificates, listen, open_state, prepare, server_of
from crm_sync.emulators.state import State
from crm_sync.emulators.striking import TRANSPORT


@dataclass
class Site:
    url: str
    http: requests.Session
    state: State
    faults: Faults

    def control(self, path: str, body: object) -> None:
        assert self.http.post(f"{self.url}/__emulator__/{path}", json=body, timeout=10).status_code == 200


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    bundle, server_pem = certificates(tmp_path)
    state = open_state(tmp_path, "hubspot")
    faults = Faults({"limits": False})

    def item(request: Request) -> JSONResponse:
        state.insert("things", request.path_params["id"], {"n": request.path_params["id"]})
        return JSONResponse({"limits": faults.knob("limits")})

    app = Starlette(routes=[Route("/things/{id}", item, methods=["POST"])])
    server = server_of(FaultMiddleware(app, build_control(Desk(state), faults), faults), server_pem)
    sock = listen(None, None, "hubspot")
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
    thread.start()
    with requests.Session() as http:
        http.trust_env = False
        http.verify = str(bundle)
        yield Site(f"https://localhost:{sock.getsockname()[1]}", http, state, faults)
    server.should_exit = True
    thread.join()
    sock.close()
    state.close()


def test_requests_are_counted_by_route(site: Site) -> None:
    for id in ("7", "8"):
        assert site.http.post(f"{site.url}/things/{id}", timeout=10).json() == {"limits": False}
    assert site.http.get(f"{site.url}/nowhere", timeout=10).status_code == 404
    calls = site.http.get(f"{site.url}/__emulator__/calls", timeout=10).json()
    assert calls == {"total": 3, "by": {"GET /nowhere": 1, "POST /things/{id}": 2}}
    site.control("calls/reset", {})
    assert site.faults.calls()["total"] == 0


class Line:
    """The server's end of one connection: what the CRM has counted and logged by the time that the client knows."""

    def __init__(self, faults: Faults) -> None:
        self.faults, self.transport = faults, self
        self.known: list[tuple[int, int]] = []

    def close(self) -> None:
        self.known.append((self.faults.calls()["total"], len(self.faults.log())))

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.close()

    async def receive(self) -> Message:
        return {"type": "http.disconnect"} if self.known else {"type": "http.request", "body": b""}


@pytest.mark.parametrize("action", [None, *TRANSPORT])
def test_a_call_and_its_fault_are_told_before_the_client_sees_an_answer_or_a_cut(action: str | None) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({})(scope, receive, send)

    faults = Faults()
    faults.add([] if action is None else [Fault(action)])
    line = Line(faults)
    scope = {"type": "http", "method": "GET", "path": "/things", "query_string": b""}
    asyncio.run(FaultMiddleware(answer, answer, faults)(scope, line.receive, line.send))
    assert set(line.known) == {(1, int(action is not None))}
    assert faults.calls() == {"total": 1, "by": {"GET /things": 1}}


def test_dropped_after_means_done_but_unanswered(site: Site) -> None:
    site.control("faults", [{"action": "drop_after", "method": "POST", "path": "^/things/1", "skip": 1}])
    assert site.http.post(f"{site.url}/things/10", timeout=10).ok
    with pytest.raises(requests.ConnectionError):
        site.http.post(f"{site.url}/things/11", timeout=10)
    assert site.state.get("things", "11") is not None
    assert site.http.post(f"{site.url}/things/12", timeout=10).ok


def test_dropped_before_means_not_done(site: Site) -> None:
    site.control("faults", {"action": "drop_before"})
    with pytest.raises(requests.ConnectionError):
        site.http.post(f"{site.url}/things/1", json={"a": "b"}, timeout=10)
    assert site.state.count("things") == 0
    assert site.http.post(f"{site.url}/things/1", json={"a": "b"}, timeout=10).ok


def test_a_status_with_headers_and_body(site: Site) -> None:
    fault = {"action": "status", "status": 429, "headers": {"Retry-After": "3"}, "body": {"category": "X"}, "times": 2}
    site.control("faults", [fault])
    for _ in range(2):
        answer = site.http.post(f"{site.url}/things/1", timeout=10)
        assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (429, "3", {"category": "X"})
    assert site.http.post(f"{site.url}/things/1", timeout=10).ok
    site.control("faults", [fault])
    assert site.http.delete(f"{site.url}/__emulator__/faults", timeout=10).json() == {"faults": []}
    assert site.http.post(f"{site.url}/things/2", timeout=10).ok
    bad = site.http.post(f"{site.url}/__emulator__/faults", json=[{"action": "explode"}], timeout=10)
    assert bad.status_code == 400


def test_a_truncated_answer_is_a_broken_one_and_the_write_is_done(site: Site) -> None:
    site.control("faults", {"action": "truncate", "path": "/things/1$"})
    with pytest.raises(requests.exceptions.ChunkedEncodingError) as broken:
        site.http.post(f"{site.url}/things/1", timeout=10)
    assert "9 bytes read" in str(broken.value) or "IncompleteRead" in str(broken.value)
    assert site.state.get("things", "1") is not None
    assert site.http.post(f"{site.url}/things/2", timeout=10).json() == {"limits": False}


def test_a_delayed_answer_comes_and_the_client_that_will_not_wait_sees_a_timeout(site: Site) -> None:
    site.control("faults", {"action": "delay", "seconds": 0.5})
    with pytest.raises(requests.ReadTimeout):
        site.http.post(f"{site.url}/things/1", timeout=0.1)
    site.control("faults", {"action": "delay", "seconds": 0.01})
    assert site.http.post(f"{site.url}/things/2", timeout=10).ok
    assert site.http.post(f"{site.url}/things/3", timeout=10).ok
    told = site.http.get(f"{site.url}/__emulator__/faults/log?action=delay", timeout=10).json()["log"]
    assert [one["target"] for one in told] == ["/things/1", "/things/2"]
    assert site.http.delete(f"{site.url}/__emulator__/faults/log", timeout=10).json() == {"log": []}
    assert site.faults.log() == []


def test_the_clock_is_moved_over_the_control_api(site: Site) -> None:
    base = f"{site.url}/__emulator__/clock"
    moved = site.http.post(base, json={"set": "2026-01-01T00:00:00Z", "advance_seconds": 5, "freeze": True}, timeout=10)
    assert moved.json() == {"now": "2026-01-01T00:00:05+00:00", "now_us": 1_767_225_605_000_000, "frozen": True}
    assert site.http.post(f"{site.url}/things/1", timeout=10).ok
    record = site.state.get("things", "1")
    assert record is not None and record.modified_us == 1_767_225_605_000_000
    assert site.http.get(base, timeout=10).json() == moved.json()
    assert site.http.post(base, json={"frooze": True}, timeout=10).status_code == 400
    assert site.http.post(base, json={"freeze": False}, timeout=10).json()["frozen"] is False


def test_a_dump_comes_in_pages(site: Site) -> None:
    for id in ("1", "2", "3"):
        site.state.insert("c", id, {"n": id})
    base = f"{site.url}/__emulator__/dump"
    pages = [site.http.get(base, params={"object": "c", **more}, timeout=10).json()["records"] for more in (
        {}, {"limit": 2}, {"limit": 2, "after": "2"},
    )]  # fmt: skip
    assert [[one["id"] for one in page] for page in pages] == [["1", "2", "3"], ["1", "2"], ["3"]]
    assert site.http.get(base, timeout=10).status_code == 400


def test_down_closes_every_connection_but_control(site: Site) -> None:
    site.control("down", {"down": True})
    with pytest.raises(requests.ConnectionError):
        site.http.post(f"{site.url}/things/1", timeout=10)
    site.control("down", {"down": False})
    assert site.http.post(f"{site.url}/things/1", timeout=10).ok


def test_a_person_at_the_screen(site: Site) -> None:
    base = f"{site.url}/__emulator__"
    id = site.http.post(f"{base}/create", json={"object": "c", "values": {"a": "x"}}, timeout=10).json()["id"]
    site.control("edit", {"object": "c", "id": id, "values": {"a": "y"}, "associations": {"d": ["5"]}})
    asked = {"object": "c", "field": "a", "value": "y"}
    [found] = site.http.get(f"{base}/find", params=asked, timeout=10).json()["records"]
    assert (found["id"], found["associations"]) == (id, {"d": ["5"]})
    site.control("knobs", {"limits": True})
    assert site.http.post(f"{site.url}/things/1", timeout=10).json() == {"limits": True}
    site.control("delete", {"object": "c", "id": id})
    assert site.http.get(f"{base}/dump", params={"object": "c"}, timeout=10).json() == {"records": []}
    assert site.http.post(f"{base}/delete", json={"object": "c", "id": id}, timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("GET", "", None, 404, "GET /__emulator__/ is none of /__emulator__/: faults (POST, GET, DELETE), faults/log"),
        ("PUT", "clock", None, 404, "PUT /__emulator__/clock is none of"),
        ("POST", "faults", "x", 400, "the body cannot be read as JSON: "),
        ("POST", "faults", '{"action": "nope"}', 400, "unknown action 'nope'; expected one of status, "),
        ("POST", "create", '{"values": {}}', 400, "found values; expected 'object', which is missing or unknown"),
        ("POST", "edit", '{"object": "c", "id": "7"}', 404, "no live c with id 7"),
    ],
)
def test_the_control_api_says_what_it_expected(
    site: Site, method: str, path: str, body: str | None, status: int, told: str
) -> None:
    answer = site.http.request(method, f"{site.url}/__emulator__/{path}", data=body, timeout=10)
    assert (answer.status_code, answer.json()["error"][: len(told)]) == (status, told)


def test_the_ca_outlives_a_restart_and_keys_are_private(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in certificates(tmp_path)]
    assert [path.read_bytes() for path in certificates(tmp_path)] == first
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("ca.key", "server.pem")} == {0o600}


def test_the_certificate_is_for_hosts_that_clients_have_built_in(tmp_path: Path) -> None:
    bundle, server = certificates(tmp_path)
    trust, ours = ssl.create_default_context(cafile=str(bundle)), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(server)
    for host in ("localhost", "api.hubapi.com", "acme.my.salesforce.com", "login.microsoftonline.com"):
        ends = [ssl.MemoryBIO() for _ in range(2)]
        client = trust.wrap_bio(ends[0], ends[1], server_hostname=host)
        answerer = ours.wrap_bio(ends[1], ends[0], server_side=True)
        for side in (client, answerer, client):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        assert client.version() == "TLSv1.3"


def test_an_app_that_signs_has_one_key_whose_certificate_the_crms_know(tmp_path: Path) -> None:
    plan = Plan(tmp_path, {"eu": "salesforce", "dynamics": "dynamics"})
    _, server_pem = certificates(tmp_path)
    told = []
    for name in plan.connections:
        one = prepare(plan, name, server_pem, None)
        told.append(one.address)
        one.socket.close()
        one.state.close()
    key, certificate = (Path(told[0][name]) for name in ("private_key_file", "certificate_file"))
    assert key.stat().st_mode & 0o777 == 0o600 and told[1]["private_key_file"] == str(key)
    for file in ("eu.jwt.pem", "dynamics-certificate.pem"):
        assert (tmp_path / file).read_bytes() == certificate.read_bytes()
    public = load_pem_x509_certificate(certificate.read_bytes()).public_key()
    assert public == load_pem_private_key(key.read_bytes(), None).public_key()
    variables = environment({"ca_bundle": "ca.pem", "eu": told[0], "dynamics": told[1]})
    assert not variables["EU_PASSWORD"].startswith("pat-") and len(variables["EU_PASSWORD"]) == 16
    assert {"EU_USERNAME", "EU_PASSWORD", "EU_SECURITY_TOKEN", "EU_PRIVATE_KEY_FILE"} < set(variables)
    assert {"DYNAMICS_TENANT", "DYNAMICS_AUTHORITY", "DYNAMICS_CERTIFICATE_FILE"} < set(variables)


def test_a_taken_port_is_one_clear_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listen(None, None, "hubspot") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=f"Port {port} for the salesforce emulator"):
            listen(port, None, "salesforce")
        with listen(None, port, "salesforce") as other:
            assert other.getsockname()[1] != port
        assert main(["--state", str(tmp_path), "--only", "hubspot", "--hubspot-port", str(port)]) == 2
    assert f"Port {port}" in capsys.readouterr().err
    assert main(["--state", str(tmp_path), "--only", "sugar"]) == 2


def test_the_process_restarts_at_the_same_addresses(tmp_path: Path) -> None:
    process = EmulatorProcess(tmp_path, ["hubspot"])
    with process:
        first = process.addresses
        assert json.loads((tmp_path / "emulators.json").read_text())["pid"] == first["pid"] != os.getpid()
        assert set(environment(first)) == {
            "CRM_SYNC_CA_BUNDLE", "HUBSPOT_URL", "HUBSPOT_TOKEN", "HUBSPOT_CLIENT_ID", "HUBSPOT_CLIENT_SECRET",
            "HUBSPOT_REFRESH_TOKEN", "HUBSPOT_APP_ID",
        }
        process.kill()
        second = process.start().addresses
        assert {**second, "pid": 0} == {**first, "pid": 0}
        calls = requests.get(f"{second['hubspot']['url']}/__emulator__/calls", verify=second["ca_bundle"], timeout=10)
        assert calls.json()["total"] == 0
        assert second["hubspot"]["token"].startswith("pat-na1-")
    assert not (tmp_path / "emulators.json").exists(), "a clean stop leaves no addresses behind"
    with EmulatorProcess(tmp_path, ["dynamics"]):
        pass
    with process:
        assert process.addresses["hubspot"] == first["hubspot"], "others that were served meanwhile change nothing"


def test_two_never_serve_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with alone(tmp_path):
        monkeypatch.setattr(serving, "PATIENCE_SECONDS", 0.1)
        with pytest.raises(CannotServe, match=f"The emulators of {tmp_path} run already"), alone(tmp_path):
            pass
        monkeypatch.undo()
        with pytest.raises(CannotServe, match="run already, and two must not share"):
            EmulatorProcess(tmp_path, ["hubspot"]).start()
    with EmulatorProcess(tmp_path, ["hubspot"]) as process:
        assert process.addresses["hubspot"]["url"]


def test_the_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from crm_sync.emulators.launcher import EmulatorProcess;"
        "print(EmulatorProcess(pathlib.Path(sys.argv[1]), ['hubspot']).start().addresses['pid'], flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, timeout=60, check=False)
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _runs(pid):
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_unusable_directory_is_one_clear_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["--state", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    (tmp_path / "state" / "salesforce.sqlite").mkdir(parents=True)
    assert main(["--state", str(tmp_path / "state"), "--seed", "1"]) == 2
    assert str(tmp_path / "state") in capsys.readouterr().err
    with pytest.raises(CannotServe, match=r"^--only names sugar; expected some of salesforce, hubspot, dynamics\.$"):
        EmulatorProcess(tmp_path / "other", ["sugar"]).start()
    with pytest.raises(CannotServe, match="Choose another"):
        EmulatorProcess(tmp_path / "file").start()
