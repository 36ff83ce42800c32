"""What the checks at rest see: each kind of damage that somebody could do to the tables, and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from crm_sync.errors import BadSettings, StoreTrouble
from crm_sync.flows import quality
from crm_sync.flows.quality import QualityReport, check_quality, derive
from crm_sync.flows.quality_page import page, write
from crm_sync.records import NULL
from crm_sync.store import expectations
from tests.integration.conftest import _template, server_url  # noqa: F401
from tests.scenarios.conftest import SetStage, set_stage  # noqa: F401
from tests.scenarios.reading import world
from tests.scenarios.stage import Stage


@pytest.fixture(scope="module")
def stage(set_stage: SetStage) -> Iterator[Stage]:  # noqa: F811
    with set_stage(seed=515, accounts=25, contacts=100) as ready:
        ready.settle()
        yield ready


def checked(stage: Stage, entity: str) -> QualityReport:
    with stage.opened("quality") as ctx:
        return check_quality(ctx, entity)


def broken(report: QualityReport) -> dict[tuple[str, str], int]:
    """Return (check, where) -> rows of what is not met."""
    return {(o.demand.check, o.demand.place): o.unexpected for o in report.outcomes if not o.passed}


@contextmanager
def damage(stage: Stage, statement: str, undo: str, *values: Any) -> Iterator[None]:
    assert stage.rows(f"with done as ({statement} returning 1) select count(*) from done", values)[0][0] > 0
    try:
        yield
    finally:
        stage.rows(undo, values)


def a_reference(stage: Stage) -> tuple[UUID, UUID]:
    """Return a contact and the account that it refers to."""
    rows = stage.rows("select hub_id, target_hub_id from quality_reference where entity = 'contact' order by 1 limit 1")
    return rows[0][0], rows[0][1]


def test_data_as_the_sync_left_it_is_sound(stage: Stage) -> None:
    for entity in ("account", "contact"):
        report = checked(stage, entity)
        assert broken(report) == {}
        assert all(o.checked > 0 for o in report.outcomes)


def test_references_are_derived_from_the_documents(stage: Stage) -> None:
    derived = "select hub_id, refs, missing_required, facts from hub_record where united_into is null order by hub_id"
    before = stage.rows(derived)
    assert sum(bool(row[1]) for row in before) > 20
    versions = "select hub_id, revision, updated_at from hub_record order by hub_id"
    untouched = stage.rows(versions)
    forget = "update hub_record set refs = null, derived_by = null, missing_required = 9, facts = '{}'"
    stage.rows(f"{forget} where united_into is null")
    with stage.opened("derive") as ctx:
        assert derive(ctx, "account") + derive(ctx, "contact") == len(before)
        assert derive(ctx, "contact") == 0
    assert stage.rows(derived) == before
    assert stage.rows(versions) == untouched, "deriving is no change of a golden record"


def test_a_reference_to_nothing_is_seen(stage: Stage) -> None:
    contact, account = a_reference(stage)
    away = "00000000-0000-4000-8000-000000000001"
    with damage(
        stage,
        f"update hub_record set refs = jsonb_build_object('account', '{away}') where hub_id = %s",
        f"update hub_record set refs = jsonb_build_object('account', '{account}') where hub_id = %s",
        contact,
    ):
        report = checked(stage, "contact")
        assert broken(report) == {(quality.REFERENCES, "contact/account"): 1}
        found = next(o for o in report.of(quality.REFERENCES) if not o.passed)
        assert [example["hub_id"] for example in found.examples] == [str(contact)]


def test_a_reference_to_another_entity_is_seen(stage: Stage) -> None:
    contact, account = a_reference(stage)
    with damage(
        stage,
        f"update hub_record set refs = jsonb_build_object('account', '{contact}') where hub_id = %s",
        f"update hub_record set refs = jsonb_build_object('account', '{account}') where hub_id = %s",
        contact,
    ):
        assert broken(checked(stage, "contact")) == {(quality.REFERENCES, "contact/account"): 1}


def test_an_account_that_a_crm_never_got_is_seen_in_that_crm_only(stage: Stage) -> None:
    _, account = a_reference(stage)
    contacts = stage.count(
        "select count(*) from quality_crossing where target_hub_id = %s and connection = 'hubspot'", [account]
    )
    there = "entity = 'account' and connection = 'hubspot'"
    with damage(
        stage,
        f"update identity_link set entity = 'lost' where {there} and hub_id = %s",
        f"update identity_link set entity = 'account' where {there.replace('account', 'lost')} and hub_id = %s",
        account,
    ):
        assert broken(checked(stage, "contact")) == {(quality.ACROSS, "hubspot/contact/account"): contacts}
    _queued_explains_it(stage, account)


def _queued_explains_it(stage: Stage, account: UUID) -> None:
    stage.rows("update identity_link set entity = 'lost' where connection = 'hubspot' and hub_id = %s", [account])
    stage.rows("insert into hub_change (hub_id, entity) values (%s, 'account')", [account])
    try:
        assert broken(checked(stage, "contact")) == {}
    finally:
        stage.rows("delete from hub_change where hub_id = %s", [account])
        back = "update identity_link set entity = 'account' where connection = 'hubspot' and hub_id = %s"
        stage.rows(back, [account])


def test_a_link_without_its_shadow_is_seen_unless_it_is_awaited(stage: Stage) -> None:
    link_id, object_name, record_id = stage.rows(
        "select link_id, object, record_id from identity_link where entity = 'contact' and connection = 'dynamics'"
        " order by link_id limit 1"
    )[0]
    stage.rows("create table kept as select * from shadow where link_id = %s", [link_id])
    stage.rows("delete from shadow where link_id = %s", [link_id])
    try:
        assert broken(checked(stage, "contact")) == {(quality.LINKS, "dynamics/contact"): 1}
        notice = "insert into inbox (connection, object, record_id, kind) values ('dynamics', %s, %s, 'united')"
        stage.rows(notice, [object_name, record_id])
        assert broken(checked(stage, "contact")) == {}
    finally:
        stage.rows("delete from inbox where record_id = %s", [record_id])
        stage.rows("insert into shadow select * from kept")
        stage.rows("drop table kept")


def test_a_link_to_a_record_of_another_entity_is_seen(stage: Stage) -> None:
    contact, account = a_reference(stage)
    of_hubspot = "select min(link_id) from identity_link where hub_id = %s and connection = 'hubspot'"
    link_id = stage.count(of_hubspot, [account])
    with damage(
        stage,
        f"update identity_link set hub_id = '{contact}' where link_id = %s",
        f"update identity_link set hub_id = '{account}' where link_id = %s",
        link_id,
    ):
        assert broken(checked(stage, "account")) == {(quality.LINKS, "hubspot/account"): 1}


@pytest.mark.parametrize(
    ("table", "columns", "values"),
    [
        ("hub_change", "hub_id, entity", "%s, 'contact'"),
        ("match_key", "hub_id, entity, rule, digest", "%s, 'contact', 'e', decode(repeat('00', 16), 'hex')"),
    ],
)
def test_what_belongs_to_no_golden_record_is_seen(stage: Stage, table: str, columns: str, values: str) -> None:
    nobody = uuid4()
    stage.rows(f"insert into {table} ({columns}) values ({values})", [nobody])
    try:
        assert broken(checked(stage, "contact")) == {(quality.LINKS, "contact"): 1}
    finally:
        stage.rows(f"delete from {table} where hub_id = %s", [nobody])


def test_two_primary_records_in_one_place_are_seen(stage: Stage) -> None:
    one, other = (
        row[0]
        for row in stage.rows(
            "select link_id from identity_link where entity = 'account' and connection = 'dynamics' and is_primary"
            " order by link_id limit 2"
        )
    )
    stage.rows("drop index one_live_primary_link_per_hub_record")
    hub_id = stage.rows("select hub_id from identity_link where link_id = %s", [other])[0][0]
    move = "update identity_link set hub_id = (select hub_id from identity_link where link_id = %s) where link_id = %s"
    stage.rows(move, [one, other])
    try:
        assert broken(checked(stage, "account")) == {(quality.UNIQUE, "account"): 1}
    finally:
        stage.rows("update identity_link set hub_id = %s where link_id = %s", [hub_id, other])
        stage.rows(
            "create unique index one_live_primary_link_per_hub_record on identity_link (hub_id, connection, object)"
            " where is_primary and state = 'live'"
        )


def test_people_whom_an_edit_made_alike_are_twins_until_they_differ(stage: Stage) -> None:
    # Birth dates of linked records would forbid it.
    one, other = [h for h, doc in world(stage, "contact").golden.items() if doc["birth_date"] == NULL][:2]
    same = {"first_name": "Astrid", "last_name": "Unlikely", "email": "astrid@unlikely.example"}
    stage.edit("contact", one, same)
    stage.edit("contact", other, same)
    report = checked(stage, "contact")
    assert broken(report) == {(quality.UNIQUE, "contact"): 2}
    found = next(o for o in report.of(quality.UNIQUE) if not o.passed)
    assert {example["hub_id"] for example in found.examples} == {str(one), str(other)}
    # Another name takes it back, although the old match key stays in its table.
    stage.edit("contact", other, {"last_name": "Likely"})
    assert broken(checked(stage, "contact")) == {}
    shared = "select count(*) from match_key a join match_key b using (entity, rule, digest)"
    assert stage.count(f"{shared} where a.hub_id = %s and b.hub_id = %s", [one, other]) > 0


def test_no_value_of_a_person_reaches_the_page(stage: Stage) -> None:
    page_text = page([checked(stage, entity) for entity in ("account", "contact")])
    values = {
        str(value)
        for connection, source in (("salesforce", "LastName"), ("hubspot", "email"), ("dynamics", "telephone1"))
        for record in stage.records(connection, "contact").values()
        if len(str(value := record["values"].get(source) or "")) > 5
    }
    assert len(values) > 100
    assert not [value for value in values if value in page_text]


def test_the_page_cannot_be_written_everywhere(stage: Stage, tmp_path: Any) -> None:
    report = checked(stage, "account")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadSettings, match="cannot be written"):
        write(tmp_path / "file" / "page.html", [report])
    assert write(tmp_path / "new" / "page.html", [report]).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_database_that_cannot_be_asked_is_told_without_its_password(stage: Stage) -> None:
    demand = quality.demands(stage.specs, "account")[:1]
    with pytest.raises(StoreTrouble, match="could not be evaluated") as raised:
        expectations.judge("postgresql://someone:hush-hush@127.0.0.1:1/nowhere", demand)
    assert "hush-hush" not in str(raised.value) and raised.value.__suppress_context__


def test_an_expectation_that_cannot_be_evaluated_is_not_met(stage: Stage) -> None:
    assert stage.settings.database_url is not None
    nowhere = expectations.Demand("any", "any", "quality_golden", {"entity": "account"}, "nowhere", "filled")
    outcome = expectations.judge(stage.settings.database_url, [nowhere])[0]
    assert not outcome.passed and outcome.trouble


def test_the_command_says_what_holds_and_what_does_not(stage: Stage, tmp_path: Any) -> None:
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}

    def crm_sync(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from crm_sync.cli import main; main()", "quality", *arguments]
        environment = variables | dict(stage.settings.environment)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=os.getcwd())

    done = crm_sync("--html", str(tmp_path / "page.html"))
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert "All expectations are met." in done.stdout and (tmp_path / "page.html").exists()
    statement = "update hub_record set missing_required = {} where entity = 'account' and hub_id = any(%s)"
    ids = [row[0] for row in stage.rows("select hub_id from quality_golden where entity = 'account' limit 3")]
    stage.rows(statement.format(1), [ids])
    try:
        done = crm_sync("--entity", "account", "--json")
    finally:
        stage.rows(statement.format(0), [ids])
    told = json.loads(done.stdout)
    assert done.returncode == 1 and not told["passed"]
    assert [(row["check"], row["unexpected"]) for row in told["rows"] if not row["passed"]] == [(quality.REQUIRED, 3)]
    assert {example["hub_id"] for example in told["examples"][0]["rows"]} == {str(hub_id) for hub_id in ids}
    done = crm_sync("--entity", "accounts")
    assert done.returncode == 2 and "no entity 'accounts'" in done.stderr
