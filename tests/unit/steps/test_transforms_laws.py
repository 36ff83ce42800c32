"""The law of every mapping: what a CRM shows of a value is written again exactly as it was."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.records import ABSENT, MISSING, NULL
from crm_sync.specs.loader import load
from crm_sync.specs.model import FieldSpec, FieldType
from crm_sync.steps.codec import Codec
from crm_sync.steps.transforms import TRANSFORMS
from tests.unit.specs.rule_files import CONFIG
from tests.unit.steps.columns_of import codec, lift, project
from tests.unit.steps.profiles import examples

SPECS = load(CONFIG)
MAPPED = [
    pytest.param(
        entity.field(f.field),
        TRANSFORMS[f.transform](entity.field(f.field), f.options),
        f.options,
        id=f"{c}-{e}-{f.field}",
    )
    for (c, e), mapping in SPECS.mappings.items()
    for entity in [SPECS.entities[e]]
    for f in mapping.fields
]
CANONICAL = re.compile(
    r"-|0|t:.+|n:-?\d+(\.\d*[1-9])?|b:[01]|d:\d{4}-\d\d-\d\d|i:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z|r:\S.*",
    re.DOTALL,
)
ODD = st.sampled_from(
    ["None", "nan", "null", "0", "-", "  x ", "a\r\nb", "x" * 300, "é" * 90, "O'Brien", "\u200b", "İSTANBUL"]
)
WORDS = st.one_of(ODD, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400))
PHONES = st.one_of(
    WORDS,
    st.from_regex(r"(\+?1[ -]?)?\(?[2-9]\d{2}\)?[ .-]?\d{3}[ .-]?\d{4}( ?(x|ext\.?) ?\d{1,5})?", fullmatch=True),
    st.from_regex(r"\+\d{1,3}[ \d()/-]{4,18}", fullmatch=True),
)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**17), max_value=10**17, places=4)


def valid(spec: FieldSpec) -> st.SearchStrategy[str]:
    """Return canonical texts that the hub may hold in a field."""

    def fits(text: str) -> bool:
        return text[0] == "t" and len(text) - 2 <= (spec.max_length or 254)

    kinds: dict[FieldType, st.SearchStrategy[str]] = {
        FieldType.TEXT: WORDS.map(lambda s: f"t:{s}"),
        FieldType.LONG_TEXT: WORDS.map(lambda s: f"t:{s}"),
        FieldType.EMAIL: st.emails().map(lambda s: lift(codec("email"), s)).filter(fits),
        FieldType.PHONE: PHONES.map(lambda s: lift(codec("phone"), s)),
        FieldType.PICKLIST: st.sampled_from([f"t:{v}" for v in spec.values or ("a",)]),
        FieldType.BOOLEAN: st.sampled_from(["b:0", "b:1"]),
        FieldType.DATE: st.dates().map(lambda d: f"d:{d.isoformat()}"),
        FieldType.DATETIME: st.datetimes().map(lambda d: f"i:{d.isoformat()}Z"),
        FieldType.NUMBER: NUMBERS.map(lambda d: lift(codec("number"), str(d))),
        FieldType.REFERENCE: st.from_regex(r"[A-Za-z0-9-]{1,36}", fullmatch=True).map(lambda s: f"r:{s}"),
    }
    return st.one_of(st.just(NULL), kinds[spec.type])


SCALARS = st.one_of(
    st.none(),
    st.just(MISSING),
    st.booleans(),
    st.integers(),
    st.floats(),
    WORDS,
    PHONES,
    st.emails(),
    st.dates().map(str),
    st.datetimes().map(lambda d: d.isoformat() + "Z"),
    NUMBERS.map(str),
)


@pytest.mark.parametrize(("spec", "built", "options"), MAPPED)
@examples(40)
@given(data=st.data())
def test_project_lift_project_is_project(
    spec: FieldSpec, built: Codec, options: dict[str, Any], data: st.DataObject
) -> None:
    value = data.draw(valid(spec))
    sent = project(built, value)
    shown = lift(built, sent)
    assert shown[0] != "!", "what we send can be read back"
    assert project(built, shown) == sent
    limit = options.get("max_length")
    if isinstance(sent, str) and isinstance(limit, int) and spec.type is not FieldType.PHONE:
        assert len(sent) <= limit
        assert sent == sent.strip()


BUILT = [
    pytest.param(transform, built, id=f"{transform}-{number}")
    for number, (transform, built) in enumerate(
        [
            *[(t, codec(t, values=["a", "None", "0"])) for t in sorted(TRANSFORMS)],
            ("boolean", codec("boolean", invert=True, empty=True)),
            ("boolean", codec("boolean", as_="text")),
            ("phone", codec("phone", region="DE")),
            ("phone", codec("phone", region="IT")),
            ("number", codec("number", as_="text")),
            ("datetime", codec("datetime")),
            ("picklist", codec("picklist", values=["a", "b"], map={"a": ("x", "y"), "b": ("x",)}, default="a")),
        ]
    )
]


@pytest.mark.parametrize(("transform", "built"), BUILT)
@examples(200)
@given(value=SCALARS)
def test_whatever_a_crm_holds_has_a_canonical_form_that_it_keeps(transform: str, built: Codec, value: Any) -> None:
    found = lift(built, value)
    if found[0] == "!":
        assert re.fullmatch(r"![a-z_]+", found), "a code, never a value"
        return
    assert CANONICAL.fullmatch(found)
    sent = project(built, found)
    finer = isinstance(value, str) and "." in found and not isinstance(sent, str)
    if not finer:  # a fraction as text may be finer than a JSON number
        assert lift(built, sent) == found


@examples(200)
@given(text=WORDS, limit=st.integers(1, 40))
def test_a_cut_text_is_cut_once(text: str, limit: int) -> None:
    for transform in ("text", "long_text"):
        built = codec(transform, max_length=limit)
        sent = project(built, f"t:{text}")
        assert sent is None or (len(sent) <= limit and sent == sent.strip())
        assert project(built, lift(built, sent)) == sent


@examples(200)
@given(text=valid(FieldSpec("n", FieldType.NUMBER)), places=st.integers(0, 10), as_text=st.booleans())
def test_rounding_happens_once(text: str, places: int, as_text: bool) -> None:
    built = codec("number", places=places, **({"as_": "text"} if as_text else {}))
    sent = project(built, text)
    assert project(built, lift(built, sent)) == sent


def test_a_fraction_that_no_double_keeps_is_sent_as_the_whole_number_it_is_read_as() -> None:
    built = codec("number", places=2)
    sent = project(built, "n:52449308040126220.0051")
    assert (sent, type(sent)) == (52449308040126220, int)
    assert project(built, lift(built, sent)) == sent
    assert project(built, "n:99999999999999999") == 99999999999999999, "whole numbers are exact"


@examples(200)
@given(text=valid(FieldSpec("i", FieldType.DATETIME)), unit=st.sampled_from(["seconds", "milliseconds"]))
def test_times_are_cut_once(text: str, unit: str) -> None:
    built = codec("datetime", truncate=unit)
    sent = project(built, text)
    assert project(built, lift(built, sent)) == sent


def test_the_law_would_notice_a_transform_that_breaks_it() -> None:
    broken = Codec(lambda value: f"t:{value}", lambda text: text[2:] + ".")
    sent = project(broken, "t:a")
    assert project(broken, lift(broken, sent)) != sent
    assert lift(broken, ABSENT) == f"t:{ABSENT}"
