"""What each transform makes of the values that CRMs really hold."""

from __future__ import annotations

import math
from typing import Any

import pytest

from crm_sync.records import ABSENT, MISSING, NULL
from crm_sync.specs.vocabulary import TRANSFORMS as WORDS
from crm_sync.steps.codec import Codec
from crm_sync.steps.transforms import TRANSFORMS, lift_column, project_column
from tests.unit.steps.columns_of import codec, column, lift, project

INDUSTRY = {"technology": (6,), "software": (6,), "finance": (16, 4), "other": (8,)}


def test_rule_files_know_exactly_the_transforms_that_exist() -> None:
    assert set(TRANSFORMS) == set(WORDS)


@pytest.mark.parametrize("transform", sorted(TRANSFORMS))
def test_null_and_absent_are_two_things_in_every_transform(transform: str) -> None:
    built = codec(transform, values=["a"])
    assert (lift(built, None), lift(built, MISSING)) == (NULL, ABSENT)
    assert (project(built, NULL), project(built, ABSENT)) == (None, MISSING)


@pytest.mark.parametrize("text", ["None", "nan", "NaN", "null", "0", "-", "!", "t:", "b:1", "N/A", "NULL"])
def test_words_that_look_like_nothing_survive_as_texts(text: str) -> None:
    for transform in ("text", "long_text", "phone"):
        built = codec(transform)
        assert lift(built, text) == f"t:{text}"
        assert project(built, f"t:{text}") == text


@pytest.mark.parametrize("text", ["", " ", "  \t\n ", "\u00a0\u2003"])
@pytest.mark.parametrize("transform", sorted(TRANSFORMS))
def test_white_space_alone_is_null(transform: str, text: str) -> None:
    assert lift(codec(transform, values=["a"]), text) == NULL


LIFTED: list[tuple[Codec, Any, str]] = [
    (codec("text"), "  Ann  Lee ", "t:Ann  Lee"),
    (codec("text"), "1 Main St\r\n Floor 2", "t:1 Main St Floor 2"),
    (codec("text"), "bell\x07\x00", "t:bell"),
    (codec("text"), "Zoë\u00a0X", "t:Zoë\u00a0X"),
    (codec("text"), "\ud800", "!text_invalid"),
    (codec("text"), 94107, "t:94107"),
    (codec("text"), 1.50, "t:1.5"),
    (codec("text"), True, "t:true"),
    (codec("text"), math.nan, "!text_invalid"),
    (codec("text"), {"a": 1}, "!text_invalid"),
    (codec("long_text"), "a\r\nb\rc\n\n", "t:a\nb\nc"),
    (codec("long_text"), "a\tb\x0c", "t:a\tb"),
    (codec("email"), " Ann.Lee@Example.COM ", "t:ann.lee@example.com"),
    (codec("email"), "ann@münchen.example", "t:ann@münchen.example"),
    *[
        (codec("email"), bad, "!email_invalid")
        for bad in (
            "ann",
            "ann@",
            "@x.com",
            "ann@x",
            "a b@x.com",
            "a@@x.com",
            "a..b@x.com",
            "a@x.com, b@x.com",
            "a@-x.com",
            5,
        )
    ],
    (codec("phone"), "(212) 555-0123", "t:+12125550123"),
    (codec("phone"), "+44 20 7946 0018", "t:+442079460018"),
    (codec("phone", region="DE"), "030 901820", "t:+4930901820"),
    (codec("phone"), "212.555.0123 x45", "t:+12125550123 ext. 45"),
    (codec("phone"), "tel:+1-212-555-0123", "t:+12125550123"),
    (codec("phone"), "call the front desk", "t:call the front desk"),
    (codec("phone"), "555-0123", "t:555-0123"),
    (codec("phone"), "212-555-0123 / 212-555-0199", "t:212-555-0123 / 212-555-0199"),
    (codec("phone"), 2125550123, "t:+12125550123"),
    (codec("picklist", values=["mr"], map={"mr": ("Mr.", "Mr")}), " mr. ", "t:mr"),
    (codec("picklist", values=["mr"], map={"mr": ("Mr.", "Mr")}), "MR", "t:mr"),
    (codec("picklist", values=["mr"], map={"mr": ("Mr.",)}), "Herr", "!picklist_unmapped"),
    (codec("picklist", values=["mr"], map={"mr": ("Mr.",)}, unmapped="ignore"), "Herr", ABSENT),
    (codec("picklist", values=list(INDUSTRY), map=INDUSTRY), 6, "t:technology"),
    (codec("picklist", values=list(INDUSTRY), map=INDUSTRY), "4", "t:finance"),
    (codec("picklist", values=list(INDUSTRY), map=INDUSTRY), 6.0, "t:technology"),
    (codec("picklist", values=list(INDUSTRY), map=INDUSTRY, default="other"), 33, "t:other"),
    (codec("picklist", values=["a", "b"]), "B", "t:b"),
    (codec("picklist", values=["a", "b"]), ["a"], "!picklist_unmapped"),
    *[(codec("boolean"), yes, "b:1") for yes in (True, 1, "true", "TRUE", " 1 ")],
    *[(codec("boolean"), no, "b:0") for no in (False, 0, "false", "False", "0", 0.0)],
    *[(codec("boolean"), bad, "!boolean_invalid") for bad in ("yes", "ja", 2, [])],
    (codec("boolean", invert=True), True, "b:0"),
    (codec("boolean", empty=False), None, "b:0"),
    (codec("boolean", empty=False), "", "b:0"),
    (codec("date"), "1990-02-28", "d:1990-02-28"),
    (codec("date"), "1990-02-28T00:00:00Z", "d:1990-02-28"),
    (codec("date"), "1990-02-28T00:00:00.000+0000", "d:1990-02-28"),
    (codec("date"), 636163200000, "d:1990-02-28"),
    (codec("date"), "636163200000", "d:1990-02-28"),
    (codec("date"), -86400000, "d:1969-12-31"),
    *[
        (codec("date"), bad, "!date_invalid")
        for bad in (
            "1990-02-30",
            "28.02.1990",
            "1990-02-28T23:00:00Z",
            "1990-W01-1",
            636163200001,
            True,
            "2/28/90",
            1e9,
            "19900228",
        )
    ],
    (codec("datetime"), "2026-01-02T03:04:05Z", "i:2026-01-02T03:04:05Z"),
    (codec("datetime"), "2026-01-02T03:04:05.000+0000", "i:2026-01-02T03:04:05Z"),
    (codec("datetime"), "2026-01-02T03:04:05.5+02:00", "i:2026-01-02T01:04:05.500000Z"),
    (codec("datetime"), 1767323045000, "i:2026-01-02T03:04:05Z"),
    (codec("datetime"), "2026-01-02T03:04:05", "!datetime_invalid"),
    (codec("datetime"), "2026-13-02T03:04:05Z", "!datetime_invalid"),
    (codec("datetime"), 10**20, "!datetime_invalid"),
    (codec("number"), 12, "n:12"),
    (codec("number"), "0012.500", "n:12.5"),
    (codec("number"), "1e3", "n:1000"),
    (codec("number"), 1e-7, "n:0.0000001"),
    (codec("number"), "-0.0", "n:0"),
    (codec("number"), "0.1234567890123456789012345678901", "n:0.1234567890123456789012345678901"),
    *[
        (codec("number"), bad, "!number_invalid")
        for bad in ("1,200", "12 people", "1e19", "1e999", 10**18, 1e300, "٣", True, math.inf, math.nan, [])
    ],
    (codec("reference"), " 0015g00000ABCDE ", "r:0015g00000ABCDE"),
    (codec("reference"), 512, "r:512"),
    (codec("reference"), True, "!reference_invalid"),
]


@pytest.mark.parametrize(("built", "value", "expected"), LIFTED)
def test_a_value_is_lifted(built: Codec, value: Any, expected: str) -> None:
    assert lift(built, value) == expected


PROJECTED: list[tuple[Codec, str, Any]] = [
    (codec("text", max_length=5), "t:Ann Lee", "Ann L"),
    (codec("text", max_length=4), "t:Ann Lee", "Ann"),
    (codec("text", max_length=7), "t:Ann Lee", "Ann Lee"),
    (codec("text"), "t:a\nb", "a b"),
    (codec("long_text", max_length=3), "t:a\n\nb", "a"),
    (codec("phone"), "t:+12125550123 ext. 45", "+12125550123 ext. 45"),
    (codec("picklist", values=list(INDUSTRY), map=INDUSTRY), "t:software", 6),
    (codec("picklist", values=[*INDUSTRY, "x"], map=INDUSTRY, default="other"), "t:x", 8),
    (codec("picklist", values=list(INDUSTRY), map=INDUSTRY), "t:gone", MISSING),
    (codec("boolean"), "b:1", True),
    (codec("boolean", as_="text"), "b:1", "true"),
    (codec("boolean", as_="text", invert=True), "b:1", "false"),
    (codec("boolean", empty=False), NULL, False),
    (codec("boolean", empty=False, as_="text"), NULL, "false"),
    (codec("date"), "d:1990-02-28", "1990-02-28"),
    (codec("datetime"), "i:2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123456Z"),
    (codec("datetime", truncate="milliseconds"), "i:2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123Z"),
    (codec("datetime", truncate="seconds"), "i:2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05Z"),
    (codec("number"), "n:12", 12),
    (codec("number"), "n:12.5", 12.5),
    (codec("number", places=0), "n:12.5", 12),
    (codec("number", places=0), "n:13.5", 14),
    (codec("number", as_="text"), "n:12.5", "12.5"),
    (codec("number"), "n:99999999999999999", 10**17 - 1),
    (codec("reference"), "r:512", "512"),
]


@pytest.mark.parametrize(("built", "text", "expected"), PROJECTED)
def test_a_text_is_projected(built: Codec, text: str, expected: Any) -> None:
    found = project(built, text)
    assert found == expected
    assert type(found) is type(expected)


def test_one_refused_value_leaves_its_neighbours_alone() -> None:
    texts, reasons = lift_column(codec("email"), column("a@x.com", "bad", None, MISSING, "a@x.com", "bad"))
    assert texts.tolist() == ["t:a@x.com", NULL, NULL, ABSENT, "t:a@x.com", NULL]
    assert reasons.tolist() == [None, "email_invalid", None, None, None, "email_invalid"]


def test_one_and_true_are_not_taken_for_each_other() -> None:
    texts, _ = lift_column(codec("text"), column(1, True, 1.0, "1", False, 0))
    assert texts.tolist() == ["t:1", "t:true", "t:1", "t:1", "t:false", "t:0"]


def test_empty_columns_stay_empty() -> None:
    texts, reasons = lift_column(codec("text"), column())
    assert (len(texts), len(reasons), len(project_column(codec("text"), texts))) == (0, 0, 0)
