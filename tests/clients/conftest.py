"""Start the pretend CRMs as anybody does, with `crm-sync emulate`, and run clients' sessions against them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.clients.sessions import Session

HERE = Path(__file__).parent
CLIENTS = Path(sys.prefix) / "clients"
EMULATE = (str(Path(sys.prefix) / "bin" / "crm-sync"), "emulate")
OPTIONS = ("--seed", "4", "--accounts", "60", "--contacts", "700", "--crossroads", "0")
SECONDS = 300


class World:
    """The running CRMs, what each session told of its steps, and a look at what the CRMs hold."""

    def __init__(self, environment: Mapping[str, str], place: Path) -> None:
        self.environment = dict(environment)
        self.place = place
        self._told: dict[Session, dict[str, str | None]] = {}

    def told(self, session: Session) -> dict[str, str | None]:
        """Return step -> what went wrong (None: nothing) of a session, which is run at the first question."""
        if session not in self._told:
            self._told[session] = self._run(session)
        return self._told[session]

    def _run(self, session: Session) -> dict[str, str | None]:
        place = self.place / session.name
        place.mkdir()
        if session.script.endswith(".mjs"):
            shutil.copytree(HERE / "node", place, dirs_exist_ok=True)
            (place / "node_modules").symlink_to(CLIENTS / "node" / "node_modules")
            command = [CLIENTS / "bin" / "node", place / session.script]
        else:
            command = [CLIENTS / "bin" / "python", HERE / "python" / session.script]
        bundle = self.environment["CRM_SYNC_CA_BUNDLE"]
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(place), "SESSION": session.name, "SESSION_DIR": str(place),
            "REQUESTS_CA_BUNDLE": bundle, "NODE_EXTRA_CA_CERTS": bundle, "RUNTIME__DLTHUB_TELEMETRY": "false",
            "PYTHONDONTWRITEBYTECODE": "1", **self.environment, **session.settings,
        }  # fmt: skip
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=SECONDS)
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"step"')]
        assert lines, f"{session.script} told of no step and ended with {done.returncode}: {done.stderr[-2000:]}"
        return {one["step"]: one["error"] for one in map(json.loads, lines)}

    def find(self, session: Session, who: str) -> list[dict[str, Any]]:
        """Return the values of the live contacts that have the address of one person of a session."""
        email, _ = session.crm.fields
        answer = requests.get(
            f"{self.environment[session.crm.url]}/__emulator__/find",
            params={"object": session.crm.contacts, "field": email, "value": f"{who}@{session.name}.example.com"},
            verify=self.environment["CRM_SYNC_CA_BUNDLE"], timeout=30,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return [one["values"] for one in answer.json()["records"]]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    assert (CLIENTS / ".installed").exists(), f"{CLIENTS} holds no clients; expected what `make clients` installs there"
    place = tmp_path_factory.mktemp("clients")
    settings = {**os.environ, "CRM_SYNC_STATE_DIR": str(place / "state")}
    with subprocess.Popen([*EMULATE, *OPTIONS], env=settings, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        said = running.stderr.readline()
        assert "listen" in said, said + running.stderr.read()
        try:
            shown = subprocess.run(
                [*EMULATE, "--env", "--json"], env=settings, capture_output=True, text=True, check=True, timeout=60
            )
            yield World(json.loads(shown.stdout), place)
        finally:
            running.terminate()
            running.wait(30)
