"""Which state directory `crm-sync ui` opens where none is named."""

from __future__ import annotations

from pathlib import Path

from crm_sync.cli.installation import DATABASE, EMULATORS, fresh_demo_dir, holds_only_demos, newest_demo_dir
from crm_sync.settings import Settings


def settings(state_dir: Path, **environment: str) -> Settings:
    return Settings.load({"CRM_SYNC_STATE_DIR": str(state_dir), **environment})


def test_the_newest_demo_where_nothing_else_was_ever_run(tmp_path: Path) -> None:
    assert not holds_only_demos(settings(tmp_path)) and not holds_only_demos(settings(tmp_path / "nowhere"))
    (tmp_path / "demo-20260101-000000").mkdir()
    assert not holds_only_demos(settings(tmp_path)), "a folder that never got a key was no demo"
    folder = fresh_demo_dir(tmp_path)
    assert holds_only_demos(settings(tmp_path)) and newest_demo_dir(tmp_path) == folder


def test_an_installation_goes_before_the_demos_beside_it(tmp_path: Path) -> None:
    fresh_demo_dir(tmp_path)
    assert not holds_only_demos(settings(tmp_path, CRM_SYNC_DATABASE_URL="postgresql://someone@127.0.0.1/hub"))
    for name in (DATABASE, EMULATORS):
        (tmp_path / name).mkdir()
        assert not holds_only_demos(settings(tmp_path))
        (tmp_path / name).rmdir()
    assert holds_only_demos(settings(tmp_path))
