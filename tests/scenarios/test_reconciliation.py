"""Reconciliation finds exactly what is wrong, says nothing where all is well, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from crm_sync.flows.reconcile import ReconcileReport, differences, examine
from crm_sync.steps.comparing import DRIFT, LAG, Finding
from tests.scenarios.conftest import SetStage
from tests.scenarios.reading import well_known
from tests.scenarios.stage import Stage

CRMS = ("salesforce", "hubspot", "dynamics")
STREAMS = [(crm, entity) for crm in CRMS for entity in ("account", "contact")]
FIRST_NAME = {"salesforce": "FirstName", "hubspot": "firstname", "dynamics": "firstname"}
LAST_NAME = {"salesforce": "LastName", "hubspot": "lastname", "dynamics": "lastname"}


@pytest.fixture(scope="module")
def stage(set_stage: SetStage) -> Iterator[Stage]:
    """Return a stage where everything has come to rest."""
    with set_stage(seed=2718, accounts=30, contacts=120) as ready:
        ready.settle()
        assert unequal(ready) == []
        yield ready


@pytest.fixture(autouse=True)
def _quiet(stage: Stage) -> Iterator[None]:
    """Every story ends with everything equal, so that the next begins so."""
    yield
    assert unequal(stage) == []


def unequal(stage: Stage) -> list[str]:
    with stage.opened("look") as ctx:
        return differences(ctx)


def look(stage: Stage, connection: str, entity: str = "contact") -> ReconcileReport:
    with stage.opened("look") as ctx:
        return examine(ctx, connection, entity)


def found(report: ReconcileReport) -> dict[str, list[str]]:
    """Return finding -> ids of all that is not equal."""
    wrong = {f.value for f in (*DRIFT, *LAG, Finding.QUEUED, Finding.MOVING)}
    out = {finding: ids for finding, ids in report.examples.items() if finding in wrong}
    assert {f: len(ids) for f, ids in out.items()} == {f: n for f, n in report.classes.items() if n and f in wrong}
    return out


def others(stage: Stage, *but: tuple[str, str]) -> list[str]:
    """Return what is not equal elsewhere."""
    with stage.opened("look") as ctx:
        return differences(ctx, [s for s in STREAMS if s not in but])


def heal(stage: Stage, *notices: tuple[str, str]) -> None:
    """Sync to rest, after a hint that contacts (connection, record id) must be read again."""
    for connection, record_id in notices:
        place = [connection, stage.specs.mapping(connection, "contact").object, record_id]
        stage.rows("insert into inbox (connection, object, record_id, kind) values (%s, %s, %s, 'told')", place)
    stage.settle()


def whole(stage: Stage) -> list[tuple[UUID, dict[str, str]]]:
    """Return the contacts that live in every CRM, with nothing open."""
    return [(hub_id, places) for hub_id, places in well_known(stage, "contact") if len(places) == len(CRMS)]


def some(stage: Stage, number: int) -> list[tuple[UUID, dict[str, str]]]:
    return whole(stage)[:number]


@pytest.mark.parametrize("crm", CRMS)
def test_an_edit_behind_our_back_is_found_by_record_and_field(stage: Stage, crm: str) -> None:
    (_, one), (_, two), (_, three) = some(stage, 3)
    stage.change(crm, "contact", one[crm], job_title=f"Lamplighter at {crm}")
    stage.change(crm, "contact", two[crm], job_title=f"Cooper at {crm}", first_name=f"Perpetua {crm}")
    stage.change(crm, "contact", three[crm], first_name=f"Ignatius {crm}")
    report = look(stage, crm)
    assert found(report) == {"differing": sorted([one[crm], two[crm], three[crm]])}
    assert report.fields["differing"] == {"job_title": 2, "first_name": 2}
    assert report.drifting == 3
    assert report.drift_share == pytest.approx(3 / report.compared)
    assert others(stage, (crm, "contact")) == []
    (line,) = report.differences()
    assert line.startswith(f"{crm}/contact: 3 differing (first_name 2, job_title 2): ")
    assert "Lamplighter" not in line
    heal(stage)


@pytest.mark.parametrize("crm", CRMS)
def test_a_deletion_behind_our_back_is_proven_and_found(stage: Stage, crm: str) -> None:
    (_, places), *_ = reversed(whole(stage))
    stage.screens[crm].delete(stage.at(crm, "contact"), places[crm])
    report = look(stage, crm)
    assert found(report) == {"missing_there": [places[crm]]}
    assert report.read == report.compared, "what is gone is compared as well"
    assert others(stage, (crm, "contact")) == []
    # HubSpot's search never shows a deletion: without a notice only a reconciliation finds it.
    heal(stage, (crm, places[crm]))


@pytest.mark.parametrize("crm", CRMS)
def test_a_record_that_never_arrived_is_found(stage: Stage, crm: str) -> None:
    values = {FIRST_NAME[crm]: "Zenobia", LAST_NAME[crm]: f"Quillfeather {crm.title()}"}
    record_id = stage.screens[crm].create(stage.at(crm, "contact"), values)
    assert found(look(stage, crm)) == {"missing_here": [record_id]}
    assert others(stage, (crm, "contact")) == []
    heal(stage)


def test_an_association_that_moved_without_its_record_is_found(stage: Stage) -> None:
    # HubSpot does not move a contact's stamp for it: no incremental read shows this.
    companies = [places["hubspot"] for _, places in well_known(stage, "account")]
    at = stage.at("hubspot", "contact")
    record_id, before = next(
        (places["hubspot"], now)
        for _, places in whole(stage)
        if (now := stage.records("hubspot", "contact")[places["hubspot"]]["associations"].get("companies"))
    )
    other = next(c for c in companies if c not in before)
    stage.screens["hubspot"].edit(at, record_id, {}, {"companies": [other]})
    report = look(stage, "hubspot")
    assert found(report) == {"differing": [record_id]}
    assert report.fields["differing"] == {"account": 1}
    stage.screens["hubspot"].edit(at, record_id, {}, {"companies": before})


def test_a_record_that_left_scope_behind_our_back_is_found(stage: Stage) -> None:
    (_, places), *_ = reversed(whole(stage))
    stage.screens["dynamics"].edit("contact", places["dynamics"], {"statecode": 1})
    assert found(look(stage, "dynamics")) == {"left_scope": [places["dynamics"]]}
    stage.screens["dynamics"].edit("contact", places["dynamics"], {"statecode": 0})


def test_a_link_that_was_removed_shows_on_both_sides(stage: Stage) -> None:
    (hub_id, places), *_ = some(stage, 1)
    link_id = link_of(stage, "salesforce", places["salesforce"])
    with restored(stage, link_id):
        stage.rows("delete from shadow where link_id = %s", [link_id])
        stage.rows("delete from identity_link where link_id = %s", [link_id])
        report = look(stage, "salesforce")
        assert report.classes["missing_here"] == 1
        assert report.examples["missing_here"] == [places["salesforce"]]
        # The golden record has no record there either, unless that record carries our key.
        assert report.examples.get("not_created", [str(hub_id)]) == [str(hub_id)]
        assert report.drifting == 1


def test_a_tampered_shadow_is_found_in_its_field(stage: Stage) -> None:
    (_, places), *_ = some(stage, 1)
    link_id = link_of(stage, "hubspot", places["hubspot"])
    last = len(stage.specs.mapping("hubspot", "contact").fields) - 1
    with restored(stage, link_id):
        stage.rows(
            "update shadow set crm_vector = set_byte(crm_vector, %s, get_byte(crm_vector, %s) # 1) where link_id = %s",
            [8 * last, 8 * last, link_id],
        )
        report = look(stage, "hubspot")
        assert found(report) == {"differing": [places["hubspot"]]}
        assert sum(report.fields["differing"].values()) == 1


def test_a_link_without_a_shadow_is_an_orphan(stage: Stage) -> None:
    (_, places), *_ = some(stage, 1)
    link_id = link_of(stage, "dynamics", places["dynamics"])
    with restored(stage, link_id):
        stage.rows("delete from shadow where link_id = %s", [link_id])
        assert found(look(stage, "dynamics")) == {"orphan_link": [places["dynamics"]]}


def test_a_link_to_a_golden_record_that_lives_on_in_another_is_an_orphan(stage: Stage) -> None:
    (loser, places), (winner, _) = some(stage, 2)
    stage.rows("update hub_record set united_into = %s where hub_id = %s", [winner, loser])
    for crm in CRMS:
        assert found(look(stage, crm)) == {"orphan_link": [places[crm]]}
    stage.rows("update hub_record set united_into = null where hub_id = %s", [loser])


def test_two_records_with_one_key_of_ours_are_duplicates(stage: Stage) -> None:
    # HubSpot tells upper from lower case where it holds values unique; a hub id does not.
    key = stage.specs.mapping("hubspot", "contact").external_key
    at, records = stage.at("hubspot", "contact"), stage.records("hubspot", "contact")
    first = next(i for i, r in records.items() if any(c.isalpha() for c in r["values"].get(key) or ""))
    value = records[first]["values"][key]
    second = next(i for i, r in records.items() if not r["values"].get(key))
    stage.screens["hubspot"].edit(at, second, {key: value.upper()})
    report = look(stage, "hubspot")
    assert found(report) == {"duplicate": sorted([first, second])}
    assert report.drifting == 2
    stage.screens["hubspot"].edit(at, second, {key: None})


def test_two_live_primary_links_of_one_golden_record_are_duplicates(stage: Stage) -> None:
    (one, places), (two, more) = some(stage, 2)
    index = "one_live_primary_link_per_hub_record"
    ((definition,),) = stage.rows("select indexdef from pg_indexes where indexname = %s", [index])
    stage.rows(f"drop index {index}")
    link_id = link_of(stage, "salesforce", more["salesforce"])
    stage.rows("update identity_link set hub_id = %s where link_id = %s", [one, link_id])
    report = look(stage, "salesforce")
    assert report.examples["duplicate"] == sorted([places["salesforce"], more["salesforce"]])
    stage.rows("update identity_link set hub_id = %s where link_id = %s", [two, link_id])
    stage.rows(definition)


def test_what_should_have_been_sent_and_was_forgotten_lags(stage: Stage) -> None:
    (hub_id, places), *_ = some(stage, 1)
    stage.edit("contact", hub_id, {"job_title": "Bellfounder"})
    for crm in CRMS:
        waiting = look(stage, crm)
        assert found(waiting) == {"queued": [places[crm]]}
        assert not waiting.is_equal and not waiting.lagging
    stage.rows("delete from hub_change where hub_id = %s", [hub_id])
    for crm in CRMS:
        report = look(stage, crm)
        assert found(report) == {"lagging": [places[crm]]}
        assert report.fields["lagging"] == {"job_title": 1}
        assert (report.drifting, report.lagging) == (0, 1)
    stage.rows("insert into hub_change (hub_id, entity) values (%s, 'contact')", [hub_id])
    heal(stage)


def test_a_golden_record_that_should_have_been_created_there_is_found(stage: Stage) -> None:
    values = {"FirstName": "Wilhelmina", "LastName": "Threadgold"}
    record_id = stage.screens["salesforce"].create("Contact", values)
    stage.sync(["salesforce"])
    ((hub_id,),) = stage.rows("select hub_id from identity_link where record_id = %s", [record_id])
    assert found(look(stage, "hubspot")) == {"queued": [str(hub_id)]}
    stage.rows("delete from outbox where hub_id = %s and connection = 'hubspot'", [hub_id])
    report = look(stage, "hubspot")
    assert found(report) == {"not_created": [str(hub_id)]}
    assert (report.drifting, report.lagging) == (0, 1)
    stage.rows("insert into hub_change (hub_id, entity) values (%s, 'contact')", [hub_id])
    heal(stage)


def test_a_golden_record_whose_twin_waits_there_is_held(stage: Stage) -> None:
    before, email = look(stage, "hubspot").classes["held"], "ermintrude@twin.example.com"
    at = stage.at("hubspot", "contact")
    values = {"email": email, "firstname": "Ermintrude", "lastname": "Gosling", "date_of_birth": "spring"}
    twin = stage.screens["hubspot"].create(at, values)
    stage.sync()
    assert stage.count("select count(*) from quarantine where record_id = %s", [twin]) == 1, "that is no date"
    values = {"FirstName": "Ermintrude", "LastName": "Gosling", "Email": email}
    record_id = stage.screens["salesforce"].create("Contact", values)
    stage.settle()
    ((linked,),) = stage.rows(
        "select array_agg(connection order by connection) from identity_link where hub_id = "
        "(select hub_id from identity_link where record_id = %s)",
        [record_id],
    )
    assert linked == ["dynamics", "salesforce"]
    report = look(stage, "hubspot")
    assert found(report) == {}
    assert report.classes["held"] == before + 2, "the record, and the golden record that may be it"
    stage.screens["hubspot"].edit(at, twin, {"date_of_birth": None})
    heal(stage)


def test_everything_at_once_is_told_apart(stage: Stage) -> None:
    (_, edited), (_, tampered), (lagging, late), *_ = some(stage, 3)
    *_, (_, deleted) = whole(stage)
    crm = "dynamics"
    stage.change(crm, "contact", edited[crm], job_title="Fletcher")
    stage.screens[crm].delete("contact", deleted[crm])
    new = stage.screens[crm].create("contact", {"firstname": "Barnaby", "lastname": "Oxenbould"})
    stage.edit("contact", lagging, {"job_title": "Ropemaker"})
    stage.rows("delete from hub_change where hub_id = %s", [lagging])
    link_id = link_of(stage, crm, tampered[crm])
    with restored(stage, link_id):
        stage.rows("delete from shadow where link_id = %s", [link_id])
        report = look(stage, crm)
        assert found(report) == {
            "differing": [edited[crm]],
            "missing_there": [deleted[crm]],
            "missing_here": [new],
            "orphan_link": [tampered[crm]],
            "lagging": [late[crm]],
        }
        assert (report.drifting, report.lagging) == (4, 1)
    stage.rows("insert into hub_change (hub_id, entity) values (%s, 'contact')", [lagging])
    heal(stage)


def link_of(stage: Stage, connection: str, record_id: str) -> int:
    place = [connection, record_id]
    return stage.count("select link_id from identity_link where connection = %s and record_id = %s", place)


@contextmanager
def restored(stage: Stage, link_id: int) -> Iterator[None]:
    """Put a link and its shadow back as they were when the block ends."""
    tables = ("identity_link", "shadow")
    for table in tables:
        stage.rows(f"create table kept_{table} as select * from {table} where link_id = %s", [link_id])
    yield
    stage.rows("delete from shadow where link_id = %s", [link_id])
    stage.rows("delete from identity_link where link_id = %s", [link_id])
    for table in tables:
        stage.rows(f"insert into {table} overriding system value select * from kept_{table}")
        stage.rows(f"drop table kept_{table}")
