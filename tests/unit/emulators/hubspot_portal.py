"""A HubSpot emulator in a thread of the test's own, and the control of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from crm_sync.emulators.control import build_control
from crm_sync.emulators.faults import FaultMiddleware, Faults
from crm_sync.emulators.hubspot.app import build
from crm_sync.emulators.serving import certificates, credentials, listen, open_state, server_of
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State


@dataclass
class Portal:
    url: str
    ca_bundle: Path
    settings: EmulatorSettings
    state: State
    faults: Faults
    http: requests.Session

    def control(self, path: str, body: object) -> dict[str, Any]:
        answer = self.http.post(f"{self.url}/__emulator__/{path}", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def calls(self) -> dict[str, int]:
        # Asked over HTTP: a call is counted just after its answer has left, in the server's own loop.
        by: dict[str, int] = self.http.get(f"{self.url}/__emulator__/calls", timeout=10).json()["by"]
        self.control("calls/reset", {})
        return by

    def send(self, method: str, path: str, body: object = None, token: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.settings.token}"}
        return self.http.request(method, self.url + path, json=body, headers=headers, timeout=10)

    def environment(self) -> dict[str, str]:
        return {
            "CRM_SYNC_CA_BUNDLE": str(self.ca_bundle),
            "HUBSPOT_URL": self.url,
            "HUBSPOT_TOKEN": self.settings.token,
            "HUBSPOT_CLIENT_ID": self.settings.client_id,
            "HUBSPOT_CLIENT_SECRET": self.settings.client_secret,
            "HUBSPOT_REFRESH_TOKEN": self.settings.refresh_token,
        }


@contextmanager
def portal_in(directory: Path) -> Iterator[Portal]:
    """Serve a portal that keeps its records in a directory."""
    bundle, server_pem = certificates(directory)
    state, faults = open_state(directory, "hubspot"), Faults({})
    sock = listen(None, None, "hubspot")
    url = f"https://localhost:{sock.getsockname()[1]}"
    settings = EmulatorSettings(crm="hubspot", url=url, state_dir=directory, **credentials(state, "hubspot"))
    app = build(state, faults, settings)
    server = server_of(FaultMiddleware(app, build_control(app.state.desk, faults), faults), server_pem)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
    thread.start()
    try:
        with requests.Session() as http:
            http.trust_env = False
            http.verify = str(bundle)
            yield Portal(url, bundle, settings, state, faults, http)
    finally:
        server.should_exit = True
        thread.join()
        sock.close()
        state.close()
