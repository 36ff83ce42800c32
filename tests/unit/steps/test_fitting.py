"""Every way in which a mapping and a CRM's description of its object can disagree."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from crm_sync.records import FieldDescription, ObjectDescription
from crm_sync.specs.model import (
    Direction,
    EntitySpec,
    FieldMapping,
    FieldSpec,
    FieldType,
    MappingSpec,
    Place,
    ScopeRule,
)
from crm_sync.steps.fitting import Finding, judge

KEY = FieldDescription("Our_Id", "string", 36, unique=True)
TECHNICAL = (FieldDescription("Id", "id"), FieldDescription("Stamp", "datetime", writable=False), KEY)


def found(
    spec: FieldSpec,
    mapped: FieldMapping,
    there: FieldDescription | None,
    *further: FieldDescription,
    scope: tuple[ScopeRule, ...] = (),
) -> list[Finding]:
    """Judge a mapping of one field against an object that has it (or lacks it, None)."""
    fields = (*(further or TECHNICAL), *([there] if there else []))
    mapping = MappingSpec("crm", "thing", "Thing", "Thing", 1, "Id", "Stamp", "Our_Id", (mapped,), scope)
    described = ObjectDescription("Thing", {field.name: field for field in fields})
    lines = {"": 1, ".external_key": 4, "f": 10, "f.source": 11, "f.max_length": 12, "f.values": 13, "f.values.two": 15}
    return judge("acme", EntitySpec("thing", 1, (spec,)), mapping, described, Place("mappings/acme/thing.yaml", lines))


def one(*arguments: Any, **options: Any) -> Finding:
    """Judge and return the only finding."""
    (finding,) = found(*arguments, **options)
    assert (finding.connection, finding.entity, finding.file) == ("acme", "thing", "mappings/acme/thing.yaml")
    return finding


TEXT = FieldSpec("f", FieldType.TEXT, max_length=40)
AS_TEXT = FieldMapping("f", "There", "text")
THERE = FieldDescription("There", "string", 40)
CHOICE = FieldSpec("f", FieldType.PICKLIST, values=("one", "two"))
AS_CHOICE = FieldMapping("f", "There", "picklist", options={"values": {"one": ("1",), "two": ("2", "zwei")}})


def changed(thing: Any, **values: Any) -> Any:
    return dataclasses.replace(thing, **values)


def test_what_fits_gives_no_finding() -> None:
    assert found(TEXT, AS_TEXT, THERE) == []
    assert found(CHOICE, AS_CHOICE, changed(THERE, type="picklist", options=("1", "2"))) == []


def test_a_missing_field_is_named_with_its_line_and_a_near_name() -> None:
    near = FieldDescription("Theer", "string", 40)
    finding = one(TEXT, AS_TEXT, None, *TECHNICAL, near)
    assert (finding.kind, finding.severity, finding.line, finding.source) == ("missing", "error", 11, "There")
    assert "Thing.There" in finding.message and "Theer" in finding.suggestion
    assert str(finding).startswith("mappings/acme/thing.yaml:11: error: acme: Thing.There ")


def test_a_missing_field_of_our_own_asks_for_provisioning() -> None:
    finding = one(TEXT, changed(AS_TEXT, provision=True), None)
    assert finding.kind == "not_provisioned" and "crm-sync provision --apply" in finding.suggestion


@pytest.mark.parametrize("key", [None, changed(KEY, unique=False)])
def test_a_key_that_is_missing_or_not_unique_asks_for_provisioning(key: FieldDescription | None) -> None:
    finding = one(TEXT, AS_TEXT, THERE, *TECHNICAL[:2], *([key] if key else []))
    assert finding.kind == ("not_unique" if key else "not_provisioned") and finding.line == 4
    assert "crm-sync provision" in finding.suggestion


def test_a_key_that_we_may_not_write_is_an_error() -> None:
    assert one(TEXT, AS_TEXT, THERE, *TECHNICAL[:2], changed(KEY, writable=False)).kind == "read_only"


def test_a_missing_stamp_is_an_error() -> None:
    assert one(TEXT, AS_TEXT, THERE, TECHNICAL[0], KEY).source == "Stamp"


@pytest.mark.parametrize(
    ("direction", "there", "kinds"),
    [
        (Direction.BOTH, changed(THERE, writable=False), ["read_only"]),
        (Direction.OUT, changed(THERE, writable=False), ["read_only"]),
        (Direction.IN, changed(THERE, writable=False), []),
        (Direction.BOTH, changed(THERE, readable=False), ["hidden"]),
        (Direction.IN, changed(THERE, readable=False), ["hidden"]),
        (Direction.OUT, changed(THERE, readable=False), []),
        (Direction.IN, changed(THERE, max_length=5), []),
    ],
)
def test_only_the_directions_that_are_mapped_count(
    direction: Direction, there: FieldDescription, kinds: list[str]
) -> None:
    assert [finding.kind for finding in found(TEXT, changed(AS_TEXT, direction=direction), there)] == kinds


@pytest.mark.parametrize(
    ("longest", "cut", "limit", "severity"),
    [
        (40, None, 39, "error"),
        (40, 39, 39, None),
        (40, 39, 38, "error"),  # it is cut, but not short enough
        (None, None, 65536, "warning"),
        (None, 100, 100, None),
        (40, None, None, None),
    ],
)
def test_texts_longer_than_the_crm_holds(
    longest: int | None, cut: int | None, limit: int | None, severity: str | None
) -> None:
    mapped = changed(AS_TEXT, options={} if cut is None else {"max_length": cut}, lossy=cut is not None)
    findings = found(changed(TEXT, max_length=longest), mapped, changed(THERE, max_length=limit))
    assert [(f.kind, str(f.severity)) for f in findings] == ([("too_short", severity)] if severity else [])
    if severity:
        assert f"max_length: {limit}" in findings[0].suggestion and findings[0].line == 12


def test_a_phone_that_does_not_fit_cannot_be_cut() -> None:
    phone = FieldSpec("f", FieldType.PHONE, max_length=40)
    assert "cannot be cut" in one(phone, changed(AS_TEXT, transform="phone"), changed(THERE, max_length=20)).suggestion


def test_a_value_that_the_picklist_lacks_is_named_in_its_line() -> None:
    finding = one(CHOICE, AS_CHOICE, changed(THERE, type="picklist", options=("1", "zwei")))
    assert (finding.kind, finding.line) == ("value_absent", 15)
    assert "'2'" in finding.message and "'two'" in finding.message


def test_without_a_value_map_our_own_words_must_be_there() -> None:
    mapped = changed(AS_CHOICE, options={})
    finding = one(CHOICE, mapped, changed(THERE, type="enumeration", options=("one", "Two")))
    assert finding.kind == "value_absent" and "'two'" in finding.message


def test_a_value_of_theirs_that_nobody_mapped_is_a_warning_unless_the_mapping_says_what_it_does() -> None:
    there = changed(THERE, type="picklist", options=("1", "2", "3"))
    finding = one(CHOICE, AS_CHOICE, there)
    assert (finding.kind, finding.severity) == ("value_unmapped", "warning") and "'3'" in finding.message
    for option in ({"unmapped": "ignore"}, {"default": "one"}):
        assert found(CHOICE, changed(AS_CHOICE, options={**AS_CHOICE.options, **option}), there) == []


def test_numbers_sent_to_a_free_text_are_refused_by_the_crm() -> None:
    mapped = changed(AS_CHOICE, options={"values": {"one": (1,), "two": (2,)}})
    finding = one(CHOICE, mapped, changed(THERE, type="String"))
    assert finding.kind == "wrong_type" and "quotes" in finding.suggestion


@pytest.mark.parametrize(
    ("transform", "options", "word", "fits"),
    [
        ("text", {}, "boolean", False),
        ("text", {}, "picklist", False),
        ("text", {}, "email", False),
        ("email", {}, "email", True),
        ("phone", {}, "phone", True),
        ("long_text", {}, "Memo", True),
        ("boolean", {}, "Boolean", True),
        ("boolean", {}, "string", False),
        ("boolean", {"as": "text"}, "string", True),
        ("boolean", {"as": "text"}, "bool", True),
        ("boolean", {"as": "text"}, "enumeration", True),
        ("date", {}, "date", True),
        ("date", {}, "DateTime", True),
        ("date", {}, "datetime", False),
        ("datetime", {}, "date", False),
        ("number", {}, "Money", True),
        ("number", {}, "string", False),
        ("number", {"as": "text"}, "string", True),
        ("reference", {}, "Customer", True),
        ("reference", {}, "boolean", False),
        ("picklist", {}, "multipicklist", False),
        ("text", {}, "a_type_of_next_year", True),
    ],
)
def test_types_that_hold_what_we_write(transform: str, options: dict[str, object], word: str, fits: bool) -> None:
    spec = FieldSpec("f", FieldType(transform), values=("one",) if transform == "picklist" else ())
    mapped = FieldMapping("f", "There", transform, options=options)
    kinds = [f.kind for f in found(spec, mapped, FieldDescription("There", word))]
    assert kinds == ([] if fits else ["wrong_type"])


def test_a_scope_by_a_field_or_value_that_is_not_there() -> None:
    finding = one(TEXT, AS_TEXT, THERE, scope=(ScopeRule("State", "is", ("0",)),))
    assert (finding.kind, finding.source) == ("missing", "State")
    state = FieldDescription("State", "Picklist", options=("1", "2"))
    finding = one(TEXT, AS_TEXT, THERE, *TECHNICAL, state, scope=(ScopeRule("State", "is", ("0", "1")),))
    assert (finding.kind, finding.severity) == ("value_absent", "warning")
