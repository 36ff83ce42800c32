"""Whole batches both ways, by the rules as shipped."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from crm_sync.records import ABSENT, MISSING, NULL, columns
from crm_sync.specs.loader import load
from crm_sync.specs.model import Direction, EntitySpec, MappingSpec
from crm_sync.steps.mapping import crm_form, form_text, lift_batch, project_batch
from tests.unit.specs.rule_files import CONFIG
from tests.unit.steps.columns_of import column

SPECS = load(CONFIG)
CONTACT = SPECS.entities["contact"]


def rules(connection: str, entity: str = "contact") -> tuple[EntitySpec, MappingSpec, Any]:
    return SPECS.entities[entity], SPECS.mapping(connection, entity), SPECS.connections[connection]


def test_one_person_has_one_canonical_form_in_three_crms() -> None:
    written: dict[str, dict[str, Any]] = {
        "salesforce": {
            "FirstName": "Zoë",
            "LastName": "O'Neill",
            "Salutation": "Dr.",
            "Email": "Zoe@Acme.Example",
            "Phone": "(212) 555-0123",
            "MobilePhone": None,
            "HomePhone": "212 555 0199",
            "Crm_Sync_Second_Email__c": "zoe@home.example",
            "Fax": "(212) 555-0124",
            "Title": "CTO",
            "MailingStreet": "1 Main Street\r\nFloor 2",
            "MailingCity": "New York",
            "MailingState": "NY",
            "MailingPostalCode": "10001",
            "MailingCountry": "United States",
            "DoNotCall": True,
            "Birthdate": "1980-01-31",
            "HasOptedOutOfEmail": False,
            "Description": "a\r\nb",
        },
        "hubspot": {
            "firstname": "Zoë",
            "lastname": "O'Neill ",
            "salutation": "Dr",
            "email": "zoe@acme.example",
            "phone": "212-555-0123",
            "mobilephone": "",
            "crm_sync_second_email": "Zoe@Home.Example",
            "fax": "212.555.0124",
            "jobtitle": "CTO",
            "address": "1 Main Street Floor 2",
            "city": "New York",
            "state": "NY ",
            "zip": "10001",
            "country": "United States",
            "crm_sync_do_not_call": "true",
            "date_of_birth": "1980-01-31",
            "crm_sync_email_opt_out": None,
            "message": "a\nb",
        },
        "dynamics": {
            "firstname": "Zoë",
            "lastname": "O'Neill",
            "salutation": "dr.",
            "emailaddress1": "zoe@acme.example",
            "telephone1": "+1 212 555 0123",
            "mobilephone": None,
            "telephone2": "+1 (212) 555-0199",
            "emailaddress2": " zoe@home.example",
            "fax": "+12125550124",
            "jobtitle": "CTO",
            "address1_line1": "1 Main Street Floor 2",
            "address1_city": "New York",
            "address1_stateorprovince": "NY",
            "address1_postalcode": "10001",
            "address1_country": "United States",
            "donotphone": True,
            "birthdate": "1980-01-31",
            "donotbulkemail": False,
            "description": "a\nb",
        },
    }
    forms = []
    for name, record in written.items():
        entity, mapping, connection = rules(name)
        lifted = lift_batch(entity, mapping, connection, columns(mapping.source_fields, [record]))
        assert all(reasons[0] is None for reasons in lifted.reasons.values())
        forms.append({field: str(texts[0]) for field, texts in lifted.texts.items() if field != "account"})
    assert forms[0] == forms[2]
    assert forms[0].pop("home_phone") == "t:+12125550199", "which HubSpot has not"
    assert forms[0] == forms[1]
    assert len(forms[0]) == 18
    assert forms[0]["phone"] == "t:+12125550123"
    assert (forms[0]["mobile"], forms[0]["email_opt_out"], forms[0]["salutation"]) == (NULL, "b:0", "t:dr")


def test_a_reference_is_lifted_from_a_field_or_an_association() -> None:
    for name, source in (
        ("salesforce", "AccountId"),
        ("hubspot", "associations.companies"),
        ("dynamics", "_parentcustomerid_value"),
    ):
        lifted = lift_batch(*rules(name), {source: column("0015g00000ABCDE", None, MISSING)})
        assert lifted.texts["account"].tolist() == ["r:0015g00000ABCDE", NULL, ABSENT]


def test_what_the_batch_lacks_is_absent_never_null() -> None:
    lifted = lift_batch(*rules("salesforce"), {"LastName": column("Lee", "Kim")})
    assert lifted.texts["city"].tolist() == [ABSENT, ABSENT]
    assert lifted.reasons["city"].tolist() == [None, None]
    assert set(lifted.texts) == set(CONTACT.field_names)


def test_unknown_columns_are_ignored() -> None:
    lifted = lift_batch(*rules("salesforce"), {"LastName": column("Lee"), "Surprise__c": column("x")})
    assert "Surprise__c" not in lifted.texts


def test_a_whole_record_is_projected_in_the_words_of_each_crm() -> None:
    texts = {
        "first_name": column("t:Zoë"),
        "last_name": column("t:" + "x" * 60),
        "salutation": column("t:prof"),
        "email": column(NULL),
        "birth_date": column("d:1980-01-31"),
        "email_opt_out": column("b:1"),
        "account": column("r:77"),
        "city": column(ABSENT),
    }
    sent = {name: project_batch(*rules(name), texts) for name in ("salesforce", "hubspot", "dynamics")}
    assert sent["salesforce"]["LastName"][0] == "x" * 60
    assert sent["dynamics"]["lastname"][0] == "x" * 50
    assert sent["hubspot"]["crm_sync_email_opt_out"][0] == "true"
    assert sent["dynamics"]["donotbulkemail"][0] is True
    assert sent["hubspot"]["email"][0] is None
    assert sent["hubspot"]["city"][0] is MISSING
    assert sent["dynamics"]["_parentcustomerid_value"][0] == "77"
    assert "MobilePhone" not in sent["salesforce"], "a field that was not given is not sent"


def test_a_field_that_is_only_read_is_never_projected() -> None:
    entity, mapping, connection = rules("salesforce")
    fields = tuple(dataclasses.replace(f, direction=Direction.IN) if f.field == "city" else f for f in mapping.fields)
    inward = dataclasses.replace(mapping, fields=fields)
    assert project_batch(entity, inward, connection, {"city": column("t:Ulm")}) == {}
    assert lift_batch(entity, inward, connection, {"MailingCity": column("Ulm")}).texts["city"][0] == "t:Ulm"


def test_the_form_in_a_crm_shows_what_a_mapping_loses() -> None:
    rows = column("t:software", "t:technology", NULL, ABSENT)
    assert crm_form(*rules("dynamics", "account"), "industry", rows).tolist() == [
        "t:technology",
        "t:technology",
        NULL,
        ABSENT,
    ]
    assert crm_form(*rules("hubspot", "account"), "industry", rows).tolist() == rows.tolist()
    assert crm_form(*rules("dynamics"), "job_title", column("t:" + "a" * 99 + " b"))[0] == "t:" + "a" * 99
    assert crm_form(*rules("hubspot"), "email_opt_out", column(NULL))[0] == "b:0", "empty there means false"


def test_a_value_that_the_crm_has_no_word_for_has_no_form_there() -> None:
    assert crm_form(*rules("salesforce"), "salutation", column("t:gone"))[0] == ABSENT


def test_the_form_of_a_reference_is_not_for_the_mapping_to_say() -> None:
    with pytest.raises(ValueError, match="identity links"):
        crm_form(*rules("salesforce"), "account", column("r:1"))


def test_the_form_of_a_mapping_is_stable_and_knows_what_matters() -> None:
    entity, mapping, _ = rules("dynamics", "account")
    form = form_text(entity, mapping)
    assert form == form_text(*rules("dynamics", "account")[:2])
    assert json.loads(form)["entity"] == ["account", 1]

    def changed(**options: object) -> str:
        first = mapping.fields[0]
        fields = (dataclasses.replace(first, options={**first.options, **options}), *mapping.fields[1:])
        return form_text(entity, dataclasses.replace(mapping, fields=fields))

    assert changed() == form
    assert changed(max_length=9) != form
    assert form_text(entity, dataclasses.replace(mapping, version=2)) != form
    assert form_text(dataclasses.replace(entity, version=2), mapping) != form
    assert form_text(entity, dataclasses.replace(mapping, fields=mapping.fields[::-1])) != form
    assert form_text(dataclasses.replace(entity, owner="someone"), mapping) == form
    assert form_text(entity, dataclasses.replace(mapping, scope=(), create=False)) == form


def test_the_first_of_two_folded_words_counts_so_their_order_is_part_of_the_form() -> None:
    entity, mapping, _ = rules("dynamics", "account")
    industry = mapping.field("industry")
    values: Any = industry.options["values"]
    turned = dataclasses.replace(industry, options={**industry.options, "values": dict(reversed(list(values.items())))})
    fields = tuple(turned if f.field == "industry" else f for f in mapping.fields)
    assert form_text(entity, dataclasses.replace(mapping, fields=fields)) != form_text(entity, mapping)


def test_a_batch_without_rows_stays_without_rows() -> None:
    lifted = lift_batch(*rules("salesforce"), {"LastName": np.empty(0, dtype=object)})
    assert all(len(t) == 0 for t in lifted.texts.values())
    assert all(len(v) == 0 for v in project_batch(*rules("salesforce"), lifted.texts).values())


def test_one_company_has_one_canonical_form_in_three_crms() -> None:
    written: dict[str, dict[str, Any]] = {
        "salesforce": {
            "Name": "Acme",
            "Website": "https://acme.example",
            "Crm_Sync_Email__c": "info@acme.example",
            "Fax": "(212) 555-0124",
            "BillingState": "NY",
            "Type": "channel partner / reseller",
            "AnnualRevenue": 1250000.0,
            "NumberOfEmployees": 12,
            "Crm_Sync_Customer_Since__c": "2019-03-01",
        },
        "hubspot": {
            "name": "Acme",
            "website": "https://acme.example",
            "crm_sync_email": "INFO@acme.example",
            "state": "NY",
            "type": "RESELLER",
            "annualrevenue": "1250000",
            "numberofemployees": "12",
            "crm_sync_customer_since": "2019-03-01",
        },
        "dynamics": {
            "name": "Acme",
            "websiteurl": "https://acme.example",
            "emailaddress1": "info@acme.example",
            "fax": "212-555-0124",
            "address1_stateorprovince": "NY",
            "customertypecode": 9,
            "revenue": 1250000.0000,
            "numberofemployees": 12,
            "crmsync_customersince": "2019-03-01",
        },
    }
    forms = []
    for name, record in written.items():
        entity, mapping, connection = rules(name, "account")
        full = {source: record.get(source) for source in mapping.source_fields}
        lifted = lift_batch(entity, mapping, connection, columns(mapping.source_fields, [full]))
        assert all(reasons[0] is None for reasons in lifted.reasons.values())
        forms.append({field: str(texts[0]) for field, texts in lifted.texts.items()})
    assert forms[0] == forms[2]
    assert forms[0].pop("fax") == "t:+12125550124", "which HubSpot has not"
    assert forms[0] == forms[1]
    told = {name: forms[0][name] for name in ("type", "annual_revenue", "customer_since")}
    assert told == {"type": "t:reseller", "annual_revenue": "n:1250000", "customer_since": "d:2019-03-01"}


def test_a_customer_and_a_supplier_are_shown_where_there_is_no_word_for_them_as_other() -> None:
    rows = column("t:customer", "t:supplier", "t:other")
    shown = {name: crm_form(*rules(name, "account"), "type", rows).tolist() for name in SPECS.connections}
    assert shown == {
        "salesforce": ["t:customer", "t:other", "t:other"],
        "hubspot": ["t:other", "t:supplier", "t:other"],
        "dynamics": ["t:customer", "t:supplier", "t:other"],
    }
