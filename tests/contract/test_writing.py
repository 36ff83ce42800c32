"""Every connector writes without overwriting what it has not seen, and tells for each record what became of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from uuid import uuid4

from crm_sync.errors import ErrorClass
from crm_sync.records import Status
from tests.contract.side import LANE, Side


def test_a_created_record_carries_our_key_values_and_reference(side: Side) -> None:
    account = side.created(side.account, name="Employer")
    address = f"{uuid4().hex}@create.example"
    command = side.command(
        side.contact, first_name="Zoë", last_name="None", email=address, job_title="nan", account=account, city=None
    )
    [outcome] = side.write(side.contact, command)
    assert (outcome.status, outcome.command_id) == (Status.DELIVERED, command.command_id)
    assert outcome.record_id is not None and side.holders(side.contact, command.hub_id) == [outcome.record_id]
    stored = side.stored(side.contact, outcome.record_id)
    wanted = {"first_name": "Zoë", "last_name": "None", "email": address, "job_title": "nan", "account": account}
    assert {name: stored[name] for name in wanted} == wanted and not stored["city"]


def test_receipts_tell_the_version_that_a_read_tells(side: Side) -> None:
    told = side.connector.capabilities(side.contact).versions_in_receipts
    [created] = side.write(side.contact, side.command(side.contact, last_name="Receipt"))
    assert created.record_id is not None
    update = side.seen(side.contact, side.command(side.contact, created.record_id, job_title="New"))
    [updated] = side.write(side.contact, update)
    assert updated.status is Status.DELIVERED and updated.record_id == created.record_id
    batch = side.connector.fetch(side.contact, [created.record_id], LANE)
    if told:
        assert updated.version == batch.versions[0] != created.version
        assert updated.stamp == batch.stamps[0].item().replace(tzinfo=UTC)
    else:
        assert created.version is None and updated.version is None


def test_a_repeated_create_makes_no_second_record_and_overwrites_nothing(side: Side) -> None:
    first = side.command(side.contact, last_name="First", job_title="Original")
    [created] = side.write(side.contact, first)
    again = side.command(side.contact, hub_id=first.hub_id, last_name="Second", job_title="Overwritten")
    fresh = side.command(side.contact, last_name="Neighbour")
    changed, neighbour = side.write(side.contact, again, fresh)
    assert changed.status is Status.CHANGED and neighbour.status is Status.DELIVERED
    assert changed.record_id in (None, created.record_id)
    assert side.holders(side.contact, first.hub_id) == [created.record_id]
    assert created.record_id is not None
    assert side.stored(side.contact, created.record_id)["job_title"] == "Original"


def test_outcomes_have_the_order_of_the_commands_over_many_calls(side: Side) -> None:
    names = [f"Order {n:03}" for n in range(230)]
    creates = [side.command(side.account, name=name) for name in names]
    outcomes = side.write(side.account, *creates)
    assert [o.command_id for o in outcomes] == [c.command_id for c in creates]
    assert {o.status for o in outcomes} == {Status.DELIVERED}
    ids = [o.record_id or "" for o in outcomes]
    everything = side.everything(side.account)
    assert [side.shown(side.account, everything[id])["name"] for id in ids] == names
    batch = side.connector.fetch(side.account, ids, LANE)
    at = {id: row for row, id in enumerate(batch.record_ids)}
    updates = [
        replace(
            side.command(side.account, id, city=f"City {n}"), version=batch.versions[at[id]],
            stamp=batch.stamps[at[id]].item().replace(tzinfo=UTC),
        )
        for n, id in enumerate(ids)
    ]
    mixed = [*updates[::-1], side.command(side.account, name="Last of all")]
    outcomes = side.write(side.account, *mixed)
    assert [o.command_id for o in outcomes] == [c.command_id for c in mixed]
    assert {o.status for o in outcomes} == {Status.DELIVERED}
    everything = side.everything(side.account)
    assert [side.shown(side.account, everything[id])["city"] for id in ids] == [f"City {n}" for n in range(230)]


def test_writes_go_in_few_calls(side: Side) -> None:
    size = side.connector.capabilities(side.account).write_batch_size
    side.warm()
    side.control("calls/reset", {})
    side.write(side.account, *(side.command(side.account, name=f"Batch {n}") for n in range(size)))
    assert side.calls() == 1


def test_an_update_changes_only_what_it_names(side: Side) -> None:
    account = side.created(side.account, name="Stays")
    id = side.created(side.contact, first_name="Only", last_name="This", job_title="Old", account=account)
    [outcome] = side.write(side.contact, side.seen(side.contact, side.command(side.contact, id, job_title="New")))
    assert outcome.status is Status.DELIVERED
    stored = side.stored(side.contact, id)
    assert (stored["first_name"], stored["last_name"], stored["job_title"]) == ("Only", "This", "New")
    assert stored["account"] == account


def test_null_clears(side: Side) -> None:
    id = side.created(side.contact, last_name="Cleared", job_title="Something", city="Somewhere")
    [outcome] = side.write(side.contact, side.seen(side.contact, side.command(side.contact, id, job_title=None)))
    assert outcome.status is Status.DELIVERED
    assert not side.stored(side.contact, id)["job_title"] and side.stored(side.contact, id)["city"] == "Somewhere"
    batch = side.connector.fetch(side.contact, [id], LANE)
    assert side.values(side.contact, batch, 0)["job_title"] in (None, "")


def test_a_reference_is_set_moved_and_cleared(side: Side) -> None:
    one, other = (side.created(side.account, name=name) for name in ("One", "Other"))
    id = side.created(side.contact, last_name="Referrer")
    for target in (one, other, other, None, None, one):
        [outcome] = side.write(side.contact, side.seen(side.contact, side.command(side.contact, id, account=target)))
        assert outcome.status is Status.DELIVERED, outcome
        assert side.stored(side.contact, id)["account"] == target
        batch = side.connector.fetch(side.contact, [id], LANE)
        assert side.values(side.contact, batch, 0)["account"] == target


def test_values_and_reference_of_one_command_go_together(side: Side) -> None:
    account = side.created(side.account, name="Both")
    id = side.created(side.contact, last_name="Together")
    update = side.seen(side.contact, side.command(side.contact, id, job_title="Both", account=account))
    [outcome] = side.write(side.contact, update)
    assert outcome.status is Status.DELIVERED
    stored = side.stored(side.contact, id)
    assert (stored["job_title"], stored["account"]) == ("Both", account)


def test_an_update_of_what_a_person_has_changed_is_refused_where_the_crm_can(side: Side) -> None:
    """A seeded record is used: its stamp is old, so that a CRM that stamps whole seconds can tell."""
    id = min(id for id, one in side.everything(side.contact).items() if not side.shown(side.contact, one)["city"])
    stale = side.seen(side.contact, side.command(side.contact, id, job_title="Ours"))
    side.person_edits(side.contact, id, job_title="Theirs")
    [outcome] = side.write(side.contact, stale)
    stored = side.stored(side.contact, id)["job_title"]
    if side.connector.capabilities(side.contact).conditional_update:
        assert (outcome.status, stored) == (Status.CHANGED, "Theirs")
    else:
        assert (outcome.status, stored) == (Status.DELIVERED, "Ours")


def test_a_stale_command_does_not_harm_its_neighbours(side: Side) -> None:
    ids = sorted(side.everything(side.account))[:3]
    commands = [side.seen(side.account, side.command(side.account, id, city="Ours")) for id in ids]
    side.person_edits(side.account, ids[1], city="Theirs")
    outcomes = side.write(side.account, *commands)
    conditional = side.connector.capabilities(side.account).conditional_update
    expected = Status.CHANGED if conditional else Status.DELIVERED
    assert [o.status for o in outcomes] == [Status.DELIVERED, expected, Status.DELIVERED]
    assert [side.stored(side.account, id)["city"] for id in (ids[0], ids[2])] == ["Ours", "Ours"]


def test_an_update_of_a_record_that_is_gone_says_changed(side: Side) -> None:
    gone, there = (side.created(side.contact, last_name=name) for name in ("Gone", "There"))
    commands = [side.seen(side.contact, side.command(side.contact, id, job_title="x")) for id in (gone, there)]
    side.person_deletes(side.contact, gone)
    first, second = side.write(side.contact, *commands)
    assert (first.status, second.status) == (Status.CHANGED, Status.DELIVERED)
    assert first.record_id == gone


def test_a_refused_record_stands_beside_good_neighbours(side: Side) -> None:
    field, value = side.facts.refused
    good = {"last_name": "Good"}
    commands = [
        side.command(side.contact, **good), side.command(side.contact, **{**good, field: value}),
        side.command(side.contact, **good),
    ]  # fmt: skip
    outcomes = side.write(side.contact, *commands)
    assert [o.status for o in outcomes] == [Status.DELIVERED, Status.REFUSED, Status.DELIVERED]
    assert outcomes[1].error_class is ErrorClass.VALIDATION and outcomes[1].code
    assert value not in outcomes[1].message + outcomes[1].code
    assert [len(side.holders(side.contact, c.hub_id)) for c in commands] == [1, 0, 1]
    ids = [o.record_id or "" for o in (outcomes[0], outcomes[2])]
    updates = [
        side.seen(side.contact, side.command(side.contact, ids[0], **{field: value})),
        side.seen(side.contact, side.command(side.contact, ids[1], job_title="Good")),
    ]
    outcomes = side.write(side.contact, *updates)
    assert [o.status for o in outcomes] == [Status.REFUSED, Status.DELIVERED]
    assert value not in outcomes[0].message + outcomes[0].code
    assert side.stored(side.contact, ids[1])["job_title"] == "Good"


def test_a_reference_to_nothing_is_refused_as_a_reference(side: Side) -> None:
    id = side.created(side.contact, last_name="Lonely")
    nowhere = side.facts.missing_account
    update = side.seen(side.contact, side.command(side.contact, id, account=nowhere))
    neighbour = side.created(side.contact, last_name="Neighbour")
    good = side.seen(side.contact, side.command(side.contact, neighbour, account=side.created(side.account, name="Is")))
    outcomes = side.write(side.contact, update, good)
    assert [o.status for o in outcomes] == [Status.REFUSED, Status.DELIVERED]
    assert outcomes[0].error_class is ErrorClass.REFERENCE
    assert side.stored(side.contact, id)["account"] is None
    [outcome] = side.write(side.contact, side.command(side.contact, last_name="Born lonely", account=nowhere))
    assert (outcome.status, outcome.error_class) == (Status.REFUSED, ErrorClass.REFERENCE)


def test_an_unknown_field_is_refused_as_schema_and_alone(side: Side) -> None:
    strange = replace(side.command(side.contact, last_name="Strange"), values={"no_such_field_anywhere": "x"})
    strange = replace(strange, values={**side.command(side.contact, last_name="Strange").values, **strange.values})
    good = side.command(side.contact, last_name="Usual")
    outcomes = side.write(side.contact, strange, good)
    assert [o.status for o in outcomes] == [Status.REFUSED, Status.DELIVERED]
    assert outcomes[0].error_class is ErrorClass.SCHEMA


def test_nothing_to_write_makes_no_call(side: Side) -> None:
    before = side.calls()
    assert side.write(side.contact) == []
    assert side.calls() == before
