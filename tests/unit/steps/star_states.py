"""A star of two CRMs and the hub as a pure state machine, small enough to visit every state that a few actions reach.

The decisions are those of the slow merger; the protocol around them (what is dropped, when an intent is settled, what a
receipt may write) is that of docs/merging.md. A state holds no clock: stamps are ranks, so like situations are equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from tests.unit.steps import reference_merger as slow


class Broken(Exception):
    """A promise that does not hold."""


def hold(condition: bool, promise: str) -> None:
    """Raise where a promise is broken."""
    if not condition:
        raise Broken(promise)


CellState = tuple[Any, Any, Any, Any, Any]
FRESH: CellState = (slow.UNKNOWN, slow.UNKNOWN, None, slow.UNKNOWN, None)


class Read(NamedTuple):
    """What a read of a record showed: its source values and its stamp."""

    sources: tuple[Any, ...]
    stamp: int


class Side(NamedTuple):
    """One CRM's record, and what the product remembers of its link.

    `seen` is the newest stamp known of; `last` the read absorbed last; `landed` a read not absorbed yet, or again.
    `stage` of the intent: none, committed, sent. `based` is `seen` as it was committed, `wrote` its write's stamp.
    `own` is the stamp of our last write, whether its receipt came or not: nobody but the checks may look at it.
    """

    now: Read
    seen: int
    last: Read | None
    landed: Read | None
    stage: str
    based: int
    wrote: int
    own: int
    cells: tuple[CellState, ...]


class Star(NamedTuple):
    """The whole state; a hub cell is (value, earliest, latest, source). `linked`: the targets of references are."""

    hub: tuple[tuple[Any, int, int, str], ...]
    sides: tuple[Side, ...]
    linked: bool = True


@dataclass(frozen=True)
class Machine:
    """The rules of a star: per side and field a rule, the values that people give, and how the CRMs behave.

    `versions`: receipts carry the stamp of the write. `coarse`: an edit may keep the stamp of the one before.
    `brisk` sides read, plan, send and take receipts in one action.
    """

    rules: tuple[tuple[slow.Rule, ...], ...]
    unlinked: tuple[tuple[slow.Rule, ...], ...] | None = None
    """The rules while the targets of references are not linked everywhere."""
    domains: tuple[tuple[Any, ...], ...] = ()
    source_domains: tuple[tuple[tuple[Any, ...], ...], ...] = ()
    versions: tuple[bool, ...] = (True, False)
    coarse: bool = False
    brisk: tuple[int, ...] = ()

    def starts(self) -> Iterator[Star]:
        """Give every star of records just linked and never read."""
        width = range(len(self.domains))
        for hub in product(*self.domains):
            for sources in product(*(product(*of) for of in self.source_domains)):
                sides = [
                    Side(Read(values, 2), 0, None, None, "", 0, 0, 0, tuple(FRESH for _ in width)) for values in sources
                ]
                yield Star(tuple((value, 0, 1, "hub") for value in hub), tuple(sides), self.unlinked is None)

    def at(self, star: Star, place: int) -> tuple[slow.Rule, ...]:
        """Return the rules of a side as things are."""
        return (self.rules if star.linked else self.unlinked or self.rules)[place]

    def actions(self, star: Star) -> Iterator[tuple[str, Star]]:
        """Give what can happen next, by name."""
        for field, domain in enumerate(self.domains):
            for value in domain:
                if not slow.same(star.hub[field][0], value):
                    yield f"hub.{field}={value}", self.edit_hub(star, field, value)
        if not star.linked:
            yield "link", self.link(star)
        for place, side in enumerate(star.sides):
            for field, domain in enumerate(self.source_domains[place]):
                for value in domain:
                    if not slow.same(side.now.sources[field], value):
                        for tick in (True, False) if self.coarse else (True,):
                            yield f"{place}.{field}={value},{tick}", self.edit(star, place, field, value, tick)
            if place in self.brisk:
                yield f"{place} sync", self.sync(star, place)[0]
                continue
            yield f"{place} land", self.put(star, place, landed=side.now)
            yield f"{place} read", self.absorb(star, place, side.now)
            if side.landed is not None:
                yield f"{place} absorb landed", self.absorb(star, place, side.landed)
            if side.stage == "":
                yield f"{place} plan", self.plan(star, place)
            if side.stage == "committed":
                yield f"{place} send", self.send(star, place)
            if side.stage == "sent":
                yield f"{place} receipt", self.receipt(star, place)
            if side.stage:
                yield f"{place} crash, read back", self.read_back(star, place)
            yield f"{place} rotate", self.rotate(star, place)

    def put(self, star: Star, place: int, **changes: Any) -> Star:
        """Change one side."""
        sides = list(star.sides)
        sides[place] = sides[place]._replace(**changes)
        return ranked(star._replace(sides=tuple(sides)))

    def edit_hub(self, star: Star, field: int, value: Any) -> Star:
        """Let a person change the hub."""
        now = newest(star)
        hub = list(star.hub)
        hub[field] = (value, now, now + 1, "hub")
        return ranked(star._replace(hub=tuple(hub)))

    def edit(self, star: Star, place: int, field: int, value: Any, tick: bool = True) -> Star:
        """Let a person change a CRM's record."""
        now = star.sides[place].now
        sources = (*now.sources[:field], value, *now.sources[field + 1 :])
        return self.put(star, place, now=Read(sources, newest(star) + 1 if tick else now.stamp))

    def absorb(self, star: Star, place: int, read: Read, again: bool = False) -> Star:
        """Merge a read, unless it is older than what is known, or the one absorbed last; a receipt in it settles."""
        side = star.sides[place]
        if not again and (read.stamp < side.seen or read == side.last):
            return star
        hubs, cells, arrived = [], [], False
        for rule, state, source, hub in zip(self.at(star, place), side.cells, read.sources, star.hub, strict=True):
            cell, golden = slow.Cell(*state), slow.HubCell(*hub)
            arrived |= slow.merge(rule, cell, source, (side.seen, read.stamp), golden)[0] == "RECEIPT"
            hubs.append((golden.value, golden.earliest, golden.latest, golden.source))
            cells.append(packed(cell))
        moved = star._replace(hub=tuple(hubs))
        late = read.stamp < side.own and slow.ABSENT not in read.sources  # a woken cell is closed to our own writes
        hold(not late or moved.hub == star.hub, "P5: a read older than our own write changed the hub")
        changes: dict[str, Any] = {"seen": max(side.seen, read.stamp), "last": read, "cells": tuple(cells)}
        if arrived:
            changes |= {"stage": "", "based": 0, "wrote": 0, "cells": tuple(unsent(c) for c in cells)}
        return self.put(moved, place, **changes)

    def link(self, star: Star) -> Star:
        """Link the targets, and wake the cells that waited for them: those alone, as they were read last."""
        star = star._replace(linked=True)
        for place in range(len(star.sides)):
            side = star.sides[place]
            waiting = [cell[4] == "WAIT" for cell in side.cells]
            if side.last is not None and any(waiting):
                pairs = zip(side.last.sources, waiting, strict=True)
                sources = tuple(value if waits else slow.ABSENT for value, waits in pairs)
                woken = self.absorb(star, place, Read(sources, side.last.stamp), again=True)
                rank = woken.sides[place].last
                star = self.put(woken, place, last=None if rank is None else Read(side.last.sources, rank.stamp))
        return star

    def plan(self, star: Star, place: int) -> Star:
        """Plan a link that has no unsettled intent, and commit one where something is to be sent."""
        side = star.sides[place]
        cells, stage = [], ""
        for rule, state, hub in zip(self.at(star, place), side.cells, star.hub, strict=True):
            cell, golden = slow.Cell(*state), slow.HubCell(*hub)
            if slow.plan(rule, cell, golden) == "SEND":
                slow.intend(rule, cell, golden)
                stage = "committed"
            cells.append(packed(cell))
        return self.put(star, place, cells=tuple(cells), stage=stage, based=side.seen if stage else 0)

    def send(self, star: Star, place: int) -> Star:
        """Write where the record is still the one that the intent was based on; else give the intent up."""
        side = star.sides[place]
        if side.now.stamp != side.based:
            return self.put(star, place, stage="", based=0, cells=tuple(unsent(c) for c in side.cells))
        for rule, (crm, _, sent, _, closed), source in zip(
            self.at(star, place), side.cells, side.now.sources, strict=True
        ):
            if sent is not None and not self.coarse:
                hold(slow.same(rule.read(source), crm), "P7: a value is overwritten that nobody decided on")
                hold(closed is None, "P7: a value is overwritten that waits for a person")
        pairs = zip(side.cells, side.now.sources, strict=True)
        sources = tuple(cell[2][0] if cell[2] is not None else source for cell, source in pairs)
        stamp = newest(star) + 1
        return self.put(star, place, stage="sent", now=Read(sources, stamp), wrote=stamp, own=stamp)

    def receipt(self, star: Star, place: int) -> Star:
        """Settle the intent by the CRM's answer; where a read was absorbed meanwhile, read again, for it came first."""
        side = star.sides[place]
        cells = []
        for state in side.cells:
            cell = slow.Cell(*state)
            slow.deliver(cell, cell.sent[0] if cell.sent else slow.UNKNOWN)
            cells.append(packed(cell))
        seen = max(side.seen, side.wrote) if self.versions[place] else side.seen
        after = self.put(star, place, cells=tuple(cells), seen=seen, stage="", based=0, wrote=0)
        return after if side.seen == side.based else self.read_back(after, place)

    def read_back(self, star: Star, place: int) -> Star:
        """Settle an intent of which nobody knows what became, by what the record shows."""
        after = self.absorb(star, place, star.sides[place].now, again=True)
        cells = tuple(unsent(c) for c in after.sides[place].cells)
        return self.put(after, place, cells=cells, stage="", based=0, wrote=0)

    def rotate(self, star: Star, place: int) -> Star:
        """Change the form of a link's vectors."""
        cells = []
        for rule, state, hub in zip(self.at(star, place), star.sides[place].cells, star.hub, strict=True):
            cell = slow.Cell(*state)
            slow.reform(rule, cell, slow.HubCell(*hub))
            cells.append(packed(cell))
        return self.put(star, place, cells=tuple(cells))

    def round(self, star: Star) -> tuple[Star, int]:
        """Read, merge, plan, send and receipt all of it without a disturbance; return the number of writes."""
        for place in range(len(star.sides)):
            star = self.catch_up(star, place)
        writes = 0
        for place in range(len(star.sides)):
            star, sent = self.sync(star, place)
            writes += sent
        return star, writes

    def catch_up(self, star: Star, place: int) -> Star:
        """Settle what is unsettled, and read."""
        side = star.sides[place]
        return self.read_back(star, place) if side.stage else self.absorb(star, place, side.now)

    def sync(self, star: Star, place: int) -> tuple[Star, int]:
        """Take one side through all of it; return whether it was written to."""
        star = self.plan(self.catch_up(star, place), place)
        writes = int(star.sides[place].stage == "committed")
        if writes:
            star = self.send(star, place)
        if star.sides[place].stage:
            star = self.receipt(star, place)
        return star, writes


def packed(cell: slow.Cell) -> CellState:
    """Turn a cell into its state."""
    return (cell.crm, cell.hub, cell.sent, cell.decided, cell.closed)


def unsent(state: CellState) -> CellState:
    """Forget the intent of a cell."""
    return (state[0], state[1], None, *state[3:])


def stamps_of(star: Star) -> set[int]:
    """Collect every stamp of a state."""
    found = {0}
    for _, earliest, latest, _ in star.hub:
        found |= {earliest, latest}
    for side in star.sides:
        found |= {side.now.stamp, side.seen, side.based, side.wrote, side.own}
        found |= {read.stamp for read in (side.last, side.landed) if read is not None}
    return found


def newest(star: Star) -> int:
    """Return the newest stamp of a state."""
    return max(stamps_of(star))


def ranked(star: Star) -> Star:
    """Replace every stamp by its rank, which keeps all that matters: their order, and which are equal."""
    rank = {stamp: place for place, stamp in enumerate(sorted(stamps_of(star)))}

    def read(one: Read | None) -> Read | None:
        return None if one is None else Read(one.sources, rank[one.stamp])

    sides = [
        side._replace(
            now=Read(side.now.sources, rank[side.now.stamp]),
            seen=rank[side.seen],
            last=read(side.last),
            landed=read(side.landed),
            based=rank[side.based],
            wrote=rank[side.wrote],
            own=rank[side.own],
        )
        for side in star.sides
    ]
    return Star(tuple((v, rank[e], rank[t], s) for v, e, t, s in star.hub), tuple(sides), star.linked)
