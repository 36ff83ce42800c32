"""The summary that a person reads after the rules loaded."""

from __future__ import annotations

from crm_sync.specs.checking import summary, unset
from crm_sync.specs.loader import load
from tests.unit.specs.rule_files import CONFIG


def test_the_summary_names_what_loses_and_what_is_created() -> None:
    lines = {(line.connection, line.entity): line for line in summary(load(CONFIG))}
    assert len(lines) == 6
    contact = lines[("hubspot", "contact")]
    assert (contact.object, contact.fields, contact.mapped) == ("contacts", 20, 19)
    assert contact.provisioned == ("crm_sync_second_email", "crm_sync_email_opt_out", "crm_sync_do_not_call")
    assert contact.lossy == ()
    assert lines[("dynamics", "contact")].lossy == ("last_name", "job_title", "street", "state", "notes")
    assert lines[("dynamics", "contact")].scope_rules == 1


def test_unset_variables_are_listed_by_name_only() -> None:
    specs = load(CONFIG)
    environment = {
        "SALESFORCE_URL": "https://a",
        "SALESFORCE_CLIENT_ID": "x",
        "SALESFORCE_CLIENT_SECRET": "y",
        "HUBSPOT_URL": "https://b",
        "HUBSPOT_TOKEN": "",
        "DYNAMICS_URL": "https://c",
        "DYNAMICS_AUTHORITY": "https://d/t",
        "DYNAMICS_CLIENT_ID": "z",
    }
    assert unset(specs, environment) == [
        ("hubspot", "token", "HUBSPOT_TOKEN"),
        ("dynamics", "client_secret", "DYNAMICS_CLIENT_SECRET"),
    ]
