"""Files that are no rule files at all are one mistake each, and the others are still read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.specs.rule_files import RuleFiles

CONTACT = "entities/contact.yaml"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("entity: contact\nfields:\n\tname: x\n", 3, "a tab stands where YAML wants spaces"),
        ("entity: contact\nfields: [a, b\n", 3, "no valid YAML"),
        ("entity: contact\nfields: {a: b: c}\n", 2, "no valid YAML"),
        ("", 1, "the file is empty"),
        ("# only a remark\n", 1, "the file is empty"),
        ("---\na: 1\n---\nb: 2\n", 3, "no valid YAML"),
        ("- a\n- b\n", 1, "is a list; expected a mapping"),
        ("just words\n", 1, "is the text 'just words'; expected a mapping"),
        ("entity: contact\nentity: contact\nfields: {}\n", 2, "stands here twice"),
        ("entity: contact\n1: x\n", 2, "the key 1 is not read as a text"),
        ("entity: contact\n? [a]\n: x\n", 2, "not read as a text"),
        ("entity: contact\n<<: {a: b}\n", 2, "'<<' is not supported"),
        ("entity: contact\nfields: &a {name: *a}\n", 2, "contains itself"),
        ("entity: contact\nfields: {}\n", 2, "has no fields"),
        ("entity: contact\n", 1, "lacks 'fields'"),
        ("entity: contact\nfields:\n", 2, "has no value for 'fields'"),
        ("entity: contact\nfields: {name: }\n", 2, "field 'name' is nothing"),
        ("entity: contact\nversion: !!int abc\nfields: {}\n", 2, "'abc' cannot be read as int"),
    ],
)
def test_a_broken_file_is_reported_by_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    files = RuleFiles(tmp_path)
    files.write(CONTACT, text)
    found = [m for m in files.mistakes() if m.file == CONTACT]
    assert (line, True) in [(m.line, message in m.message) for m in found], "\n".join(map(str, found))


def test_a_broken_file_does_not_hide_the_mistakes_of_others(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    files.write(CONTACT, "a: [\n")
    files.edit("entities/account.yaml", "employees:\n    type: number", "employees:\n    type: numbre")
    found = files.mistakes()
    assert [m.file for m in found] == ["entities/account.yaml", CONTACT], "and none about what rests on the broken file"


def test_bytes_that_are_no_text_are_a_mistake(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    (files.root / CONTACT).write_bytes(b"entity: contact\nowner: M\xfcller\n")
    assert any("not UTF-8" in m.message for m in files.mistakes())


def test_a_byte_order_mark_is_harmless(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    path = files.root / CONTACT
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert files.mistakes() == []


def test_missing_files_and_directories_are_said_plainly(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    (files.root / "connections.yaml").unlink()
    (mistake,) = files.mistakes()
    assert (mistake.file, mistake.message) == ("connections.yaml", "the file is missing")
    files.root.rename(tmp_path / "elsewhere")
    (mistake,) = files.mistakes()
    assert "there is no directory" in mistake.message
    assert "CRM_SYNC_CONFIG_DIR" in mistake.suggestion


def test_stray_files_are_named(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    files.write("entities/lead.yml", "entity: lead\n")
    files.write("entities/Sales-Order.yaml", "entity: x\n")
    files.write("entities/.contact.yaml.swp", "not read")
    found = {m.file: m.message for m in files.mistakes()}
    assert set(found) == {"entities/lead.yml", "entities/Sales-Order.yaml"}


def test_an_empty_directory_is_a_mistake(tmp_path: Path) -> None:
    files = RuleFiles(tmp_path)
    for path in (files.root / "entities").iterdir():
        path.unlink()
    assert any(m.file == "entities" and "no entity file" in m.message for m in files.mistakes())
