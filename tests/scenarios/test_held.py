"""What is held: refused content, references that wait, values that a CRM refuses; all of it finds its way again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_sync.flows.status import status
from crm_sync.store import inbox
from tests.scenarios.conftest import SetStage
from tests.scenarios.reading import compare, well_known, world
from tests.scenarios.stage import Stage

THREE = ("salesforce", "hubspot", "dynamics")


@pytest.fixture(scope="module")
def town(set_stage: SetStage) -> Iterator[Stage]:
    """Return a stage at rest."""
    with set_stage(seed=88, accounts=12, contacts=50) as stage:
        stage.settle()
        yield stage
        for entity in ("account", "contact"):
            assert compare(stage, entity).differences == []


def quarantined(stage: Stage, connection: str, record_id: str) -> list[dict[str, str]]:
    """Return the reasons for which a record is in quarantine; none where it is not."""
    rows = stage.rows(
        "select reasons from quarantine where connection = %s and record_id = %s", [connection, record_id]
    )
    return list(rows[0][0]) if rows else []


def linked(stage: Stage, connection: str, record_id: str) -> bool:
    """Tell whether a record has a golden record."""
    found = stage.rows("select 1 from identity_link where connection = %s and record_id = %s", [connection, record_id])
    return bool(found)


def test_a_new_record_with_bad_content_waits_with_every_reason_until_it_is_mended(town: Stage) -> None:
    screen = town.screens["hubspot"]
    record_id = screen.create(
        "contacts", {"firstname": "Bad " * 20, "lastname": "", "email": "nobody at nowhere", "city": "Ghent"}
    )
    town.settle()
    reasons = {(r["field"], r["code"]) for r in quarantined(town, "hubspot", record_id)}
    assert reasons == {("first_name", "max_length"), ("last_name", "required"), ("email", "email_invalid")}
    assert not linked(town, "hubspot", record_id)
    # Half a mend is none, and the reasons are told anew.
    screen.edit("contacts", record_id, {"lastname": "Mended", "firstname": "Bo"})
    town.settle()
    assert [r["field"] for r in quarantined(town, "hubspot", record_id)] == ["email"]
    screen.edit("contacts", record_id, {"email": "bo.mended@content.example"})
    town.settle()
    assert quarantined(town, "hubspot", record_id) == []
    now = world(town, "contact")
    places = now.places(now.of("hubspot", record_id))
    assert set(places) == set(THREE)
    assert town.shown("salesforce", "contact", places["salesforce"], "email") == "bo.mended@content.example"


def test_a_known_record_that_turns_bad_keeps_what_it_was_and_comes_back(town: Stage) -> None:
    hub_id, places = well_known(town, "contact")[0]
    before = world(town, "contact").golden[hub_id]
    town.change("dynamics", "contact", places["dynamics"], email="broken@", city="Unheard-of")
    town.settle()
    assert [r["field"] for r in quarantined(town, "dynamics", places["dynamics"])] == ["email"]
    assert world(town, "contact").golden[hub_id] == before
    # Meanwhile others edit the same person.
    town.change("salesforce", "contact", places["salesforce"], job_title="Goes on")
    town.settle()
    assert town.shown("hubspot", "contact", places["hubspot"], "job_title") == "Goes on"
    town.change(
        "dynamics", "contact", places["dynamics"], email=before["email"][2:] if before["email"] != "0" else None
    )
    town.settle()
    assert quarantined(town, "dynamics", places["dynamics"]) == []
    golden = world(town, "contact").golden[hub_id]
    assert golden["city"] == "t:Unheard-of"
    assert golden["email"] == before["email"]
    assert town.shown("dynamics", "contact", places["dynamics"], "job_title") == "Goes on"


def test_a_record_back_to_its_old_content_leaves_quarantine(town: Stage) -> None:
    hub_id, places = well_known(town, "contact")[1]
    before = world(town, "contact").golden[hub_id]
    old = town.shown("salesforce", "contact", places["salesforce"], "last_name")
    town.change("salesforce", "contact", places["salesforce"], last_name="x" * 80, email="broken@")
    town.settle()
    assert quarantined(town, "salesforce", places["salesforce"])
    old_email = before["email"][2:] if before["email"] != "0" else None
    town.change("salesforce", "contact", places["salesforce"], last_name=old, email=old_email)
    town.settle()
    assert quarantined(town, "salesforce", places["salesforce"]) == []
    assert world(town, "contact").golden[hub_id] == before


def test_a_contact_goes_on_while_its_account_waits_in_quarantine(town: Stage) -> None:
    company = town.screens["hubspot"].create("companies", {"city": "Nameless", "website": "nameless.example"})
    person = town.screens["hubspot"].create(
        "contacts",
        {"firstname": "Ann", "lastname": "Waiting", "email": "ann@nameless.example"},
        {"companies": [company]},
    )
    town.settle()
    assert [r["code"] for r in quarantined(town, "hubspot", company)] == ["required"]
    assert town.count("select count(*) from parked_in where target_record_id = %s", [company]) == 1
    now = world(town, "contact")
    hub_id = now.of("hubspot", person)
    # The person is known everywhere already, without the company.
    places = now.places(hub_id)
    assert set(places) == set(THREE)
    assert now.golden[hub_id]["account"] == "0"
    town.screens["hubspot"].edit("companies", company, {"name": "Named at Last"})
    town.settle()
    assert quarantined(town, "hubspot", company) == []
    assert town.count("select count(*) from parked_in where target_record_id = %s", [company]) == 0
    accounts = world(town, "account")
    golden = accounts.of("hubspot", company)
    now = world(town, "contact")
    assert now.golden[hub_id]["account"] == f"r:{golden}"
    for connection in THREE:
        there = accounts.places(golden)[connection]
        assert now.crm[(connection, places[connection])]["account"] == f"r:{there}"


def test_a_value_that_two_crms_refuse_blocks_no_neighbour_and_may_be_mended(town: Stage) -> None:
    (refused, at), (other, there) = well_known(town, "contact")[2:4]
    # No rule of ours forbids it, but Salesforce knows dates from 1700 on, and Dataverse from 1753.
    town.edit("contact", refused, {"birth_date": "1650-03-04", "city": "First of all"})
    town.edit("contact", other, {"city": "Second to none"})
    town.settle()
    assert town.shown("hubspot", "contact", at["hubspot"], "birth_date") == "1650-03-04"
    for connection in THREE:
        assert town.shown(connection, "contact", there[connection], "city") == "Second to none"
    held = "select connection from withheld where hub_id = %s union select connection from outbox where hub_id = %s"
    assert sorted(c for (c,) in town.rows(held, [refused, refused])) == ["dynamics", "salesforce"]
    told = town.rows("select error_code, error_message from outbox where hub_id = %s", [refused])
    told += town.rows("select result, fields::text from audit where hub_id = %s", [refused])
    assert "1650" not in str(told), "what a CRM says of a value names the value"
    town.edit("contact", refused, {"birth_date": "1950-03-04"})
    town.settle()
    for connection in THREE:
        assert str(town.shown(connection, "contact", at[connection], "birth_date"))[:10] == "1950-03-04"
        assert town.shown(connection, "contact", at[connection], "city") == "First of all"
    assert town.rows(held, [refused, refused]) == []


def test_an_email_that_hubspot_refuses_holds_back_nothing_else(town: Stage) -> None:
    (one, at), (other, there) = well_known(town, "contact")[4:6]
    town.edit("contact", one, {"email": "shared@family.example", "city": "Sharetown"})
    town.settle()
    assert town.shown("hubspot", "contact", at["hubspot"], "email") == "shared@family.example"
    town.edit("contact", other, {"email": "shared@family.example", "city": "Sharetown", "notes": "second of two"})
    town.settle()
    assert town.rows("select hub_id, connection, field, error_class from withheld where hub_id = %s", [other]) == [
        (other, "hubspot", "email", "duplicate")
    ]
    with town.opened("status") as ctx:
        reasons = status(ctx).withheld_reasons
    alike = "select count(*) from withheld where connection = 'hubspot' and field = 'email' and error_code = 'CONFLICT'"
    why = {"error_class": "duplicate", "error_code": "CONFLICT", "values": town.count(alike)}
    assert reasons == [{"connection": "hubspot", "entity": "contact", "field": "email", **why}]
    assert town.shown("hubspot", "contact", there["hubspot"], "city") == "Sharetown"
    assert town.shown("hubspot", "contact", there["hubspot"], "notes") == "second of two"
    assert town.shown("dynamics", "contact", there["dynamics"], "email") == "shared@family.example"
    # Another value is tried again, and so are other fields.
    town.edit("contact", other, {"email": "own@family.example"})
    town.settle()
    assert town.shown("hubspot", "contact", there["hubspot"], "email") == "own@family.example"
    assert town.rows("select * from withheld where hub_id = %s", [other]) == []


@pytest.mark.parametrize("role", ["first", "last"])
@pytest.mark.parametrize("where", ["hub", "salesforce"])
def test_an_address_is_handed_on_in_one_round(town: Stage, role: str, where: str) -> None:
    pair = well_known(town, "contact")[-2:]
    (holder, at), (heir, there) = pair if role == "first" else pair[::-1]
    address, other = (f"{word}-{role}-{where}@family.example" for word in ("handed-on", "own"))
    town.edit("contact", holder, {"email": address})
    town.settle()
    if where == "hub":
        town.edit("contact", holder, {"email": other})
        town.edit("contact", heir, {"email": address})
    else:
        town.change("salesforce", "contact", at["salesforce"], email=other)
        town.change("salesforce", "contact", there["salesforce"], email=address)
    town.settle()
    assert town.shown("hubspot", "contact", at["hubspot"], "email") == other
    assert town.shown("hubspot", "contact", there["hubspot"], "email") == address


@pytest.mark.parametrize("how", ["edited in HubSpot", "edited in the hub", "deleted in HubSpot"])
def test_a_value_that_its_holder_gives_up_is_sent_to_who_waits_for_it(town: Stage, how: str) -> None:
    address = f"{how.replace(' ', '-').lower()}@family.example"
    (holder, at), (waiter, there) = well_known(town, "contact")[-2:]
    before = town.shown("hubspot", "contact", at["hubspot"], "email")
    town.edit("contact", holder, {"email": address})
    town.settle()
    town.edit("contact", waiter, {"email": address})
    town.settle()
    assert town.shown("hubspot", "contact", there["hubspot"], "email") != address
    if how == "deleted in HubSpot":
        town.screens["hubspot"].delete("contacts", at["hubspot"])
        # HubSpot tells nobody; a notice has the record looked at.
        with town.opened("notice") as ctx:
            place = ("hubspot", town.specs.mapping("hubspot", "contact").object, at["hubspot"])
            ctx.database.run(lambda conn: inbox.put_notices(conn, "missing", [place]))
    elif how == "edited in HubSpot":
        town.change("hubspot", "contact", at["hubspot"], email=before)
    else:
        town.edit("contact", holder, {"email": before})
    town.settle()
    assert town.shown("hubspot", "contact", there["hubspot"], "email") == address
    assert town.rows("select * from withheld where hub_id = %s and field = 'email'", [waiter]) == []


def test_what_is_held_is_told_without_values(town: Stage) -> None:
    screen = town.screens["salesforce"]
    record_id = screen.create("Contact", {"FirstName": "Q", "LastName": "Told", "Email": "secret-canary@@nowhere"})
    round_ = town.sync()
    assert round_.sum("quarantined") >= 1
    told = town.rows("select fields::text from audit where record_id = %s", [record_id])
    assert told
    assert "canary" not in str(told) + str(round_.report)
    screen.delete("Contact", record_id)
    town.settle()
