"""The command line without any CRM: what it prints, and with which exit code it ends."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from crm_sync.errors import BadSettings
from crm_sync.settings import Settings
from crm_sync.store.crypto import new_master_key

ROOT = Path(__file__).resolve().parents[3]


def crm_sync(*arguments: str, **environment: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    variables |= {"CRM_SYNC_CONFIG_DIR": str(ROOT / "config"), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-c", "from crm_sync.cli import main; main()", *arguments],
        env=variables | {name: str(value) for name, value in environment.items()},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path / "config"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | Path]:
    """A state directory and its key; the first command that needs a database makes it."""
    return {
        "CRM_SYNC_STATE_DIR": tmp_path_factory.mktemp("commands") / "state",
        "CRM_SYNC_MASTER_KEY": new_master_key(),
    }


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Assert that a person must change something, and that it is said plainly; return what was said."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("crm-sync: ")
    return done.stderr


def test_check_says_what_the_rules_amount_to() -> None:
    done = crm_sync("check", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["mistakes"] == []
    assert {(s["connection"], s["entity"]) for s in found["streams"]} == {
        (c, e) for c in ("salesforce", "hubspot", "dynamics") for e in ("account", "contact")
    }
    done = crm_sync("check", HUBSPOT_URL="https://api.hubapi.com")
    assert "The rule files hold no mistake." in done.stdout and done.returncode == 0
    assert "warning: hubspot cannot be reached before these are set: HUBSPOT_TOKEN" in done.stderr
    assert {"connection": "hubspot", "what": "token", "variable": "HUBSPOT_TOKEN"} in found["unset"]


def test_schemas_are_written_beside_the_rules(rules: Path) -> None:
    shutil.rmtree(rules / "schema")
    done = crm_sync("schema", "--json", CRM_SYNC_CONFIG_DIR=rules)
    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout):
        path = Path(row["file"])
        assert path.read_bytes() == (ROOT / "config" / "schema" / path.name).read_bytes(), "run `crm-sync schema`"
    assert "CRM_SYNC_CONFIG_DIR" in refused(crm_sync("schema", CRM_SYNC_CONFIG_DIR=rules / "nowhere"))


def test_what_only_settings_keep_from_working_asks_a_person(installation: dict[str, str | Path]) -> None:
    here = installation
    done = crm_sync("check", "--live", "--json", "-c", "hubspot", **here)
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == 2
    assert {(f["kind"], f["severity"], f["source"]) for f in findings} == {
        ("unset", "error", "HUBSPOT_URL"),
        ("unset", "error", "HUBSPOT_TOKEN"),
    }
    text = (ROOT / "config" / "connections.yaml").read_text(encoding="utf-8").splitlines()
    assert all(f["source"] in text[f["line"] - 1] and f["file"] == "connections.yaml" for f in findings)
    assert "HUBSPOT_URL, HUBSPOT_TOKEN" in crm_sync("provision", "-c", "hubspot", **here).stderr
    done = crm_sync("sync", "-c", "hubspot", **here)
    assert done.returncode == 2 and "missed hubspot: BadSettings" in done.stderr


def test_check_prints_every_mistake_at_once(rules: Path) -> None:
    connections = rules / "connections.yaml"
    text = connections.read_text(encoding="utf-8")
    connections.write_text(text.replace("crm: hubspot", "crm: hubspots", 1), encoding="utf-8")
    contact = rules / "entities" / "contact.yaml"
    contact.write_text(contact.read_text(encoding="utf-8").replace("type: email", "type: emial", 1), encoding="utf-8")
    said = refused(crm_sync("check", CRM_SYNC_CONFIG_DIR=rules))
    assert "connections.yaml:" in said and "hubspot" in said
    assert "contact.yaml:" in said and "email" in said
    done = crm_sync("check", "--json", CRM_SYNC_CONFIG_DIR=rules)
    assert done.returncode == 2 and len(json.loads(done.stdout)["mistakes"]) >= 2


@pytest.mark.parametrize("command", [["sync"], ["status"], ["demo"], ["provision"], ["ui", "--port", "3999"]])
def test_a_broken_rule_stops_every_command_before_it_starts_anything(
    rules: Path, tmp_path: Path, command: list[str]
) -> None:
    (rules / "entities" / "contact.yaml").write_text("entity: [", encoding="utf-8")
    said = refused(crm_sync(*command, CRM_SYNC_CONFIG_DIR=rules, CRM_SYNC_STATE_DIR=tmp_path / "state"))
    assert "contact.yaml:1" in said
    assert not (tmp_path / "state").exists()


def test_a_missing_master_key_says_how_to_make_one(tmp_path: Path) -> None:
    said = refused(crm_sync("status", CRM_SYNC_STATE_DIR=tmp_path / "state"))
    assert "CRM_SYNC_MASTER_KEY" in said and "crm-sync keys new" in said


def test_a_new_key_is_32_random_bytes() -> None:
    first, second = crm_sync("keys", "new"), crm_sync("keys", "new")
    assert len(base64.b64decode(first.stdout.strip(), validate=True)) == 32
    assert first.stdout != second.stdout


@pytest.mark.parametrize("command", [["demo"], ["emulate"], ["up"], ["ui"]])
def test_an_unwritable_state_directory_is_named(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    said = refused(crm_sync(*command, CRM_SYNC_STATE_DIR=tmp_path / "file"))
    assert str(tmp_path / "file") in said


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        state = tmp_path / "state"
        assert f"Port {port} " in refused(crm_sync("ui", "--port", port, CRM_SYNC_STATE_DIR=state))
        assert port in refused(crm_sync("emulate", "--port", f"hubspot={port}", CRM_SYNC_STATE_DIR=state))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sync", "-c", "hubspots"], "config/connections.yaml has: salesforce, hubspot, dynamics"),
        (["sync", "-e", "person"], "config/entities has: account, contact"),
        (["provision", "--plan", "--apply"], "give one of them"),
        (["edit", "contact", "0199aaaa-0000-7000-8000-000000000001", "city", "--actor", "me"], "<field>=<value>"),
        (["emulate", "--only", "hubspots"], "salesforce, hubspot, dynamics"),
        (["emulate", "--port", "8443"], "<name>=<port>"),
        (["emulate", "--port", "hubspot=²"], "<name>=<port>"),
        (["emulate", "--connection", "eu"], "expected <name>=<CRM> such as eu=hubspot"),
        (["emulate", "--connection", "eu=sugar"], "the CRM one of salesforce, hubspot, dynamics"),
        (["keys", "rotate", "no-such-file"], "crm-sync keys new"),
        (["check", "-c", "hubspot"], "--live"),
        (["check", "--live", "-c", "hubspots"], "did you mean 'hubspot'?"),
        (["emulate", "--env"], "crm-sync emulate"),
        (["ui", "--state", "no-such-directory"], "no-such-directory"),
        (["up", "--emulator-port", "hubspot=0"], "<name>=<port>"),
        (["up", "--no-emulators", "--seed", "1"], "pretend CRMs"),
        (["up", "--port", "70000"], "Port 70000 "),
        (["explain", "person", "x"], "config/entities has: account, contact"),
        (["explain", "contact", "nobody"], "<connection>:<record id>"),
        (
            ["edit", "contact", "0199aaaa-0000-7000-8000-000000000001", "city=Leeds", "--actor", "me"],
            "crm-sync explain",
        ),
        (["ui", "--demo"], "crm-sync demo"),
        (["quality", "--html", "no-such-directory/page.html"], "no-such-directory"),
    ],
)
def test_a_wrong_argument_says_what_was_expected(
    installation: dict[str, str | Path], arguments: list[str], expected: str
) -> None:
    assert expected in refused(crm_sync(*arguments, **installation))


def test_no_message_repeats_what_may_be_a_value(installation: dict[str, str | Path]) -> None:
    golden = "0199aaaa-0000-7000-8000-000000000001"
    done = crm_sync("edit", "contact", golden, "city=Leeds", "jane@x.example", "--actor", "me", **installation)
    assert "Change 2 of 2 has no `=`" in refused(done)
    assert "jane" not in done.stderr


def test_a_choice_that_there_is_not_names_those_that_there_are(installation: dict[str, str | Path]) -> None:
    golden = "0199aaaa-0000-7000-8000-000000000001"
    done = crm_sync("edit", "contact", golden, "salutation=canary", "--actor", "me", **installation)
    assert done.returncode == 1
    assert "salutation: picklist_unmapped, expected one of " in done.stderr
    assert "canary" not in done.stderr


def test_a_comparison_that_settings_prevent_asks_a_person(installation: dict[str, str | Path]) -> None:
    done = crm_sync("reconcile", **installation)
    assert done.returncode == 2, done.stderr
    assert done.stdout.strip() == "Nothing was compared."
    assert "missed salesforce: BadSettings: " in done.stderr
    assert "Set it, or leave the connection out" in done.stderr


@pytest.mark.parametrize("rows", ["²", "0", "-1", "many", "9" * 5000])
def test_a_size_that_is_none_says_what_was_expected(rows: str) -> None:
    with pytest.raises(BadSettings, match="expected a whole number of rows"):
        Settings.load({"CRM_SYNC_BATCH_ROWS": rows})


def test_an_empty_size_is_the_usual_one() -> None:
    assert Settings.load({"CRM_SYNC_BATCH_ROWS": ""}).batch_rows == Settings.load({}).batch_rows


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://someone:very-secret@127.0.0.1:1/nothing"
    said = refused(crm_sync("status", CRM_SYNC_DATABASE_URL=url, CRM_SYNC_STATE_DIR=tmp_path / "state"))
    assert "127.0.0.1:1" in said and "very-secret" not in said


def test_help_has_an_example_for_every_command() -> None:
    listing = crm_sync("--help").stdout
    names = ("up", "schema", "demo", "ui", "emulate", "sync", "status", "check", "provision", "explain", "edit")
    for name in names:
        assert f"\n  {name} " in listing
        assert f"crm-sync {name}" in crm_sync(name, "--help").stdout
    assert '\n    eval "$(crm-sync emulate --env)"\n' in crm_sync("emulate", "--help").stdout, "as it can be pasted"
