"""A pretend CRM in a process of its own, as the benchmark uses it: start, edit, and the requests it remembers."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from bench.remembering import ANSWERS
from crm_sync.emulators.seeding import OBJECTS
from crm_sync.emulators.serving import addresses_file

Asked = tuple[str, str, str, Mapping[str, str]]
"""Method, target, body and headers of one request."""


_JSON = {"Content-Type": "application/json"}


class Crm:
    """One pretend CRM, served from a filled state directory; leaving its context stops it."""

    def __init__(self, state_dir: Path, crm: str) -> None:
        self.crm, self._state_dir = crm, state_dir
        self.addresses: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Crm:
        command = [sys.executable, "-m", "bench.remembering", "--state", str(self._state_dir), "--only", self.crm]
        command += ["--die-with-parent", str(os.getpid()), "--token-seconds", "86400"]
        log = self._state_dir / "emulators.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        deadline = time.monotonic() + 60
        while self.addresses.get("pid") != self._process.pid:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The {self.crm} emulator does not listen; see {log}.")
            time.sleep(0.05)
            if addresses_file(self._state_dir).exists():
                self.addresses = json.loads(addresses_file(self._state_dir).read_bytes())
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def connect(self) -> http.client.HTTPSConnection:
        """Open a connection of one's own."""
        address = urllib.parse.urlsplit(self.addresses[self.crm]["url"])
        tls = ssl.create_default_context(cafile=self.addresses["ca_bundle"])
        connection = http.client.HTTPSConnection(address.hostname or "localhost", address.port, context=tls)
        connection.connect()
        return connection

    def remember(self) -> list[Asked]:
        """Answer reads from memory from now on; return what was remembered so far, in order."""
        return [(m, t, b, h) for m, t, b, h in orjson.loads(self._once("GET", ANSWERS))]

    def compute(self) -> None:
        """Forget, and compute every answer."""
        self._once("DELETE", ANSWERS)

    def edit_contacts(self, changes: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Change contacts at the CRM's screen: (record id, values)."""
        connection = self.connect()
        for record_id, values in changes:
            body = {"object": OBJECTS[self.crm][1], "id": record_id, "values": dict(values)}
            ask(connection, ("POST", "/__emulator__/edit", orjson.dumps(body).decode(), _JSON))
        connection.close()

    def _once(self, method: str, target: str) -> bytes:
        connection = self.connect()
        told = ask(connection, (method, target, "", {}))
        connection.close()
        return told


def ask(connection: http.client.HTTPSConnection, asked: Asked) -> bytes:
    """Send one request over an open connection and return the body of its answer; RuntimeError where it failed."""
    method, target, body, headers = asked
    connection.request(method, target, body=body.encode() if body else None, headers=dict(headers))
    with connection.getresponse() as response:
        content = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {target.partition('?')[0]} was answered with {response.status}")
    return content
