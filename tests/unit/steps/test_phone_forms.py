"""The short way to the form of a phone number says what the library says."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from crm_sync.steps.transforms_text import parsed_phone_form, phone_form

REGIONS = st.sampled_from(["US", "CA", "GB", "DE", "JM", "AU"])
NOTATIONS = st.from_regex(
    re.compile(r"(\+?1)?[ .-]?\(?[0-9]{3}\)?[ .-]?[0-9]{3}[ .-]?[0-9]{4}( ?x[0-9]{1,3})?", re.ASCII), fullmatch=True
)


@given(NOTATIONS, REGIONS)
def test_numbers_of_ten_digits_are_read_as_the_library_reads_them(written: str, region: str) -> None:
    assert phone_form(written, region) == parsed_phone_form(written, region)


@given(st.text("+0123456789 ()-.x", max_size=16), REGIONS)
def test_any_other_text_too(written: str, region: str) -> None:
    assert phone_form(written, region) == parsed_phone_form(written, region)


def test_the_usual_notations_have_one_form() -> None:
    written = ["(212) 555-0143", "212.555.0143", "2125550143", "+1 212 555 0143", "1-212-555-0143", "+1(212)555-0143"]
    assert {phone_form(one, "US") for one in written} == {"+12125550143"}
