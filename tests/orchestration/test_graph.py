"""The asset graph, its jobs, schedules and sensors: held by a snapshot, and following the rule files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crm_sync.specs.loader import load
from definitions import build_definitions
from tests.orchestration.graph import describe

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = Path(__file__).parent / "graph.json"


def test_the_graph_is_as_it_was_agreed() -> None:
    now = describe(build_definitions(load(ROOT / "config")))
    assert now == json.loads(SNAPSHOT.read_text(encoding="utf-8")), (
        "the graph has changed; if that is wanted: .venv/bin/python -m tests.orchestration.graph"
    )


def test_every_asset_says_what_it_is() -> None:
    assets = describe(build_definitions(load(ROOT / "config")))["assets"]
    bare = [key for key, asset in assets.items() if not (asset["described"] and asset["owners"] and asset["kinds"])]
    assert not bare


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path / "config"


def replace(folder: Path, old: str, new: str) -> None:
    for path in folder.rglob("*.yaml"):
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def test_renaming_an_entity_in_the_rules_renames_it_in_the_graph(rules: Path) -> None:
    replace(rules, "entity: contact\n", "entity: person\n")
    replace(rules, "entities: [account, contact]", "entities: [account, person]")
    for path in rules.rglob("contact.yaml"):
        path.rename(path.with_name("person.yaml"))
    described = describe(build_definitions(load(rules)))
    before = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert described == json.loads(json.dumps(before).replace("/contact", "/person").replace("__contact", "__person"))


def test_a_disabled_connection_leaves_the_graph(rules: Path) -> None:
    path = rules / "connections.yaml"
    text = path.read_text(encoding="utf-8")
    off = text.replace("crm: hubspot\n    enabled: true", "crm: hubspot\n    enabled: false")
    assert off != text
    path.write_text(off, encoding="utf-8")
    described = describe(build_definitions(load(rules)))
    assert not [key for key in described["assets"] if "hubspot" in key]
    kinds = ("deliver", "full_refresh", "reconcile", "sync")
    of_connections = [f"{kind}_{name}" for kind in kinds for name in ("dynamics", "salesforce")]
    assert sorted(described["jobs"]) == ["check_at_rest", *of_connections]


def test_loading_the_definitions_touches_no_database_and_no_network(tmp_path: Path) -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): sys.exit('a connection was opened')\n"
        "socket.socket.connect = refuse\n"
        "import definitions\n"
        "sys.exit(0 if definitions.defs.jobs else 'no jobs')\n"
    )
    environment = {"CRM_SYNC_STATE_DIR": str(tmp_path / "state"), "CRM_SYNC_CONFIG_DIR": str(ROOT / "config")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "state").exists()
