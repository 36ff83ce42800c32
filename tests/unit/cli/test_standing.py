"""What `crm-sync status` makes of runs that missed a connection, and of what is held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from crm_sync.cli.standing import Run, held, missed, next_step
from crm_sync.specs.loader import load

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONNECTIONS = load(Path(__file__).resolve().parents[3] / "config").connections


def run(minutes: int, **reasons: str) -> Run:
    at = NOON + timedelta(minutes=minutes)
    return (uuid4(), "sync", at - timedelta(seconds=20), at, "failed", reasons)


def stream(connection: str, minutes: int | None, entity: str = "contact") -> dict[str, Any]:
    read_at = None if minutes is None else (NOON + timedelta(minutes=minutes)).isoformat()
    return {"connection": connection, "entity": entity, "enabled": True, "read_at": read_at}


def test_a_connection_is_missed_until_all_of_it_is_read_again() -> None:
    runs = [run(5, hubspot="Unreachable: hubspot does not answer."), run(0, hubspot="LimitReached: too many calls.")]
    late = [stream("hubspot", 6, "account"), stream("hubspot", 4)]
    assert missed(runs, late) == [
        {
            "connection": "hubspot",
            "at": "2026-03-01T12:05:00+00:00",
            "reason": "Unreachable: hubspot does not answer.",
        }
    ]
    assert missed(runs, [stream("hubspot", 6, "account"), stream("hubspot", 6)]) == []


def test_a_connection_that_was_never_read_is_missed_and_one_that_is_gone_or_off_is_not() -> None:
    runs = [run(0, hubspot="Unreachable: x", dynamics="Unreachable: y", former="Unreachable: z")]
    off = stream("dynamics", None) | {"enabled": False}
    assert [gap["connection"] for gap in missed(runs, [stream("hubspot", None), off])] == ["hubspot"]


def test_a_run_that_died_counts_from_its_start() -> None:
    identity, kind, started_at, _, _, reasons = run(5, hubspot="Unreachable: x")
    died: Run = (identity, kind, started_at, None, "running", reasons)
    assert missed([died], [stream("hubspot", 4)])[0]["at"] == started_at.isoformat()


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("BadCredentials: hubspot refused our credentials.", ["HUBSPOT_TOKEN", "crm-sync check --live -c hubspot"]),
        ("BadSettings: HUBSPOT_URL is not set.", ["Set what is named there", "crm-sync sync -c hubspot"]),
        ("Unreachable: hubspot does not answer.", ["tries again", "HUBSPOT_URL", "crm-sync check --live -c hubspot"]),
        ("LimitReached: too many calls.", ["Nothing to do"]),
        ("Busy: read/hubspot is held.", ["Nothing to do"]),
        ("BrokenPromise: something else.", ["crm-sync sync -c hubspot"]),
    ],
)
def test_each_reason_has_a_next_step(reason: str, expected: list[str]) -> None:
    said = next_step(reason, CONNECTIONS["hubspot"])
    assert all(part in said for part in expected), said


def test_what_is_held_is_told_with_what_comes_of_it() -> None:
    nothing = {"withheld": 0, "in_review": 0, "parked": 0, "dead": 0, "quarantined": 0}
    row = stream("hubspot", 0) | nothing | {"withheld": 35, "quarantined": 2}
    withheld, quarantined = held([row, stream("dynamics", 0) | nothing])
    assert withheld.startswith("hubspot/contact: 35 values that hubspot refused")
    assert "`crm-sync explain contact hubspot:<record id>`" in withheld
    assert quarantined.startswith("hubspot/contact: 2 records refused") and "mend them in hubspot" in quarantined
