"""Private by construction (P9): what people write in CRMs is found nowhere in what we leave behind."""

from __future__ import annotations

import base64
import gzip
import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import zstandard

from crm_sync.cli.installation import dagster_environment
from crm_sync.cli.runner import Runner
from crm_sync.flows.status import status
from crm_sync.specs.model import FieldSpec, FieldType
from tests.scenarios.canaries import Canaries, cells, files
from tests.scenarios.conftest import SetStage
from tests.scenarios.dying import killed_sync
from tests.scenarios.stage import Stage

DAGSTER_LOG, OUTPUT = "dagster.log", "output.log"
THREE = ("salesforce", "hubspot", "dynamics")
TEXTS = (FieldType.TEXT, FieldType.LONG_TEXT, FieldType.EMAIL, FieldType.PHONE)


class Aviary:
    """A stage full of canaries."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.canaries = Canaries()
        self.said: list[str] = []
        """What was raised and reported on the way."""
        self.sung: set[tuple[str, str]] = set()
        """(entity, field) that held a canary."""

    def make(self, connection: str, entity: str, label: str, **fixed: Any) -> str:
        """Make a record with a canary in every field that tells something about somebody, whatever fields there are."""
        spec, mapped = self.stage.specs.entities[entity], self.stage.specs.mapping(connection, entity).mapped
        values = {f.name: self._text(f, label) for f in spec.fields if f.pii and f.type in TEXTS and f.name in mapped}
        self.sung |= {(entity, name) for name in values}
        return self._create(connection, entity, {**values, **fixed})

    def person(self, connection: str, label: str, **fixed: Any) -> str:
        """Make a contact."""
        return self.make(connection, "contact", label, **fixed)

    def _text(self, field: FieldSpec, label: str) -> str:
        canary = self.canaries.sing(f"{label}: {field.name}")
        if field.type is FieldType.EMAIL:
            return f"{canary}@{self.canaries.sing(f'{label}: host')}.example"
        if field.type is FieldType.PHONE:
            return f"ask {canary}"
        return f'{canary}\nsaid: "never"' if field.type is FieldType.LONG_TEXT else canary

    def _create(self, connection: str, entity: str, values: dict[str, Any]) -> str:
        theirs = {self.stage.source(connection, entity, name): value for name, value in values.items()}
        return self.stage.screens[connection].create(self.stage.at(connection, entity), theirs)

    def sync(self, **options: Any) -> None:
        """Sync, and keep all that was said."""
        try:
            round_ = self.stage.sync(hurried=True, **options)
            self.said.append(repr(round_.report))
        except Exception as error:
            self.said.append(repr(error))
            raise


@pytest.fixture(scope="module")
def aviary(set_stage: SetStage) -> Iterator[Aviary]:
    with set_stage() as stage:
        yield Aviary(stage)


@pytest.fixture(scope="module")
def life(aviary: Aviary) -> Iterator[tuple[str, list[str]]]:
    """Live through everything that may go wrong; return what stood in logs and output."""
    records: list[str] = []
    keep = logging.Handler(level=logging.DEBUG)
    keep.emit = lambda record: records.append(keep.format(record))  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(keep)
    root.setLevel(logging.DEBUG)
    try:
        with _kept_output(aviary.stage.directory / OUTPUT):
            _live(aviary)
    finally:
        root.removeHandler(keep)
        root.setLevel(level)
    yield "\n".join(records), aviary.said


@contextmanager
def _kept_output(path: Path) -> Iterator[None]:
    """Keep in a file what this process and its children write meanwhile, whichever way."""
    with path.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        usual = [os.dup(1), os.dup(2)]
        try:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
            yield
        finally:
            for descriptor, kept in zip((1, 2), usual, strict=True):
                os.dup2(kept, descriptor)
                os.close(kept)


def _live(aviary: Aviary) -> None:
    stage, sing = aviary.stage, aviary.canaries.sing
    shared = f"{sing('shared address')}@family.example"
    first, last = sing("same first"), sing("same last")
    for connection in THREE:
        aviary.make(connection, "account", f"company in {connection}")
        aviary.person(connection, f"person in {connection}")
        # Invalid: an address that is none, and a name that is too long.
        aviary.person(connection, f"invalid in {connection}", email=f"{sing('invalid address')}@@nowhere")
    aviary.person("hubspot", "nameless", last_name=None, email=f"{sing('bad')} at {sing('address')}")
    # The same person with different birth dates, known to be one by telephone: later a conflict of two CRMs.
    same = {c: aviary.person(c, f"same in {c}", first_name=first, last_name=last, email=shared) for c in THREE}
    # Relatives at one address: HubSpot refuses the second, and says which address.
    aviary.person("salesforce", "relative", email=shared)
    aviary.person("dynamics", "another relative", email=shared)
    assert killed_sync(stage, "absorbed", 1)
    assert killed_sync(stage, "intent_written", 1)
    assert killed_sync(stage, "sent", 1)
    aviary.sync()
    aviary.sync()
    stage.change("salesforce", "contact", same["salesforce"], birth_date="1980-01-01")
    stage.change("dynamics", "contact", same["dynamics"], birth_date="1981-02-02")
    stage.change("hubspot", "contact", same["hubspot"], birth_date="1650-03-04")
    aviary.sync()
    # What the CRMs say of trouble names values, as real ones do.
    quoted = {"message": f"{shared} is not acceptable to {last}"}
    for connection, body in (
        ("salesforce", [{**quoted, "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "fields": ["LastName"]}]),
        ("hubspot", {**quoted, "status": "error", "category": "VALIDATION_ERROR", "correlationId": "0"}),
        ("dynamics", {"error": {**quoted, "code": "0x80040265"}}),
    ):
        screen = stage.screens[connection]
        for path in (
            r"/composite(/sobjects)?$|batch/(update|create)$|\$batch$",
            "query|search|v9.2/(contacts|accounts)",
        ):
            for status_code in (400, 500):
                for source in THREE:
                    stage.change(source, "contact", same[source], notes=sing(f"notes in {source}"))
                screen.faults({"path": path, "action": "status", "status": status_code, "times": 6, "body": body})
                aviary.sync()
                screen.no_more_faults()
        stage.rows("update api_budget set paused_until = null")
        stage.rows("update outbox set next_attempt_at = now() where state = 'waiting'")
    stage.screens["dynamics"].down(True)
    aviary.sync()
    stage.screens["dynamics"].down(False)
    stage.rows("update outbox set next_attempt_at = now() where state = 'waiting'")
    aviary.sync(full=True)
    with stage.opened("status") as ctx:
        aviary.said.append(repr(status(ctx)))
    for connection in THREE:
        aviary.person(connection, f"late in {connection}")
        stage.change(connection, "contact", same[connection], notes=sing(f"late notes in {connection}"))
    _live_in_dagster(aviary, {"message": quoted["message"], "category": "VALIDATION_ERROR", "status": "error"})


def _live_in_dagster(aviary: Aviary, answer: dict[str, str]) -> None:
    """Let Dagster run what it runs, with an error of a CRM that quotes values, and keep what it answers."""
    stage = aviary.stage
    assert stage.settings.database_url is not None
    stage.settings.state_dir.mkdir(exist_ok=True)
    variables = dagster_environment(stage.settings, stage.settings.database_url)
    with Runner(variables, stage.directory / DAGSTER_LOG) as runner:
        stage.screens["hubspot"].faults(
            {"path": "search", "action": "status", "status": 400, "times": 2, "body": answer}
        )
        failed = runner.run("sync_hubspot")
        assert failed["failed"], "the CRM's refusal went unnoticed"
        stage.screens["hubspot"].no_more_faults()
        found = [failed, runner.run("reconcile_salesforce"), *(runner.run(f"sync_{crm}") for crm in THREE)]
        found.append(runner.run("check_at_rest"))
    assert [run["job"] for run in found[1:] if run["failed"]] == []
    assert found[1]["assets"]["reconciliation/salesforce/contact"]["differing"] >= 1
    aviary.said += [repr(run) for run in found]


def test_all_that_may_go_wrong_did(aviary: Aviary, life: object) -> None:
    stage = aviary.stage
    assert stage.count("select count(*) from quarantine") >= 4
    assert stage.count("select count(*) from review where state = 'open'") >= 1
    assert stage.count("select count(*) from withheld") >= 1
    assert stage.count("select count(*) from audit_operation") >= 6
    assert stage.count("select count(*) from audit where action in ('dead', 'retried', 'changed', 'withheld')") >= 1
    assert len(aviary.canaries.made) >= 100
    every = {(e, f.name) for e, spec in stage.specs.entities.items() for f in spec.fields if f.pii and f.type in TEXTS}
    assert aviary.sung == every
    assert len(every) >= 20
    assert stage.count("select count(*) from dagster.event_logs") >= 100
    assert stage.count("select count(*) from api_call") >= 10


def test_the_search_finds_what_is_there(aviary: Aviary, life: object) -> None:
    canary = next(iter(aviary.canaries.made))
    for number, blob in enumerate(
        (
            b"x" + canary.encode() + b"y",
            canary.title().encode(),
            zlib.compress(canary.encode()),
            base64.b64encode(b"ab" + canary.encode() + b"c"),
            b"..." + base64.b64encode(b"a" + canary.encode()) + b"...",
            canary.encode().hex().encode(),
            b'{"page": "' + base64.b64encode(zlib.compress(b"a" + canary.encode() * 3)) + b'"}',
            b"head" + zstandard.compress(canary.encode() * 3) + b"tail",
            b"head" + gzip.compress(canary.encode()),
            zlib.compress(b"".join(f"{n} ".encode() for n in range(9000)) + canary.encode()),
        )
    ):
        assert aviary.canaries.found_in([("here", blob)]) == ["here"], number


def test_no_value_lies_readable_in_any_table(aviary: Aviary, life: object) -> None:
    assert sorted(set(aviary.canaries.found_in(cells(aviary.stage)))) == []


def test_no_value_lies_readable_in_the_servers_files(aviary: Aviary, life: object) -> None:
    stage = aviary.stage
    stage.rows("checkpoint")
    ((data,),) = stage.rows("show data_directory")
    logs = [p for p in Path(data).parent.glob("*.log*") if p.is_file()]
    assert logs, "where is the server's log?"
    assert list(Path(data).glob("pg_wal/0*")), "where is the WAL?"
    assert aviary.canaries.found_in(files(Path(data).parent)) == []


def test_no_value_stands_in_logs_reports_and_errors(aviary: Aviary, life: tuple[str, list[str]]) -> None:
    logged, said = life
    assert aviary.canaries.found_in([("log", logged.encode()), *(("said", s.encode()) for s in said)]) == []
    assert len(said) >= 20
    directory = aviary.stage.directory
    assert list(files(directory / "state")), "where is the state directory?"
    assert aviary.canaries.found_in(files(directory / "state")) == []
    assert (directory / DAGSTER_LOG).stat().st_size > 10_000, "Dagster said hardly anything"
    logs = [(name, (directory / name).read_bytes()) for name in (DAGSTER_LOG, OUTPUT)]
    assert aviary.canaries.found_in(logs) == []
