"""`crm-sync check --live` before three CRMs: rules that fit, rules that do not, a CRM that is away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_sync.flows.live_check import live_check
from crm_sync.steps.fitting import Finding
from tests.scenarios.conftest import SetStage
from tests.scenarios.stage import CONFIG, Stage


@pytest.fixture(scope="module")
def stage(set_stage: SetStage) -> Iterator[Stage]:
    with set_stage(seed=3, accounts=10, contacts=50) as ready:
        ready.sync(["salesforce"])  # a stage ends with its books, so something must have been read
        yield ready


class Rules:
    """A copy of the rule files that a test may change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(CONFIG, root)

    def edit(self, file: str, old: str, new: str) -> int:
        """Replace the first place where `old` stands; return its line."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} does not stand in {file}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return text[: text.index(old)].count("\n") + old[: len(old) - len(old.lstrip("\n"))].count("\n") + 1


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    return Rules(tmp_path / "config")


def look(stage: Stage, rules: Rules, connections: list[str] | None = None, **variables: str) -> list[Finding]:
    environment = {**stage.settings.environment, **variables}
    with stage.opened("check", config_dir=rules.root, environment=environment) as ctx:
        return live_check(ctx, connections)


def test_the_rules_that_come_with_the_product_fit(stage: Stage, rules: Rules) -> None:
    assert look(stage, rules) == []


def test_every_finding_of_every_crm_comes_at_once_with_its_line(stage: Stage, rules: Rules) -> None:
    name = rules.edit("mappings/salesforce/contact.yaml", "source: FirstName", "source: FristName")
    born = rules.edit("mappings/salesforce/contact.yaml", "source: Birthdate", "source: CreatedDate")
    city = rules.edit("mappings/salesforce/contact.yaml", "source: Title, max_length: 128", "source: Title")
    rules.edit("entities/contact.yaml", "job_title:\n    type: text\n    max_length: 128", "job_title:\n    type: text")
    key = rules.edit("mappings/hubspot/contact.yaml", "external_key: crm_sync_id", "external_key: another_id")
    job = rules.edit("mappings/dynamics/contact.yaml", "max_length: 100, on_inbound: replace", "on_inbound: replace")
    rules.edit("mappings/dynamics/contact.yaml", "source: jobtitle, on_inbound: replace", "source: jobtitle")
    found = look(stage, rules)
    seen = {(f.kind, f.file, f.line): f for f in found}
    contact = "mappings/{}/contact.yaml".format
    assert seen[("missing", contact("salesforce"), name)].suggestion == "did you mean 'FirstName'?"
    assert ("read_only", contact("salesforce"), born) in seen
    assert ("too_short", contact("salesforce"), city) in seen
    assert "crm-sync provision" in seen[("not_provisioned", contact("hubspot"), key)].suggestion
    assert ("too_short", contact("dynamics"), job) in seen
    assert {f.connection for f in found} == {"salesforce", "hubspot", "dynamics"}
    assert {f.connection for f in look(stage, rules, ["hubspot"])} == {"hubspot"}


def test_a_picklist_value_that_a_crm_does_not_have(stage: Stage, rules: Rules) -> None:
    line = rules.edit("mappings/salesforce/contact.yaml", "prof: [Prof., Prof]", "prof: [Professor, Prof.]")
    (finding,) = look(stage, rules, ["salesforce"])
    assert (finding.kind, finding.line) == ("value_absent", line) and "Prof." in finding.suggestion


def test_a_crm_that_is_away_is_one_finding_and_the_others_go_on(stage: Stage, rules: Rules) -> None:
    rules.edit("mappings/salesforce/contact.yaml", "source: FirstName", "source: FristName")
    found = look(stage, rules, HUBSPOT_URL="https://localhost:1")
    assert sorted((f.connection, f.kind) for f in found) == [("hubspot", "unreachable"), ("salesforce", "missing")]
    away = next(f for f in found if f.kind == "unreachable")
    assert away.file == "connections.yaml" and away.line > 1


def test_an_object_that_is_not_there_leaves_the_other_objects_compared(stage: Stage, rules: Rules) -> None:
    line = rules.edit("mappings/salesforce/account.yaml", "object: Account", "object: Acount")
    rules.edit("mappings/salesforce/contact.yaml", "target_object: Account", "target_object: Acount")
    rules.edit("mappings/salesforce/contact.yaml", "source: FirstName", "source: FristName")
    found = look(stage, rules, ["salesforce"])
    assert ("account", line) in {(f.entity, f.line) for f in found}
    assert "FristName" in {f.source for f in found}


def test_unset_variables_and_wrong_secrets_are_told_apart(stage: Stage, rules: Rules) -> None:
    found = look(stage, rules, DYNAMICS_CLIENT_SECRET="", HUBSPOT_TOKEN="pat-na1-wrong")
    assert sorted((f.connection, f.kind) for f in found) == [("dynamics", "unset"), ("hubspot", "credentials")]
    unset = next(f for f in found if f.kind == "unset")
    assert "DYNAMICS_CLIENT_SECRET" in unset.message
    assert "DYNAMICS_CLIENT_SECRET" in (CONFIG / unset.file).read_text(encoding="utf-8").splitlines()[unset.line - 1]
    assert "pat-na1-wrong" not in " ".join(map(str, found))
