"""An external server over TLS: reached where it proves who it is, refused where it does not.

The machine's own name stands for a server across the network: it is not called localhost, so nothing is waived.
"""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import trustme

from crm_sync.errors import BadSettings
from crm_sync.settings import secured
from crm_sync.store.cluster import choose_port
from crm_sync.store.database import Database
from crm_sync.store.migrating import migrate

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
NAME = socket.gethostname()


def _address() -> str | None:
    try:
        return socket.gethostbyname(NAME)
    except OSError:
        return None


pytestmark = [
    pytest.mark.skipif(not PROGRAMS.is_dir(), reason=f"no ordinary server is installed in {PROGRAMS}"),
    pytest.mark.skipif(_address() is None or NAME == "localhost", reason="this machine has no name of its own"),
]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def port(state_dir: Path, authority: trustme.CA) -> Iterator[int]:
    """Run a server with a certificate for this machine's name; return its port."""
    authority.cert_pem.write_to_path(state_dir / "ca.pem")
    trustme.CA().cert_pem.write_to_path(state_dir / "other.pem")
    certificate = authority.issue_cert(NAME)
    certificate.private_key_pem.write_to_path(state_dir / "server.key")
    certificate.cert_chain_pems[0].write_to_path(state_dir / "server.pem")
    (state_dir / "server.key").chmod(0o600)
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    for path in (state_dir, *state_dir.iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid)
    as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    data, number = state_dir / "data", choose_port(None)
    subprocess.run(
        [PROGRAMS / "initdb", "-D", data, "-U", "someone", "--auth", "trust", "--no-sync"],
        check=True, capture_output=True, cwd="/", **as_account,
    )  # fmt: skip
    (data / "pg_hba.conf").write_text("local all all trust\nhost all all all trust\n")
    options = ["-p", str(number), "-k", str(state_dir), "-c", f"listen_addresses={_address()}", "-c", "ssl=on"]
    options += ["-c", f"ssl_cert_file={state_dir / 'server.pem'}", "-c", f"ssl_key_file={state_dir / 'server.key'}"]
    server = subprocess.Popen(
        [PROGRAMS / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, cwd="/", **as_account
    )
    while server.poll() is None:
        try:
            psycopg.connect(f"host={state_dir} port={number} user=someone dbname=postgres").close()
            break
        except psycopg.OperationalError:
            time.sleep(0.05)
    yield number
    server.terminate()
    server.wait()


def test_a_server_that_proves_who_it_is_is_used_over_tls_alone(port: int, state_dir: Path) -> None:
    url = secured(f"postgresql://someone@{NAME}:{port}/postgres?sslrootcert={state_dir / 'ca.pem'}", {})
    migrate(url)
    with Database(url) as database, database.transaction() as conn:
        assert conn.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()").fetchone() == (True,)


def test_a_server_of_an_unknown_authority_or_another_name_is_refused(port: int, state_dir: Path) -> None:
    unknown = f"postgresql://someone@{NAME}:{port}/postgres?sslrootcert={state_dir / 'other.pem'}"
    other_name = f"postgresql://someone@elsewhere.example:{port}/postgres?sslrootcert={state_dir / 'ca.pem'}"
    # The library dials the address; the certificate must be for the name.
    other_name += f"&hostaddr={_address()}&sslmode=verify-full"
    for url in (secured(unknown, {}), other_name):
        with pytest.raises(BadSettings, match=r"cannot be reached .*certificate"):
            Database(url)


def test_the_systems_authorities_decide_where_none_are_named(port: int) -> None:
    with pytest.raises(BadSettings, match=r"cannot be reached .*certificate"):
        Database(secured(f"postgresql://someone@{NAME}:{port}/postgres", {"HOME": "/nonexistent"}))
