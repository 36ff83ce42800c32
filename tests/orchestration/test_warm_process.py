"""Many runs in one process: it outlives a restart of the database."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dagster import Definitions, job, op

from assets.running import serve
from crm_sync.store.migrating import dagster_url
from tests.integration.conftest import _template, database_url, server_url

__all__ = ["_template", "database_url", "server_url"]
ROOT = Path(__file__).resolve().parents[2]


@op
def nothing() -> None:
    """Do nothing."""


@job
def idle() -> None:
    """Run nothing."""
    nothing()


def requests_around_a_restart(url: str) -> Iterator[str]:
    yield json.dumps({"job": "idle"}) + "\n"
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
    assert ended is not None
    assert ended[0] > 0, "no connection was kept, so that nothing is shown"
    yield json.dumps({"job": "idle"}) + "\n"


def test_runs_go_on_after_the_database_ended_every_connection(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("CRM_SYNC_DAGSTER_URL", dagster_url(database_url))
    answers = io.StringIO()
    requests: Any = requests_around_a_restart(database_url)
    assert serve(Definitions(jobs=[idle]), requests, answers) == 0
    told = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert [one.get("success") for one in told] == [None, True, True]
