"""Every mistake in the rule files is reported with its file, its line and a suggestion."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_sync.errors import BadSpec
from crm_sync.specs.loader import load
from tests.unit.specs.rule_files import RuleFiles

ACCOUNT, CONTACT = "entities/account.yaml", "entities/contact.yaml"
SF_ACCOUNT, SF_CONTACT = "mappings/salesforce/account.yaml", "mappings/salesforce/contact.yaml"
HS_CONTACT, DY_ACCOUNT = "mappings/hubspot/contact.yaml", "mappings/dynamics/account.yaml"
DY_CONTACT, CONNECTIONS = "mappings/dynamics/contact.yaml", "connections.yaml"
RESTRICTIVE = "    restrictive: true\n    description: true means that this person does not want e-mail"
OTHER = "    default: other\n    values:\n      technology"

# fmt: off
MISTAKES = [
    # file, replace, by, the line holding this text, the message holds, the suggestion holds
    (CONTACT, "\n  email:\n    type: email", "\n  email:\n    type: emial", "emial", "'emial'", "mean 'email'?"),
    (CONTACT, "policy: manual_review", "policy: manual", "policy: manual", "unknown policy", "manual_review"),
    (CONTACT, "    required: true\n", "    requierd: true\n", "requierd", "unknown key 'requierd'", "'required'"),
    (CONTACT, "    required: true\n", "    required: 1\n", "required: 1", "the number 1; expected true or false", ""),
    (CONTACT, "max_length: 128", 'max_length: "128"', "128", "expected a whole number", ""),
    (
        CONTACT,
        "  birth_date:\n    type: date",
        "  birth_date:\n    type: date\n    max_length: 9",
        "max_length: 9",
        "no max_length",
        "",
    ),
    (CONTACT, "values: [mr, ms, mrs, dr, prof]", "pii: true", "  salutation:", "lacks 'values'", ""),
    (CONTACT, "values: [mr, ms, mrs, dr, prof]", "values: [mr, ms, mr, mrs, dr, prof]", "mr, ms, mr", "'mr' twice", ""),
    (
        CONTACT,
        "values: [mr, ms, mrs, dr, prof]",
        "values: [mr, ms, mrs, dr, prof, no]",
        "prof, no",
        "false (yes or no)",
        "",
    ),
    (CONTACT, "    target: account", "    target: acount", "acount", "unknown entity 'acount'", "'account'"),
    (CONTACT, "    target: account", "    description: x", "  account:", "lacks 'target'", ""),
    (
        CONTACT,
        "[hubspot, salesforce, dynamics, hub]",
        "[hubspto, salesforce]",
        "hubspto",
        "unknown connection 'hubspto'",
        "'hubspot'",
    ),
    (
        CONTACT,
        "    priority: [hubspot, salesforce, dynamics, hub]\n",
        "",
        "policy: field_merge",
        "lists none",
        "priority",
    ),
    (CONTACT, RESTRICTIVE, "    description: x", "  email_opt_out:", "lacks 'restrictive'", "restrictive"),
    (CONTACT, RESTRICTIVE, "    restrictive: maybe #", "maybe", "expected true or false", ""),
    (CONTACT, "      email: email\n", "      email: emails\n", "emails", "unknown email 'emails'", "'email'"),
    (CONTACT, "      email: email\n", "      e_mail: email\n", "e_mail", "unknown field 'e_mail'", "'email'"),
    (CONTACT, "      email: email\n", "      account: exact\n", "account: exact", "cannot be part of a match rule", ""),
    (CONTACT, "name: mobile and full name", "name: phone and full name #", "name #", "two match rules", ""),
    (CONTACT, "  first_name:\n    type", "  FirstName:\n    type", "FirstName:", "a name of a wrong form", ""),
    (CONTACT, "entity: contact", "entity: contract", "contract", "named 'contact' but says entity 'contract'", "equal"),
    (CONTACT, "  city:\n    type: text", "  hub_id:\n    type: text", "  hub_id:", "cannot name a field", "rename"),
    (CONTACT, "version: 1\n", "version: 0\n", "version: 0", "expected a whole number from 1", ""),
    (
        CONTACT,
        "    max_length: 128\n",
        "    max_length: 128\n    max_length: 9\n",
        "max_length: 9",
        "stands here twice",
        "remove",
    ),
    (SF_CONTACT, "first_name: {", "frist_name: {", "frist_name", "no field 'frist_name'", "did you mean 'first_name'?"),
    (
        SF_CONTACT,
        "  last_name: {source: LastName, max_length: 80}\n",
        "",
        "fields:",
        "required field 'last_name'",
        "add",
    ),
    (
        SF_CONTACT,
        "LastName, max_length: 80",
        "LastName, max_length: 80, direction: out",
        "LastName",
        "outward only",
        "both or in",
    ),
    (
        SF_CONTACT,
        "LastName, max_length: 80",
        "LastName, max_length: 60",
        "LastName",
        "80 characters are cut to 60",
        "on_inbound",
    ),
    (SF_CONTACT, "LastName, max_length: 80", "LastName, on_inbound: replace", "LastName", "loses nothing", "remove"),
    (SF_CONTACT, "Email, max_length: 80", "Email, max_length: 60", "Email,", "cannot be cut", "60 or less"),
    (
        SF_CONTACT,
        "source: MobilePhone",
        "source: Phone",
        "mobile:",
        "'mobile' and 'phone' are both written to 'Phone'",
        "in",
    ),
    (SF_CONTACT, "source: MobilePhone", "source: Id", "mobile:", "which is the id_field", ""),
    (
        SF_CONTACT,
        "source: MobilePhone",
        "source: Mobile Phone",
        "mobile:",
        "the text 'Mobile Phone'; expected a field name",
        "",
    ),
    (SF_CONTACT, "{source: MobilePhone", "{sauce: MobilePhone", "mobile:", "lacks 'source'", ""),
    (
        SF_CONTACT,
        "{source: Birthdate}",
        "{source: Birthdate, transform: dat}",
        "Birth",
        "unknown transform 'dat'",
        "'date'",
    ),
    (
        SF_CONTACT,
        "{source: Birthdate}",
        "{source: Birthdate, transform: text}",
        "Birth",
        "does not serve",
        "known: date",
    ),
    (
        SF_CONTACT,
        "{source: Birthdate}",
        "{source: Birthdate, places: 2}",
        "Birth",
        "takes no option 'places'",
        "takes none",
    ),
    (
        SF_CONTACT,
        "{source: Birthdate}",
        "{source: Birthdate, bind: x}",
        "Birth",
        "only a reference has 'bind'",
        "remove",
    ),
    (
        SF_CONTACT,
        "{source: Birthdate}",
        "{source: Birthdate, direction: inward}",
        "Birth",
        "unknown direction",
        "known",
    ),
    (SF_CONTACT, "target_object: Account}", "target_object: account}", "AccountId", "lives in 'Account'", "'Account'"),
    (SF_CONTACT, "      dr: [Dr., Dr]\n", "", "values:", "says nothing for dr", "default"),
    (SF_CONTACT, "      dr: [Dr., Dr]\n", "      doctor: [Dr., Dr]\n", "doctor", "has no value 'doctor'", "known: dr"),
    (
        SF_CONTACT,
        "      dr: [Dr., Dr]\n",
        "      dr: [Dr., Mr]\n",
        "dr: [Dr., Mr]",
        "'Mr' stands for both 'mr' and 'dr'",
        "first",
    ),
    (SF_CONTACT, "      dr: [Dr., Dr]\n", "      dr: []\n", "dr: []", "an empty list", ""),
    (SF_CONTACT, "      dr: [Dr., Dr]\n", "      dr: yes\n", "dr: yes", "true (yes or no)", "quote"),
    (
        SF_CONTACT,
        "      dr: [Dr., Dr]\n",
        "      dr: Mr.\n",
        "salutation:",
        "one value there stands for mr and dr",
        "on_inbound",
    ),
    (SF_CONTACT, "unmapped: ignore", "unmapped: ignroe", "ignroe", "unknown unmapped", "'ignore'"),
    (
        SF_CONTACT,
        "external_key: Crm_Sync_Id__c",
        "external_kye: Crm_Sync_Id__c",
        "external_kye",
        "unknown key",
        "'external_key'",
    ),
    (SF_ACCOUNT, OTHER, OTHER.replace("other", "othr"), "othr", "unknown default 'othr'", "'other'"),
    (
        SF_ACCOUNT,
        "NumberOfEmployees, places: 0, on_inbound: replace",
        "NumberOfEmployees, places: 0",
        "NumberOfEmployees",
        "rounded to 0 places",
        "on_inbound",
    ),
    (
        HS_CONTACT,
        "    association: {type_id: 279, label_type_id: 1}\n",
        "",
        "associations.companies",
        "says no type",
        "type_id",
    ),
    (
        HS_CONTACT,
        "source: associations.companies",
        "source: company",
        "source: company",
        "must start with",
        "associations.",
    ),
    (DY_CONTACT, "operator: is_not", "operator: isnt", "isnt", "unknown operator 'isnt'", "is"),
    (DY_CONTACT, "operator: is_not, values: [1]", "operator: filled, values: [1]", "filled", "takes no values", ""),
    (DY_CONTACT, ", values: [1]", "", "is_not", "lacks 'values'", ""),
    (
        DY_ACCOUNT,
        "max_length: 160, on_inbound: replace",
        "max_length: 160, on_inbound: keep",
        "160",
        "unknown on_inbound",
        "known",
    ),
    (CONNECTIONS, "crm: hubspot", "crm: hubspott", "hubspott", "unknown crm 'hubspott'", "did you mean 'hubspot'?"),
    (CONNECTIONS, "crm: hubspot", "crm: pipedrive", "pipedrive", "unknown crm", "known: dynamics, hubspot, salesforce"),
    (CONNECTIONS, "auth: token", "auth: client_credentials #", "credentials #", "hubspot does not sign in by", "token"),
    (
        CONNECTIONS,
        "      token: HUBSPOT_TOKEN\n",
        "      tokn: HUBSPOT_TOKEN\n",
        "tokn",
        "unknown key 'tokn'",
        "'token'",
    ),
    (CONNECTIONS, "address_env: HUBSPOT_URL", "address_env: https://x", "https://x", "a wrong form", ""),
    (CONNECTIONS, "mappings: hubspot", "mappings: hubsport", "hubsport", "unknown directory", "'hubspot'"),
    (CONNECTIONS, "  hubspot:\n    crm", "  hub:\n    crm", "hub:", "cannot be named 'hub'", "rename"),
    (
        CONNECTIONS,
        "requests_per_window: 90",
        "requests_per_window: 0",
        "window: 0",
        "expected a whole number from 1",
        "",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "at", "message", "suggestion"), MISTAKES)
def test_a_mistake_names_its_place_and_the_way_out(
    tmp_path: Path, file: str, old: str, new: str, at: str, message: str, suggestion: str
) -> None:
    files = RuleFiles(tmp_path)
    files.edit(file, old, new)
    found = files.mistakes()
    fitting = [m for m in found if m.file == file and message in m.message and suggestion in m.suggestion]
    assert fitting, "\n".join(map(str, found))
    assert files.line(file, at) in [m.line for m in fitting], "\n".join(map(str, found))


@pytest.mark.parametrize("seconds", ["59", "86401", "-5", "300.5", "often"])
def test_an_interval_outside_a_minute_to_a_day_is_a_mistake(tmp_path: Path, seconds: str) -> None:
    files = RuleFiles(tmp_path)
    text = (files.root / CONNECTIONS).read_text(encoding="utf-8")
    files.write(CONNECTIONS, text.replace("interval_seconds: 300", f"interval_seconds: {seconds}", 1))
    (mistake,) = files.mistakes()
    assert mistake.line == files.line(CONNECTIONS, f"interval_seconds: {seconds}")
    assert "from 60 to 86400" in mistake.message


@pytest.mark.parametrize("share", ["-0.1", "1.5", "5%"])
def test_a_drift_threshold_that_is_no_share_is_a_mistake(tmp_path: Path, share: str) -> None:
    files = RuleFiles(tmp_path)
    text = (files.root / CONNECTIONS).read_text(encoding="utf-8")
    files.write(CONNECTIONS, text.replace("    region: US", f"    drift_threshold: {share}\n    region: US", 1))
    (mistake,) = files.mistakes()
    assert mistake.line == files.line(CONNECTIONS, f"drift_threshold: {share}")
    assert "from 0 to 1" in mistake.message


def test_all_mistakes_of_all_files_come_at_once(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    chosen = [MISTAKES[0], MISTAKES[9], MISTAKES[24], MISTAKES[49], MISTAKES[56]]
    for file, old, new, *_ in chosen:
        files.edit(file, old, new)
    with pytest.raises(BadSpec) as caught:
        load(files.root)
    for file, _, _, _, message, suggestion in chosen:
        assert any(
            m.file == file and message in m.message and suggestion in m.suggestion for m in caught.value.mistakes
        )
    assert [m.file for m in caught.value.mistakes] == sorted(m.file for m in caught.value.mistakes)
    assert "mistakes in the rule files" in str(caught.value)
    assert caught.value.exit_code == 2


def test_one_wrong_word_gives_one_mistake(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    files.edit(CONTACT, "    target: account", "    target: acount")
    assert len(files.mistakes()) == 1


def test_a_pasted_secret_is_not_repeated(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    files.edit(CONNECTIONS, "token: HUBSPOT_TOKEN", "token: pat-na1-sEcReT")
    (mistake,) = files.mistakes()
    assert "never the secret itself" in mistake.message
    assert "sEcReT" not in str(mistake)


@pytest.mark.parametrize("address", ["http://localhost:80", "localhost:8443", "https://", "https://h:x"])
def test_a_malformed_address_is_reported_where_it_is_named(tmp_path: Path, address: str) -> None:
    files = RuleFiles(tmp_path)
    (mistake,) = files.mistakes({"SALESFORCE_URL": address})
    assert mistake.line == files.line(CONNECTIONS, "SALESFORCE_URL")
    assert "https://host" in mistake.suggestion


def test_required_references_may_not_go_round(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    files.edit(CONTACT, "    target: account", "    target: account\n    required: true")
    files.edit(
        ACCOUNT,
        "  description:\n    type",
        "  owner: {type: reference, target: contact, required: true}\n  description:\n    type",
    )
    found = files.mistakes()
    circle = [m for m in found if "account -> contact -> account" in m.message]
    assert len(circle) == 1
    assert circle[0].file == ACCOUNT
    assert circle[0].line == files.line(ACCOUNT, "owner: {type")


def test_optional_references_may_go_round(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    files.edit(
        ACCOUNT, "  description:\n    type", "  owner: {type: reference, target: contact}\n  description:\n    type"
    )
    assert set(load(files.root).entities) == {"account", "contact"}


def test_an_entity_without_a_mapping_is_missed_where_it_is_asked_for(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    (files.root / HS_CONTACT).unlink()
    (mistake,) = files.mistakes()
    assert mistake.file == CONNECTIONS
    assert "write mappings/hubspot/contact.yaml" in mistake.suggestion


def test_a_mapping_of_an_unknown_entity_is_a_mistake(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    (files.root / SF_CONTACT).rename((files.root / SF_CONTACT).with_stem("contacts"))
    found = files.mistakes()
    assert any("unknown entity 'contacts'" in m.message for m in found)


def test_a_reference_needs_its_target_in_the_same_crm(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    (files.root / SF_ACCOUNT).unlink()
    text = (files.root / CONNECTIONS).read_text(encoding="utf-8")
    files.write(CONNECTIONS, text.replace("entities: [account, contact]", "entities: [contact]", 1))
    (mistake,) = files.mistakes()
    assert (mistake.file, mistake.line) == (SF_CONTACT, files.line(SF_CONTACT, "AccountId"))
