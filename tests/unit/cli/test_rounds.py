"""What rounds of runs are judged by."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.cli import dagster_ui
from crm_sync.cli.installation import free_port
from crm_sync.cli.rounds import Rounds
from crm_sync.errors import CrmSyncError
from crm_sync.settings import Settings
from crm_sync.specs.model import SpecSet


class Answers:
    """Stands where the runner stands; every run has the same outcome."""

    def __init__(self, checks: dict[str, str]) -> None:
        self.checks = checks

    def run(self, job: str) -> dict[str, Any]:
        return {"job": job, "failed": {}, "checks": self.checks}


def rounds(checks: dict[str, str]) -> Rounds:
    nothing = SpecSet(entities={}, connections={}, mappings={})
    return Rounds(Answers(checks), Settings.load({}), nothing, lambda text: None)  # type: ignore[arg-type]


def test_a_warning_is_not_met() -> None:
    mine = rounds({"hub/contact: twins": "warned", "hub/contact: links": "passed", "hub/account: links": "passed"})
    mine.at_rest()
    assert [v["what"] for v in mine.verdicts] == ["2 of 3 checks of all data at rest hold, 1 want a person"]
    assert mine.warnings == ["hub/contact: twins"]


def test_a_round_of_nothing_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = rounds({})
    monkeypatch.setattr(mine, "_table", lambda run_ids: [])
    mine.last()
    assert [v["ok"] for v in mine.verdicts] == [True, True]


def test_a_ui_that_is_not_there_is_told_with_its_log(tmp_path: Any) -> None:
    ui = dagster_ui.DagsterUi(free_port(), {"DAGSTER_HOME": str(tmp_path)})
    with pytest.raises(CrmSyncError, match=r"gave no usable answer .*ui\.log"):
        ui.running()
