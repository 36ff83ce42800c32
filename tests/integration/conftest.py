"""One embedded server for the whole test session, a fresh migrated database for each test module."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from crm_sync.store.crypto import new_master_key
from crm_sync.store.database import Database
from crm_sync.store.keyring import Keyring
from crm_sync.store.migrating import migrate
from crm_sync.store.postgres import running

os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Return the URL of a running server (of its database crm_sync, which stays empty)."""
    state_dir = _state_dir("crm-sync-tests-")
    with running(state_dir) as url:
        yield url
    deadline = time.monotonic() + 60
    while (state_dir / "postgres" / "data" / "postmaster.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree(state_dir)


def _state_dir(prefix: str) -> Path:
    # In memory where there is plenty: the tests make and drop many databases, and each waits for the disk.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=memory if roomy else None))
    # Where the tests run as root, the server runs as another account, which must be able to walk in.
    path.chmod(0o711)
    return path


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """Return a state directory of the test's own; what runs in it must have ended when the test ends."""
    path = _state_dir("crm-sync-state-")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def _template(server_url: str) -> str:
    name = f"template_{secrets.token_hex(4)}"
    _on_server(server_url, f"CREATE DATABASE {name}")
    migrate(_with_name(server_url, name))
    return name


@pytest.fixture(scope="module")
def database_url(server_url: str, _template: str) -> Iterator[str]:
    """Return the URL of a migrated, empty database that belongs to this test module."""
    name = f"test_{secrets.token_hex(6)}"
    _on_server(server_url, f"CREATE DATABASE {name} TEMPLATE {_template}")
    yield _with_name(server_url, name)
    _on_server(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def database(database_url: str) -> Iterator[Database]:
    """Return an open Database on this module's own database."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def master_key() -> str:
    """Return the text of this module's master key."""
    return new_master_key()


@pytest.fixture(scope="module")
def keyring(database: Database, master_key: str) -> Keyring:
    """Return the open keys of this module's database."""
    return Keyring.open(database, master_key)


def _with_name(server_url: str, name: str) -> str:
    return f"{server_url.rpartition('/')[0]}/{name}"


def _on_server(server_url: str, statement: str) -> None:
    with psycopg.connect(_with_name(server_url, "postgres"), autocommit=True) as connection:
        connection.execute(statement)
