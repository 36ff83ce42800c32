"""docs/emulators.md says what the emulators are: matrices, faults and facts are generated, and up to date."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from crm_sync.emulators import matrix
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.settings import CRMS, EmulatorSettings
from crm_sync.emulators.state import State
from crm_sync.emulators.striking import OF_CRMS
from tests import emulators_doc

WITH_MATRIX = [crm for crm in CRMS if matrix.endpoints(crm)]


def test_the_document_is_up_to_date() -> None:
    text = emulators_doc.DOCUMENT.read_text(encoding="utf-8")
    assert emulators_doc.written(text) == text, "python -m tests.emulators_doc writes it anew"


def test_no_mark_names_an_unknown_fact() -> None:
    assert not emulators_doc.unknown_marks(), "add the fact to facts.toml, or mend the mark"


@pytest.mark.parametrize("crm", WITH_MATRIX)
def test_every_endpoint_of_the_app_is_in_the_matrix_and_the_other_way_round(crm: str, tmp_path: Path) -> None:
    state = State(tmp_path / f"{crm}.sqlite")
    settings = EmulatorSettings(crm, "https://localhost:1", "id", "secret", "refresh", "token", "tenant", tmp_path)
    app = importlib.import_module(f"crm_sync.emulators.{crm}.app").build(state, Faults(), settings)
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
def test_facts_have_public_sources(crm: str) -> None:
    facts = matrix.facts(crm)
    assert not [one.slug for one in facts if not (one.text and one.source) or "crm-apis" in one.source]
