"""A reconciliation beside other work: what moves while it looks is no drift, and it changes nothing itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from crm_sync.cli.app import app
from crm_sync.connectors.base import Connector
from crm_sync.errors import Misconfigured
from crm_sync.flows import reconcile as reconciling
from crm_sync.flows.absorb import part
from crm_sync.flows.context import Context
from crm_sync.flows.reconcile import ReconcileReport, differences, examine, reconcile
from crm_sync.records import Page, SourceBatch
from crm_sync.store import reconciliations
from crm_sync.store.clock import SystemClock
from crm_sync.store.reconciliations import Reconciliation
from tests.scenarios.conftest import SetStage, set_stage  # noqa: F401
from tests.scenarios.reading import well_known
from tests.scenarios.screens import writing
from tests.scenarios.stage import CONFIG, Stage

HUBSPOT = ("hubspot", "contact")
Event = Callable[[int], None]


class Interrupted:
    """A connector between whose answers something happens: before page n is handed on, before fetch n."""

    def __init__(self, inner: Connector, *, page: Event | None = None, fetch: Event | None = None) -> None:
        self._inner, self._page, self._fetch = inner, page, fetch
        self.pages = self.fetched = 0

    def snapshot(self, *arguments: Any) -> Iterator[Page]:
        for page in self._inner.snapshot(*arguments):
            self.pages += 1
            if self._page:
                self._page(self.pages)
            yield page

    def fetch(self, mapping: Any, record_ids: Sequence[str], lane: Any) -> SourceBatch:
        self.fetched += 1
        if self._fetch:
            self._fetch(self.fetched)
        return self._inner.fetch(mapping, record_ids, lane)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture(scope="module")
def stage(set_stage: SetStage) -> Iterator[Stage]:  # noqa: F811
    """Return a stage at rest, with two pages of contacts in HubSpot."""
    with set_stage(seed=31415, accounts=20, contacts=130) as ready:
        ready.settle()
        yield ready


@pytest.fixture(autouse=True)
def _quiet(stage: Stage) -> Iterator[None]:
    yield
    stage.settle()
    with stage.opened("look") as ctx:
        assert differences(ctx) == []


def interrupted(ctx: Context, **events: Event) -> Interrupted:
    """Put events between the answers of HubSpot."""
    made = Interrupted(ctx.connector("hubspot"), **events)
    ctx._connectors["hubspot"] = made
    return made


def shown(stage: Stage, number: int) -> list[str]:
    """Return records of HubSpot that live everywhere."""
    return [places["hubspot"] for _, places in well_known(stage, "contact") if len(places) == 3][:number]


def test_a_sync_that_goes_on_meanwhile_is_no_drift(stage: Stage) -> None:
    (_, one), (_, two), *_ = well_known(stage, "contact")
    *_, (_, last) = well_known(stage, "contact")

    def sync(page: int) -> None:
        # The page is old when it is compared: the shadows have moved on.
        if page == 1:
            for number, places in enumerate((one, two, last)):
                stage.change("salesforce", "contact", places["salesforce"], job_title=f"Thatcher {number}")
            stage.screens["salesforce"].create("Contact", {"FirstName": "Cornelia", "LastName": "Underhill"})
            stage.settle()

    with stage.opened("look") as ctx:
        there = interrupted(ctx, page=sync)
        report = examine(ctx, *HUBSPOT)
    assert there.pages > 1 and there.fetched, "nothing was read twice"
    assert report.differences() == []
    assert report.is_equal


def test_an_edit_while_we_look_is_told_apart_from_one_that_we_missed(stage: Stage) -> None:
    first, second, *_ = shown(stage, 2)
    stage.change(*HUBSPOT, first, job_title="Missed")

    def edit(page: int) -> None:
        if page == 1:
            stage.change(*HUBSPOT, second, job_title="Just now")
            stage.change(*HUBSPOT, first, first_name="Ottoline")

    with stage.opened("look") as ctx:
        interrupted(ctx, fetch=edit)
        report = examine(ctx, *HUBSPOT)
    # The record that we missed moved again while we looked, so that nobody can tell any more.
    assert (report.classes["differing"], report.classes["moving"]) == (0, 1)
    assert report.examples["moving"] == [first]
    assert not report.drifting and not report.is_equal


def test_a_suspect_that_was_deleted_while_we_looked_is_moving(stage: Stage) -> None:
    record_id = shown(stage, 1)[0]
    stage.change(*HUBSPOT, record_id, job_title="Soon gone")
    with stage.opened("look") as ctx:
        at = stage.at(*HUBSPOT)
        interrupted(ctx, fetch=lambda n: stage.screens["hubspot"].delete(at, record_id) if n == 1 else None)
        report = examine(ctx, *HUBSPOT)
    assert (report.drifting, report.examples["moving"]) == (0, [record_id])
    place = ["hubspot", stage.specs.mapping(*HUBSPOT).object, record_id]
    stage.rows("insert into inbox (connection, object, record_id, kind) values (%s, %s, %s, 'told')", place)


def test_a_record_that_never_rests_is_moving_and_the_look_ends(stage: Stage) -> None:
    record_id = shown(stage, 1)[0]
    stage.change(*HUBSPOT, record_id, job_title="Restless")

    def touch(_: int) -> None:
        stage.rows(
            "update shadow set version = version || '.' from identity_link l "
            "where l.link_id = shadow.link_id and l.connection = 'hubspot' and l.record_id = %s",
            [record_id],
        )

    with stage.opened("look") as ctx:
        there = interrupted(ctx, fetch=touch)
        report = examine(ctx, *HUBSPOT)
    assert there.fetched == reconciling._ROUNDS
    assert (report.drifting, report.examples["moving"]) == (0, [record_id])


def test_what_a_first_round_could_not_tell_a_later_one_does(stage: Stage) -> None:
    record_id = shown(stage, 1)[0]
    stage.change(*HUBSPOT, record_id, job_title="Told later")

    def touch(number: int) -> None:
        if number == 1:
            stage.rows(
                "update shadow set version = version || '.' from identity_link l "
                "where l.link_id = shadow.link_id and l.connection = 'hubspot' and l.record_id = %s",
                [record_id],
            )

    with stage.opened("look") as ctx:
        interrupted(ctx, fetch=touch)
        report = examine(ctx, *HUBSPOT)
    assert report.examples["differing"] == [record_id]


def test_a_record_that_the_pages_skipped_is_read_before_it_is_called_missing(stage: Stage) -> None:
    hidden = shown(stage, 1)[0]

    class Skipping(Interrupted):
        def snapshot(self, *arguments: Any) -> Iterator[Page]:
            for page in super().snapshot(*arguments):
                kept = [r for r, i in enumerate(page.batch.record_ids) if i != hidden]
                yield replace(page, made=part(page.batch, kept))

    with stage.opened("look") as ctx:
        ctx._connectors["hubspot"] = Skipping(ctx.connector("hubspot"))
        report = examine(ctx, *HUBSPOT)
    assert report.differences() == []
    assert report.compared == report.read == len(stage.records(*HUBSPOT))


def test_a_field_that_we_may_not_read_any_more_is_no_edit_and_no_loss(stage: Stage) -> None:
    source = stage.source(*HUBSPOT, "job_title")
    stage.change(*HUBSPOT, shown(stage, 1)[0], job_title="Out of sight")

    class Blind(Interrupted):
        def snapshot(self, *arguments: Any) -> Iterator[Page]:
            for page in super().snapshot(*arguments):
                seen = {name: column for name, column in page.batch.values.items() if name != source}
                yield replace(page, made=replace(page.batch, values=seen))

    with stage.opened("look") as ctx:
        ctx._connectors["hubspot"] = Blind(ctx.connector("hubspot"))
        assert examine(ctx, *HUBSPOT).differences() == []


def test_a_refused_version_is_held_and_a_newer_one_that_we_missed_is_not(stage: Stage) -> None:
    record_id = shown(stage, 1)[0]
    before = stage.shown(*HUBSPOT, record_id, "last_name")
    stage.change(*HUBSPOT, record_id, last_name="")
    stage.sync()
    assert stage.count("select count(*) from quarantine where record_id = %s", [record_id]) == 1
    with stage.opened("look") as ctx:
        report = examine(ctx, *HUBSPOT)
        assert report.differences() == []
        assert record_id in report.examples["held"]
        stage.change(*HUBSPOT, record_id, last_name="", job_title="Edited since")
        report = examine(ctx, *HUBSPOT)
    assert report.examples["differing"] == [record_id]
    assert report.fields["differing"] == {"job_title": 1, "last_name": 1}
    stage.change(*HUBSPOT, record_id, last_name=before)


def test_other_rules_do_not_look_like_edits(stage: Stage, tmp_path: Path) -> None:
    shutil.copytree(CONFIG, tmp_path / "config")
    path = tmp_path / "config" / "mappings" / "hubspot" / "contact.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("version: 1", "version: 2", 1), encoding="utf-8")
    with stage.opened("look", config_dir=tmp_path / "config") as ctx:
        older = ctx.lens(*HUBSPOT).form.form_id
        assert stage.count("select count(*) from shadow where form_id = %s", [older]) == 0
        report = examine(ctx, *HUBSPOT)
    assert report.differences() == []
    edited = shown(stage, 1)[0]
    stage.change(*HUBSPOT, edited, job_title="Under new rules")
    with stage.opened("look", config_dir=tmp_path / "config") as ctx:
        assert examine(ctx, *HUBSPOT).examples["differing"] == [edited]


TABLES = (
    "identity_link", "shadow", "hub_record", "hub_change", "outbox", "landing_page", "watermark", "inbox", "quarantine",
    "review", "parked_in", "parked_out", "withheld", "audit", "tally", "match_key",
)  # fmt: skip


def test_looking_changes_nothing(stage: Stage) -> None:
    stage.change(*HUBSPOT, shown(stage, 1)[0], job_title="Looked at")

    def portrait() -> dict[str, list[tuple[Any, ...]]]:
        digest = "select count(*), md5(coalesce(string_agg(t::text, '' order by t::text), '')) from {} t"
        return {table: stage.rows(digest.format(table)) for table in TABLES}

    for screen in stage.screens.values():
        screen.reset_calls()
    before = portrait()
    with stage.opened("reconcile") as ctx:
        assert [reconcile(ctx, *stream).drifting for stream in ctx.specs.mappings].count(1) == 1
    assert portrait() == before
    assert [writing(screen.calls()) for screen in stage.screens.values()] == [{}, {}, {}]
    assert stage.rows("select table_name from information_schema.tables where table_name = 'finding'") == []


def test_of_a_day_the_newest_comparison_stays(stage: Stage) -> None:
    with stage.opened("reconcile") as ctx:
        first = reconcile(ctx, *HUBSPOT)
        stage.change(*HUBSPOT, shown(stage, 1)[0], job_title="Second look")
        second = reconcile(ctx, *HUBSPOT)
        stale = result_of(first)
        ctx.database.run(lambda conn: reconciliations.save(conn, stale))
        newest = ctx.database.run(reconciliations.newest)[HUBSPOT]
    assert (first.drifting, second.drifting) == (0, 1)
    assert (newest.drifting, newest.at, newest.examples) == (1, second.at, second.examples)
    place = [first.day, *HUBSPOT]
    count = "select count(*) from reconciliation where day = %s and connection = %s and entity = %s"
    assert stage.count(count, place) == 1


def result_of(report: ReconcileReport) -> Reconciliation:
    return Reconciliation(
        report.day,
        report.connection,
        report.entity,
        uuid4(),
        report.at,
        report.compared,
        report.drifting,
        report.lagging,
        report.drift_share,
        report.classes,
        report.fields,
        report.examples,
    )


def test_a_crm_cannot_be_compared_as_it_was(stage: Stage) -> None:
    today = datetime.now(UTC).date()
    with stage.opened("reconcile") as ctx:
        for day in (today - timedelta(days=2), today + timedelta(days=1)):
            with pytest.raises(Misconfigured, match=rf"cannot be compared as of {day}"):
                reconcile(ctx, *HUBSPOT, day=day)
        assert reconcile(ctx, *HUBSPOT, day=today - timedelta(days=1)).day == today - timedelta(days=1)
        with pytest.raises(Misconfigured, match="There is no connection 'nowhere'"):
            examine(ctx, "nowhere", "contact")


def crm_sync(stage: Stage, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code and what it printed and said."""
    for name, value in stage.settings.environment.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["reconcile", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_the_command_tells_and_ends_by_the_threshold(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    code, told, _ = crm_sync(stage, monkeypatch, "-c", "hubspot", "-e", "contact")
    assert code == 0 and "differing" in told and "hubspot/contact" not in told
    records = shown(stage, 3)
    for record_id in records:
        stage.change(*HUBSPOT, record_id, job_title="Told on the screen")
    code, told, _ = crm_sync(stage, monkeypatch)
    assert code == 1
    assert f"hubspot/contact: 3 differing (job_title 3): {', '.join(sorted(records))}" in told
    code, told, _ = crm_sync(stage, monkeypatch, "-e", "account", "--json")
    found = json.loads(told)
    assert code == 0 and [r["connection"] for r in found["reports"]] == list(stage.specs.connections)


def test_a_crm_that_is_down_is_missed_and_the_others_are_compared(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.screens["hubspot"].down(True)
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: None)
    try:
        code, told, said = crm_sync(stage, monkeypatch, "-e", "account", "--json")
    finally:
        stage.screens["hubspot"].down(False)
    found = json.loads(told)
    assert code == 1 and list(found["missed"]) == ["hubspot"], said
    assert [r["connection"] for r in found["reports"]] == ["salesforce", "dynamics"]
