"""The keeper: a small process that owns the embedded server of one state directory.

`python -m crm_sync.store.keeper STATE_DIR` puts itself into the background, starts the server as its child, and ends
both once nobody holds the users' lock any more. The caller returns when the server is ready (exit code 0), or with one
message on stderr (exit code 2). Whatever is killed here, the next user heals: locks vanish with their holders.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from crm_sync.errors import BadSettings, CrmSyncError
from crm_sync.store import cluster
from crm_sync.store.place import KEEPER_LOCK, LOG_FILE, PORT_FILE, SERVER_FILE, USERS_LOCK, enter, settle, write_private

_TICK_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 2.0
_PORT_ATTEMPTS: Final = 5
_RESTARTS: Final = 5
_RESTART_SECONDS: Final = 60.0
"""A server that dies more often than so many times in so many seconds is given up; the next user tries anew."""


class Keeper:
    """Run the server while somebody uses it."""

    def __init__(self, state_dir: Path) -> None:
        self._room = enter(state_dir)
        self._asked_to_stop = False
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGINT, self._ask_to_stop)
        self._lock = os.open(self._room / KEEPER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        _take(self._lock, seconds=10.0)
        self._users = os.open(self._room / USERS_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        self._place = settle(self._room)
        cluster.clear_remains(self._place)
        cluster.create(self._place)
        self._server = self._start()

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_stop = True

    def _start(self) -> cluster.Server:
        wished = _read_port(self._room / PORT_FILE)
        words = ""
        for _ in range(_PORT_ATTEMPTS):
            server = cluster.Server(self._place, cluster.choose_port(wished))
            if server.wait_until_ready():
                # The same port next time, so that addresses held by long-lived processes stay good.
                write_private(self._room / PORT_FILE, str(server.port))
                note = {"port": server.port, "pid": server.pid, "keeper": os.getpid()}
                write_private(self._room / SERVER_FILE, json.dumps(note))
                return server
            words = server.last_words()
            server.stop()
            cluster.clear_remains(self._place)
            if "could not bind" in words or "could not create any TCP/IP sockets" in words:
                wished = None
            elif "shared memory block is still in use" not in words:
                break
        raise BadSettings(
            f"The embedded database does not start: {words}. Its log is {self._room / LOG_FILE}; "
            "CRM_SYNC_DATABASE_URL names another server."
        )

    def keep(self) -> None:
        """Watch the server and its users; return when the server is stopped."""
        idle_since: float | None = None
        restarts: list[float] = []
        while not self._asked_to_stop:
            time.sleep(_TICK_SECONDS)
            if not self._server.alive():
                restarts = [at for at in restarts if time.monotonic() - at < _RESTART_SECONDS] + [time.monotonic()]
                if len(restarts) > _RESTARTS:
                    break
                (self._room / SERVER_FILE).unlink(missing_ok=True)
                self._server.stop()
                cluster.clear_remains(self._place)
                self._server = self._start()
                continue
            if not _try(self._users):
                idle_since = None
                continue
            now = time.monotonic()
            idle_since = now if idle_since is None else idle_since
            if now - idle_since >= _GRACE_SECONDS:
                break  # still holding the users' lock: who comes now waits until we are gone, then starts afresh
            fcntl.flock(self._users, fcntl.LOCK_UN)
        (self._room / SERVER_FILE).unlink(missing_ok=True)
        self._server.stop()


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _take(descriptor: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _try(descriptor):
        if time.monotonic() > deadline:
            raise BadSettings("Another keeper runs the embedded database but does not answer; end it, then try again.")
        time.sleep(0.05)


def _read_port(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and 0 < int(text) < 65536 else None


def _detached(state_dir: Path, report: int) -> None:
    """Run the keeper in the background process; `report` takes "ready" or the reason why not."""
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    try:
        log = os.open(enter(state_dir) / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        keeper = Keeper(state_dir)
    except CrmSyncError as error:
        os.write(report, str(error).encode())
        return
    except OSError as error:
        os.write(report, f"The embedded database could not be started: {error}.".encode())
        return
    os.write(report, b"ready")
    os.close(report)
    keeper.keep()


def main(arguments: list[str]) -> int:
    """Start a keeper for the state directory named and wait until its server is ready."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m crm_sync.store.keeper STATE_DIR\n")
        return 2
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        try:
            _detached(Path(arguments[0]).absolute(), writing)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        answer = answers.read().decode()
    if answer == "ready":
        return 0
    sys.stderr.write(answer or "The keeper of the embedded database ended without a word.")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
