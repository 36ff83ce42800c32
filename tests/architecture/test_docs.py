"""The documents name what there is: every command, setting and promise, and every variable that the rules ask for."""

from __future__ import annotations

import re

import pytest
import typer

from crm_sync.cli.app import app
from crm_sync.specs.loader import load
from tests.architecture.tree import ROOT, files

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")


def commands(group: typer.Typer, prefix: str = "crm-sync") -> list[str]:
    """List the commands of the command line, groups resolved."""
    names = [c.name or (c.callback.__name__ if c.callback else "") for c in group.registered_commands]
    found = [f"{prefix} {name.replace('_', '-')}" for name in names]
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            found += commands(inner.typer_instance, f"{prefix} {inner.name}")
    return found


def test_there_are_commands() -> None:
    assert {"crm-sync demo", "crm-sync sync", "crm-sync status", "crm-sync keys new"} <= set(commands(app))


@pytest.mark.parametrize("command", commands(app))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"`{command}`" in README


def test_every_setting_is_in_the_readme() -> None:
    texts = [p.read_text(encoding="utf-8") for p in files("crm_sync", "assets", "resources", "sensors")]
    texts.append((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    named = {name for text in texts for name in re.findall(r"CRM_SYNC_[A-Z_]*[A-Z]", text)}
    assert "CRM_SYNC_STATE_DIR" in named
    assert not [name for name in sorted(named) if f"`{name}`" not in README]


def test_every_variable_that_the_rules_name_is_in_the_readme() -> None:
    connections = load(ROOT / "config").connections.values()
    named = {c.address_env for c in connections} | {name for c in connections for name in c.secrets_env.values()}
    assert named and not [name for name in sorted(named) if f"`{name}`" not in README]


@pytest.mark.parametrize("number", range(1, 11))
def test_every_promise_says_which_tests_prove_it(number: int) -> None:
    row = next(line for line in GUARANTEES.splitlines() if line.startswith(f"| P{number} "))
    places = re.findall(r"`(tests/[\w/.]+)`", row)
    assert places, row
    assert not [place for place in places if not (ROOT / place).exists()]


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in [ROOT / "README.md", *files("docs", suffixes=(".md",))]
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert not broken
