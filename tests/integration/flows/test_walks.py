"""Single walks through absorb and deliver: rows that the store refuses, records that turn out one, edits in between."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from crm_sync.flows.ingest import hydrate
from crm_sync.flows.sync import sync
from crm_sync.store import inbox
from tests.integration.conftest import _template, server_url  # noqa: F401
from tests.scenarios.conftest import SetStage, set_stage  # noqa: F401
from tests.scenarios.reading import compare, world
from tests.scenarios.stage import Stage

THREE = ("salesforce", "hubspot", "dynamics")
Places = dict[str, str]


@pytest.fixture(scope="module")
def stage(set_stage: SetStage) -> Iterator[Stage]:  # noqa: F811
    """Return an empty stage; every test brings its own people."""
    with set_stage() as ready:
        yield ready


@pytest.fixture(autouse=True)
def _at_rest(stage: Stage) -> Iterator[None]:
    yield
    stage.settle()
    for entity in ("account", "contact"):
        assert compare(stage, entity).differences == []


def create(stage: Stage, connection: str, entity: str = "contact", **values: object) -> str:
    """Create a record at a CRM's screen, fields by our names."""
    theirs = {stage.source(connection, entity, name): value for name, value in values.items()}
    return stage.screens[connection].create(stage.at(connection, entity), theirs)


def known_everywhere(stage: Stage, name: str) -> tuple[UUID, Places]:
    """Bring a person into all CRMs and return where."""
    record_id = create(stage, "salesforce", first_name="Every", last_name=name, email=f"{name.lower()}@walks.example")
    stage.settle()
    now = world(stage, "contact")
    hub_id = now.of("salesforce", record_id)
    return hub_id, now.places(hub_id)


def city(stage: Stage, places: Places) -> Places:
    """Return the city that each CRM shows."""
    return {
        connection: stage.shown(connection, "contact", record_id, "city") for connection, record_id in places.items()
    }


def test_the_one_record_that_the_store_refuses_waits_and_its_page_goes_on(stage: Stage) -> None:
    stage.rows(
        "alter table hub_record add constraint no_refusia check (facts ->> 'country' is distinct from 'Refusia')"
    )
    try:
        ids = [
            create(stage, "hubspot", "account", name=f"Nation {n}", country="Refusia" if n == 3 else f"Country {n}")
            for n in range(7)
        ]
        stage.settle()
        waiting = stage.rows("select record_id, reasons from quarantine where entity = 'account'")
        assert waiting == [(ids[3], [{"field": "", "code": "store_refused"}])]
        linked = {x.record_id for x in world(stage, "account").links if x.connection == "hubspot"}
        assert linked.issuperset(set(ids) - {ids[3]})
        assert ids[3] not in linked
        stage.check_books()
    finally:
        stage.rows("alter table hub_record drop constraint no_refusia")
    stage.change("hubspot", "account", ids[3], country="Acceptia")
    stage.settle()
    assert stage.rows("select * from quarantine") == []
    assert world(stage, "account").of("hubspot", ids[3])


def test_a_record_that_bridges_two_golden_records_makes_them_one(stage: Stage) -> None:
    by_mail = create(
        stage, "salesforce", first_name="Bea", last_name="Bridge", email="bea@bridge.example", notes="by mail"
    )
    by_phone = create(
        stage, "hubspot", first_name="Bea", last_name="Bridge", phone="+1 202 555 0177", city="Phoneville"
    )
    stage.settle()
    before = world(stage, "contact")
    two = {before.of("salesforce", by_mail), before.of("hubspot", by_phone)}
    assert len(two) == 2
    bridge = create(
        stage, "dynamics", first_name="Bea", last_name="Bridge", email="bea@bridge.example", phone="+1 202 555 0177"
    )
    stage.settle()
    now = world(stage, "contact")
    one = now.of("dynamics", bridge)
    assert {now.of("salesforce", by_mail), now.of("hubspot", by_phone)} == {one}
    (gone,) = two - {one}
    assert stage.rows("select united_into from hub_record where hub_id = %s", [gone]) == [(one,)]
    golden = now.golden[one]
    assert golden["notes"] == "t:by mail"
    assert golden["city"] == "t:Phoneville"
    assert golden["phone"] == "t:+12025550177"
    assert set(now.places(one)) == set(THREE)
    for connection in THREE:
        mine = [x for x in now.links if x.hub_id == one and x.connection == connection]
        assert [x.is_primary for x in mine].count(True) == 1


def test_a_duplicate_inside_one_crm_is_read_and_never_written(stage: Stage) -> None:
    same = {"first_name": "Dora", "last_name": "Double", "email": "dora@double.example"}
    ids = [create(stage, "dynamics", **same) for _ in range(2)]
    stage.settle()
    now = world(stage, "contact")
    links = {x.record_id: x for x in now.links if x.record_id in ids}
    assert len({x.hub_id for x in links.values()}) == 1
    (further,) = [i for i in ids if not links[i].is_primary]
    (primary,) = [i for i in ids if links[i].is_primary]
    hub_id = links[primary].hub_id
    untouched = stage.records("dynamics", "contact")[further]["seq"]
    stage.edit("contact", hub_id, {"city": "Primaryville"})
    stage.settle()
    assert stage.shown("dynamics", "contact", primary, "city") == "Primaryville"
    assert stage.records("dynamics", "contact")[further]["seq"] == untouched
    # What people change in it is heard.
    stage.change("dynamics", "contact", further, job_title="Said by the double")
    stage.settle()
    assert world(stage, "contact").golden[hub_id]["job_title"] == "t:Said by the double"
    assert stage.shown("dynamics", "contact", primary, "job_title") == "Said by the double"


@pytest.mark.parametrize("crm", THREE)
def test_a_deleted_record_is_gone_there_and_lives_on_elsewhere(stage: Stage, crm: str) -> None:
    hub_id, places = known_everywhere(stage, f"Deleted{crm.title()}")
    stage.screens[crm].delete(stage.at(crm, "contact"), places[crm])
    stage.settle()
    stage.edit("contact", hub_id, {"city": "Elsewhere"})
    stage.settle()
    now = world(stage, "contact")
    others = [name for name in THREE if name != crm]
    assert {c: stage.shown(c, "contact", places[c], "city") for c in others} == dict.fromkeys(others, "Elsewhere")
    states = {x.connection: x.state for x in now.links if x.hub_id == hub_id}
    assert states == {**dict.fromkeys(others, "live"), crm: "tombstone"}
    assert stage.rows("select * from outbox where hub_id = %s", [hub_id]) == []
    # Nobody brings it back.
    key = stage.specs.mapping(crm, "contact").external_key
    assert [r for r in stage.records(crm, "contact").values() if r["values"].get(key) == str(hub_id)] == []


@pytest.mark.parametrize("crm", THREE)
def test_an_edit_of_another_field_between_read_and_write_survives(stage: Stage, crm: str) -> None:
    hub_id, places = known_everywhere(stage, f"Between{crm.title()}")
    stage.edit("contact", hub_id, {"city": "From the hub"})
    _edited_just_before_sending(stage, crm, places[crm], notes=f"In between in {crm}")
    stage.settle()
    assert city(stage, places) == dict.fromkeys(THREE, "From the hub")
    for connection in THREE:
        assert stage.shown(connection, "contact", places[connection], "notes") == f"In between in {crm}"


@pytest.mark.parametrize("crm", ["salesforce", "dynamics"])
def test_a_conditional_write_never_overwrites_what_was_not_seen(stage: Stage, crm: str) -> None:
    hub_id, places = known_everywhere(stage, f"Unseen{crm.title()}")
    stage.edit("contact", hub_id, {"city": "From the hub"})
    _edited_just_before_sending(stage, crm, places[crm], city="Unseen")
    stage.settle()
    assert len(set(city(stage, places).values())) == 1
    told = stage.rows(
        "select fields from audit where hub_id = %s and connection = %s and direction = 'in'", [hub_id, crm]
    )
    seen = [cell for (fields,) in told for cell in fields if "city" in cell["fields"]]
    assert seen, "the edit was overwritten before anybody had seen it"
    assert seen[-1]["rule"] == "last_write_wins"


def _edited_just_before_sending(stage: Stage, crm: str, record_id: str, **changes: str) -> None:
    hit: list[str] = []

    def meddle(name: str) -> None:
        if (
            name == "intent_written"
            and not hit
            and stage.rows(
                "select 1 from outbox o join identity_link using (link_id) where o.state = 'sent' and record_id = %s",
                [record_id],
            )
        ):
            hit.append(name)
            stage.change(crm, "contact", record_id, **changes)

    with stage.opened() as ctx:
        ctx.boundary = meddle
        sync(ctx)
    assert hit, "nothing was about to be sent"


def test_a_command_out_of_attempts_is_a_dead_letter_until_its_plan_changes(stage: Stage) -> None:
    hub_id, places = known_everywhere(stage, "Outofattempts")
    stage.edit("contact", hub_id, {"city": "Too often"})
    fault = {"method": "POST", "path": "/contacts/batch/update$", "action": "drop_before", "times": 10_000}
    stage.screens["hubspot"].faults(fault)
    for _ in range(12):
        stage.sync(hurried=True)
        stage.rows("update outbox set next_attempt_at = now() where state = 'waiting'")
    stage.screens["hubspot"].no_more_faults()
    ((state, attempts, why),) = stage.rows(
        "select state, attempts, error_class from outbox where hub_id = %s", [hub_id]
    )
    assert (state, attempts) == ("dead", 8)
    assert why in ("transient", "unknown")
    assert stage.sync().writes == {}, "a dead letter is tried again by itself"
    stage.edit("contact", hub_id, {"city": "Once more"})
    stage.settle()
    assert city(stage, places) == dict.fromkeys(THREE, "Once more")
    assert stage.rows("select * from outbox where hub_id = %s", [hub_id]) == []


def test_a_notice_is_a_hint_that_is_followed_once(stage: Stage) -> None:
    _, places = known_everywhere(stage, "Noticed")
    stage.change("hubspot", "contact", places["hubspot"], city="Noticeville")
    record = ("hubspot", "contacts", places["hubspot"])
    with stage.opened() as ctx:
        ctx.database.run(lambda conn: inbox.put_notices(conn, "test", [record, record, ("hubspot", "contacts", "999")]))
        assert hydrate(ctx, "hubspot", "contact").totals["landed"] == 1
        assert hydrate(ctx, "hubspot", "contact").totals["read"] == 0
        assert ctx.database.run(inbox.waiting_notices) == {}
    stage.settle()
    assert city(stage, places) == dict.fromkeys(THREE, "Noticeville")
