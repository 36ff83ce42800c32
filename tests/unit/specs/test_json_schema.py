"""The schemas that editors use say what the loader says."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from crm_sync.errors import BadSpec
from crm_sync.specs import reading
from crm_sync.specs.json_schema import schema_reference, schemas
from crm_sync.specs.loader import load
from tests.unit.specs.rule_files import CONFIG, RuleFiles

FILES = sorted(path.relative_to(CONFIG).as_posix() for path in CONFIG.rglob("*.yaml"))
WRONG: tuple[Any, ...] = ("", "no such word", "hub", -1, 0, 10**9, 1.5, True, [], ["no such word"], {"a": 1}, "x y")
"""Values that are wrong nearly everywhere, each in its own way."""


def refusals(file: str, document: Any) -> list[str]:
    name = Path(schema_reference(file)).stem
    return [error.message for error in Draft202012Validator(schemas()[name]).iter_errors(document)]


@pytest.fixture
def rules(tmp_path: Path) -> RuleFiles:
    return RuleFiles(tmp_path)


@pytest.mark.parametrize("file", FILES)
def test_every_rule_file_keeps_its_schema_and_names_it(file: str) -> None:
    text = (CONFIG / file).read_text(encoding="utf-8")
    assert refusals(file, yaml.safe_load(text)) == []
    first = text.splitlines()[0]
    assert first == f"# yaml-language-server: $schema={schema_reference(file)}"
    assert ((CONFIG / file).parent / schema_reference(file)).resolve().is_file()


def test_the_committed_schemas_are_current_and_sound() -> None:
    assert {path.stem for path in (CONFIG / "schema").iterdir()} == set(schemas())
    for name, schema in schemas().items():
        Draft202012Validator.check_schema(schema)
        committed = json.loads((CONFIG / "schema" / f"{name}.json").read_text(encoding="utf-8"))
        assert committed == schema, "run `crm-sync schema`"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("entities/contact.yaml", "type: email", "type: emial"),
        ("entities/contact.yaml", "last_name:\n    type: text\n    max_length: 80", "last_name:\n    max_length: 80"),
        ("entities/contact.yaml", "\nfields:", "\nfeilds: 1\nfields:"),
        ("entities/contact.yaml", "\nversion: 1", "\nversion: one"),
        ("entities/account.yaml", "employees:\n    type: number", "employees:\n    type: number\n    max_length: 3"),
        ("entities/account.yaml", "      website: host", "      website: hostname"),
        ("mappings/salesforce/contact.yaml", "source: FirstName, max_length", "source: FirstName, maxlength"),
        ("mappings/salesforce/contact.yaml", "source: Birthdate", "source: Birth date"),
        ("mappings/hubspot/contact.yaml", "type_id: 279, ", ""),
        ("mappings/dynamics/contact.yaml", "operator: is_not", "operator: isnt"),
        ("connections.yaml", "crm: hubspot", "crm: hubspots"),
        ("connections.yaml", "      token: HUBSPOT_TOKEN", "      tokn: HUBSPOT_TOKEN"),
        ("connections.yaml", "address_env: HUBSPOT_URL", "address_env: https://api.hubapi.com"),
    ],
)
def test_what_the_loader_refuses_in_one_file_the_editor_refuses_too(
    rules: RuleFiles, file: str, old: str, new: str
) -> None:
    text = (rules.root / file).read_text(encoding="utf-8")
    assert old in text
    rules.write(file, text.replace(old, new, 1))
    assert rules.mistakes()
    assert refusals(file, yaml.safe_load(text.replace(old, new, 1))) != []


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a document."""
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield (*path, key)
        yield from places(node[key], (*path, key))


def damaged(document: Any, path: tuple[Any, ...], value: Any, *, drop: bool = False) -> Any:
    """Return a copy with the value at `path` replaced, or dropped."""
    out = copy.deepcopy(document)
    inner = out
    for key in path[:-1]:
        inner = inner[key]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return out


@pytest.mark.parametrize("file", ["connections.yaml", "entities/contact.yaml", "mappings/hubspot/contact.yaml"])
def test_the_editor_refuses_nothing_that_the_loader_takes(rules: RuleFiles, file: str) -> None:
    document = yaml.safe_load((rules.root / file).read_text(encoding="utf-8"))
    refused = 0
    for number, path in enumerate(list(places(document))):
        # Every wrong value somewhere, not every one everywhere: loading takes its time.
        for value in (WRONG[number % len(WRONG)], WRONG[(number * 5 + 3) % len(WRONG)], ...):
            broken = damaged(document, path, value, drop=value is ...)
            if not refusals(file, broken):
                continue
            refused += 1
            rules.write(file, json.dumps(broken))
            assert rules.mistakes(), (file, path, value, refusals(file, broken))
    assert refused > 40


def test_the_schemas_know_the_keys_that_the_loader_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[frozenset[str]] = []
    real = reading.Section.done

    def noting(section: reading.Section) -> None:
        asked.append(frozenset(section._asked))
        real(section)

    monkeypatch.setattr(reading.Section, "done", noting)
    load(CONFIG)
    offered = {frozenset(one) for schema in schemas().values() for one in sections(schema)}
    # secrets_env asks for the secrets of its way to sign in alone; the schema's conditions say the same.
    secrets = frozenset({"client_id", "client_secret", "tenant", "authority", "token", "refresh_token"})
    missing = {keys for keys in asked if keys not in offered and not keys <= secrets}
    assert missing == set()
    assert {keys for keys in offered if keys not in set(asked)} == {secrets}


def sections(schema: Any) -> Iterator[list[str]]:
    """Yield the keys of every section that a schema closes to other keys."""
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is False:
            yield list(schema["properties"])
        for inner in schema.values():
            yield from sections(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from sections(inner)


def test_the_loader_itself_still_refuses_an_empty_document(rules: RuleFiles) -> None:
    rules.write("entities/contact.yaml", "{}")
    with pytest.raises(BadSpec):
        load(rules.root)
    assert refusals("entities/contact.yaml", {}) != []
