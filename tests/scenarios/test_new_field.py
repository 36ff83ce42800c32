"""A field is added to the rules of a sync that runs: one line in the entity, one in each mapping."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from crm_sync.errors import Busy
from crm_sync.flows.provision import provision
from tests.scenarios.conftest import SetStage
from tests.scenarios.reading import compare, well_known, world
from tests.scenarios.screens import Records
from tests.scenarios.stage import CONFIG, Stage

THREE = ("salesforce", "hubspot", "dynamics")
NEW_LINES = {
    "entities/contact.yaml": "  department: {type: text, max_length: 80}",
    "mappings/salesforce/contact.yaml": "  department: {source: Department, max_length: 80}",
    "mappings/hubspot/contact.yaml": "  department: {source: crm_sync_department, provision: true}",
    "mappings/dynamics/contact.yaml": "  department: {source: department, max_length: 100}",
}
Person = tuple[UUID, dict[str, str]]


@pytest.fixture
def town(set_stage: SetStage, tmp_path: Path) -> Iterator[Stage]:
    """Return a stage at rest, with rules of its own that a test may change."""
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    with set_stage(seed=616, accounts=5, contacts=30, config=config) as stage:
        stage.settle()
        yield stage


@pytest.fixture
def person(town: Stage) -> Person:
    """Return somebody who is known once in every CRM."""
    return well_known(town, "contact")[0]


def add_line(config: Path, file: str, line: str) -> None:
    """Add one line to the fields of a rule file."""
    path = config / file
    text = path.read_text(encoding="utf-8")
    assert text.count("\nfields:\n") == 1
    path.write_text(text.replace("\nfields:\n", f"\nfields:\n{line}\n"), encoding="utf-8")


def add_the_field(town: Stage) -> None:
    for file, line in NEW_LINES.items():
        add_line(town.settings.config_dir, file, line)
    rules_changed(town)


def rules_changed(town: Stage) -> None:
    """Have the rules read again, which a stage reads once."""
    vars(town).pop("specs", None)


def provisioned(town: Stage) -> list[str]:
    """Create what the CRMs lack; return what that was."""
    with town.opened("provision") as ctx:
        return [step.what for step in provision(ctx, None, apply=True) if step.needed]


def departments(town: Stage, person: Person) -> dict[str, Any]:
    return {c: town.shown(c, "contact", record_id, "department") for c, record_id in person[1].items()}


def records(town: Stage) -> dict[tuple[str, str], Records]:
    """Return all that the CRMs hold, their counters of changes included."""
    return {(c, e): town.records(c, e) for c in THREE for e in ("account", "contact")}


def read_anew(town: Stage) -> list[tuple[str, str]]:
    """Return the streams that were read completely because their rules had changed, once each time."""
    found = town.rows("select connection, operation from audit_operation where result = 'rules_changed' order by 1, 2")
    return [(connection, str(operation).removeprefix("read ")) for connection, operation in found]


def forms(town: Stage) -> set[tuple[str, bool]]:
    """Return (connection, whether a shadow has the newest form) of all live links of contacts."""
    return set(
        town.rows(
            "select l.connection, s.form_id = (select max(form_id) from form f where f.connection = l.connection "
            "and f.entity = 'contact') from identity_link l join shadow s using (link_id) "
            "where l.entity = 'contact' and l.state = 'live'"
        )
    )


def test_a_new_field_is_one_line_in_the_entity_and_one_in_each_mapping(town: Stage, person: Person) -> None:
    before = records(town)
    add_the_field(town)
    assert provisioned(town) == ["property crm_sync_department"]
    first = town.sync()
    assert first.missed == {}
    assert records(town) == before, "nobody has a department yet, and the rest had not changed"
    assert first.sum("sent") == 0
    assert forms(town) == {(c, True) for c in THREE}, "everything was read once, by itself"
    town.change("salesforce", "contact", person[1]["salesforce"], department="Interesting Affairs")
    second = town.sync()
    assert (second.totals["applied"], second.sum("sent")) == (1, 2), "one edit, two other CRMs"
    assert departments(town, person) == dict.fromkeys(THREE, "Interesting Affairs")
    town.edit("contact", person[0], {"department": "Dull Affairs"})
    assert town.sync().sum("sent") == 3
    assert departments(town, person) == dict.fromkeys(THREE, "Dull Affairs")
    quiet = town.sync()
    assert quiet.writes == {}
    assert read_anew(town) == [(c, "contact") for c in sorted(THREE)], "once: the next reads are incremental again"
    assert compare(town, "contact").differences == []


def test_values_that_were_there_before_the_field_was_mapped_arrive_too(town: Stage, person: Person) -> None:
    town.screens["dynamics"].edit("contact", person[1]["dynamics"], {"department": "Old Affairs"})
    town.settle()
    add_the_field(town)
    provisioned(town)
    assert town.sync().sum("sent") == 2
    assert departments(town, person) == dict.fromkeys(THREE, "Old Affairs")
    assert world(town, "contact").golden[person[0]]["department"] == "t:Old Affairs"
    assert town.sync().writes == {}


def test_a_field_that_a_crm_gets_later_waits_for_it(town: Stage, person: Person) -> None:
    add_the_field(town)
    assert town.sync().missed == {}, "HubSpot has no such property yet"
    town.change("salesforce", "contact", person[1]["salesforce"], department="Early Affairs")
    assert town.sync().sum("sent") == 1
    there = {c: town.screens[c].values(town.at(c, "contact"), person[1][c]) for c in ("hubspot", "dynamics")}
    assert (there["hubspot"].get("crm_sync_department"), there["dynamics"]["department"]) == (None, "Early Affairs")
    assert provisioned(town) == ["property crm_sync_department"]
    assert town.sync().sum("sent") == 1
    assert departments(town, person) == dict.fromkeys(THREE, "Early Affairs")
    assert town.sync().writes == {}


def test_nothing_is_created_under_a_read(town: Stage) -> None:
    add_the_field(town)
    with town.opened("reading") as ctx, ctx.leased("read/hubspot"), pytest.raises(Busy, match="read/hubspot"):
        provisioned(town)
    with town.opened("plan") as ctx:
        assert [step.what for step in provision(ctx, None, apply=False) if step.needed] == [
            "property crm_sync_department"
        ]
    assert provisioned(town) == ["property crm_sync_department"]
    with town.opened("reading") as ctx, ctx.leased("read/hubspot"):
        assert provisioned(town) == [], "what needs nothing waits for nobody"


def test_a_mapping_that_reads_differently_reads_everything_once(town: Stage) -> None:
    before = records(town)
    path = town.settings.config_dir / "mappings/dynamics/contact.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("version: 1", "version: 2"), encoding="utf-8")
    rules_changed(town)
    round_ = town.sync()
    assert records(town) == before
    assert forms(town) == {(c, True) for c in THREE}
    assert read_anew(town) == [("dynamics", "contact")]
    read = {(row["connection"], row["entity"]): row["read"] for row in round_.report.rows}
    assert read["dynamics", "contact"] == len(before["dynamics", "contact"])
    town.sync()
    assert len(read_anew(town)) == 1, "once"


def test_a_field_that_is_taken_out_is_left_alone_everywhere(town: Stage, person: Person) -> None:
    before = records(town)
    for file in NEW_LINES:
        path = town.settings.config_dir / file
        text = re.sub(r"^  fax:.*\n(    .*\n)*", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert "fax" not in text
        path.write_text(text, encoding="utf-8")
    rules_changed(town)
    town.sync()
    assert records(town) == before
    town.change("salesforce", "contact", person[1]["salesforce"], city="Faxless")
    assert town.sync().sum("sent") == 2
    for connection, source in {"salesforce": "Fax", "hubspot": "fax", "dynamics": "fax"}.items():
        kept = before[connection, "contact"][person[1][connection]]["values"]
        assert town.screens[connection].values(town.at(connection, "contact"), person[1][connection]).get(source) == (
            kept.get(source)
        )
