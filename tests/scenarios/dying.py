"""A sync in a process of its own, which dies as by `kill -9`: by itself at a named boundary, or whenever one likes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from crm_sync.connectors.hubspot import reader
from crm_sync.errors import CrmSyncError
from crm_sync.flows import ingest
from crm_sync.flows.context import open_context
from crm_sync.flows.sync import sync
from crm_sync.settings import Settings
from tests.scenarios.stage import Stage

BOUNDARIES = ("landed", "watermark", "absorbed", "propagated", "intent_written", "sent", "receipted")
ANY = "any"
"""Stands for every boundary."""
_PATIENCE_SECONDS = 120.0


class Syncing:
    """A sync at work in a process of its own, which tells of every boundary that it passes, and how it ended.

    With a `boundary` (or ANY) it kills itself when it passes that for the n-th time.
    """

    def __init__(self, stage: Stage, boundary: str = "", nth: int = 0) -> None:
        self._stage = stage
        self.passed = 0
        """Boundaries that we heard of."""
        self.failure: tuple[str, str] | None = None
        """Class and words of the error that it ended with."""
        self.missed: dict[str, str] | None = None
        """Connection -> why it was left out, once the sync has come to its end."""
        processes = multiprocessing.get_context("forkserver")
        processes.set_forkserver_preload(["tests.scenarios.dying"])
        self._ear, mouth = processes.Pipe(duplex=False)
        self._process = processes.Process(target=_run, args=(stage.settings, boundary, nth, mouth))
        self._process.start()
        mouth.close()

    def has_passed(self, times: int) -> bool:
        """Wait until it has passed so many boundaries; False where it ends before."""
        while self.passed < times:
            if not self._hear():
                return False
        return True

    def kill(self) -> bool:
        """End it as `kill -9` does, wherever it is; False where it had ended by itself."""
        self._process.kill()
        code = self.end()
        assert code in (0, -signal.SIGKILL), code
        _wait_for_the_server(self._stage)
        return code != 0

    def end(self) -> int:
        """Wait for its end and return the exit code."""
        while self._hear():
            pass
        self._process.join(_PATIENCE_SECONDS)
        code = self._process.exitcode
        assert code is not None, "the process goes on without a word"
        return code

    def _hear(self) -> bool:
        if not self._ear.poll(_PATIENCE_SECONDS):
            self._process.kill()
            raise AssertionError(f"no sign of life for {_PATIENCE_SECONDS:.0f} s after {self.passed} boundaries")
        try:
            what, told = self._ear.recv()
        except (EOFError, OSError):  # the second where it died in the middle of a word
            return False
        if what == "passed":
            self.passed += 1
        elif what == "failed":
            self.failure = told
        else:
            self.missed = told
        return True


def killed_sync(stage: Stage, boundary: str, nth: int) -> bool:
    """Run a sync that dies when it passes a boundary for the n-th time; False where it never came so far."""
    code = Syncing(stage, boundary, nth).end()
    assert code in (0, -signal.SIGKILL), code
    _wait_for_the_server(stage)
    return code != 0


def small_pages(set_value: Callable[[object, str, int], object]) -> None:
    """Make HubSpot's pages so small that a read of few records has several."""
    set_value(reader, "LIST_LIMIT", 10)
    set_value(reader, "SEARCH_LIMIT", 3)
    set_value(ingest, "LAND_ROWS", 1)  # each page lands by itself


def _run(settings: Settings, boundary: str, nth: int, mouth: Connection) -> None:
    small_pages(setattr)
    passed = 0
    guard = threading.Lock()

    def tell(what: str, told: Any) -> None:
        with suppress(BrokenPipeError):  # who listened is gone
            mouth.send((what, told))

    def watch(name: str) -> None:
        nonlocal passed
        with guard:
            passed += boundary in (name, ANY)
            if boundary in (name, ANY) and passed == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            tell("passed", name)

    try:
        with open_context(settings) as ctx:
            ctx.boundary = watch
            report = sync(ctx)
    except CrmSyncError as error:  # as the command line does
        tell("failed", (type(error).__name__, str(error)))
        sys.exit(error.exit_code)
    tell("done", report.missed)


def _wait_for_the_server(stage: Stage) -> None:
    """Wait until the server has noticed that the process is gone, and let go of its locks."""
    deadline = time.monotonic() + 30
    others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    while stage.count(others):
        assert time.monotonic() < deadline, "connections of a dead process stay open"
        time.sleep(0.01)
