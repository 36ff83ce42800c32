"""The vectorised merge and the slow reference tell one story, whatever happens and in whatever order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.steps.profiles import examples
from tests.unit.steps.vector_worlds import Vectors
from tests.unit.steps.worlds import LATER, STAMPS, Digits, Field, Plain, incoming, situation

KEYS = ("first key of many", "another key then")
STEPS = ("read", "read", "replay", "edit", "plan", "deliver", "plan and deliver", "rotate", "remap", "link")


class Pair:
    """One world told twice."""

    def __init__(self, digits: Digits) -> None:
        self.digits = digits
        self.fields = [Field.choose(n, digits) for n in range(1 + digits.below(3))]
        rows = [[situation(f, digits) for f in self.fields] for _ in range(1 + digits.below(3))]
        self.keys = [k[:16] for k in KEYS]
        self.vectors = Vectors(self.fields, rows, self.keys[0])
        self.plain = Plain(self.fields, rows)
        self.history: list[tuple[list[list[Any]], list[tuple[int, int]]]] = []

    def step(self, name: str) -> None:
        """Do the same to both."""
        if name == "read":
            sources = [
                [incoming(f, cell, hub, self.digits) for f, (cell, hub) in zip(self.fields, cells, strict=True)]
                for cells in self.plain.rows
            ]
            self.history.append((sources, [self.digits.pick(STAMPS) for _ in self.plain.rows]))
            self.read(*self.history[-1])
        elif name == "replay" and self.history:
            self.read(*self.digits.pick(self.history))
        elif name == "edit":
            self.plain.edit(self.digits, self.fields)
            self.vectors.copy_hub(self.plain.rows)
        elif name in ("plan", "plan and deliver"):
            assert self.vectors.plan() == self.plain.plan()
        if name in ("deliver", "plan and deliver"):
            self.vectors.deliver()
            self.plain.deliver()
        elif name in ("rotate", "remap"):
            self.keys.reverse()
            version = 1 - self.fields[0].version if name == "remap" else self.fields[0].version
            self.learn([replace(f, version=version) for f in self.fields])
            self.vectors.reform(self.fields, self.keys[0])
            self.plain.reform()
        elif name == "link":
            self.learn([replace(f, linked=LATER) for f in self.fields])
            self.vectors.relearn(self.fields)

    def learn(self, fields: list[Field]) -> None:
        self.fields = fields
        self.plain.relearn(fields)

    def read(self, sources: list[list[Any]], stamps: list[tuple[int, int]]) -> None:
        sparing = bool(self.digits.below(2))
        assert self.vectors.read(sources, stamps, sparing) == self.plain.read(sources, stamps)


@given(st.binary(min_size=320, max_size=320))
@examples(6000)
def test_vectors_and_reference_agree_after_every_step(code: bytes) -> None:
    digits = Digits(code)
    pair = Pair(digits)
    done = []
    for _ in range(1 + digits.below(5)):
        done.append(digits.pick(STEPS))
        pair.step(done[-1])
        assert pair.vectors.equals(pair.plain.rows) == [], done
