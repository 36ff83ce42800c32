"""Convergence (P4), no echo (P3), idempotence (P2): what a first sync leaves behind, and that nothing follows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.scenarios.conftest import SetStage
from tests.scenarios.reading import compare, well_known, world
from tests.scenarios.stage import Round, Stage

ENTITIES = ("account", "contact")


@pytest.fixture(scope="module")
def synced(set_stage: SetStage) -> Iterator[tuple[Stage, Round]]:
    """Return a stage after its first sync."""
    with set_stage(seed=4711, accounts=40, contacts=200) as stage:
        yield stage, stage.sync()


@pytest.mark.parametrize("entity", ENTITIES)
def test_all_linked_records_agree_on_all_mapped_fields(synced: tuple[Stage, Round], entity: str) -> None:
    stage, _ = synced
    found = compare(stage, entity)
    for reason, places in found.excused.items():
        print(f"{entity}: {len(places)} cells {reason}: {places}")
    assert found.differences == []
    excused = sum(len(places) for places in found.excused.values())
    assert excused * 50 < found.equal, "more than two in a hundred cells are excused"


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_golden_record_lives_once_in_every_crm(synced: tuple[Stage, Round], entity: str) -> None:
    stage, first = synced
    assert first.missed == {}
    now = world(stage, entity)
    places = Counter((x.hub_id, x.connection) for x in now.links if x.is_primary and x.state == "live")
    assert set(places.values()) == {1}
    linked = {(x.connection, x.record_id): x.hub_id for x in now.links}
    held = set(
        stage.rows("select connection, record_id from quarantine union select connection, record_id from review")
    )
    assert set(now.crm) - set(linked) - held == set()
    # Nothing is created where a record of the same real thing waits for a person to mend it.
    waiting = set()
    for records in stage.truth()[f"{entity}s"]:
        refs = [(r["crm"], r["id"]) for r in records]
        waiting |= {(linked.get(ref), connection) for ref in refs for connection, _ in held.intersection(refs)}
    homeless = {(h, c) for h in now.golden for c in stage.screens} - set(places)
    assert homeless <= waiting


def test_the_next_rounds_send_nothing(synced: tuple[Stage, Round]) -> None:
    stage, first = synced
    assert first.sum("sent") > 100
    for number in range(3):
        again = stage.sync()
        assert again.missed == {}
        assert again.writes == {}, f"round {number + 2}"
        assert again.sum("sent") == 0
        assert again.totals["queued"] == 0
        assert again.totals["applied"] == 0
        assert stage.rows("select connection, entity, state from outbox where state <> 'dead'") == []
    for entity in ENTITIES:
        assert compare(stage, entity).differences == []


def test_a_refused_value_is_withheld_and_the_rest_of_its_record_arrives(synced: tuple[Stage, Round]) -> None:
    stage, _ = synced
    assert stage.rows("select * from outbox where state = 'dead'") == []
    # Families share an e-mail address, which HubSpot takes only once.
    withheld = set(stage.rows("select connection, field, error_class from withheld"))
    assert withheld == {("hubspot", "email", "duplicate")}


def test_what_an_automation_alters_is_a_change(synced: tuple[Stage, Round]) -> None:
    stage, _ = synced
    hub_id, places = well_known(stage, "contact")[0]
    stage.edit("contact", hub_id, {"job_title": "Head of Echoes"})
    stage.sync()
    assert stage.shown("salesforce", "contact", places["salesforce"], "job_title") == "Head of Echoes"
    stage.change("salesforce", "contact", places["salesforce"], job_title="HEAD OF ECHOES")
    rounds = stage.settle()
    assert rounds[0].sum("sent") == 2
    for connection, record_id in places.items():
        assert stage.shown(connection, "contact", record_id, "job_title") == "HEAD OF ECHOES"
    assert world(stage, "contact").golden[hub_id]["job_title"] == "t:HEAD OF ECHOES"
