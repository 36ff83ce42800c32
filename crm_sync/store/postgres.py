"""The embedded PostgreSQL server, as its users see it: one server per state directory, shared by all processes."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg
from psycopg import errors as pg_errors

from crm_sync.errors import BadSettings
from crm_sync.store.cluster import USER
from crm_sync.store.place import KEEPER_LOCK, LOG_FILE, PASSWORD_FILE, SERVER_FILE, START_LOCK, USERS_LOCK, enter

DATABASE: Final = "crm_sync"
_WAIT_SECONDS: Final = 120.0


@contextmanager
def running(state_dir: Path) -> Iterator[str]:
    """Yield the URL of the embedded server of `state_dir`, started where it does not run yet.

    All processes share one server; it stops a few seconds after the last of them left. BadSettings where the directory,
    the programs or the data cannot be used.
    """
    room = enter(state_dir)
    with _locked(room / USERS_LOCK, fcntl.LOCK_SH):
        with _locked(room / START_LOCK, fcntl.LOCK_EX):
            url = _reach(room, state_dir)
        yield url


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BadSettings(
                        f"{path} has been locked by another process for {_WAIT_SECONDS:.0f} s; a start or stop of the "
                        f"embedded database hangs. See {path.parent / LOG_FILE}, end that process, then try again."
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _reach(room: Path, state_dir: Path) -> str:
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        if not _keeper_lives(room):
            _start_keeper(state_dir)
        url = _address(room)
        if url is not None and _answers(url, room):
            return url
        if time.monotonic() > deadline:
            raise BadSettings(
                f"The embedded database does not answer. Its log is {room / LOG_FILE}; end its "
                "processes, then try again."
            )
        time.sleep(0.05)


def _keeper_lives(room: Path) -> bool:
    descriptor = os.open(room / KEEPER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _start_keeper(state_dir: Path) -> None:
    package_parent = str(Path(__file__).parents[2])
    # Secrets of our own environment are none of the keeper's business, and it outlives us.
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-m", "crm_sync.store.keeper", str(state_dir.absolute())],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        raise BadSettings(reason[-1] if reason else "The keeper of the embedded database ended without a word.")


def _address(room: Path) -> str | None:
    try:
        port = json.loads((room / SERVER_FILE).read_text(encoding="utf-8"))["port"]
        password = (room / PASSWORD_FILE).read_text(encoding="utf-8").strip()
    except (OSError, ValueError, KeyError):
        return None
    return f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"


def _answers(url: str, room: Path) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        if isinstance(error, pg_errors.InvalidPassword) or "password authentication failed" in str(error):
            raise BadSettings(
                f"The embedded database refuses the password in {room / PASSWORD_FILE}. Restore the "
                "file that belongs to it."
            ) from None
        if f'database "{DATABASE}" does not exist' in str(error):
            _create_database(url)
            return True
        return False
    return True


def _create_database(url: str) -> None:
    maintenance = f"{url.rpartition('/')[0]}/postgres"
    with psycopg.connect(maintenance, autocommit=True) as connection, suppress(pg_errors.DuplicateDatabase):
        connection.execute(f"CREATE DATABASE {DATABASE}")
