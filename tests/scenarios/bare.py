"""Bare CRMs: one set of emulators for a whole module, emptied before each story, which has a database of its own."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.emulators.settings import CRMS
from crm_sync.flows.absorb import absorb
from crm_sync.flows.deliver import deliver
from crm_sync.flows.ingest import ingest
from crm_sync.flows.propagate import propagate
from crm_sync.flows.provision import provision
from crm_sync.settings import Settings
from crm_sync.store.crypto import new_master_key
from tests.integration.conftest import _on_server, _state_dir, _with_name
from tests.scenarios.screens import Screen
from tests.scenarios.stage import CONFIG, Stage

OBJECTS = {
    "salesforce": ("Contact", "Account"),
    "hubspot": ("contacts", "companies"),
    "dynamics": ("contact", "account"),
}
ANN = {"first_name": "Ann", "last_name": "Lee"}
EMAIL = {"email": "ann@lee.example"}
PHONE = {"phone": "+1 202 555 0101"}


@pytest.fixture(scope="module")
def crms() -> Iterator[EmulatorProcess]:
    """Return three running CRMs."""
    directory = _state_dir("crm-sync-bare-")
    with EmulatorProcess(directory / "emulators") as emulators:
        yield emulators
    shutil.rmtree(directory)


@pytest.fixture
def town(crms: EmulatorProcess, server_url: str, _template: str) -> Iterator[Stage]:
    """Return a stage whose CRMs are empty; its books are checked at the end."""
    ca_bundle = Path(crms.addresses["ca_bundle"])
    screens = {name: Screen(crms.addresses[name]["url"], ca_bundle) for name in CRMS}
    for name, screen in screens.items():
        screen.no_more_faults()
        for one in OBJECTS[name]:
            for record_id in screen.records(one):
                screen.delete(one, record_id)
    name = f"scenario_{secrets.token_hex(6)}"
    _on_server(server_url, f"CREATE DATABASE {name} TEMPLATE {_template}")
    directory = _state_dir("crm-sync-story-")
    variables = {
        **{known: os.environ[known] for known in ("PATH", "HOME", "TMPDIR") if known in os.environ},
        **environment(crms.addresses),
        "CRM_SYNC_STATE_DIR": str(directory),
        "CRM_SYNC_CONFIG_DIR": str(CONFIG),
        "CRM_SYNC_DATABASE_URL": _with_name(server_url, name),
        "CRM_SYNC_MASTER_KEY": new_master_key(),
    }
    stage = Stage(directory, Settings.load(variables), crms, screens)
    with stage.opened("provision") as ctx:
        provision(ctx, None, apply=True)
    try:
        yield stage
        stage.check_books()
    finally:
        _on_server(server_url, f"DROP DATABASE {name} WITH (FORCE)")
        shutil.rmtree(directory)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a copy of the rules."""
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


def rewrite(config: Path, files: str, old: str, new: str) -> None:
    """Replace a text (a regular expression, line by line) in rule files; each file must have it."""
    paths = sorted(config.glob(files))
    assert paths, files
    for path in paths:
        text, hits = re.subn(old, new, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert hits, f"{old} is not in {path}"
        path.write_text(text, encoding="utf-8")


def create(
    stage: Stage,
    connection: str,
    entity: str,
    associations: Mapping[str, Sequence[str]] | None = None,
    **values: Any,
) -> str:
    """Create a record at a CRM's screen, fields by our names, and return its id."""
    theirs = {stage.source(connection, entity, name): value for name, value in values.items()}
    return stage.screens[connection].create(stage.at(connection, entity), theirs, associations)


def golden_of(stage: Stage, connection: str, record_id: str) -> UUID:
    """Return the golden record of a CRM record."""
    found: UUID = stage.rows(
        "select hub_id from identity_link where connection = %s and record_id = %s", [connection, record_id]
    )[0][0]
    return found


def places(stage: Stage, hub_id: UUID) -> dict[str, str]:
    """Return connection -> record id of the live primary links of a golden record."""
    return dict(
        stage.rows(
            "select connection, record_id from identity_link where hub_id = %s and is_primary and state = 'live'",
            [hub_id],
        )
    )


def state_of(stage: Stage, connection: str, record_id: str) -> str:
    """Return the state of the link of a record."""
    return str(
        stage.rows("select state from identity_link where connection = %s and record_id = %s", [connection, record_id])[
            0
        ][0]
    )


def everywhere(stage: Stage, hub_id: UUID, name: str) -> dict[str, Any]:
    """Return what each CRM shows of a field of a contact."""
    return {c: stage.shown(c, "contact", i, name) for c, i in places(stage, hub_id).items()}


def contacts(stage: Stage, connection: str) -> int:
    """Return how many contacts a CRM has."""
    return len(stage.records(connection, "contact"))


def living(stage: Stage, entity: str) -> int:
    """Return how many golden records there are."""
    return stage.count("select count(*) from hub_record where entity = %s and united_into is null", [entity])


def while_sent(stage: Stage, connection: str, meanwhile: Callable[[], None], reads: Sequence[str]) -> None:
    """Plan and send contacts to a CRM; before the call, `meanwhile` happens, and others read, absorb and plan it."""

    def hook(boundary: str) -> None:
        if boundary != "intent_written" or done:
            return
        done.append(boundary)
        meanwhile()
        with stage.opened() as other:
            for name in reads:
                ingest(other, name, "contact")
            absorb(other, "contact")
            propagate(other, "contact")

    done: list[str] = []
    with stage.opened() as ctx:
        propagate(ctx, "contact")
        ctx.boundary = hook  # type: ignore[method-assign]
        deliver(ctx, connection, "contact")
    assert done, "nothing was sent"


def pair(stage: Stage, one: str, other: str, **more: Any) -> tuple[UUID, UUID]:
    """Let one person be known by phone in one CRM and by e-mail in another: two golden records, everywhere."""
    by_phone = create(stage, one, "contact", **ANN, **PHONE, city="Leeds")
    by_email = create(stage, other, "contact", **ANN, **EMAIL, **more)
    stage.settle()
    loser, winner = golden_of(stage, one, by_phone), golden_of(stage, other, by_email)
    assert loser != winner
    return loser, winner


def who_is_both(stage: Stage, connection: str) -> str:
    """Create the record that shows that the two are one; the one that is known by e-mail will stay."""
    return create(stage, connection, "contact", **ANN, **EMAIL, **PHONE)


def united_into(stage: Stage, hub_id: UUID) -> UUID | None:
    """Return which golden record another was united into."""
    found: UUID | None = stage.rows("select united_into from hub_record where hub_id = %s", [hub_id])[0][0]
    return found


@contextmanager
def blind(stage: Stage, connection: str) -> Iterator[None]:
    """Let a Salesforce answer every query with nothing, as where our user lost sight of the records."""
    nothing = {"totalSize": 0, "done": True, "records": []}
    stage.screens[connection].faults(
        {"action": "status", "status": 200, "body": nothing, "path": "/query", "times": 1000}
    )
    try:
        yield
    finally:
        stage.screens[connection].no_more_faults()
