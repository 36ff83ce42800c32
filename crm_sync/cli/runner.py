"""Runs of Dagster jobs in one warm process of their own, as the command line may not import Dagster.

Belongs here: starting that process and talking to it line by line. Not here: what it does (assets/running.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crm_sync.cli.installation import project_dir
from crm_sync.errors import CrmSyncError


class Runner:
    """A process that runs jobs one after another; it ends when it is closed, or when this process ends."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        """Prepare; what Dagster writes goes to the file `log`."""
        self.environment, self.log = dict(environment), log
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Runner:
        """Start it and wait until it is ready; CrmSyncError where it does not come up."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "definitions"],
                cwd=project_dir(),
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        """End it: its input is closed, so it stops after the run at hand."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # it may have died with a request on its way
                self._process.stdin.close()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def run(self, job: str) -> dict[str, Any]:
        """Run a job and return its outcome as assets/running.py describes it."""
        if self._process is None or self._process.stdin is None:
            raise CrmSyncError("The runner was used before it was started; expected it inside `with`.")
        try:
            self._process.stdin.write(json.dumps({"job": job}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process is not None and self._process.stdout is not None else ""
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> CrmSyncError:
        return CrmSyncError(f"Dagster's process ended before it answered; its own words are in {self.log}.")
