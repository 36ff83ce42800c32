"""The rules are data: renamed, mapped differently, hashed under a new key, and no edit is invented by any of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_sync.errors import Misconfigured
from crm_sync.records import NULL
from crm_sync.store.crypto import new_master_key
from tests.scenarios.conftest import SetStage
from tests.scenarios.reading import compare, well_known, world
from tests.scenarios.stage import CONFIG, Stage


def rewritten(config: Path, files: str, *changes: tuple[str, str]) -> None:
    """Change texts of rule files (glob, regular expressions); every change must hit each file that it is for."""
    paths = sorted(config.glob(files))
    assert paths, files
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for pattern, new in changes:
            text, hits = re.subn(pattern, new, text, flags=re.MULTILINE)
            assert hits, f"{pattern} is not in {path}"
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a copy of the rules."""
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


@pytest.fixture(scope="module")
def settled(set_stage: SetStage) -> Iterator[Stage]:
    """Return a stage at rest; who lets other rules hold there puts the usual ones back."""
    with set_stage(seed=1906, accounts=12, contacts=50) as stage:
        stage.settle()
        yield stage
        assert stage.settings.config_dir == CONFIG


def test_an_entity_and_fields_are_renamed_and_all_works(set_stage: SetStage, config: Path) -> None:
    rewritten(config, "connections.yaml", (r"entities: \[account, contact\]", "entities: [organisation, person]"))
    for old, new in (("account", "organisation"), ("contact", "person")):
        rewritten(config, f"entities/{old}.yaml", (rf"^entity: {old}$", f"entity: {new}"))
        rewritten(config, f"mappings/*/{old}.yaml", (rf"^entity: {old}$", f"entity: {new}"))
        for path in [*config.glob(f"entities/{old}.yaml"), *config.glob(f"mappings/*/{old}.yaml")]:
            path.rename(path.with_name(f"{new}.yaml"))
    rewritten(
        config, "entities/person.yaml", (r"target: account", "target: organisation"), (r"^  account:", "  employer:"),
        (r"\bjob_title:", "position:"), (r"\blast_name:", "family_name:"), (r"\bemail:", "mail:"),
    )  # fmt: skip
    rewritten(
        config, "mappings/*/person.yaml", (r"^  account:", "  employer:"), (r"^  job_title:", "  position:"),
        (r"^  last_name:", "  family_name:"), (r"^  email:", "  mail:"),
    )  # fmt: skip
    with set_stage(seed=1905, accounts=12, contacts=50, config=config) as stage:
        stage.settle()
        for entity in ("organisation", "person"):
            found = compare(stage, entity)
            assert found.differences == []
            assert found.equal > 100
        hub_id, places = well_known(stage, "person")[0]
        stage.change("hubspot", "person", places["hubspot"], position="Renamer")
        stage.edit("person", hub_id, {"city": "Newname"})
        stage.settle()
        for connection, record_id in places.items():
            assert stage.shown(connection, "person", record_id, "position") == "Renamer"
            assert stage.shown(connection, "person", record_id, "city") == "Newname"
        golden = world(stage, "person").golden
        assert any(texts["employer"] != NULL for texts in golden.values())


def test_a_new_vector_key_invents_no_edit(settled: Stage) -> None:
    stage = settled
    dispute, at = well_known(stage, "contact")[0]
    stage.edit("contact", dispute, {"birth_date": None})
    stage.settle()
    stage.change("salesforce", "contact", at["salesforce"], birth_date="1980-01-01")
    stage.change("dynamics", "contact", at["dynamics"], birth_date="1981-02-02")
    stage.settle()
    before = {e: world(stage, e).golden for e in ("account", "contact")}
    questions = stage.rows("select link_id, field from review where state = 'open' order by 1, 2")
    assert len(questions) == 1
    with stage.opened("keys") as ctx:
        ctx.keyring.new_vector_key()
    _nothing_moves(stage, before)
    assert stage.rows("select link_id, field from review where state = 'open' order by 1, 2") == questions
    # Edits go on, from every side, whatever form their record was in.
    (one, places), (two, there) = well_known(stage, "contact")[1:3]
    stage.change("dynamics", "contact", places["dynamics"], city="Under a new key")
    stage.edit("contact", two, {"city": "Under a new key"})
    stage.settle()
    for connection in stage.screens:
        assert stage.shown(connection, "contact", places[connection], "city") == "Under a new key"
        assert stage.shown(connection, "contact", there[connection], "city") == "Under a new key"
    assert compare(stage, "contact").differences == []
    assert one in before["contact"]


def _nothing_moves(stage: Stage, before: dict[str, object]) -> None:
    for full in (False, True, False):
        round_ = stage.sync(full=full)
        assert round_.missed == {}
        assert round_.writes == {}
        assert round_.totals["applied"] == 0
        assert {e: world(stage, e).golden for e in before} == before


def test_shorter_texts_are_no_edit_but_hold_from_then_on(settled: Stage, config: Path) -> None:
    stage = settled
    hub_id, places = well_known(stage, "contact")[0]
    stage.edit("contact", hub_id, {"job_title": "A title of more than twenty characters"})
    stage.settle()
    before = {e: world(stage, e).golden for e in ("account", "contact")}
    shorter = r"job_title: {source: Title, max_length: 20, on_inbound: replace}"
    rewritten(config, "mappings/salesforce/contact.yaml", (r"job_title: \{.*\}", shorter))
    stage.use(config_dir=config)
    _nothing_moves(stage, before)
    assert stage.shown("salesforce", "contact", places["salesforce"], "job_title").endswith("characters")
    stage.edit("contact", hub_id, {"job_title": "Another title of more than twenty characters"})
    stage.settle()
    assert stage.shown("salesforce", "contact", places["salesforce"], "job_title") == "Another title of mor"
    assert stage.shown("hubspot", "contact", places["hubspot"], "job_title").endswith("characters")
    _nothing_moves(stage, {e: world(stage, e).golden for e in before})
    # What longer texts cut short is a difference that stays when the rules are put back, until somebody edits it.
    stage.use(config_dir=CONFIG)
    stage.edit("contact", hub_id, {"job_title": "A short title"})
    stage.settle()
    assert compare(stage, "contact").differences == []


def test_a_field_newly_mapped_is_filled_in_and_nothing_else(set_stage: SetStage, config: Path) -> None:
    rewritten(config, "mappings/dynamics/contact.yaml", (r"^  notes: .*\n", ""))
    with set_stage(seed=1908, accounts=12, contacts=50, config=config) as stage:
        stage.settle()
        hub_id, places = well_known(stage, "contact")[0]
        (other, there) = well_known(stage, "contact")[1]
        stage.edit("contact", hub_id, {"notes": "Known to the hub alone"})
        stage.edit("contact", other, {"notes": None})
        stage.screens["dynamics"].edit("contact", places["dynamics"], {"description": None})
        stage.screens["dynamics"].edit("contact", there["dynamics"], {"description": "Known to Dynamics alone"})
        stage.settle()
        before = world(stage, "contact").golden
        stage.use(config_dir=CONFIG)
        rounds = stage.settle()
        assert set().union(*(r.missed for r in rounds)) == set()
        for entity in ("account", "contact"):
            assert compare(stage, entity).differences == []
        assert stage.shown("dynamics", "contact", places["dynamics"], "notes") == "Known to the hub alone"
        for connection in stage.screens:
            assert stage.shown(connection, "contact", there[connection], "notes") == "Known to Dynamics alone"
        after = world(stage, "contact").golden
        moved = {name for h in before for name in before[h] if before[h][name] != after[h][name]}
        assert moved == {"notes"}
        assert {h for h in before if before[h] != after[h]} <= {h for h in before if before[h]["notes"] == NULL}


def test_without_the_right_master_key_nothing_opens(settled: Stage) -> None:
    for given in (None, "not a key", new_master_key()):
        with pytest.raises(Misconfigured, match="CRM_SYNC_MASTER_KEY") as refused, settled.opened(master_key=given):
            pytest.fail("opened without the right key")
        assert refused.value.exit_code == 2
        assert given is None or given not in str(refused.value)
    assert settled.sync().missed == {}
