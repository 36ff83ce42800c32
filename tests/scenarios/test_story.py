"""The story: people edit in three CRMs and the hub, and every edit arrives; the policy settles what two edited."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from crm_sync.errors import Misconfigured, Refused
from crm_sync.flows.explain import explain
from crm_sync.records import NULL
from tests.scenarios.conftest import SetStage
from tests.scenarios.reading import compare, well_known, world
from tests.scenarios.stage import Stage

Person = tuple[UUID, dict[str, str]]
THREE = ("salesforce", "hubspot", "dynamics")


@pytest.fixture(scope="module")
def town(set_stage: SetStage) -> Iterator[Stage]:
    """Return a stage at rest."""
    with set_stage(seed=33, accounts=30, contacts=140) as stage:
        stage.settle()
        yield stage


@pytest.fixture(scope="module")
def people(town: Stage) -> list[Person]:
    """Return people who are known once in every CRM, a fresh one for every test that pops one."""
    now = world(town, "contact")
    found = [(h, p) for h, p in well_known(town, "contact") if now.golden[h]["birth_date"] == NULL]
    assert len(found) >= 12, "the population has too few people known everywhere"
    return found


def everywhere(stage: Stage, places: dict[str, str], field: str) -> dict[str, Any]:
    """Return what each CRM shows of a contact's field."""
    return {c: stage.shown(c, "contact", r, field) for c, r in places.items()}


def told(stage: Stage, hub_id: UUID, field: str) -> list[dict[str, Any]]:
    """Return the explained history of a field."""
    with stage.opened("explain") as ctx:
        return explain(ctx, "contact", str(hub_id), field).history


def test_three_edits_arrive_everywhere(town: Stage, people: list[Person]) -> None:
    hub_id, places = people.pop()
    town.change("salesforce", "contact", places["salesforce"], phone="+1 202 555 0143")
    town.change("hubspot", "contact", places["hubspot"], job_title="Head of Interesting Affairs")
    town.edit("contact", hub_id, {"city": "Reykjavik"})
    town.settle()
    golden = world(town, "contact").golden[hub_id]
    assert golden["phone"] == "t:+12025550143"
    assert golden["job_title"] == "t:Head of Interesting Affairs"
    assert golden["city"] == "t:Reykjavik"
    assert everywhere(town, places, "city") == dict.fromkeys(THREE, "Reykjavik")
    assert everywhere(town, places, "job_title") == dict.fromkeys(THREE, "Head of Interesting Affairs")
    # Whoever wrote it in a form of their own keeps that form.
    assert everywhere(town, places, "phone") == dict.fromkeys(THREE, "+12025550143") | {"salesforce": "+1 202 555 0143"}


def test_a_value_taken_away_is_taken_away_everywhere(town: Stage, people: list[Person]) -> None:
    hub_id, places = people.pop()
    town.edit("contact", hub_id, {"notes": "likes tea"})
    town.settle()
    assert everywhere(town, places, "notes") == dict.fromkeys(THREE, "likes tea")
    town.change("dynamics", "contact", places["dynamics"], notes=None)
    town.settle()
    assert everywhere(town, places, "notes") == dict.fromkeys(THREE, None)


def test_a_new_person_in_one_crm_appears_in_all(town: Stage) -> None:
    company = town.screens["hubspot"].create("companies", {"name": "Ada & Co", "website": "ada-and-co.example"})
    record_id = town.screens["hubspot"].create(
        "contacts",
        {"firstname": "Ada", "lastname": "Newcomer", "email": "ada@ada-and-co.example"},
        {"companies": [company]},
    )
    town.settle()
    now = world(town, "contact")
    hub_id = now.of("hubspot", record_id)
    places = now.places(hub_id)
    assert set(places) == set(THREE)
    companies = world(town, "account")
    golden = companies.of("hubspot", company)
    assert now.golden[hub_id]["account"] == f"r:{golden}"
    for connection in ("salesforce", "dynamics"):
        shown = now.crm[(connection, places[connection])]
        assert shown["account"] == f"r:{companies.places(golden)[connection]}"
        assert shown["email"] == "t:ada@ada-and-co.example"


def test_a_person_who_changes_companies_does_so_everywhere(town: Stage, people: list[Person]) -> None:
    hub_id, places = people.pop()
    company, at = well_known(town, "account")[0]
    town.change("salesforce", "contact", places["salesforce"], account=at["salesforce"])
    town.settle()
    now = world(town, "contact")
    assert now.golden[hub_id]["account"] == f"r:{company}"
    for connection in THREE:
        assert now.crm[(connection, places[connection])]["account"] == f"r:{at[connection]}"


@pytest.mark.parametrize(("first", "second"), [("salesforce", "dynamics"), ("dynamics", "salesforce")])
def test_the_last_write_wins(town: Stage, people: list[Person], first: str, second: str) -> None:
    hub_id, places = people.pop()
    town.change(first, "contact", places[first], city="Firsttown")
    time.sleep(1.1)  # stamps are of whole seconds
    # That the second record is seen with a stamp in between proves that its next edit is the later one.
    town.change(second, "contact", places[second], notes="seen in between")
    town.sync([second])
    time.sleep(1.1)
    town.change(second, "contact", places[second], city="Secondtown")
    town.settle()
    assert everywhere(town, places, "city") == dict.fromkeys(THREE, "Secondtown")
    _tells_of(told(town, hub_id, "city"), "last_write_wins", {"Firsttown", "Secondtown"}, winner=second)


def test_where_nobody_knows_who_was_last_a_fixed_priority_rules(town: Stage, people: list[Person]) -> None:
    hub_id, places = people.pop()
    town.change("salesforce", "contact", places["salesforce"], city="Strongtown")
    town.change("hubspot", "contact", places["hubspot"], city="Weaktown")
    town.settle()
    assert everywhere(town, places, "city") == dict.fromkeys(THREE, "Strongtown")
    _tells_of(told(town, hub_id, "city"), "last_write_wins", {"Strongtown", "Weaktown"}, winner="salesforce")


def _tells_of(history: list[dict[str, Any]], rule: str, values: set[str], winner: str) -> None:
    """Check that the dispute is told: both values, the rule, and who won."""
    told_of = [row for row in history if row.get("rule") == rule]
    assert told_of, history
    assert {told_of[-1]["before"], told_of[-1]["incoming"]} == values
    assert told_of[-1]["winner"] == winner


@pytest.mark.parametrize("order", [("salesforce", "hubspot"), ("hubspot", "salesforce")])
def test_fields_merge_by_the_priority_of_their_source(
    town: Stage, people: list[Person], order: tuple[str, str]
) -> None:
    hub_id, places = people.pop()
    for connection in order:
        town.change(connection, "contact", places[connection], job_title=f"Title of {connection}")
    town.settle()
    assert everywhere(town, places, "job_title") == dict.fromkeys(THREE, "Title of hubspot")
    values = {"Title of salesforce", "Title of hubspot"}
    _tells_of(told(town, hub_id, "job_title"), "field_merge", values, winner="hubspot")


def test_what_nobody_disputes_is_no_question(town: Stage) -> None:
    """A person fills in a field that was empty everywhere, in a record that the sync had created there."""
    made = set(town.rows("select hub_id, connection, record_id from identity_link where linked_by = 'created'"))
    now = world(town, "contact")
    empty = {h for h, texts in now.golden.items() if texts["birth_date"] == NULL}
    hub_id, connection, record_id = next(row for row in sorted(made) if row[0] in empty)
    town.change(connection, "contact", record_id, birth_date="1990-09-09")
    town.settle()
    assert world(town, "contact").golden[hub_id]["birth_date"] == "d:1990-09-09"
    assert set(everywhere(town, now.places(hub_id), "birth_date").values()) == {"1990-09-09"}
    assert town.rows("select * from review where hub_id = %s", [hub_id]) == []


def test_a_birth_date_in_dispute_waits_for_a_person(town: Stage, people: list[Person]) -> None:
    hub_id, places = people.pop()
    town.change("salesforce", "contact", places["salesforce"], birth_date="1980-01-01")
    town.change("dynamics", "contact", places["dynamics"], birth_date="1981-02-02")
    town.settle()
    asked = town.rows(
        "select l.connection, r.field, r.kind from review r join identity_link l using (link_id) "
        "where r.state = 'open' and r.hub_id = %s",
        [hub_id],
    )
    assert [(field, kind) for _, field, kind in asked] == [("birth_date", "conflict")]
    closed = asked[0][0]
    shown = everywhere(town, places, "birth_date")
    assert shown["salesforce"] == "1980-01-01"
    assert shown["dynamics"] == "1981-02-02"
    open_ = "salesforce" if closed == "dynamics" else "dynamics"
    assert shown["hubspot"] == shown[open_]
    history = told(town, hub_id, "birth_date")
    held = next(row for row in history if row["decision"] == "HOLD")
    assert {held["before"], held["incoming"]} == {"1980-01-01", "1981-02-02"}
    assert held["rule"] == "manual_review"
    # The rest of the record goes on, and the cell stays closed.
    town.edit("contact", hub_id, {"city": "Elsewhere"})
    town.settle()
    assert everywhere(town, places, "city") == dict.fromkeys(THREE, "Elsewhere")
    assert everywhere(town, places, "birth_date") == shown
    # People agree by themselves: the question dissolves.
    town.change(closed, "contact", places[closed], birth_date=shown[open_])
    town.settle()
    assert town.rows("select state from review where hub_id = %s", [hub_id]) == [("moot",)]
    assert everywhere(town, places, "birth_date") == dict.fromkeys(THREE, shown[open_])


@pytest.mark.parametrize("out", THREE)
def test_an_opt_out_known_to_one_crm_holds_for_all_when_they_meet(town: Stage, out: str) -> None:
    name, address = f"Optout{out.title()}", f"{out}@consent.example"
    made = {
        "salesforce": {"FirstName": "Pat", "LastName": name, "Email": address, "HasOptedOutOfEmail": False},
        "hubspot": {"firstname": "Pat", "lastname": name, "email": address, "crm_sync_email_opt_out": False},
        "dynamics": {"firstname": "Pat", "lastname": name, "emailaddress1": address, "donotbulkemail": False},
    }
    places = {}
    for connection, values in made.items():
        values[town.source(connection, "contact", "email_opt_out")] = connection == out
        places[connection] = town.screens[connection].create(town.at(connection, "contact"), values)
    town.settle()
    assert world(town, "contact").places(world(town, "contact").of(out, places[out])) == places
    assert everywhere(town, places, "email_opt_out") == {"salesforce": True, "hubspot": "true", "dynamics": True}
    # Who opts in again afterwards, without dispute, is in again.
    town.change("dynamics", "contact", places["dynamics"], email_opt_out=False)
    town.settle()
    assert everywhere(town, places, "email_opt_out") == {"salesforce": False, "hubspot": "false", "dynamics": False}


def test_an_edit_in_the_hub_keeps_the_rules(town: Stage, people: list[Person]) -> None:
    hub_id, _ = people.pop()
    before = world(town, "contact").golden[hub_id]
    for changes, told_of in (
        ({"email": "nobody"}, "email"),
        ({"last_name": None}, "last_name"),
        ({"city": "x" * 41}, "city"),
        ({"salutation": "sir"}, "salutation"),
    ):
        with pytest.raises(Refused, match=told_of) as refused:
            town.edit("contact", hub_id, {**changes, "notes": "changed on the way"})
        assert str(next(iter(changes.values()))) not in str(refused.value) or next(iter(changes.values())) is None
    with pytest.raises(Misconfigured, match="shoe_size"):
        town.edit("contact", hub_id, {"shoe_size": 43})
    assert world(town, "contact").golden[hub_id] == before
    assert town.sync().writes == {}


@pytest.mark.parametrize("entity", ["account", "contact"])
def test_in_the_end_all_agree(town: Stage, entity: str) -> None:
    town.settle()
    assert compare(town, entity).differences == []
