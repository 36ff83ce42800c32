"""The embedded server: shared by processes, stopped when unused, healed after every kind of kill -9."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from crm_sync.store.postgres import running

PATIENCE = 60.0
USE = """
import sys
from pathlib import Path
from crm_sync.store.postgres import running

with running(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def stopped(state_dir: Path) -> Iterator[None]:
    """Wait after each test until the server of its state directory has stopped."""
    yield
    _await_end(state_dir)


@pytest.fixture
def user(state_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Return another process that uses the server, once it does."""
    with _user(state_dir) as process:
        _line(process)
        yield process
        process.kill()


def _user(state_dir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USE, str(state_dir)]
    environment = {**os.environ, "CRM_SYNC_MASTER_KEY": "the-secret-of-the-user"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _note(state_dir: Path) -> dict[str, int]:
    note: dict[str, int] = json.loads((state_dir / "postgres" / "server.json").read_text())
    return note


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _await(what: str, condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE:.0f} s"
        time.sleep(0.05)


def _await_end(state_dir: Path) -> None:
    """Wait until the keeper is gone, and check that it took the server along."""
    lock = state_dir / "postgres" / "keeper.lock"
    if not lock.exists():
        return

    def free() -> bool:
        with lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    _await("the end of the keeper", free)
    data = os.path.realpath(_data(state_dir))
    _await("the end of the server", lambda: not any(_cwd(pid) == data for pid in os.listdir("/proc") if pid.isdigit()))


def _data(state_dir: Path) -> Path:
    place = state_dir / "postgres" / "place.json"
    return (Path(json.loads(place.read_text())["home"]) if place.exists() else place.parent) / "data"


def _cwd(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _remember(url: str, text: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS remembered (text text)")
        connection.execute("INSERT INTO remembered VALUES (%s)", (text,))


def _remembered(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM remembered ORDER BY text")]


def test_it_starts_once_stops_when_unused_and_keeps_data_and_address(state_dir: Path) -> None:
    with running(state_dir) as url:
        _remember(url, "first")
        with running(state_dir) as again:
            assert again == url
        assert _remembered(url) == ["first"]
    _await_end(state_dir)
    assert not (state_dir / "postgres" / "server.json").exists()
    with running(state_dir) as url_after:
        assert url_after == url
        assert _remembered(url) == ["first"]


def test_four_processes_that_start_at_once_share_one_server(state_dir: Path) -> None:
    users = [_user(state_dir) for _ in range(4)]
    urls = {_line(user) for user in users}
    assert len(urls) == 1
    _remember(urls.pop(), "shared")
    for user in users:
        user.communicate()
        assert user.returncode == 0


def test_the_server_ends_after_its_users_were_killed(state_dir: Path, user: subprocess.Popen[str]) -> None:
    note = _note(state_dir)
    user.kill()
    _await_end(state_dir)
    assert not _lives(note["pid"])


def test_a_killed_keeper_takes_the_server_along_and_the_next_user_heals(
    state_dir: Path, user: subprocess.Popen[str]
) -> None:
    with running(state_dir) as url:
        _remember(url, "before")
        note = _note(state_dir)
        os.kill(note["keeper"], signal.SIGKILL)
        _await("the end of the server", lambda: not _lives(note["pid"]))
        with running(state_dir) as healed:
            assert healed == url
            assert _remembered(url) == ["before"]
            assert _note(state_dir)["keeper"] != note["keeper"]


def test_a_killed_server_is_started_again_by_its_keeper(state_dir: Path, user: subprocess.Popen[str]) -> None:
    with running(state_dir) as url:
        _remember(url, "before")
        note = _note(state_dir)
        os.kill(note["pid"], signal.SIGKILL)
        with running(state_dir) as healed:
            assert healed == url
            assert _remembered(url) == ["before"]
        assert _note(state_dir)["keeper"] == note["keeper"]


def test_keeper_and_server_killed_together_with_work_in_progress(
    state_dir: Path, user: subprocess.Popen[str]
) -> None:
    with running(state_dir) as url:
        _remember(url, "committed")
        note = _note(state_dir)
        with pytest.raises(psycopg.OperationalError), psycopg.connect(url) as connection:
            connection.execute("INSERT INTO remembered VALUES ('never committed')")
            os.kill(note["keeper"], signal.SIGSTOP)  # so that it cannot heal
            os.kill(note["pid"], signal.SIGKILL)
            os.kill(note["keeper"], signal.SIGKILL)
            _await("the end of the keeper", lambda: not _lives(note["keeper"]))
            connection.execute("SELECT pg_sleep(60)")
        with running(state_dir) as healed:
            assert healed == url
            assert _remembered(url) == ["committed"]


def test_a_marker_file_that_names_a_foreign_process_is_no_obstacle(state_dir: Path) -> None:
    with running(state_dir) as url:
        _remember(url, "kept")
    _await_end(state_dir)
    owner = _data(state_dir).stat().st_uid
    foreign = subprocess.Popen(["/bin/sleep", "600"], user=owner if os.geteuid() == 0 else None)
    try:
        marker = _data(state_dir) / "postmaster.pid"
        marker.write_text(f"{foreign.pid}\n{marker.parent}\n1\n5432\n/tmp\n127.0.0.1\n\nready\n")
        with running(state_dir) as url:
            assert _remembered(url) == ["kept"]
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_a_port_taken_meanwhile_is_replaced_by_another(state_dir: Path) -> None:
    with running(state_dir) as url:
        _remember(url, "kept")
    _await_end(state_dir)
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with running(state_dir) as elsewhere:
            assert f":{port}/" not in elsewhere
            assert _remembered(elsewhere) == ["kept"]


@pytest.mark.parametrize("name", ["a" * 60 + "/" + "b" * 60, 'it\'s "mine", ümlaut 100%'])
def test_a_state_directory_with_an_awkward_name_works(state_dir: Path, name: str) -> None:
    with running(state_dir / name) as url:
        _remember(url, "kept")
    _await_end(state_dir / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account that a closed directory keeps out")
def test_as_root_a_closed_state_directory_works_and_stays_closed(state_dir: Path) -> None:
    state_dir.chmod(0o700)
    with running(state_dir) as url:
        _remember(url, "closed")
    _await_end(state_dir)
    home = _data(state_dir).parent
    try:
        assert not home.is_relative_to(state_dir)
        assert home.stat().st_mode & 0o077 == 0
        assert (home / "belongs-to").read_text().strip() == str(state_dir)
        assert state_dir.stat().st_mode & 0o077 == 0
        with running(state_dir) as url:
            assert _remembered(url) == ["closed"]
        _await_end(state_dir)
    finally:
        shutil.rmtree(home)


def test_the_keeper_knows_no_secret_of_the_user_that_started_it(
    state_dir: Path, user: subprocess.Popen[str]
) -> None:
    environment = Path(f"/proc/{_note(state_dir)['keeper']}/environ").read_bytes()
    assert b"the-secret-of-the-user" not in environment


def test_the_servers_log_never_quotes_a_value(state_dir: Path) -> None:
    with running(state_dir) as url:
        with pytest.raises(psycopg.DataError), psycopg.connect(url) as connection:
            connection.execute("SELECT 'ada@example.com'::int")
        with pytest.raises(psycopg.IntegrityError), psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE one (text text PRIMARY KEY)")
            for _ in range(2):
                connection.execute("INSERT INTO one VALUES (%s)", ("ada@example.com",))
    _await_end(state_dir)
    log = (state_dir / "postgres" / "server.log").read_text()
    assert "ready to accept connections" in log
    assert "ada@example.com" not in log


def test_files_with_secrets_are_closed_to_others(state_dir: Path, user: subprocess.Popen[str]) -> None:
    room = state_dir / "postgres"
    for name in ("password", "server.json", "server.log"):
        assert (room / name).stat().st_mode & 0o077 == 0, name
    assert (room / "data").stat().st_mode & 0o077 == 0
