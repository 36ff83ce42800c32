"""Start and stop emulators as a process of their own, for tests and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from crm_sync.emulators.serving import CannotServe, addresses_file
from crm_sync.emulators.settings import CRMS

ASKED_WRONGLY: Final = 2
"""Exit code of emulators whose last line says all: what a person must change."""


class EmulatorProcess:
    """A child process that serves emulators; it ends when the thread that started it ends (use the main thread)."""

    def __init__(
        self, state_dir: Path, only: Sequence[str] = CRMS, *, limits: bool = False, options: Sequence[str] = ()
    ) -> None:
        """Prepare; `options` are further command-line options, such as ("--seed", "7")."""
        self.state_dir, self.only, self.limits, self.options = state_dir, tuple(only), limits, tuple(options)
        self.process: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, Any] = {}

    def start(self, timeout_seconds: float = 60.0) -> EmulatorProcess:
        """Start and wait until all listen; a restart keeps ports, CA, credentials and records. Raises CannotServe."""
        command = [sys.executable, "-m", "crm_sync.emulators", "--state", str(self.state_dir)]
        command += ["--only", ",".join(self.only), "--die-with-parent", str(os.getpid()), *self.options]
        command += ["--limits"] if self.limits else []
        log = self.state_dir / "emulators.log"
        try:
            self.state_dir.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        except OSError as error:
            raise CannotServe(
                f"The emulators' directory {self.state_dir} cannot be used ({error.strerror}). Choose another."
            ) from None
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self._fail(f"ended with code {self.process.returncode}", log)
            try:
                found = json.loads(addresses_file(self.state_dir).read_bytes())
            except (OSError, ValueError):
                found = {}
            if found.get("pid") == self.process.pid:
                self.addresses = found
                return self
            time.sleep(0.02)
        self.kill()
        self._fail(f"did not listen within {timeout_seconds:g} s", log)
        return self

    def _fail(self, what: str, log: Path) -> None:
        lines = log.read_text(errors="replace").strip().splitlines()
        ended, self.process = self.process, None
        if ended is not None and ended.returncode == ASKED_WRONGLY and lines:
            raise CannotServe(lines[-1])
        raise CannotServe(f"The emulators {what}: {lines[-1] if lines else 'no message'} (all of it in {log})")

    def stop(self) -> None:
        """Stop cleanly and wait."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def kill(self) -> None:
        """End it at once, as kill -9 does, and wait."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> EmulatorProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


VARIABLES: Final = {
    "salesforce": {
        "CLIENT_ID": "client_id", "CLIENT_SECRET": "client_secret", "REFRESH_TOKEN": "refresh_token",
        "USERNAME": "username", "PASSWORD": "token", "SECURITY_TOKEN": "security_token",
        "PRIVATE_KEY_FILE": "private_key_file",
    },
    "hubspot": {
        "TOKEN": "token", "CLIENT_ID": "client_id", "CLIENT_SECRET": "client_secret", "REFRESH_TOKEN": "refresh_token",
        "APP_ID": "app_id",
    },
    "dynamics": {
        "CLIENT_ID": "client_id", "CLIENT_SECRET": "client_secret", "TENANT": "tenant",
        "PRIVATE_KEY_FILE": "private_key_file", "CERTIFICATE_FILE": "certificate_file",
    },
}  # fmt: skip
"""CRM -> end of a variable's name -> which credential it holds."""


def environment(addresses: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables that point config/connections.yaml, or any client, at these emulators.

    Names begin with that of the connection: SALESFORCE_URL, EU_TOKEN.
    """
    out = {"CRM_SYNC_CA_BUNDLE": str(addresses["ca_bundle"])}
    if "crossroads" in addresses:
        out["EMULATORS_PROXY"] = addresses["crossroads"]
    for name, one in addresses.items():
        if not isinstance(one, dict):
            continue
        crm, begun = one.get("crm", name), name.upper()
        out[f"{begun}_URL"] = one["url"]
        if crm == "dynamics":
            out[f"{begun}_AUTHORITY"] = f"{one['url']}/{one['tenant']}"
        out |= {f"{begun}_{end}": one[held] for end, held in VARIABLES[crm].items() if held in one}
    return out
