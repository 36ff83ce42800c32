"""Bring the database to the current form: plain SQL files, ordered by alembic, one transaction under one lock."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg

from crm_sync.errors import BadSettings
from crm_sync.store.database import Database, lock_number
from crm_sync.store.refusals import trouble

# alembic and sqlalchemy are imported where they are used: they take half a second, and most processes find the database
# in its current form already.

_MIGRATIONS: Final = Path(__file__).parent / "sql" / "migrations"


def migrate(database_url: str) -> None:
    """Apply the migrations that are missing; safe to repeat, and from several processes at once.

    BadSettings where the server cannot be reached, is older than the floor, or was migrated by a newer crm-sync.
    """
    database = Database(database_url)
    try:
        if _version(database) == _newest():
            return
    finally:
        database.close()
    _upgrade(database_url)


def _version(database: Database) -> str | None:
    with database.transaction() as conn:
        if conn.execute("SELECT to_regclass('crm_sync.schema_version')").fetchone() == (None,):
            return None
        row = conn.execute("SELECT version_num FROM crm_sync.schema_version").fetchone()
    return row[0] if row else None


def _newest() -> str:
    return max(file.stem.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _upgrade(database_url: str) -> None:
    import sqlalchemy
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    engine = sqlalchemy.create_engine(sqlalchemy_url(database_url), poolclass=sqlalchemy.pool.NullPool)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            connection.execute(
                sqlalchemy.text("SELECT pg_advisory_xact_lock(:number)"), {"number": lock_number("migration", "")}
            )
            connection.execute(sqlalchemy.text("CREATE SCHEMA IF NOT EXISTS crm_sync"))
            connection.execute(sqlalchemy.text("SET LOCAL search_path TO crm_sync"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise trouble(error.orig) from None
        raise
    except psycopg.Error as error:
        raise trouble(error) from None
    except CommandError as error:
        raise BadSettings(
            f"The database was written by another version of crm-sync ({error}). Install the "
            "version that wrote it, or a newer one."
        ) from None
    finally:
        engine.dispose()


def execute_file(name: str) -> None:
    """Execute one SQL file of many statements inside alembic's transaction."""
    from alembic import op

    text = (_MIGRATIONS / name).read_text(encoding="utf-8")
    # Past SQLAlchemy, which would take a percent sign or a colon for a parameter.
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("alembic runs without a database connection; expected the one opened by migrate()")
    driver.execute(text)


def dagster_url(database_url: str) -> str:
    """Return the URL under which Dagster keeps its own tables: the same database, schema `dagster`."""
    parts = urlsplit(database_url)
    scheme = "postgresql" if parts.scheme in ("postgres", "postgresql") else parts.scheme
    option = "options=-csearch_path%3Ddagster"
    query = f"{parts.query}&{option}" if parts.query else option
    return urlunsplit((scheme, parts.netloc, parts.path, query, ""))


def sqlalchemy_url(database_url: str) -> str:
    """Return the URL by which SQLAlchemy reaches the database through psycopg 3."""
    scheme, separator, rest = database_url.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme in ("postgres", "postgresql") else database_url
