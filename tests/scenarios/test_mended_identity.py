"""Mended: golden records that are united while others write, twins of what is held, answers that come late."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_sync.flows.deliver import deliver
from crm_sync.flows.explain import explain
from crm_sync.flows.propagate import propagate
from crm_sync.flows.reconcile import differences
from crm_sync.flows.status import status
from tests.integration.conftest import _template, server_url  # noqa: F401
from tests.scenarios.bare import (
    ANN,
    EMAIL,
    PHONE,
    config,  # noqa: F401
    contacts,
    create,
    crms,  # noqa: F401
    everywhere,
    golden_of,
    living,
    pair,
    places,
    rewrite,
    town,  # noqa: F401
    united_into,
    while_sent,
    who_is_both,
)
from tests.scenarios.stage import Stage

THREE = ("salesforce", "hubspot", "dynamics")


class Died(Exception):
    """The process ends here."""


def at_rest(stage: Stage) -> None:
    """Sync to quiet; then no command waits, no live record is unknown, and reconciliation finds all equal."""
    assert stage.settle(most=6)[-1].missed == {}
    assert stage.rows("select connection, action, state, error_class from outbox") == []
    unknown = (
        "select l.connection, l.record_id from identity_link l left join shadow s using (link_id) "
        "where s.link_id is null and l.state = 'live'"
    )
    assert stage.rows(unknown) == []
    with stage.opened("look") as ctx:
        assert differences(ctx) == []


def test_an_update_under_way_follows_its_record_into_the_united_one(town: Stage) -> None:  # noqa: F811
    loser, winner = pair(town, "dynamics", "hubspot")
    record_id = places(town, loser)["dynamics"]
    before = contacts(town, "dynamics")
    town.edit("contact", loser, {"city": "York"})

    def meanwhile() -> None:
        # So that the write is refused, and has to be planned again.
        town.change("dynamics", "contact", record_id, job_title="Racer")
        who_is_both(town, "salesforce")

    while_sent(town, "dynamics", meanwhile, ["salesforce"])
    assert united_into(town, loser) == winner
    at_rest(town)
    assert contacts(town, "dynamics") == before
    assert golden_of(town, "dynamics", record_id) == winner
    assert everywhere(town, winner, "job_title") == dict.fromkeys(THREE, "Racer")
    # Its records begin anew: what they show meets the edit as on any first link, and whichever loses is told.
    (city,) = set(everywhere(town, winner, "city").values())
    with town.opened() as ctx:
        told = explain(ctx, "contact", str(winner), "city").history
    assert city in ("Leeds", "York")
    assert any({h["before"], h["incoming"]} == {"Leeds", "York"} for h in told if h["rule"] == "first_link")


def test_a_delivered_update_of_a_loser_is_no_word_of_the_winner(town: Stage) -> None:  # noqa: F811
    loser, winner = pair(town, "dynamics", "hubspot", city="Quebec")
    record_id = places(town, loser)["dynamics"]
    town.edit("contact", loser, {"city": "York"})
    while_sent(town, "dynamics", lambda: str(who_is_both(town, "salesforce")), ["salesforce"])
    assert united_into(town, loser) == winner
    at_rest(town)
    shown = set(everywhere(town, winner, "city").values())
    assert len(shown) == 1
    # Both knew a city: one won, the other is told.
    with town.opened() as ctx:
        told = [h for h in explain(ctx, "contact", str(winner), "city").history if h["action"] == "united"]
    assert {told[0]["before"], told[0]["incoming"]} == {"Quebec", "York"}
    assert golden_of(town, "dynamics", record_id) == winner


def test_what_only_a_loser_knew_is_kept_and_told(town: Stage) -> None:  # noqa: F811
    loser, winner = pair(town, "salesforce", "hubspot", city="Quebec")
    town.edit("contact", loser, {"notes": "only the hub knows", "city": "York"})
    who_is_both(town, "salesforce")
    at_rest(town)
    assert united_into(town, loser) == winner
    with town.opened("status") as ctx:
        told = {row["golden_records"] for row in status(ctx).rows if row["entity"] == "contact"}
    assert told == {living(town, "contact")}
    assert everywhere(town, winner, "notes") == dict.fromkeys(THREE, "only the hub knows")
    with town.opened() as ctx:
        notes = explain(ctx, "contact", str(loser), "notes")
        city = explain(ctx, "contact", str(winner), "city")
    assert notes.hub_id == winner
    assert notes.fields[0]["value"] == "only the hub knows"
    assert [(h["decision"], h["incoming"]) for h in notes.history if h["action"] == "united"] == [
        ("TAKE", "only the hub knows")
    ]
    assert [(h["decision"], h["before"], h["incoming"]) for h in city.history if h["action"] == "united"] == [
        ("STAND", "Quebec", "York")
    ]


def test_records_of_a_loser_are_read_again_though_their_page_had_landed_before(town: Stage) -> None:  # noqa: F811
    winning = create(town, "hubspot", "contact", **ANN, **EMAIL)
    record_id = create(town, "salesforce", "contact", **ANN, **PHONE, city="Leeds")
    town.settle()
    # Read and landed alone, exactly as it will be read when the golden record is united.
    town.change("salesforce", "contact", record_id, city="Leicester")
    town.settle()
    create(town, "dynamics", "contact", **ANN, **EMAIL, **PHONE)
    at_rest(town)
    hub_id = golden_of(town, "hubspot", winning)
    assert golden_of(town, "salesforce", record_id) == hub_id
    assert everywhere(town, hub_id, "city") == dict.fromkeys(THREE, "Leicester")
    town.edit("contact", hub_id, {"city": "York"})
    at_rest(town)
    assert everywhere(town, hub_id, "city") == dict.fromkeys(THREE, "York")


def test_a_reference_parked_for_a_loser_wakes_with_its_successor(town: Stage, config: Path) -> None:  # noqa: F811
    rewrite(config, "mappings/salesforce/account.yaml", "^object: Account$", "object: Account\ncreate: false")
    town.use(config_dir=config)
    entity = config / "entities/account.yaml"
    by_phone = "\n  - name: phone and name\n    keys: {phone: phone, name: company}\n"
    entity.write_text(entity.read_text(encoding="utf-8") + by_phone, encoding="utf-8")
    town.use(config_dir=config)
    called, at = {"phone": "+1 202 555 0102"}, {"website": "https://foo.example"}
    company = create(town, "hubspot", "account", name="Foo", **called)
    person = create(town, "hubspot", "contact", {"companies": [company]}, **ANN, **EMAIL)
    account = create(town, "salesforce", "account", name="Foo", **at)
    town.settle()
    loser, winner = golden_of(town, "hubspot", company), golden_of(town, "salesforce", account)
    assert loser != winner
    parked = "select connection, field, target_hub_id from parked_out"
    assert town.rows(parked) == [("salesforce", "account", loser)]
    # The third shows that they are one; that of the stronger rule stays, and is known where nothing is created.
    create(town, "dynamics", "account", name="Foo", **called, **at)
    at_rest(town)
    assert united_into(town, loser) == winner
    there = places(town, golden_of(town, "hubspot", person))["salesforce"]
    assert town.shown("salesforce", "contact", there, "account") == account
    assert town.rows(parked) == []


def test_a_receipt_that_a_newer_read_has_overtaken_changes_nothing_back(town: Stage) -> None:  # noqa: F811
    record_id = create(town, "salesforce", "contact", **ANN, **EMAIL, city="Leeds")
    town.settle()
    hub_id = golden_of(town, "salesforce", record_id)
    there = places(town, hub_id)["hubspot"]
    town.edit("contact", hub_id, {"city": "York"})
    while_sent(town, "hubspot", lambda: town.change("hubspot", "contact", there, city="Quebec"), ["hubspot"])
    at_rest(town)
    # What a person wrote just before our write hit it counts, and is told again.
    assert everywhere(town, hub_id, "city") == dict.fromkeys(THREE, "Quebec")


def test_a_write_whose_answer_never_came_is_in_the_audit_once_it_is_read_back(town: Stage) -> None:  # noqa: F811
    record_id = create(town, "hubspot", "contact", **ANN, **EMAIL)
    town.settle()
    hub_id = golden_of(town, "hubspot", record_id)
    there = places(town, hub_id)["salesforce"]
    town.edit("contact", hub_id, {"city": "York"})

    def die(boundary: str) -> None:
        if boundary == "sent":
            raise Died

    with pytest.raises(Died), town.opened() as ctx:
        propagate(ctx, "contact")
        ctx.boundary = die  # type: ignore[method-assign]
        deliver(ctx, "salesforce", "contact")
    assert town.shown("salesforce", "contact", there, "city") == "York"
    sent = (
        "select result, record_id, fields from audit where hub_id = %s and connection = 'salesforce' "
        "and direction = 'out' and action = 'sent' and fields @> '[{\"fields\": [\"city\"]}]'"
    )
    assert town.rows(sent, [hub_id]) == []
    at_rest(town)
    told = [{"fields": ["city"], "decision": "SEND", "rule": "read_back"}]
    assert town.rows(sent, [hub_id]) == [("resolved", there, told)]


def test_nobody_creates_the_twin_of_a_record_whose_match_is_in_review(town: Stage) -> None:  # noqa: F811
    for birth_date in ("1980-01-01", "1990-01-01"):
        create(town, "dynamics", "contact", **ANN, **EMAIL, **PHONE, birth_date=birth_date)
    town.sync(["dynamics"])
    assert living(town, "contact") == 2
    doubtful = create(town, "salesforce", "contact", **ANN, **EMAIL)
    town.settle()
    questions = "select kind, connection, record_id from review where state = 'open'"
    asked = [("ambiguous_match", "salesforce", doubtful)]
    assert town.rows(questions) == asked
    assert contacts(town, "salesforce") == 1
    # The question is about the record as it is now, and is asked once.
    gate = town.rows("select gate from review where state = 'open'")
    town.change("salesforce", "contact", doubtful, city="York")
    town.settle()
    assert town.rows(questions) == asked
    assert town.rows("select gate from review where state = 'open'") != gate
    # Without the record there is nothing to ask, and nothing to wait for.
    town.screens["salesforce"].delete("Contact", doubtful)
    town.settle()
    assert town.rows(questions) == []
    town.settle()
    assert contacts(town, "salesforce") == 2
    assert doubtful not in town.records("salesforce", "contact")


def test_nobody_creates_the_twin_of_a_record_in_quarantine(town: Stage) -> None:  # noqa: F811
    known = create(town, "dynamics", "contact", **ANN, **EMAIL, **PHONE)
    bad = create(town, "salesforce", "contact", **ANN, **PHONE, email="not an address")
    town.settle()
    assert town.rows("select connection, record_id from quarantine") == [("salesforce", bad)]
    assert contacts(town, "salesforce") == 1
    town.change("salesforce", "contact", bad, **EMAIL)
    at_rest(town)
    hub_id = golden_of(town, "dynamics", known)
    assert places(town, hub_id)["salesforce"] == bad
    assert {c: contacts(town, c) for c in THREE} == dict.fromkeys(THREE, 1)


def test_a_quarantined_twin_that_is_deleted_makes_room(town: Stage) -> None:  # noqa: F811
    known = create(town, "dynamics", "contact", **ANN, **EMAIL, **PHONE)
    bad = create(town, "salesforce", "contact", **ANN, **PHONE, email="not an address")
    town.settle()
    town.screens["salesforce"].delete("Contact", bad)
    at_rest(town)
    assert town.rows("select * from quarantine") == []
    there = places(town, golden_of(town, "dynamics", known))["salesforce"]
    assert there != bad
    assert list(town.records("salesforce", "contact")) == [there]
