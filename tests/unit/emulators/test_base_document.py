"""docs/emulators.md says what the emulators are: matrices, faults and facts are generated, and up to date."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from crm_sync.emulators import matrix
from crm_sync.emulators.__main__ import read_faults
from crm_sync.emulators.control import build_control
from crm_sync.emulators.declarations import read_more
from crm_sync.emulators.desk import Desk
from crm_sync.emulators.faults import CONTROL, Fault, Faults
from crm_sync.emulators.settings import CRMS, EmulatorSettings
from crm_sync.emulators.snapshots import Snapshots
from crm_sync.emulators.state import State
from crm_sync.emulators.striking import OF_CRMS, TRANSPORT
from tests import emulators_doc

TEXT = emulators_doc.DOCUMENT.read_text(encoding="utf-8")


def example(language: str, word: str) -> str:
    """Return the block of the document in a language that has a word."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return next(block for block in blocks if word in block)


def build(crm: str, place: Path, declared: Mapping[str, Any] | None = None) -> tuple[Starlette, State, Faults]:
    """Build one CRM's application as it is served."""
    state, faults = State(place / f"{crm}.sqlite"), Faults()
    secrets = ("id", "secret", "refresh", "token", "tenant")
    settings = EmulatorSettings(crm, "https://localhost:1", *secrets, place, declared=declared or {})
    faults.restrict(matrix.faults(crm) or {})
    return importlib.import_module(f"crm_sync.emulators.{crm}.app").build(state, faults, settings), state, faults


def test_the_document_is_up_to_date() -> None:
    text = emulators_doc.DOCUMENT.read_text(encoding="utf-8")
    assert emulators_doc.written(text) == text, "python -m tests.emulators_doc writes it anew"


def test_no_mark_names_an_unknown_fact() -> None:
    assert not emulators_doc.unknown_marks(), "add the fact to facts.toml, or mend the mark"


@pytest.mark.parametrize("crm", CRMS)
def test_every_endpoint_of_the_app_is_in_the_matrix_and_the_other_way_round(crm: str, tmp_path: Path) -> None:
    app, state, _ = build(crm, tmp_path)
    told = [(one.method, one.path) for one in matrix.endpoints(crm)]
    state.close()
    assert sorted(set(told)) == sorted(told), "an endpoint is there twice"
    assert sorted(app.state.endpoints) == sorted(told)


@pytest.mark.parametrize("crm", CRMS)
def test_the_faults_of_a_crm_are_in_the_catalogue(crm: str) -> None:
    for action, one in (matrix.faults(crm) or {}).items():
        assert action in OF_CRMS
        assert set(one) <= {"does", *OF_CRMS[action]} and one["does"]


@pytest.mark.parametrize("crm", CRMS)
def test_every_fault_of_a_crm_is_seen_to_strike(crm: str) -> None:
    for action, one in (matrix.faults(crm) or {}).items():
        values = [value for name, these in one.items() if name != "does" and isinstance(these, list) for value in these]
        for options in [(), *((value,) for value in values)]:
            assert emulators_doc.striking(crm, action, *options), f"no test of {crm} arms {action} {options}"


@pytest.mark.parametrize("crm", CRMS)
def test_facts_have_public_sources(crm: str) -> None:
    facts = matrix.facts(crm)
    assert not [one.slug for one in facts if not (one.text and one.source) or "crm-apis" in one.source]

def test_the_document_names_every_fault_and_every_call_of_the_control_api(tmp_path: Path) -> None:
    state = State(tmp_path / "x.sqlite")
    for action in (*TRANSPORT, *OF_CRMS):
        assert f"| `{action}` |" in TEXT, action
    part = TEXT[TEXT.index("## The control API") :]
    for route in build_control(Desk(state), Faults(), snapshots=Snapshots(state, tmp_path)).routes:
        assert f"`{route.path.removeprefix(CONTROL)}`" in part, route.path  # type: ignore[attr-defined]
    state.close()


def test_the_examples_of_the_document_work(tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text(example("toml", "Invoice__c"))
    for crm, part in read_more(tmp_path / "more.toml", CRMS).items():
        app, state, _ = build(crm, tmp_path, part)
        desk = app.state.desk
        object, values = {
            "salesforce": ("Invoice__c", {"Amount__c": 5}),
            "hubspot": ("contacts", {"email": "a@x.test", "shoe_size": "9"}),
        }[crm]
        id = desk.create(object, values, {})
        assert values.items() <= next(iter(desk.live(object)))["values"].items() and id
        state.close()
    (tmp_path / "storm.toml").write_text(example("toml", "storm.toml"))
    storms = read_faults(tmp_path / "storm.toml", CRMS)
    storms["hubspot"] = json.loads(re.search(r"-d '(.*?)'", example("sh", "__emulator__/faults"), re.DOTALL)[1])  # type: ignore[index]
    assert set(storms) == set(CRMS)
    for crm, storm in storms.items():
        (tmp_path / crm).mkdir()
        _, state, faults = build(crm, tmp_path / crm)
        faults.add([Fault.read(one) for one in storm])
        assert len(faults.waiting()) == len(storm)
        state.close()
