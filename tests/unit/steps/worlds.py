"""Small worlds in which every cell situation occurs: the same one told in plain values and in hash vectors.

Everything is decoded from one string of bytes, so that Hypothesis draws fast and shrinks towards zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from crm_sync.records import ABSENT as ABSENT_TEXT
from crm_sync.records import NULL
from crm_sync.specs.model import Direction, FieldMapping, FieldSpec, FieldType, OnFirstLink, OnInbound, Policy
from crm_sync.steps.hashing import hash_texts
from tests.unit.steps import reference_merger as slow

CONNECTION = "salesforce"
SOURCES = (CONNECTION, "hubspot", "hub")
RANKS = ((0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0))
STAMPS = ((0, 1), (1, 2), (0, 3), (2, 3), (2, 5), (3, 3))


class Ref(str):
    """A reference: a record id in the CRM's form, a hub id in the hub's."""


LINKED = {Ref("r1"): Ref("h1"), Ref("r2"): Ref("h2")}
LATER = {**LINKED, Ref("r3"): Ref("h3")}
"""The crosswalk of the referenced entity, before and after r3 is linked; h4 is never linked in this CRM."""


def canonical(value: Any) -> str:
    """Turn a plain value into its canonical text."""
    if value is None:
        return NULL
    if isinstance(value, Ref):
        return f"r:{value!s}"
    if isinstance(value, bool):
        return f"b:{int(value)}"
    if isinstance(value, str):
        return f"t:{value}"
    return f"d:{value.isoformat()}" if isinstance(value, date) else f"n:{value}"


@dataclass(frozen=True)
class Kind:
    """A kind of field: the values that occur in it, and how this mapping reads and shows them."""

    sources: tuple[Any, ...]
    hubs: tuple[Any, ...]
    read: Callable[[Any], Any]
    project: Callable[[Any], Any]
    lossy: bool
    type: FieldType = FieldType.TEXT


def _folding(folded: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: folded(value) if isinstance(value, str) else value


_WORDS = (
    None,
    "None",
    "nan",
    "-",
    "0",
    "",
    "Abc",
    "abc",
    "t:abc",
    "1",
    Decimal(1),
    True,
    False,
    Decimal(0),
    date(2024, 1, 1),
)
_LONG = (None, "ab", "abc", "abcd", "abce", "b", "nan")
_STAGES = (None, "cold", "warm", "hot")
_fold = _folding(lambda stage: "warm" if stage == "hot" else stage)
_lower = _folding(str.lower)
_cut_3 = _folding(lambda text: text[:3])
_cut_2 = _folding(lambda text: text[:2])
_drop = _folding(lambda stage: None if stage == "hot" else stage)
KINDS: tuple[tuple[Kind, ...], ...] = (
    (Kind(_WORDS, _WORDS, lambda v: v, lambda v: v, False), Kind(_WORDS, _WORDS, _lower, _lower, True)),
    (Kind(_LONG, _LONG, _cut_3, _cut_3, True), Kind(_LONG, _LONG, _cut_2, _cut_2, True)),
    (Kind(_STAGES, _STAGES, _fold, _fold, True), Kind(_STAGES[:3], _STAGES, lambda v: v, _drop, True)),
    (Kind((None, True, False), (None, True, False), lambda v: v, lambda v: v, False),) * 2,
    (
        Kind(
            (None, Ref("r1"), Ref("r2"), Ref("r3")),
            (None, Ref("h1"), Ref("h2"), Ref("h3"), Ref("h4")),
            lambda v: v,
            lambda v: v,
            False,
            FieldType.REFERENCE,
        ),
    )
    * 2,
)
"""Each kind of field under the mapping as it was first, and after a change of the mapping."""


class Digits:
    """Read small choices off a string of bytes, one byte each; past its end everything is the first choice."""

    def __init__(self, code: bytes) -> None:
        self.bytes = iter(code)

    def below(self, base: int) -> int:
        return next(self.bytes, 0) % base

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.below(len(choices))]


@dataclass(frozen=True)
class Field:
    """One mapped field: its kind and its rules, from which both the plain rule and the specs are told."""

    number: int
    kinds: tuple[Kind, ...]
    policy: Policy
    direction: Direction
    on_inbound: OnInbound
    on_first_link: OnFirstLink
    restrictive: bool
    ranks: dict[str, int]
    version: int = 0
    linked: Any = None
    connection: str = CONNECTION

    @classmethod
    def choose(cls, number: int, digits: Digits) -> Field:
        """Choose a field and its rules."""
        return cls(
            number,
            digits.pick(KINDS),
            digits.pick(tuple(Policy)),
            digits.pick(tuple(Direction)),
            digits.pick(tuple(OnInbound)),
            digits.pick(tuple(OnFirstLink)),
            digits.pick((True, False)),
            dict(zip(SOURCES, digits.pick(RANKS), strict=True)),
            linked=LINKED,
        )

    @property
    def kind(self) -> Kind:
        return self.kinds[self.version]

    def rule(self) -> slow.Rule:
        """Tell the field as a plain rule."""
        linked = self.linked
        back = {hub: crm for crm, hub in linked.items()}

        def lift(value: Any) -> Any:
            return linked.get(value, slow.PENDING) if isinstance(value, Ref) else value

        def project(value: Any) -> Any:
            return back.get(value, slow.UNPROJECTABLE) if isinstance(value, Ref) else self.kind.project(value)

        return slow.Rule(
            self.connection,
            str(self.policy),
            str(self.direction),
            str(self.on_inbound),
            str(self.on_first_link),
            self.kind.lossy,
            self.restrictive,
            self.ranks,
            self.kind.read,
            lift,
            project,
        )

    def spec(self) -> FieldSpec:
        """Tell the field as an entity spec does."""
        return FieldSpec(
            name=f"field_{self.number}",
            type=self.kind.type,
            policy=self.policy,
            on_first_link=self.on_first_link,
            restrictive=canonical(self.restrictive),
        )

    def mapping(self) -> FieldMapping:
        """Tell the field as a mapping spec does."""
        return FieldMapping(
            field=f"field_{self.number}",
            source=f"source_{self.number}",
            transform="world",
            direction=self.direction,
            on_inbound=self.on_inbound,
            lossy=self.kind.lossy,
        )


def hashed(values: Sequence[Sequence[Any]], key: str) -> Any:
    """Hash a grid of plain values; marks (absent, unknown, ...) become absent."""
    texts = np.empty((len(values), len(values[0])), dtype=object)
    for row, cells in enumerate(values):
        texts[row] = [ABSENT_TEXT if isinstance(v, slow.Mark) else canonical(v) for v in cells]
    return hash_texts(texts, key)


Read = tuple[list[list[str]], list[list[bool]], list[str]]
"""What a read came to: the decision of each cell, whether it settled a conflict, and the disposition of each row."""
Rows = list[list[tuple[slow.Cell, slow.HubCell]]]


def situation(field: Field, digits: Digits) -> tuple[slow.Cell, slow.HubCell]:
    """Put a cell into any situation, also into those that no history leads to."""
    rule, kind = field.rule(), field.kind
    earliest, latest = digits.pick(STAMPS)
    hub = slow.HubCell(digits.pick(kind.hubs), earliest, latest, digits.pick(SOURCES))
    cell = slow.Cell()
    memory = digits.below(4)
    if memory:
        decided = digits.pick(kind.sources)
        cell.crm, cell.decided = rule.read(decided), decided if memory > 1 else slow.UNKNOWN
    remembered = (hub.value, hub.value, slow.UNKNOWN, digits.pick(kind.hubs))
    cell.hub = digits.pick(remembered)
    if digits.below(3) == 2:
        carried = digits.pick(kind.hubs)
        shown = rule.project(carried)
        cell.sent = None if shown is slow.UNPROJECTABLE else (shown, carried)
    cell.closed = digits.pick((None, None, "HOLD", "WAIT"))
    return cell, hub


def incoming(field: Field, cell: slow.Cell, hub: slow.HubCell, digits: Digits) -> Any:
    """Choose what the CRM shows: often what is known, what was sent or what the hub would look like there."""
    shown = field.rule().project(hub.value)
    choices = [slow.ABSENT, None, cell.decided, cell.sent[0] if cell.sent else None, shown]
    value = digits.pick([*choices, *field.kind.sources])
    return None if value in (slow.UNKNOWN, slow.UNPROJECTABLE) else value


class Plain:
    """The world as the slow merger sees it."""

    def __init__(self, fields: list[Field], rows: Rows) -> None:
        self.rows = rows
        self.relearn(fields)

    def relearn(self, fields: list[Field]) -> None:
        """Take changed rules."""
        self.rules = [f.rule() for f in fields]

    def read(self, sources: list[list[Any]], stamps: list[tuple[int, int]]) -> Read:
        """Absorb a batch."""
        decisions, contested, dispositions = [], [], []
        for cells, values, stamp in zip(self.rows, sources, stamps, strict=True):
            pairs = zip(self.rules, cells, values, strict=True)
            outcomes = [slow.merge(r, c, v, stamp, h) for r, (c, h), v in pairs]
            decisions.append([o[0] for o in outcomes])
            contested.append([o[1] for o in outcomes])
            dispositions.append(slow.disposition([o[2] for o in outcomes]))
        return decisions, contested, dispositions

    def plan(self) -> list[list[str]]:
        """Plan all cells, and commit the intents of those to be sent."""
        plans = [[slow.plan(r, c, h) for r, (c, h) in zip(self.rules, cells, strict=True)] for cells in self.rows]
        for cells, row in zip(self.rows, plans, strict=True):
            for rule, (cell, hub), planned in zip(self.rules, cells, row, strict=True):
                if planned == "SEND":
                    slow.intend(rule, cell, hub)
        return plans

    def deliver(self) -> None:
        """Settle all intents as delivered."""
        for cells in self.rows:
            for cell, _ in cells:
                slow.deliver(cell, cell.sent[0] if cell.sent else slow.UNKNOWN)

    def reform(self) -> None:
        """Recompute every cell under the rules just learnt."""
        for cells in self.rows:
            for rule, (cell, hub) in zip(self.rules, cells, strict=True):
                slow.reform(rule, cell, hub)

    def edit(self, digits: Digits, fields: list[Field]) -> None:
        """Change some hub cells, as a person or another CRM would."""
        for cells in self.rows:
            for field, (_, hub) in zip(fields, cells, strict=True):
                if digits.below(2):
                    hub.value, hub.source = digits.pick(field.kind.hubs), digits.pick(SOURCES)
                    hub.earliest, hub.latest = digits.pick(STAMPS)
