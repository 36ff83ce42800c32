"""Migrating: once, twice, by several processes at once; and Dagster's storage in the same database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from crm_sync.errors import BadSettings
from crm_sync.store.migrating import dagster_url, migrate


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """Return the URL of a database without any schema of ours."""
    base = server_url.rpartition("/")[0]
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare")
        yield f"{base}/bare"
        connection.execute("DROP DATABASE bare WITH (FORCE)")


def _tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'crm_sync'")
        return {row[0] for row in rows}


def test_migrating_twice_changes_nothing_the_second_time(empty_url: str) -> None:
    migrate(empty_url)
    first = _tables(empty_url)
    assert {"data_key", "subject_key", "lease", "api_call", "audit_operation", "schema_version"} <= first
    migrate(empty_url)
    assert _tables(empty_url) == first


def test_a_database_in_its_current_form_is_left_alone_without_loading_alembic(empty_url: str) -> None:
    migrate(empty_url)
    program = (
        "import sys; from crm_sync.store.migrating import migrate; migrate(sys.argv[1]);"
        "sys.exit('alembic' in sys.modules or 'sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, empty_url], check=False).returncode == 0


def test_three_processes_may_migrate_at_once(empty_url: str) -> None:
    program = "import sys; from crm_sync.store.migrating import migrate; migrate(sys.argv[1])"
    racers = [subprocess.Popen([sys.executable, "-c", program, empty_url]) for _ in range(3)]
    assert [racer.wait() for racer in racers] == [0, 0, 0]
    with psycopg.connect(empty_url) as connection:
        versions = connection.execute("SELECT count(*) FROM crm_sync.schema_version").fetchone()
    assert versions == (1,)


def test_a_database_of_a_newer_version_is_refused_with_the_next_step(empty_url: str) -> None:
    migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("UPDATE crm_sync.schema_version SET version_num = '9999'")
    with pytest.raises(BadSettings, match=r"another version of crm-sync.*9999.*Install"):
        migrate(empty_url)


def test_a_failed_migration_leaves_nothing_behind(empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE SCHEMA crm_sync")
        connection.execute("CREATE TABLE crm_sync.audit_operation (in_the_way text)")
    with pytest.raises(Exception, match="audit_operation"):
        migrate(empty_url)
    assert _tables(empty_url) == {"audit_operation"}


def test_dagster_keeps_its_storage_in_its_own_schema(empty_url: str) -> None:
    from dagster_postgres import DagsterPostgresStorage

    migrate(empty_url)
    storage = DagsterPostgresStorage(dagster_url(empty_url))
    assert storage.run_storage.get_run_ids() == []
    assert storage.event_log_storage.get_asset_records() == []
    for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
        part.dispose()
    with psycopg.connect(empty_url) as connection:
        schemas = "SELECT table_schema FROM information_schema.tables WHERE table_name = 'runs'"
        assert connection.execute(schemas).fetchall() == [("dagster",)]


def test_the_dagster_address_keeps_parameters_that_were_there() -> None:
    url = dagster_url("postgres://user:secret@host:5432/db?sslmode=require")
    assert url == "postgresql://user:secret@host:5432/db?sslmode=require&options=-csearch_path%3Ddagster"
