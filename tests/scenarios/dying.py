"""A sync in a process of its own that kills itself, as `kill -9` does, at a named boundary."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable

from crm_sync.connectors.hubspot import reader
from crm_sync.flows.context import open_context
from crm_sync.flows.sync import sync
from crm_sync.settings import Settings
from tests.scenarios.stage import Stage

BOUNDARIES = ("landed", "watermark", "absorbed", "propagated", "intent_written", "sent", "receipted")


def killed_sync(stage: Stage, boundary: str, nth: int) -> bool:
    """Run a sync that dies when it passes a boundary for the n-th time; False where it never came so far."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.scenarios.dying"])
    child = processes.Process(target=_run, args=(stage.settings, boundary, nth))
    child.start()
    child.join(120)
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    _wait_for_the_server(stage)
    return child.exitcode != 0


def small_pages(set_value: Callable[[object, str, int], object]) -> None:
    """Make HubSpot's pages so small that a read of few records has several."""
    set_value(reader, "LIST_LIMIT", 10)
    set_value(reader, "SEARCH_LIMIT", 3)


def _run(settings: Settings, boundary: str, nth: int) -> None:
    small_pages(setattr)
    passed = 0
    guard = threading.Lock()

    def watch(name: str) -> None:
        nonlocal passed
        with guard:
            passed += name == boundary
            if name == boundary and passed == nth:
                os.kill(os.getpid(), signal.SIGKILL)

    with open_context(settings) as ctx:
        ctx.boundary = watch
        sync(ctx)


def _wait_for_the_server(stage: Stage) -> None:
    """Wait until the server has noticed that the process is gone, and let go of its locks."""
    deadline = time.monotonic() + 30
    others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    while stage.count(others):
        assert time.monotonic() < deadline, "connections of a dead process stay open"
        time.sleep(0.01)
