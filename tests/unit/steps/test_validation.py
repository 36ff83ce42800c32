"""Bad rows are refused with every reason, and never with a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandera.pandas as pandera

from crm_sync.records import ABSENT, MISSING, NULL, columns
from crm_sync.specs.loader import load
from crm_sync.steps.mapping import Lifted, lift_batch
from crm_sync.steps.validation import Reason, doubts, schema, validate
from tests.unit.specs.rule_files import CONFIG
from tests.unit.steps.columns_of import column

SPECS = load(CONFIG)
CONTACT, MAPPING, SALESFORCE = (
    SPECS.entities["contact"],
    SPECS.mapping("salesforce", "contact"),
    SPECS.connections["salesforce"],
)


def lifted(*records: dict[str, Any]) -> Lifted:
    return lift_batch(CONTACT, MAPPING, SALESFORCE, columns(MAPPING.source_fields, records))


def with_texts(**texts: str) -> Lifted:
    """Return one row of canonical texts, absent where nothing is said."""
    fields = MAPPING.mapped
    return Lifted(
        {f: column(texts.get(f, ABSENT)) for f in fields}, {f: np.full(1, None, dtype=object) for f in fields}
    )


def test_a_good_record_has_no_reason() -> None:
    assert validate(CONTACT, MAPPING, lifted({"LastName": "None", "Email": "a@x.com", "Title": "x" * 128})) == {}


def test_a_bad_record_has_every_reason_and_its_neighbours_none() -> None:
    found = validate(
        CONTACT,
        MAPPING,
        lifted(
            {"LastName": "Lee"},
            {
                "LastName": " ",
                "Email": "nobody@",
                "Title": "x" * 129,
                "Birthdate": "1990-02-30",
                "MailingCity": "y" * 41,
            },
            {"LastName": "Kim"},
        ),
    )
    assert list(found) == [1]
    assert set(found[1]) == {
        Reason("last_name", "required"),
        Reason("email", "email_invalid"),
        Reason("job_title", "max_length"),
        Reason("birth_date", "date_invalid"),
        Reason("city", "max_length"),
    }
    assert len(found[1]) == 5


def test_absent_violates_nothing_but_null_in_a_required_field_does() -> None:
    assert validate(CONTACT, MAPPING, with_texts(last_name=ABSENT)) == {}
    assert validate(CONTACT, MAPPING, with_texts(last_name=NULL)) == {0: [Reason("last_name", "required")]}


def test_a_deleted_record_is_not_judged() -> None:
    assert validate(CONTACT, MAPPING, lifted(dict.fromkeys(MAPPING.source_fields, MISSING))) == {}


def test_a_required_value_that_cannot_be_lifted_is_not_also_missing() -> None:
    assert validate(CONTACT, MAPPING, lifted({"LastName": ["Lee"]})) == {0: [Reason("last_name", "text_invalid")]}


def test_texts_of_the_wrong_kind_and_words_outside_a_picklist_are_refused() -> None:
    found = validate(CONTACT, MAPPING, with_texts(last_name="n:1", salutation="t:sir", birth_date="t:1990-01-01"))
    assert found == {0: [Reason("last_name", "type"), Reason("salutation", "picklist"), Reason("birth_date", "type")]}


def test_lengths_count_characters_of_the_value_alone() -> None:
    assert validate(CONTACT, MAPPING, with_texts(last_name="t:" + "é" * 80)) == {}
    assert validate(CONTACT, MAPPING, with_texts(last_name="t:" + "é" * 81)) == {0: [Reason("last_name", "max_length")]}


def test_the_schema_has_one_column_a_mapped_field_and_is_built_once() -> None:
    found = schema(CONTACT, MAPPING)
    assert isinstance(found, pandera.DataFrameSchema)
    assert tuple(found.columns) == MAPPING.mapped
    assert schema(CONTACT, MAPPING) is found


def test_many_rows_keep_their_numbers() -> None:
    records = [{"LastName": None if n % 97 == 0 else f"L{n}"} for n in range(1000)]
    found = validate(CONTACT, MAPPING, lifted(*records))
    assert list(found) == list(range(0, 1000, 97))
    assert {reason for reasons in found.values() for reason in reasons} == {Reason("last_name", "required")}


def test_a_batch_without_rows_is_valid() -> None:
    assert validate(CONTACT, MAPPING, lifted()) == {}


def test_phones_that_are_no_number_are_kept_and_counted() -> None:
    batch = lifted(
        {"LastName": "Lee", "Phone": "ask the porter"},
        {"LastName": "Kim", "Phone": "(212) 555-0123"},
        {"LastName": "Cho", "Phone": "n/a", "MobilePhone": None},
    )
    assert validate(CONTACT, MAPPING, batch) == {}
    assert doubts(CONTACT, MAPPING, batch) == {("phone", "phone_not_a_number"): 2}
