"""A small population in which nothing depends on who is read first: the same deeds on two stages must end the same.

Everybody has a label; records are "<label>@<connection>". Values that differ between CRMs differ in all three of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.scenarios.stage import Stage

THREE = ("salesforce", "hubspot", "dynamics")
PRESENCE = (THREE, ("salesforce",), ("hubspot", "dynamics"), ("dynamics",), ("salesforce", "hubspot"), ("hubspot",))
INDUSTRY = {"salesforce": "Insurance", "hubspot": "INSURANCE", "dynamics": 20}


@dataclass
class Folk:
    """The people and companies on one stage."""

    stage: Stage
    ids: dict[tuple[str, str], str] = field(default_factory=dict)
    """(label, connection) -> record id."""

    def labels(self) -> dict[tuple[str, str], str]:
        """Return (connection, record id) -> name, for portraits."""
        return {(connection, id): f"{label}@{connection}" for (label, connection), id in self.ids.items()}

    def company(self, number: int) -> None:
        """Make a company, in some of the CRMs."""
        for connection in PRESENCE[number % len(PRESENCE)]:
            values = {
                "name": f"Company {number}",
                "website": f"https://www.company{number}.example",
                "city": f"City {number} of {connection}",
                "industry": INDUSTRY[connection],
            }
            self._create(connection, "account", f"company{number}", values)

    def person(self, number: int, company: int | None = None, *, email: str | None = None) -> None:
        """Make a person, in some of the CRMs, at a company where that exists."""
        for connection in PRESENCE[number % len(PRESENCE)]:
            values: dict[str, Any] = {
                "first_name": "Person",
                "last_name": f"Number{number}",
                "email": email or f"person{number}@folk.example",
                "phone": f"+1 202 555 {100 + number:04}",
                "city": f"City {number} of {connection}",
                "job_title": f"Title {number} of {connection}",
                "notes": None if number % 2 else f"Notes on {number}",
            }
            there = self.ids.get((f"company{company}", connection))
            self._create(connection, "contact", f"person{number}", values, there)

    def edit(self, label: str, **changes: Any) -> None:
        """Change fields of a record in the first CRM that people made it in."""
        connection = next(c for c in THREE if (label, c) in self.ids)
        entity = "account" if label.startswith("company") else "contact"
        self.stage.change(connection, entity, self.ids[label, connection], **changes)

    def _create(
        self, connection: str, entity: str, label: str, values: dict[str, Any], company: str | None = None
    ) -> None:
        theirs = {self.stage.source(connection, entity, name): value for name, value in values.items()}
        associations: dict[str, list[str]] = {}
        if company is not None and connection == "hubspot":
            associations = {"companies": [company]}
        elif company is not None:
            theirs[self.stage.source(connection, entity, "account")] = company
        screen = self.stage.screens[connection]
        self.ids[label, connection] = screen.create(self.stage.at(connection, entity), theirs, associations)


def settle_in(stage: Stage, companies: int = 7, people: int = 16) -> Folk:
    """Let the first of them move in; one has no valid e-mail address."""
    folk = Folk(stage)
    for number in range(companies):
        folk.company(number)
    for number in range(people):
        folk.person(number, number % (companies + 2), email="not an address" if number == 3 else None)
    return folk


def live_on(folk: Folk, chapter: int) -> None:
    """Let a chapter of life pass: moves, new titles, newcomers, a new company; different ones in every chapter."""
    numbers = count(1000 + 100 * chapter)
    company = next(numbers)
    folk.company(company)
    for _ in range(4):
        folk.person(next(numbers), company)
    for number in range(16):
        if (number + chapter) % 4 == 0 and number != 3:
            folk.edit(f"person{number}", city=f"City of chapter {chapter}")
        if (number + chapter) % 5 == 0 and number != 3:
            folk.edit(f"person{number}", job_title=f"Title of chapter {chapter}", notes=f"Chapter {chapter}")
    for number in range(7):
        if (number + chapter) % 3 == 0:
            folk.edit(f"company{number}", city=f"City of chapter {chapter}", phone=f"+1 202 555 {chapter:04}")
