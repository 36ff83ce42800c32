"""The rules as shipped, and what a business person may change without a programmer."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_sync.specs.loader import load
from crm_sync.specs.model import Association, Direction, OnInbound, Policy
from tests.unit.specs.rule_files import CONFIG, RuleFiles


def test_the_shipped_rules_load_and_say_what_they_should() -> None:
    specs = load(CONFIG)
    assert list(specs.connections) == ["salesforce", "hubspot", "dynamics"]
    assert list(specs.entities) == ["account", "contact"], "the target of a reference comes first"
    contact = specs.entities["contact"]
    assert contact.field("last_name").required
    assert contact.field("email_opt_out").policy is Policy.MOST_RESTRICTIVE
    assert contact.field("email_opt_out").restrictive == "b:1"
    assert contact.field("job_title").policy is Policy.FIELD_MERGE
    assert contact.field("birth_date").policy is Policy.MANUAL_REVIEW
    assert all(f.pii for f in contact.fields)
    assert [f.name for f in specs.entities["account"].fields if not f.pii] == [
        "country",
        "industry",
        "type",
        "employees",
        "annual_revenue",
        "customer_since",
    ]
    assert all(len(entity.fields) >= 15 for entity in specs.entities.values())
    only_in_two = {"account": {"fax"}, "contact": {"home_phone"}}
    for connection in specs.connections:
        for entity in specs.entities.values():
            mapping = specs.mapping(connection, entity.name)
            assert mapping.crm == connection
            left_out = only_in_two[entity.name] if connection == "hubspot" else set()
            assert set(mapping.mapped) == set(entity.field_names) - left_out, f"{connection}/{entity.name}"


def test_references_know_how_each_crm_keeps_them() -> None:
    specs = load(CONFIG)
    salesforce = specs.mapping("salesforce", "contact").field("account")
    hubspot = specs.mapping("hubspot", "contact").field("account")
    dynamics = specs.mapping("dynamics", "contact").field("account")
    assert (salesforce.source, salesforce.target_object, salesforce.association) == ("AccountId", "Account", None)
    assert hubspot.association == Association(to_object="companies", type_id=279, label_type_id=1)
    assert (dynamics.source, dynamics.bind) == ("_parentcustomerid_value", "parentcustomerid_account")
    assert "associations.companies" not in specs.mapping("hubspot", "contact").source_fields
    assert "statecode" in specs.mapping("dynamics", "contact").source_fields, "scope fields are read too"


def test_what_loses_is_marked_by_itself() -> None:
    specs = load(CONFIG)
    lossy = {k: [f.field for f in m.fields if f.lossy] for k, m in specs.mappings.items()}
    assert lossy[("hubspot", "contact")] == []
    assert lossy[("dynamics", "contact")] == [
        "last_name",
        "job_title",
        "street",
        "state",
        "notes",
    ], "50, 100, 250, 50 and 2000 characters"
    assert "industry" in lossy[("salesforce", "account")], "software is shown as Technology there"
    assert specs.mapping("dynamics", "contact").field("job_title").on_inbound is OnInbound.REPLACE


def test_a_mapping_takes_the_phone_region_of_its_connection(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    text = (files.root / "connections.yaml").read_text(encoding="utf-8")
    files.write("connections.yaml", text.replace("region: US", "region: DE"))
    specs = load(files.root)
    assert specs.mapping("hubspot", "contact").field("phone").options["region"] == "DE"


def test_two_connections_may_share_one_directory_of_mappings(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    text = (files.root / "connections.yaml").read_text(encoding="utf-8")
    start, end = text.index("  salesforce:"), text.index("  hubspot:")
    second = text[start:end].replace("  salesforce:", "  subsidiary:").replace("SALESFORCE_", "SUBSIDIARY_")
    files.write("connections.yaml", text[:end] + second.replace("region: US", "region: GB") + text[end:])
    specs = load(files.root)
    assert list(specs.connections) == ["salesforce", "subsidiary", "hubspot", "dynamics"]
    assert specs.mapping("subsidiary", "contact").field("phone").options["region"] == "GB"
    assert specs.mapping("salesforce", "contact").field("phone").options["region"] == "US"


def test_renaming_an_entity_and_a_field_needs_no_python(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    for path in files.root.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        text = text.replace("entity: contact", "entity: person").replace("[account, contact]", "[account, person]")
        if path.stem == "contact":
            text = text.replace("last_name:", "family_name:")
        path.write_text(text, encoding="utf-8")
        if path.stem == "contact":
            path.rename(path.with_stem("person"))
    specs = load(files.root)
    assert list(specs.entities) == ["account", "person"]
    assert specs.entities["person"].field("family_name").required
    assert specs.mapping("dynamics", "person").field("family_name").source == "lastname"
    assert specs.entities["person"].match_rules[0].parts[2].field == "family_name"


def test_words_that_yaml_takes_for_flags_and_numbers_arrive_as_written(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    files.edit("mappings/dynamics/account.yaml", "      other: 8\n", '      other: ["8", 0x0A, 011]\n')
    options = load(files.root).mapping("dynamics", "account").field("industry").options
    assert options["values"]["other"] == ("8", 10, 9)  # type: ignore[index]


def test_a_field_may_be_read_only(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    files.edit(
        "mappings/salesforce/contact.yaml",
        "{source: MailingCity, max_length: 40}",
        "{source: MailingCity, direction: in}",
    )
    assert load(files.root).mapping("salesforce", "contact").field("city").direction is Direction.IN


def test_the_scope_compares_flags_and_numbers_as_texts(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    files.edit("mappings/dynamics/contact.yaml", "values: [1]", "values: [1, true, abc]")
    assert load(files.root).mapping("dynamics", "contact").scope[0].values == ("1", "true", "abc")


@pytest.mark.parametrize("value", ["", "https://localhost:8443", "https://acme.my.salesforce.com"])
def test_an_address_that_is_unset_or_sound_is_no_mistake(tmp_path: Path, value: str) -> None:
    assert RuleFiles(tmp_path).mistakes({"SALESFORCE_URL": value}) == []
