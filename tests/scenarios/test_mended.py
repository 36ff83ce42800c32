"""Mended: rules that change under linked records, what is read again, what leaves and comes back."""

from __future__ import annotations

import uuid
from itertools import permutations
from pathlib import Path

import pytest

from crm_sync.errors import Refused
from crm_sync.flows.ingest import ingest
from tests.integration.conftest import _template, server_url  # noqa: F401
from tests.scenarios.bare import (
    ANN,
    EMAIL,
    blind,
    config,  # noqa: F401
    contacts,
    create,
    crms,  # noqa: F401
    everywhere,
    golden_of,
    living,
    places,
    rewrite,
    state_of,
    town,  # noqa: F401
)
from tests.scenarios.stage import Stage

THREE = ("salesforce", "hubspot", "dynamics")


def all_three(value: str) -> dict[str, str]:
    """Return that each CRM shows this value."""
    return dict.fromkeys(THREE, value)


def test_a_field_renamed_later_empties_no_crm(town: Stage, config: Path) -> None:  # noqa: F811
    record_id = create(town, "hubspot", "contact", **ANN, **EMAIL, job_title="Baker")
    town.settle()
    hub_id = golden_of(town, "hubspot", record_id)
    for files in ("entities/contact.yaml", "mappings/*/contact.yaml"):
        rewrite(config, files, r"\bjob_title\b", "position")
    town.use(config_dir=config)
    # The hub knows nothing of the new name, and sends the record before any CRM has shown it again.
    town.edit("contact", hub_id, {"city": "York"})
    town.settle()
    assert everywhere(town, hub_id, "position") == all_three("Baker")
    assert everywhere(town, hub_id, "city") == all_three("York")
    town.settle(full=True)
    assert everywhere(town, hub_id, "position") == all_three("Baker")
    town.change("dynamics", "contact", places(town, hub_id)["dynamics"], position="Miller")
    town.settle()
    assert everywhere(town, hub_id, "position") == all_three("Miller")


def test_a_full_refresh_under_new_rules_is_absorbed_though_the_page_had_landed_before(
    town: Stage,  # noqa: F811
    config: Path,  # noqa: F811
) -> None:
    create(town, "hubspot", "contact", **ANN, **EMAIL)
    town.settle()
    forms = "select distinct form_id from shadow join identity_link using (link_id) where connection = 'hubspot'"
    before = town.rows(forms)
    town.sync(full=True)
    assert town.rows(forms) == before
    rewrite(config, "mappings/hubspot/contact.yaml", "^version: 1$", "version: 2")
    town.use(config_dir=config)
    first = town.sync(full=True)
    after = town.rows(forms)
    assert len(after) == 1
    assert after != before
    assert first.writes == {}
    again = town.sync(full=True)
    assert again.writes == {}
    assert again.totals["applied"] == 0
    assert town.rows(forms) == after
    assert town.count("select count(*) from landing_page where absorbed_at is null") == 0


def test_a_question_dissolves_when_the_hub_says_what_the_crm_says(town: Stage) -> None:  # noqa: F811
    record_id = create(town, "salesforce", "contact", **ANN, **EMAIL, birth_date="1980-01-01")
    town.settle()
    hub_id = golden_of(town, "salesforce", record_id)
    town.change("hubspot", "contact", places(town, hub_id)["hubspot"], birth_date="1980-02-02")
    town.change("salesforce", "contact", record_id, birth_date="1980-03-03")
    # HubSpot first; what Salesforce says is then a question, and its page has landed.
    town.sync(["hubspot"])
    town.settle()
    questions = "select connection, field from review where state = 'open'"
    assert town.rows(questions) == [("salesforce", "birth_date")]
    # The hub asks once more what Salesforce says, and gets the very same page.
    town.edit("contact", hub_id, {"birth_date": "1980-03-03"})
    town.settle()
    assert town.rows(questions) == []
    assert {str(v)[:10] for v in everywhere(town, hub_id, "birth_date").values()} == {"1980-03-03"}


def test_a_renamed_match_rule_still_knows_everybody(town: Stage, config: Path) -> None:  # noqa: F811
    create(town, "dynamics", "contact", **ANN, **EMAIL)
    town.settle()
    rewrite(config, "entities/contact.yaml", "e-mail and full name", "email and name")
    town.use(config_dir=config)
    create(town, "salesforce", "contact", **ANN, **EMAIL)
    create(town, "dynamics", "contact", **ANN, **EMAIL)
    town.settle()
    assert living(town, "contact") == 1
    assert {c: contacts(town, c) for c in THREE} == {"salesforce": 2, "hubspot": 1, "dynamics": 2}
    assert town.rows("select state, error_class from outbox") == []


def test_pages_of_a_stream_that_is_mapped_no_more_hold_up_nobody(town: Stage, config: Path) -> None:  # noqa: F811
    create(town, "hubspot", "contact", **ANN, **EMAIL)
    with town.opened() as ctx:
        ingest(ctx, "hubspot", "contact")
    other = create(town, "dynamics", "contact", first_name="Bo", last_name="Yi", email="bo@yi.example")
    listed = r"(  hubspot:\n(?:.*\n)*?    entities: )\[account, contact\]"
    rewrite(config, "connections.yaml", listed, r"\1[account]")
    (config / "mappings/hubspot/contact.yaml").unlink()
    with_hubspot = town.settings.config_dir
    town.use(config_dir=config)
    town.settle()
    assert set(places(town, golden_of(town, "dynamics", other))) == {"salesforce", "dynamics"}
    # Mapped again, what had landed is absorbed.
    town.use(config_dir=with_hubspot)
    assert contacts(town, "hubspot") == 1
    town.settle()
    assert {c: contacts(town, c) for c in THREE} == dict.fromkeys(THREE, 2)


def test_a_record_out_of_scope_and_back_is_told_what_it_missed(town: Stage, config: Path) -> None:  # noqa: F811
    mapping = config / "mappings/hubspot/contact.yaml"
    mapping.write_text(mapping.read_text() + "\nscope:\n  - {source: jobtitle, operator: filled}\n")
    town.use(config_dir=config)
    record_id = create(town, "hubspot", "contact", **ANN, **EMAIL, job_title="Baker")
    town.settle()
    hub_id = golden_of(town, "hubspot", record_id)
    town.change("hubspot", "contact", record_id, job_title="")
    town.settle()
    assert state_of(town, "hubspot", record_id) == "out_of_scope"
    town.edit("contact", hub_id, {"city": "York"})
    town.settle()
    assert town.shown("hubspot", "contact", record_id, "city") is None
    town.change("hubspot", "contact", record_id, job_title="Baker")
    town.settle()
    assert state_of(town, "hubspot", record_id) == "live"
    assert everywhere(town, hub_id, "city") == all_three("York")
    assert everywhere(town, hub_id, "job_title") == all_three("Baker")


def test_a_deleted_primary_is_succeeded_by_its_duplicate(town: Stage) -> None:  # noqa: F811
    twins = [create(town, "salesforce", "contact", **ANN, **EMAIL) for _ in range(2)]
    town.settle()
    hub_id = golden_of(town, "salesforce", twins[0])
    assert golden_of(town, "salesforce", twins[1]) == hub_id
    primary = places(town, hub_id)["salesforce"]
    (survivor,) = set(twins) - {primary}
    town.screens["salesforce"].delete("Contact", primary)
    town.settle()
    assert places(town, hub_id)["salesforce"] == survivor
    town.edit("contact", hub_id, {"city": "York"})
    town.settle()
    assert everywhere(town, hub_id, "city") == all_three("York")
    assert contacts(town, "salesforce") == 1


def test_a_record_lost_from_sight_lives_again_when_it_is_seen(town: Stage) -> None:  # noqa: F811
    record_id = create(town, "salesforce", "contact", **ANN, **EMAIL)
    town.settle()
    hub_id = golden_of(town, "salesforce", record_id)
    notice = "insert into inbox (connection, object, record_id, kind) values ('salesforce', 'Contact', %s, 'told')"
    town.rows(notice, [record_id])
    with blind(town, "salesforce"):
        town.sync(["salesforce"])
    town.edit("contact", hub_id, {"city": "York"})
    town.settle()
    town.rows(notice, [record_id])
    town.settle(full=True)
    assert state_of(town, "salesforce", record_id) == "live"
    assert everywhere(town, hub_id, "city") == all_three("York")
    # It is the same record still: nobody created another.
    assert {c: contacts(town, c) for c in THREE} == dict.fromkeys(THREE, 1)


def test_a_reference_that_leads_nowhere_is_refused_and_stops_nothing(town: Stage) -> None:  # noqa: F811
    record_id = create(town, "hubspot", "contact", **ANN, **EMAIL)
    company = create(town, "hubspot", "account", name="Foo", website="https://foo.example")
    town.settle()
    hub_id, account = golden_of(town, "hubspot", record_id), golden_of(town, "hubspot", company)
    for nowhere in ("foo", str(uuid.UUID(int=7)), str(hub_id)):
        with pytest.raises(Refused, match="account must be the hub id of an account that exists"):
            town.edit("contact", hub_id, {"account": nowhere, "city": "Nowhere"})
    assert town.sync().writes == {}
    town.edit("contact", hub_id, {"account": str(account), "city": "York"})
    town.settle()
    assert everywhere(town, hub_id, "city") == all_three("York")
    there = places(town, hub_id)["salesforce"]
    assert town.shown("salesforce", "contact", there, "account") == places(town, account)["salesforce"]


def test_the_key_of_another_entity_names_nobody(town: Stage) -> None:  # noqa: F811
    company = create(town, "salesforce", "account", name="Foo", website="https://foo.example")
    town.settle()
    account = golden_of(town, "salesforce", company)
    values = {"FirstName": "Ann", "LastName": "Lee", "Email": EMAIL["email"], "Crm_Sync_Id__c": str(account)}
    person = town.screens["salesforce"].create("Contact", values)
    assert town.settle()[-1].missed == {}
    hub_id = golden_of(town, "salesforce", person)
    assert hub_id != account
    assert set(places(town, hub_id)) == set(THREE)
    assert town.rows("select entity, count(*) from hub_record group by 1 order by 1") == [
        ("account", 1),
        ("contact", 1),
    ]
    assert town.shown("salesforce", "account", company, "name") == "Foo"
    assert {c: contacts(town, c) for c in THREE} == dict.fromkeys(THREE, 1)


@pytest.mark.parametrize("end", ["edited back", "deleted there"])
def test_a_dead_letter_goes_when_nothing_is_to_be_sent_any_more(town: Stage, end: str) -> None:  # noqa: F811
    record_id = create(town, "hubspot", "contact", **ANN, **EMAIL)
    town.settle()
    hub_id = golden_of(town, "hubspot", record_id)
    # Dataverse knows dates from 1753 on.
    town.edit("contact", hub_id, {"birth_date": "1650-03-04"})
    town.settle()
    letters = "select state from outbox where connection = 'dynamics'"
    assert town.rows(letters) == [("dead",)]
    if end == "edited back":
        town.edit("contact", hub_id, {"birth_date": None})
    else:
        town.screens["dynamics"].delete("contact", places(town, hub_id)["dynamics"])
    town.settle()
    assert town.rows(letters) == []


def test_whichever_crm_is_read_first_the_strongest_prevails(town: Stage) -> None:  # noqa: F811
    """The strongest agrees with the weakest; it used to lose to the second one, where that was read last."""
    town.settle()
    shown = {"salesforce": "York", "hubspot": "Leeds", "dynamics": "York"}
    ends = {}
    for number, order in enumerate(permutations(THREE)):
        who = {**ANN, "last_name": f"Order{number}", "email": f"order{number}@order.example"}
        made = {c: create(town, c, "contact", **who, city=city) for c, city in shown.items()}
        for connection in order:
            town.sync([connection])
        town.settle()
        hub_id = golden_of(town, "dynamics", made["dynamics"])
        assert places(town, hub_id) == made
        ends[order] = everywhere(town, hub_id, "city")
    assert ends == dict.fromkeys(permutations(THREE), all_three("York"))
