"""docs/fields.md says what the rules say."""

from __future__ import annotations

import pytest

from crm_sync.specs.loader import load
from tests.unit.specs.rule_files import CONFIG

SPECS = load(CONFIG)
DOCUMENT = (CONFIG.parent / "docs" / "fields.md").read_text(encoding="utf-8")
CRMS = ("salesforce", "hubspot", "dynamics")


@pytest.mark.parametrize("entity", SPECS.entities)
def test_the_document_lists_every_field_and_its_name_in_every_crm(entity: str) -> None:
    section = DOCUMENT.split(f"## {entity}\n\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()[2:]]
    expected = []
    for field in SPECS.entities[entity].fields:
        cells = [field.name, field.type.value]
        for crm in CRMS:
            found = next((f for f in SPECS.mapping(crm, entity).fields if f.field == field.name), None)
            marks = "" if found is None else " *" * found.provision + " ~" * found.lossy
            cells.append("-" if found is None else f"`{found.source}`{marks}")
        expected.append(cells)
    assert rows == expected
