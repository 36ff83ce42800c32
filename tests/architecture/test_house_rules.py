"""The rules of the house: short files, room signs, names from the glossary, no trace of one machine."""

from __future__ import annotations

import ast
import re

from tests.architecture.tree import ROOMS, ROOT, SOURCES, files, shown

LONGEST_FILE = 400

EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "manager"}

# The right column of docs/glossary.md, as far as the words have no other honest use in a name.
FORBIDDEN_WORDS = {
    "provider": "CRM", "remote": "CRM", "tenant": "connection", "tap": "connector", "mock": "emulator",
    "fake": "emulator", "sandbox": "emulator", "warehouse": "hub", "mdm": "hub", "master": "golden record",
    "payload": "source record", "unified": "canonical", "xref": "crosswalk", "diffbase": "shadow",
    "survivorship": "merge policy", "collision": "conflict", "lineage": "provenance", "enrich": "hydrate",
    "bronze": "landing", "bookmark": "cursor", "checkpoint": "watermark", "ack": "receipt", "pingback": "echo",
    "deferred": "parked", "reprocess": "release", "pipeline": "flow", "dlq": "dead letter",
}

# Facts of the outside world keep their own names: the master key wraps keys, a Dataverse tenant is Microsoft's word.
HONEST_USES = {"master_key", "MasterKey"}


def words(name: str) -> set[str]:
    """Split a snake_case or CamelCase name into lower-case words."""
    return {w.lower() for part in name.split("_") for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", part)}


def test_files_are_short_enough_to_read() -> None:
    sources = files(*SOURCES, suffixes=(".py", ".sql"))
    lengths = {shown(p): len(p.read_text(encoding="utf-8").splitlines()) for p in sources}
    long = {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE}
    assert not long, f"split by subject before line {LONGEST_FILE}: {long}"


def test_every_room_has_its_sign() -> None:
    doors = [p for p in files("crm_sync") if p.name == "__init__.py"] + files("assets", "resources", "sensors")
    signs = {shown(p): ast.get_docstring(ast.parse(p.read_text(encoding="utf-8"))) or "" for p in doors}
    bare = [name for name, sign in signs.items() if "Belongs here:" not in sign or "Not here:" not in sign]
    assert not bare, f"open with a docstring that says what belongs here, what does not, and where that goes: {bare}"


def test_every_folder_with_code_is_a_package() -> None:
    folders = {p.parent for p in files(*ROOMS) if p.parent != ROOT and "sql" not in p.parts}
    missing = [shown(folder) for folder in folders if not (folder / "__init__.py").exists()]
    assert not missing, f"these folders hold modules and no __init__.py: {missing}"


def test_no_module_has_an_empty_name() -> None:
    empty = [shown(p) for p in files(*SOURCES) if p.stem in EMPTY_NAMES]
    assert not empty, f"say what is inside: {empty}"


def test_names_come_from_the_glossary() -> None:
    wrong = []
    for path in files(*ROOMS):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {path.stem} | {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
        for name in sorted(n for n in names if not any(use in n for use in HONEST_USES)):
            found = sorted(words(name) & FORBIDDEN_WORDS.keys())
            wrong += [f"{shown(path)}: {name}: say {FORBIDDEN_WORDS[word]!r}" for word in found]
    assert not wrong


def test_the_glossary_lists_every_word_that_is_forbidden_here() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").casefold()
    absent = [f"{wrong} -> {right}" for wrong, right in FORBIDDEN_WORDS.items() if right.casefold() not in glossary]
    assert not absent


# Written in two halves, so that this file does not find itself.
TRACES = ["py" + "pi.org", "python" + "hosted", "/wo" + "rk/", "/ro" + "ot/", "regis" + "try.npm", "shared" + "/design"]


def test_nothing_names_a_registry_or_one_machine() -> None:
    suffixes = (".py", ".sql", ".md", ".yaml", ".yml", ".toml", ".json", ".txt", ".lock")
    names = ("Makefile", ".gitignore")
    places = [p for p in ROOT.iterdir() if p.is_file() and (p.suffix in suffixes or p.name in names)]
    places += files(*SOURCES, "docs", "config", suffixes=suffixes) + list((ROOT / ".ci").iterdir())
    found = [
        f"{shown(p)}: {trace}" for p in places for trace in TRACES if trace in p.read_text(encoding="utf-8").casefold()
    ]
    assert not found
