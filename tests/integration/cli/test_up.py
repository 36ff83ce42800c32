"""`crm-sync up`: everything in the foreground, and nothing left of it afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-c", "from crm_sync.cli import main; main()"]
PATIENCE_SECONDS = 180.0


def variables(state_dir: Path, **further: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "CRM_SYNC_CONFIG_DIR": str(ROOT / "config"), "CRM_SYNC_STATE_DIR": str(state_dir), **further}


def crm_sync(state_dir: Path, *arguments: str, **further: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=variables(state_dir, **further),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def processes(state_dir: Path) -> dict[int, str]:
    """Return pid -> command of every process that has to do with a state directory."""
    mark = str(state_dir).encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            if mark in command or mark in (folder / "environ").read_bytes():
                found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
    return {pid: command for pid, command in found.items() if command}


def until(what: str, ready: Any) -> Any:
    """Return the first true answer; AssertionError where none comes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = ready()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"never came true: {what}")


@contextmanager
def up(state_dir: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start `crm-sync up`; what it prints lies beside the state directory. Whatever is left is killed at the end."""
    out, err = state_dir.parent / "out", state_dir.parent / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [*COMMAND, "up", *arguments], env=variables(state_dir), cwd=ROOT, stdout=stdout, stderr=stderr
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pid in processes(state_dir):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def announced(state_dir: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        assert process.poll() is None, (state_dir.parent / "err").read_text()
        try:
            found: dict[str, Any] = json.loads((state_dir.parent / "out").read_text())
        except ValueError:
            return None
        return found

    found: dict[str, Any] = until("the addresses are printed", look)
    return found


def states(ui: str) -> dict[str, str]:
    """Return job -> state of the runs that no schedule or sensor asked for."""
    query = "{ runsOrError { ... on Runs { results { jobName status tags { key } } } } }"
    request = urllib.request.Request(
        f"{ui}/graphql", data=json.dumps({"query": query}).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        found = json.load(answer)["data"]["runsOrError"]["results"]
    asked = ("dagster/schedule_name", "dagster/sensor_name")
    return {one["jobName"]: one["status"] for one in found if not any(tag["key"] in asked for tag in one["tags"])}


def said(state_dir: Path) -> str:
    return (state_dir.parent / "err").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "state"


def test_it_serves_everything_and_one_interrupt_leaves_nothing_running(state_dir: Path) -> None:
    with up(state_dir, "--seed", "5", "--accounts", "10", "--contacts", "50", "--sync", "--json") as process:
        found = announced(state_dir, process)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{found['ui']}/server_info") as answer:
            assert answer.status == 200
        assert set(found["crms"]) == {"salesforce", "hubspot", "dynamics"} and found["unset"] == []
        assert {"every_salesforce", "every_hubspot", "every_dynamics", "outbox"} <= set(found["running"])
        assert "all_connections" not in found["running"]
        assert found["started"] == ["sync_dynamics", "sync_hubspot", "sync_salesforce"]

        done = crm_sync(state_dir, "emulate", "--env", "--json")
        environment = json.loads(done.stdout)
        assert environment["SALESFORCE_URL"] == found["crms"]["salesforce"]
        assert Path(environment["CRM_SYNC_CA_BUNDLE"]).is_file()
        assert {"HUBSPOT_TOKEN", "DYNAMICS_CLIENT_SECRET", "CRM_SYNC_MASTER_KEY_FILE"} <= set(environment)
        exports = crm_sync(state_dir, "emulate", "--env").stdout.splitlines()
        assert f"export HUBSPOT_URL={environment['HUBSPOT_URL']}" in exports
        checked = crm_sync(state_dir, "check", "--live", **environment)
        assert checked.returncode == 0, checked.stderr
        assert "fit" in checked.stdout

        until("the first syncs have ended", lambda: states(found["ui"]) == dict.fromkeys(found["started"], "SUCCESS"))
        rows = json.loads(crm_sync(state_dir, "status", "--json", **environment).stdout)["rows"]
        assert len(rows) == 6 and all(row["read_at"] and row["links"] for row in rows)

        for command, expected in ((["up"], "already"), (["ui"], "already"), (["emulate"], "already")):
            second = crm_sync(state_dir, *command)
            assert second.returncode == 2 and expected in second.stderr, (command, second.stderr)

        assert len(processes(state_dir)) > 5
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    until("nothing runs any more", lambda: not processes(state_dir))
    assert "Everything has ended." in said(state_dir)
    assert crm_sync(state_dir, "emulate", "--env").returncode == 2


def test_where_the_pretend_crms_die_that_is_told_and_all_end(state_dir: Path) -> None:
    # What becomes of Dagster's programs is that of any that the supervisor starts: tests/unit/cli/test_supervising.py.
    with up(state_dir) as process:
        until("Dagster starts", lambda: any("code-server" in command for command in processes(state_dir).values()))
        (pid,) = [pid for pid, command in processes(state_dir).items() if "-m crm_sync.emulators" in command]
        os.kill(pid, signal.SIGKILL)
        assert process.wait(60) == 1
    until("nothing runs any more", lambda: not processes(state_dir))
    assert "crm-sync: The process of the pretend CRMs was killed by signal 9" in said(state_dir)
    assert "Traceback" not in said(state_dir)


def test_a_termination_while_it_starts_leaves_nothing_running(state_dir: Path) -> None:
    with up(state_dir) as process:
        until("Dagster starts", lambda: any("code-server" in command for command in processes(state_dir).values()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    until("nothing runs any more", lambda: not processes(state_dir))
    assert "has ended" in said(state_dir)


@pytest.mark.proof
def test_killed_outright_it_takes_dagster_and_the_pretend_crms_along(state_dir: Path) -> None:
    with up(state_dir, "--json") as process:
        announced(state_dir, process)
        process.kill()
        process.wait()
        # Dagster's own grandchild waits for heartbeats first.
        until("nothing runs any more", lambda: not processes(state_dir))


def test_a_taken_port_is_one_message_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = crm_sync(tmp_path / "state", "up", "--port", port)
        assert done.returncode == 2 and done.stderr.startswith(f"crm-sync: Port {port} ")
        done = crm_sync(tmp_path / "state", "up", "--emulator-port", f"hubspot={port}")
        assert done.returncode == 2 and port in done.stderr and "Traceback" not in done.stderr
    until("nothing runs any more", lambda: not processes(tmp_path / "state"))


def test_pretend_and_real_crms_do_not_mix(state_dir: Path, tmp_path: Path) -> None:
    done = crm_sync(state_dir, "up", "--no-emulators")
    assert done.returncode == 2 and "must not mix" in done.stderr
    (tmp_path / "state" / "postgres").mkdir(parents=True)
    done = crm_sync(tmp_path / "state", "up")
    assert done.returncode == 2 and "--no-emulators" in done.stderr
