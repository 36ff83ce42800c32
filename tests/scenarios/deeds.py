"""Seeded deeds among Folk that may come at any moment of a sync: no two of them touch one field in two places.

Belongs here: deeds whose outcome does not depend on when they are read. Not here: disputes (test_long_life).
"""

from __future__ import annotations

import random
from itertools import count
from uuid import UUID

from tests.scenarios.folk import THREE, Folk

COMPANIES, PEOPLE = 7, 16
"""So many live there from the beginning (folk.settle_in); only they are ever edited."""
NOBODYS_ADDRESS = 3
"""The one whose e-mail address is none, so that the record is held."""


class Deeds:
    """A stream of deeds; two with one seed do the same in the same order, on whatever stages."""

    def __init__(self, folk: Folk, seed: int) -> None:
        self.folk = folk
        self._random = random.Random(seed)
        self._numbers = count(1000)
        self.done = 0

    def arrive(self) -> None:
        """Let a company and some people move in; at rest only, as nobody may be met half arrived."""
        company = next(self._numbers)
        self.folk.company(company)
        for _ in range(self._random.randrange(2, 6)):
            self.folk.person(next(self._numbers), company if self._random.random() < 0.8 else None)

    def edit(self, times: int) -> None:
        """Let so many edits happen, at the screens of the CRMs."""
        for _ in range(times):
            self.done += 1
            if self._random.random() < 0.25:
                label = f"company{self._random.randrange(COMPANIES)}"
                field = self._random.choice(("city", "phone"))
            else:
                label = f"person{self._random.choice([n for n in range(PEOPLE) if n != NOBODYS_ADDRESS])}"
                field = self._random.choice(("city", "job_title", "notes", "phone"))
            value = f"+1 202 556 {self.done:04}" if field == "phone" else f"{field} number {self.done}"
            self.folk.edit(label, **{field: value})

    def edit_in_the_hub(self) -> None:
        """Let somebody at the hub change what nobody changes in a CRM."""
        label = f"person{self._random.choice([n for n in range(PEOPLE) if n != NOBODYS_ADDRESS])}"
        self.done += 1
        self.folk.stage.edit("contact", self._golden(label), {"street": f"{self.done} Hub Street"})

    def _golden(self, label: str) -> UUID:
        connection = next(c for c in THREE if (label, c) in self.folk.ids)
        ((hub_id,),) = self.folk.stage.rows(
            "select hub_id from identity_link where entity = 'contact' and connection = %s and record_id = %s",
            [connection, self.folk.ids[label, connection]],
        )
        return UUID(str(hub_id))
