"""Which records are ours to sync."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from crm_sync.records import MISSING
from crm_sync.specs.loader import load
from crm_sync.specs.model import ScopeRule
from crm_sync.specs.vocabulary import OPERATORS
from crm_sync.steps.scoping import in_scope
from tests.unit.specs.rule_files import CONFIG
from tests.unit.steps.columns_of import column

MAPPING = load(CONFIG).mapping("dynamics", "contact")


def scoped(*rules: ScopeRule, **values: Any) -> list[bool]:
    found: list[bool] = in_scope(dataclasses.replace(MAPPING, scope=rules), values).tolist()
    return found


CASES = {
    ("is", ("0", "true")): [True, True, False, False, True, True, False, False, False],
    ("is_not", ("0", "true")): [False, False, True, True, False, False, True, True, False],
    ("filled", ()): [True, True, True, True, True, True, False, False, False],
    ("empty", ()): [False, False, False, False, False, False, True, True, False],
}


@pytest.mark.parametrize(("operator", "values"), list(CASES))
def test_an_operator_judges_every_kind_of_value(operator: str, values: tuple[str, ...]) -> None:
    state = column(0, "0", 1, "x", True, 0.0, None, " ", MISSING)
    name = column(*["a"] * 9)
    assert scoped(ScopeRule("state", operator, values), state=state, name=name) == CASES[(operator, values)]


def test_every_operator_of_the_rule_files_is_known_here() -> None:
    assert {operator for operator, _ in CASES} == set(OPERATORS)
    with pytest.raises(ValueError, match="unknown scope operator"):
        scoped(ScopeRule("state", "like", ("a",)), state=column("a"))


def test_all_rules_must_hold() -> None:
    rules = (ScopeRule("state", "is", ("0",)), ScopeRule("kind", "filled"))
    assert scoped(*rules, state=column(0, 0, 1), kind=column("a", None, "a")) == [True, False, False]


def test_without_rules_everything_is_ours() -> None:
    assert scoped(state=column(0, None, MISSING)) == [True, True, True]


def test_a_record_whose_scope_cannot_be_read_is_not_ours_but_a_deletion_is_heard() -> None:
    rule = ScopeRule("state", "is_not", ("1",))
    assert scoped(rule, state=column(MISSING, MISSING), name=column("a", MISSING)) == [False, True]
    assert scoped(rule, name=column("a", MISSING)) == [False, True]


def test_deactivated_records_of_dynamics_are_left_alone() -> None:
    values = {"statecode": column(0, 1, None), "lastname": column("a", "b", "c")}
    assert in_scope(MAPPING, values).tolist() == [True, False, True]
