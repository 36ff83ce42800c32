"""The day on which an installation began: from the environment, or remembered in its state directory."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from crm_sync.cli import installation
from crm_sync.cli.installation import FIRST_DAY_FILE, dagster_environment
from crm_sync.errors import BadSettings
from crm_sync.settings import FIRST_DAY, Settings

URL = "postgresql://someone@127.0.0.1:1/nothing"


def current() -> date:
    return datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "migrate", lambda url: None)


def prepared(state_dir: Path, **environment: str) -> dict[str, str]:
    state_dir.mkdir(exist_ok=True)
    return dagster_environment(Settings.load({"CRM_SYNC_STATE_DIR": str(state_dir), **environment}), URL)


def test_it_is_a_day_of_the_past_or_the_current_one() -> None:
    assert Settings.load({}).first_day == FIRST_DAY == date(2020, 1, 1)
    assert Settings.load({"CRM_SYNC_FIRST_DAY": "2026-03-01"}).first_day == date(2026, 3, 1)
    assert Settings.load({"CRM_SYNC_FIRST_DAY": current().isoformat()}).first_day == current()


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "20260301", "2026-W01-1", "2026-3-1", "2026-03-01T00:00"])
def test_what_is_no_day_says_what_was_expected(text: str) -> None:
    with pytest.raises(BadSettings) as refused:
        Settings.load({"CRM_SYNC_FIRST_DAY": text})
    assert all(part in str(refused.value) for part in ("CRM_SYNC_FIRST_DAY", repr(text), "YYYY-MM-DD"))


def test_a_day_to_come_is_refused() -> None:
    # Two days ahead, so that midnight may pass meanwhile.
    day = (current() + timedelta(days=2)).isoformat()
    with pytest.raises(BadSettings, match=f"CRM_SYNC_FIRST_DAY is {day}, which is still to come"):
        Settings.load({"CRM_SYNC_FIRST_DAY": day})


def test_a_fresh_state_directory_remembers_its_day_for_every_later_run(tmp_path: Path) -> None:
    before = current()
    told = prepared(tmp_path)["CRM_SYNC_FIRST_DAY"]
    assert before <= date.fromisoformat(told) <= current()
    (tmp_path / FIRST_DAY_FILE).write_text("2026-03-01\n", encoding="ascii")
    assert prepared(tmp_path)["CRM_SYNC_FIRST_DAY"] == "2026-03-01"


def test_what_the_environment_says_goes_before_what_is_remembered(tmp_path: Path) -> None:
    prepared(tmp_path)
    assert prepared(tmp_path, CRM_SYNC_FIRST_DAY="2025-07-01")["CRM_SYNC_FIRST_DAY"] == "2025-07-01"


def test_an_installation_from_before_keeps_the_days_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    assert "CRM_SYNC_FIRST_DAY" not in prepared(tmp_path)
    assert not (tmp_path / FIRST_DAY_FILE).exists()


def test_a_spoiled_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / FIRST_DAY_FILE).write_text("long ago\n", encoding="ascii")
    with pytest.raises(BadSettings) as refused:
        prepared(tmp_path)
    assert all(part in str(refused.value) for part in (str(tmp_path / FIRST_DAY_FILE), "long ago", "YYYY-MM-DD"))


def test_what_cannot_be_read_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / FIRST_DAY_FILE).mkdir()
    with pytest.raises(BadSettings, match=r"first-day cannot be read .*YYYY-MM-DD"):
        prepared(tmp_path)
