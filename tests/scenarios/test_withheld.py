"""A value that a CRM refuses because another record has it is sent as soon as that record shows something else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from crm_sync.flows import deliver as delivering
from crm_sync.flows.absorb import absorb
from crm_sync.flows.ingest import ingest
from crm_sync.store import inbox
from tests.scenarios.conftest import SetStage
from tests.scenarios.reading import well_known
from tests.scenarios.stage import CONFIG, Stage

Known = tuple[UUID, dict[str, str]]


@pytest.fixture(scope="module")
def town(set_stage: SetStage) -> Iterator[Stage]:
    with set_stage(seed=88, accounts=12, contacts=50) as stage:
        stage.settle()
        yield stage


def shown(town: Stage, there: dict[str, str]) -> object:
    return town.shown("hubspot", "contact", there["hubspot"], "email")


def waits_for(town: Stage, hub_id: UUID) -> list[tuple[str, str, int]]:
    return town.rows("select field, holder, tries from withheld where connection = 'hubspot' and hub_id = %s", [hub_id])


def delete(town: Stage, record_id: str) -> None:
    """Delete a contact in HubSpot, which tells nobody; a notice has the record looked at."""
    town.screens["hubspot"].delete("contacts", record_id)
    place = ("hubspot", town.specs.mapping("hubspot", "contact").object, record_id)
    with town.opened("notice") as ctx:
        ctx.database.run(lambda conn: inbox.put_notices(conn, "missing", [place]))


def hand_out(town: Stage, address: str, holder: Known, waiter: Known) -> None:
    """Give an address to one, and then to another, who has to wait for it."""
    for hub_id, _ in (holder, waiter):
        town.edit("contact", hub_id, {"email": address})
        town.settle()
    assert waits_for(town, waiter[0]) == [("email", holder[1]["hubspot"], 1)]


@pytest.mark.parametrize("then", ["mended, with another address", "still bad, with another address", "deleted"])
def test_the_holder_is_in_quarantine_and_ceases_to_have_the_value(town: Stage, then: str) -> None:
    waiter, there = well_known(town, "contact")[3]
    word = then.split(",", maxsplit=1)[0].replace(" ", "-")
    address = f"held-{word}@family.example"
    screen = town.screens["hubspot"]
    record_id = screen.create("contacts", {"firstname": "Nobody", "lastname": "", "email": address})
    town.settle()
    town.edit("contact", waiter, {"email": address})
    town.settle()
    # Of its values nobody knows more than a hash of all: one more try told that it still has this one.
    assert waits_for(town, waiter) == [("email", record_id, 2)]
    assert not town.settle()[0].writes, "it is tried again and again"
    if then == "deleted":
        delete(town, record_id)
    elif then.startswith("mended"):
        screen.edit("contacts", record_id, {"lastname": "Mended", "email": f"mended-{word}@family.example"})
    else:
        screen.edit("contacts", record_id, {"firstname": "Worse", "email": f"worse-{word}@family.example"})
    town.settle()
    assert shown(town, there) == address
    assert waits_for(town, waiter) == []


def test_the_holder_changes_between_the_refusal_and_its_settlement(
    town: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (holder, at), (waiter, there) = well_known(town, "contact")[-2:]
    town.edit("contact", holder, {"email": "race@family.example"})
    town.settle()
    town.edit("contact", waiter, {"email": "race@family.example"})
    settle, done = delivering._settle, []

    def meanwhile(ctx, lens, *rest):  # type: ignore[no-untyped-def]
        if (lens.name, lens.entity.name) == ("hubspot", "contact") and not done:
            done.append(lens)
            town.change("hubspot", "contact", at["hubspot"], email="own@family.example")
            with town.opened("another") as other:
                ingest(other, "hubspot", "contact")
                absorb(other, "contact")
        return settle(ctx, lens, *rest)

    monkeypatch.setattr(delivering, "_settle", meanwhile)
    town.settle()
    assert done, "nothing was sent"
    assert shown(town, there) == "race@family.example"
    assert waits_for(town, waiter) == []


def test_nobody_knows_who_has_the_value(town: Stage) -> None:
    waiter, there = well_known(town, "contact")[5]
    screen = town.screens["hubspot"]
    record_id = screen.create("contacts", {"firstname": "Hidden", "lastname": "", "email": "hidden@family.example"})
    town.settle()
    town.rows("delete from quarantine where record_id = %s", [record_id])
    town.edit("contact", waiter, {"email": "hidden@family.example"})
    town.settle()
    after = "select tries, retry_at - withheld_at from withheld where hub_id = %s"
    for tries, minutes in ((2, 5), (3, 10), (4, 20)):
        assert town.rows(after, [waiter]) == [(tries, timedelta(minutes=minutes))]
        assert not town.settle()[0].writes, "it is tried again and again"
        town.rows("update withheld set retry_at = now() where hub_id = %s", [waiter])
        if tries == 4:
            screen.delete("contacts", record_id)
        town.settle()
    assert shown(town, there) == "hidden@family.example"
    assert waits_for(town, waiter) == []


def test_the_rules_change_while_a_value_waits(set_stage: SetStage, tmp_path: Path) -> None:
    with set_stage(seed=88, accounts=12, contacts=50) as town:
        town.settle()
        holder, waiter = well_known(town, "contact")[-2:]
        hand_out(town, "form@family.example", holder, waiter)
        rules = Path(shutil.copytree(CONFIG, tmp_path / "config"))
        mapping = rules / "mappings/hubspot/contact.yaml"
        mapping.write_text(mapping.read_text(encoding="utf-8").replace("version: 1", "version: 2", 1), encoding="utf-8")
        town.use(config_dir=rules)
        assert not any(one.writes for one in town.settle()), "a change of the rules is no reason to try again"
        assert waits_for(town, waiter[0]) == [("email", holder[1]["hubspot"], 1)]
        town.edit("contact", holder[0], {"email": "mine@family.example"})
        town.settle()
        assert shown(town, waiter[1]) == "form@family.example"


@pytest.mark.parametrize("many", [2, 3])
def test_addresses_go_round(town: Stage, many: int) -> None:
    circle = well_known(town, "contact")[-4 : -4 + many]
    own = [f"one-of-{many}-{number}@family.example" for number in range(many)]
    for (hub_id, _), address in zip(circle, own, strict=True):
        town.edit("contact", hub_id, {"email": address})
    town.settle()
    turned = own[1:] + own[:1]
    for (_, at), address in zip(circle, turned, strict=True):
        town.change("dynamics", "contact", at["dynamics"], email=address)
    town.settle()
    for (hub_id, at), address in zip(circle, turned, strict=True):
        assert [town.shown(c, "contact", i, "email") for c, i in sorted(at.items())] == [address] * 3
        assert waits_for(town, hub_id) == []
    assert not town.sync(full=True).writes
