"""An ordinary PostgreSQL server of the lowest version we promise, where this machine has one installed."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from crm_sync.store.cluster import choose_port
from crm_sync.store.crypto import new_master_key
from crm_sync.store.database import Database
from crm_sync.store.keyring import Keyring
from crm_sync.store.leases import Leases
from crm_sync.store.migrating import migrate

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
pytestmark = pytest.mark.skipif(not PROGRAMS.is_dir(), reason=f"no ordinary server is installed in {PROGRAMS}")


@pytest.fixture
def external_url(state_dir: Path) -> Iterator[str]:
    """Return the URL of a running server that is not ours."""
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    os.chown(state_dir, account.pw_uid, account.pw_gid)
    port = choose_port(None)
    as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    data = state_dir / "data"
    subprocess.run(
        [PROGRAMS / "initdb", "-D", data, "-U", "someone", "--auth", "trust", "--no-sync"],
        check=True, capture_output=True, cwd="/", **as_account,
    )  # fmt: skip
    options = ["-p", str(port), "-k", str(state_dir), "-c", "listen_addresses=127.0.0.1"]
    server = subprocess.Popen(
        [PROGRAMS / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, cwd="/", **as_account
    )
    url = f"postgresql://someone@127.0.0.1:{port}/postgres"
    while server.poll() is None:
        try:
            psycopg.connect(url).close()
            break
        except psycopg.OperationalError:
            time.sleep(0.05)
    yield url
    server.terminate()
    server.wait()


def test_the_store_works_on_the_lowest_version(external_url: str) -> None:
    migrate(external_url)
    migrate(external_url)
    database = Database(external_url)
    ring = Keyring.open(database, new_master_key())
    hub_id = uuid4()
    with database.transaction() as conn:
        keys = ring.create_subject_keys(conn, [hub_id])
        assert ring.subject_keys(conn, [hub_id]) == keys
    assert ring.open_day(ring.seal_day(date(2026, 11, 24), [b"x"], [b""]), [b""]) == [b"x"]
    with Leases(database).lease("any") as lease, database.transaction() as conn:
        lease.fence(conn)
    database.close()
