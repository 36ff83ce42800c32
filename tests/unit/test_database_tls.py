"""How the settings keep the way to an external database safe."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from crm_sync import settings
from crm_sync.errors import BadSettings
from crm_sync.settings import Settings, secured

AWAY = "postgresql://crm:secret@db.example.com:5432/crm"


@pytest.fixture(autouse=True)
def _forget_warnings() -> None:
    settings._warn.cache_clear()


def test_a_server_across_the_network_must_prove_who_it_is() -> None:
    assert secured(AWAY, {}) == f"{AWAY}?sslmode=verify-full&sslrootcert=system"
    more = f"{AWAY}?connect_timeout=3"
    assert secured(more, {}) == f"{more}&sslmode=verify-full&sslrootcert=system"
    assert secured(f"{AWAY}?", {}) == f"{AWAY}?sslmode=verify-full&sslrootcert=system"
    assert Settings.load({"CRM_SYNC_DATABASE_URL": AWAY}).database_url == secured(AWAY, {})


def test_authorities_of_ones_own_are_kept(tmp_path: Path) -> None:
    assert secured(f"{AWAY}?sslrootcert=/ca.pem", {}) == f"{AWAY}?sslrootcert=/ca.pem&sslmode=verify-full"
    assert secured(AWAY, {"PGSSLROOTCERT": "/ca.pem"}) == f"{AWAY}?sslmode=verify-full"
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").touch()
    assert secured(AWAY, {"HOME": str(tmp_path)}) == f"{AWAY}?sslmode=verify-full"
    full = f"{AWAY}?sslmode=verify-full&sslrootcert=/ca.pem"
    assert secured(full, {}) == full


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://crm@localhost/crm",
        "postgres://crm@127.0.0.1:5433/crm",
        "postgresql://crm@127.8.9.1/crm",
        "postgresql://crm@[::1]:5432/crm",
        "postgresql:///crm",
        "postgresql:///crm?host=/var/run/postgresql",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/crm",
        "postgresql://crm@db.example.com/crm?hostaddr=127.0.0.1",
        "postgresql://crm@localhost/crm?sslmode=disable",
    ],
)
def test_a_server_on_this_machine_is_left_as_it_is(url: str) -> None:
    assert secured(url, {}) == url


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("postgresql://crm@127.example.com/crm", {}),
        ("postgresql://crm@localhost.example.com/crm", {}),
        ("postgresql://crm@localhost,db.example.com/crm", {}),
        ("postgresql://crm@localhost/crm?host=db.example.com", {}),
        ("postgresql://crm@localhost/crm?hostaddr=10.0.0.4", {}),
        ("postgresql://crm@[2001:db8::1]:5432/crm", {}),
        ("postgresql:///crm", {"PGHOST": "db.example.com"}),
        ("postgresql:///crm?service=prod", {}),
        ("postgresql://localhost@db.example.com/crm", {}),
    ],
)
def test_a_server_that_only_looks_near_is_not_taken_for_near(url: str, environment: dict[str, str]) -> None:
    assert "sslmode=verify-full" in secured(url, environment)


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
def test_less_must_be_a_choice_and_is_said(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    weak = f"{AWAY}?sslmode={mode}"
    with pytest.raises(BadSettings, match=rf"sslmode={mode}.*CRM_SYNC_DATABASE_TLS=weaker-by-choice") as raised:
        secured(weak, {})
    assert "secret" not in str(raised.value)
    with pytest.raises(BadSettings, match=f"sslmode={mode}"):
        secured(AWAY, {"PGSSLMODE": mode})
    with caplog.at_level(logging.WARNING):
        assert secured(weak, {"CRM_SYNC_DATABASE_TLS": "weaker-by-choice"}) == weak
        secured(weak, {"CRM_SYNC_DATABASE_TLS": "weaker-by-choice"})
    assert [record.getMessage() for record in caplog.records] == [
        f"The connection to the database is only as safe as sslmode={mode}, by choice (CRM_SYNC_DATABASE_TLS)."
    ]


def test_the_choice_alone_weakens_nothing() -> None:
    assert "sslmode=verify-full" in secured(AWAY, {"CRM_SYNC_DATABASE_TLS": "weaker-by-choice"})


def test_what_cannot_be_understood_is_refused_without_being_shown() -> None:
    with pytest.raises(BadSettings, match="CRM_SYNC_DATABASE_TLS is 'off'"):
        secured(AWAY, {"CRM_SYNC_DATABASE_TLS": "off"})
    for url in ("host=db.example.com password=secret", "mysql://crm:secret@db/crm", "secret", "postgresql://[crm/secret"):
        with pytest.raises(BadSettings, match="not a database address") as raised:
            secured(url, {})
        assert "secret" not in str(raised.value)
