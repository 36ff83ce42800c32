"""Three CRMs in memory around one hub, people who edit, and a sync that merges and plans with the product's code."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from crm_sync.records import Mask
from crm_sync.specs.model import Direction, FieldType, OnFirstLink, OnInbound, Policy
from tests.unit.steps import reference_merger as slow
from tests.unit.steps.vector_worlds import Vectors
from tests.unit.steps.worlds import Digits, Field, Kind, Ref

CRMS = ("salesforce", "hubspot", "dynamics")
RANKS = tuple(dict(zip((*CRMS, "hub"), order, strict=True)) for order in permutations(range(4)))
KEYS = ("first key of many", "another key then")
WORDS, LONG, STAGES, FLAGS = (
    (None, "None", "nan", "0"),
    (None, "abcd", "abce", "ab"),
    (None, "cold", "warm", "hot"),
    (None, True, False),
)
TARGETS = tuple(Ref(f"h{n}") for n in (1, 2, 3))


def shaped(values: tuple[Any, ...], shape: Any = None) -> Kind:
    """Return a kind of field in which a CRM shows texts in another shape."""

    def show(value: Any) -> Any:
        return shape(value) if shape is not None and isinstance(value, str) else value

    return Kind(values, values, show, show, shape is not None)


def crosswalk(crm: int, late: bool) -> dict[Ref, Ref]:
    """Return record id -> hub id of the targets in one CRM; the last links its second target late, its third never."""
    known = {Ref(f"{crm}{hub}"): hub for hub in TARGETS}
    if crm == 2:
        known = {k: v for k, v in known.items() if v == "h1" or (late and v == "h2")}
    return known


def reference(crm: int) -> Kind:
    """Return the kind of the reference in one CRM."""
    sources = (None, *(Ref(f"{crm}{hub}") for hub in TARGETS))
    return Kind(sources, (None, *TARGETS), lambda v: v, lambda v: v, False, FieldType.REFERENCE)


def kinds(crm: int) -> tuple[Kind, ...]:
    """Return what each field is in one CRM: a text, a long text, a picklist, a note, a consent, a reference."""
    cut = (lambda text: text[:3], lambda text: text[:2], None)[crm]
    fold = (lambda s: "warm" if s == "hot" else s, lambda s: None if s == "hot" else s, None)[crm]
    return shaped(WORDS), shaped(LONG, cut), shaped(STAGES, fold), shaped(WORDS), shaped(FLAGS), reference(crm)


class Side:
    """One CRM: its records, and what the product remembers of them."""

    def __init__(self, fields: list[Field], hub: Any, sources: Any, key: str) -> None:
        self.vectors = Vectors(fields, hub, key)
        self.sources = sources
        self.stamps = np.ones(len(sources), dtype=np.int64)
        self.seen = np.zeros(len(sources), dtype=np.int64)
        self.based = self.seen.copy()
        self.sent = False


class Star:
    """A hub and three sides, n records of six fields, all linked and none read yet."""

    def __init__(self, digits: Digits, rows: int) -> None:
        policies = [digits.pick(tuple(Policy)) for _ in range(6)]
        policies[4] = Policy.MOST_RESTRICTIVE
        ranks = [digits.pick(RANKS) for _ in range(6)]
        firsts = [digits.pick(tuple(OnFirstLink)) for _ in range(6)]
        hubs = [kind.hubs for kind in kinds(2)]
        hub = [[(slow.Cell(), slow.HubCell(digits.pick(hubs[f]))) for f in range(6)] for _ in range(rows)]
        self.clock, self.late, self.sides = 2, False, []
        for crm, name in enumerate(CRMS):
            fields = [
                Field(
                    number,
                    (kind,),
                    policies[number],
                    Direction.OUT if (crm, number) == (1, 3) else Direction.BOTH,
                    digits.pick(tuple(OnInbound)),
                    firsts[number],
                    True,
                    ranks[number],
                    linked=crosswalk(crm, late=False),
                    connection=name,
                )
                for number, kind in enumerate(kinds(crm))
            ]
            sources = np.empty((rows, 6), dtype=object)
            for row in range(rows):
                sources[row] = [digits.pick(f.kind.sources) for f in fields]
            self.sides.append(Side(fields, hub, sources, KEYS[0][:16]))
        self.hub = self.sides[0].vectors

    def share(self, vectors: Vectors) -> Vectors:
        """Let one side work on the hub as it is now."""
        for name in ("values", "source", "earliest", "latest"):
            setattr(vectors, name, getattr(self.hub, name).copy())
        self.hub = vectors
        return vectors

    def edit(self, digits: Digits) -> None:
        """Let a person change one value, in a CRM or in the hub."""
        place, row, column = digits.below(4), digits.below(len(self.hub.values)), digits.below(6)
        self.clock += 1
        if place == 3:
            self.hub.values[row, column] = digits.pick(kinds(2)[column].hubs)
            self.hub.source[row, column] = "hub"
            self.hub.earliest[row, column] = self.hub.latest[row, column] = self.clock
        else:
            side = self.sides[place]
            side.sources[row, column] = digits.pick(side.vectors.fields[column].kind.sources)
            side.stamps[row] = self.clock

    def read(self, side: Side) -> set[str]:
        """Read and merge all records of a side; a receipt in a read settles its intent. Return the dispositions."""
        vectors = self.share(side.vectors)
        stamps = list(zip(side.seen.tolist(), side.stamps.tolist(), strict=True))
        decisions, _, dispositions = vectors.read(side.sources.tolist(), stamps, sparing=True)
        side.seen = side.stamps.copy()
        vectors.forget(np.array(["RECEIPT" in row for row in decisions], dtype=np.bool_))
        return set(dispositions)

    def plan(self, side: Side) -> None:
        """Plan a side that has nothing under way, and commit its intents."""
        if not side.vectors.sent.mask.any():
            self.share(side.vectors).plan()
            side.based, side.sent = side.seen.copy(), False

    def send(self, side: Side) -> int:
        """Write what was intended where the record is still the one it was based on; return the number of writes."""
        mask = side.vectors.sent.mask
        if side.sent or not mask.any():
            return 0
        side.vectors.forget(side.stamps != side.based)
        mask = side.vectors.sent.mask
        self.clock += 1
        side.sources = np.where(mask, side.vectors.sent_source, side.sources)
        side.stamps = np.where(mask.any(axis=1), self.clock, side.stamps)
        side.sent = True
        return int(mask.any(axis=1).sum())

    def receipt(self, side: Side) -> None:
        """Take the receipts of what was sent; a record that was read meanwhile is read again."""
        if side.sent:
            again = side.seen != side.based
            side.vectors.deliver()
            side.sent = False
            if again.any():
                self.read(side)

    def crash(self, side: Side) -> None:
        """Forget what became of the intents, and settle them by reading back."""
        self.read(side)
        side.vectors.forget(np.ones(len(side.sources), dtype=np.bool_))
        side.sent = False

    def rotate(self, side: Side) -> None:
        """Rotate the key of a side."""
        key = next(k[:16] for k in KEYS if k[:16] != side.vectors.key)
        self.share(side.vectors).reform(side.vectors.fields, key)

    def link(self) -> None:
        """Link the late target, and wake what waited for it."""
        self.late = True
        for crm, side in enumerate(self.sides):
            fields = [replace(f, linked=crosswalk(crm, late=True)) for f in side.vectors.fields]
            side.vectors.relearn(fields)
            self.read(side)

    def round(self) -> int:
        """Read, merge, plan, send and take receipts everywhere, undisturbed; return the number of writes."""
        for side in self.sides:
            self.crash(side)
        writes = 0
        for side in self.sides:
            self.plan(side)
            writes += self.send(side)
            self.receipt(side)
        return writes

    def disagreements(self) -> list[tuple[str, int, int]]:
        """List the open two-way cells that do not show what the hub holds."""
        out = []
        for side in self.sides:
            vectors = self.share(side.vectors)
            shown, projectable = vectors.projected()
            judged: Mask = projectable & ~vectors.closed
            for row, column in zip(*np.nonzero(judged), strict=True):
                if not slow.same(vectors.plain[column].read(side.sources[row, column]), shown[row, column]):
                    out.append((vectors.connection, int(row), int(column)))
        return out

    def picture(self) -> Any:
        """Return everything that is remembered and shown, for comparison."""
        parts: list[Any] = [self.hub.values.tolist(), self.hub.source.tolist()]
        for side in self.sides:
            shadow = side.vectors.shadow
            parts += [side.sources.tolist(), shadow.crm_known.tolist(), shadow.hub_known.tolist()]
            parts += [shadow.crm[shadow.crm_known].tolist(), shadow.hub[shadow.hub_known].tolist()]
            parts += [side.vectors.closed.tolist(), side.vectors.sent.mask.tolist()]
        return parts
