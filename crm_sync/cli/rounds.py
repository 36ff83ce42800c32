"""Rounds of Dagster runs, one per connection, and what they counted.

Belongs here: running jobs until nothing is left to tell, and the table of their counts.
Not here: who edits what (story.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from crm_sync.cli.runner import Runner
from crm_sync.specs.model import SpecSet

Stream = tuple[str, str]

MOST_ROUNDS: Final = 5
MOST_CALLS: Final = 6

COLUMNS: Final = {
    "read": ("landing", "read"),
    "landed": ("landing", "landed"),
    "matched": ("hub", "matched"),
    "created": ("hub", "created"),
    "updated": ("hub", "updated"),
    "quarantined": ("hub", "quarantined"),
    "in_review": ("hub", "in_review"),
    "sent": ("outbound", "sent"),
}


class Rounds:
    """Runs of the jobs of every connection, with their counts by (connection, entity)."""

    def __init__(self, runner: Runner, specs: SpecSet, say: Callable[[str], None]) -> None:
        self.runner, self.specs, self.say = runner, specs, say
        self.connections = [name for name, spec in specs.connections.items() if spec.enabled]
        self.counts: dict[Stream, Counter[str]] = {}
        self.verdicts: list[dict[str, Any]] = []

    def judge(self, ok: bool, what: str) -> None:
        """Note one thing that must be so."""
        self.verdicts.append({"ok": ok, "what": what})

    def first(self) -> None:
        """Read everything from every connection, then go on until nothing is left to tell."""
        self.counts = self._round("full_refresh")
        self.settle()

    def settle(self) -> int:
        """Run rounds until one sends nothing; return how many rounds there were."""
        for number in range(1, MOST_ROUNDS + 1):
            found = self._round("sync")
            for stream, counts in found.items():
                self.counts.setdefault(stream, Counter()).update(counts)
            if not any(counts["sent"] for counts in found.values()):
                return number
        self.judge(False, f"the connections agree after {MOST_ROUNDS} rounds")
        return MOST_ROUNDS

    def last(self) -> None:
        """Run one more round, which must send nothing and cost few API calls."""
        found = self._round("sync")
        sent = sum(counts["sent"] for counts in found.values())
        self.judge(sent == 0, f"the last round sends nothing ({sent} sent)")
        dear = max((counts["calls"], stream) for stream, counts in found.items())
        self.judge(
            dear[0] <= MOST_CALLS,
            f"the last round makes at most {MOST_CALLS} API calls per connection and entity "
            f"(most: {dear[0]}, {'/'.join(dear[1])})",
        )

    def table(self) -> list[dict[str, Any]]:
        """Return one row per connection and entity."""
        return [
            {"connection": connection, "entity": entity}
            | {name: counts[name] for name in COLUMNS}
            | {"API_calls": counts["calls"]}
            for (connection, entity), counts in sorted(self.counts.items(), key=lambda item: self._place(item[0]))
        ]

    def _place(self, stream: Stream) -> tuple[int, int]:
        return self.connections.index(stream[0]), list(self.specs.entities).index(stream[1])

    def _round(self, job: str) -> dict[Stream, Counter[str]]:
        found: dict[Stream, Counter[str]] = {}
        for connection in self.connections:
            self.say(f"Dagster runs {job}_{connection}")
            run = self.runner.run(f"{job}_{connection}")
            for step, message in run["failed"].items():
                self.judge(False, f"{run['job']}: {step}: {message}")
            for check, passed in run["checks"].items():
                if not passed:
                    self.judge(False, f"{run['job']}: the check {check} holds")
            for key, counts in run["assets"].items():
                layer, entity = key.split("/")[0], key.split("/")[-1]
                stream = found.setdefault((connection, entity), Counter())
                stream.update({name: counts.get(term, 0) for name, (where, term) in COLUMNS.items() if where == layer})
                stream["calls"] += counts.get("calls", 0)
        return found
