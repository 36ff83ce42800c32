"""A long life: random deeds of many people between the rounds, now and then a crash, and in the end all agree.

Other lives: LIVES=1,2,3 pytest tests/scenarios/test_long_life.py
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.scenarios.conftest import SetStage
from tests.scenarios.dying import BOUNDARIES, killed_sync
from tests.scenarios.portrait import twins
from tests.scenarios.reading import compare, world
from tests.scenarios.stage import Stage

THREE = ("salesforce", "hubspot", "dynamics")
ROUNDS = 8
SEEDS = [int(seed) for seed in os.environ.get("LIVES", "7").split(",")]
TEXTS: dict[str, list[str | None]] = {
    "city": ["Oslo", "Bergen", "Ålesund", None, "nan", "None", " Spaced  out "],
    "job_title": ["Baker", "Miller", "A title that goes on " + "and on " * 14, None],
    "notes": ["short", None, "long " * 500, "line\nbreak"],
    "phone": ["+1 202 555 0101", "(202) 555-0102", "call reception", None],
    "salutation": ["Mr.", "Dr.", None],
}


class Life:
    """Random deeds on one stage."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.random = stage, random.Random(seed)
        self.made = 0

    def somebody(self, connection: str, entity: str = "contact") -> str | None:
        """Return a record of a CRM, None where it has none."""
        ids = sorted(self.stage.records(connection, entity))
        return self.random.choice(ids) if ids else None

    def edit(self) -> None:
        """Change a field in one CRM."""
        connection, field = self.random.choice(THREE), self.random.choice(sorted(TEXTS))
        record_id = self.somebody(connection)
        if record_id is not None:
            self._write(connection, record_id, field)

    def _write(self, connection: str, record_id: str, field: str) -> None:
        text = self.random.choice(TEXTS[field])
        longest = self.stage.specs.mapping(connection, "contact").field(field).options.get("max_length")
        cut = text[: int(str(longest))] if text and longest else text  # nobody can type more there
        self.stage.change(connection, "contact", record_id, **{field: cut})

    def dispute(self) -> None:
        """Change one field of one person in two CRMs."""
        now = world(self.stage, "contact")
        known = [p for h in sorted(now.golden) if len(p := now.places(h)) == 3 and now.crm.keys() >= set(p.items())]
        if known:
            places = self.random.choice(known)
            field = self.random.choice(["city", "job_title", "phone"])
            for connection in self.random.sample(THREE, 2):
                self._write(connection, places[connection], field)

    def edit_in_the_hub(self) -> None:
        """Change a golden record."""
        golden = sorted(world(self.stage, "contact").golden)
        if golden:
            self.stage.edit("contact", self.random.choice(golden), {"city": f"Hub city {self.random.randrange(5)}"})

    def newcomer(self) -> None:
        """Bring a new person into one or more CRMs, sometimes twice, sometimes with bad content."""
        self.made += 1
        name = f"Newcomer{self.made}"
        email = "none" if self.random.random() < 0.1 else f"{name.lower()}@life.example"
        for connection in self.random.choices(THREE, k=self.random.choice((1, 1, 2, 3))):
            if connection == "hubspot" and any(
                r["values"].get("email") == email for r in self.stage.records("hubspot", "contact").values()
            ):
                continue
            values = {"first_name": "New", "last_name": name, "email": email, "city": self.random.choice(TEXTS["city"])}
            theirs = {self.stage.source(connection, "contact", n): v for n, v in values.items()}
            self.stage.screens[connection].create(self.stage.at(connection, "contact"), theirs)

    def move(self) -> None:
        """Let a person change companies, or leave theirs."""
        connection = self.random.choice(THREE)
        record_id, company = self.somebody(connection), self.somebody(connection, "account")
        company = company if self.random.random() < 0.8 else None
        if record_id is None:
            return
        if connection == "hubspot":
            # With a change of its own, as an association alone moves no stamp: only reconciliation finds that.
            values = {"city": f"Moved {self.random.randrange(9)}"}
            self.stage.screens["hubspot"].edit(
                "contacts", record_id, values, {"companies": [company] if company else []}
            )
        else:
            self.stage.change(connection, "contact", record_id, account=company)

    def delete(self) -> None:
        """Delete a record; HubSpot tells nobody, so that it is left out."""
        connection = self.random.choice(("salesforce", "dynamics"))
        record_id = self.somebody(connection)
        if record_id is not None:
            self.stage.screens[connection].delete(self.stage.at(connection, "contact"), record_id)

    def lost_answer(self) -> None:
        """Let a CRM lose the answer to a write."""
        path = r"batch/(create|update)$|composite(/sobjects)?$|\$batch$"
        self.stage.screens[self.random.choice(THREE)].faults(
            {"method": "POST", "path": path, "action": "drop_after", "skip": self.random.randrange(2)}
        )


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_long_life_all_agree(set_stage: SetStage, seed: int) -> None:
    with set_stage(seed=seed, accounts=8, contacts=30) as stage:
        life = Life(stage, seed)
        deeds: list[Callable[[], None]] = [life.edit] * 6 + [life.dispute] * 2 + [life.edit_in_the_hub, life.newcomer]
        deeds += [life.newcomer, life.move, life.move, life.delete, life.lost_answer]
        for _ in range(ROUNDS):
            for _ in range(life.random.randrange(4, 12)):
                life.random.choice(deeds)()
            if life.random.random() < 0.4:
                killed_sync(stage, life.random.choice(BOUNDARIES), life.random.randrange(1, 3))
            else:
                stage.sync(hurried=True)
        for screen in stage.screens.values():
            screen.no_more_faults()
        stage.rows("update outbox set next_attempt_at = now() where state = 'waiting'")
        rounds = stage.settle()
        assert rounds[-1].missed == {}
        assert twins(stage) == []
        assert stage.rows("select connection, entity, state, error_class from outbox") == []
        for entity in ("account", "contact"):
            found = compare(stage, entity)
            assert found.differences == []
            assert found.equal > 100
        assert stage.sync(full=True).writes == {}
        assert stage.sync().writes == {}
