"""A slow merger over plain values, one cell at a time, written from docs/merging.md and never from the code.

It knows no hashes, no arrays and no canonical texts: values are Python objects and equal only to their like (`same`).
The numbers in the comments are lines of its tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Mark = Enum("Mark", ["ABSENT", "UNKNOWN", "PENDING", "UNPROJECTABLE", "NOTHING"])
"""Things that are no value; null is a value, and it is None."""
ABSENT, UNKNOWN, PENDING, UNPROJECTABLE, NOTHING = Mark


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are one: True is not 1, and "1" is neither."""
    return type(one) is type(other) and bool(one == other)


@dataclass(frozen=True)
class Rule:
    """A field of a connection; `read` takes a source value to the CRM's form, `lift` to the hub's, `project` back."""

    connection: str
    policy: str = "last_write_wins"
    direction: str = "both"
    on_inbound: str = "replace"
    on_first_link: str = "priority"
    lossy: bool = False
    restrictive: Any = UNKNOWN
    ranks: Mapping[str, int] = field(default_factory=dict)
    read: Callable[[Any], Any] = lambda source: source
    lift: Callable[[Any], Any] = lambda incoming: incoming
    project: Callable[[Any], Any] = lambda value: value


@dataclass
class HubCell:
    """A golden value, and when (earliest, latest] and by whom it was given."""

    value: Any = None
    earliest: int = 0
    latest: int = 0
    source: str = "hub"


@dataclass
class Cell:
    """What one field of one link remembers. `decided` is the source value behind `crm`; `closed` is HOLD or WAIT."""

    crm: Any = UNKNOWN
    hub: Any = UNKNOWN
    sent: tuple[Any, Any] | None = None
    decided: Any = UNKNOWN
    closed: str | None = None


def decide(rule: Rule, cell: Cell, incoming: Any, stamp: tuple[int, int], hub: HubCell) -> tuple[str, bool]:
    """Name the decision on one incoming cell, and whether it settles a conflict or first-link conflict."""
    known = cell.crm is not UNKNOWN
    moved = cell.hub is UNKNOWN or not same(hub.value, cell.hub)
    agrees = incoming is not ABSENT and (
        same(incoming, rule.project(hub.value)) or same(rule.lift(incoming), hub.value)
    )
    if incoming is ABSENT:  # 1
        return "KEEP", False
    if known and same(incoming, cell.crm):  # 2
        return "KEEP", False
    if cell.sent is not None and same(incoming, cell.sent[0]):  # 3
        return "RECEIPT", False
    if not known and ((incoming is None and hub.value is None) or agrees):  # 4
        return "AGREE", False
    if not known and incoming is None:  # 5
        return "STAND", False
    if rule.direction == "out":  # 6
        return "STAND", False
    if rule.lift(incoming) is PENDING:  # 7
        return "WAIT", False
    if not known and hub.value is None:  # 8
        return "TAKE", False
    if not known:  # 9
        return first_link(rule, incoming, hub), True
    if (moved or rule.lossy) and agrees:  # 10
        return "AGREE", False
    if not moved and rule.lossy and rule.on_inbound == "review":  # 11
        return "HOLD", False
    if not moved and rule.lossy and rule.on_inbound == "ignore":  # 12
        return "STAND", False
    if not moved:  # 13
        return "TAKE", False
    return conflict(rule, incoming, stamp, hub), True  # 14


def first_link(rule: Rule, incoming: Any, hub: HubCell) -> str:
    """Settle two filled and different values that never met; the time of a write does not count here."""
    if rule.policy == "most_restrictive":
        return "TAKE" if same(rule.lift(incoming), rule.restrictive) else "STAND"
    if rule.on_first_link == "review":
        return "HOLD"
    return "TAKE" if rule.ranks[rule.connection] < rule.ranks[hub.source] else "STAND"


def conflict(rule: Rule, incoming: Any, stamp: tuple[int, int], hub: HubCell) -> str:
    """Settle a cell that both sides changed."""
    mine, theirs = rule.ranks[rule.connection], rule.ranks[hub.source]
    if rule.policy == "manual_review" or (rule.lossy and rule.on_inbound == "review"):
        return "HOLD"
    if rule.lossy and rule.on_inbound == "ignore":
        return "STAND"
    if rule.policy == "most_restrictive":
        if same(rule.lift(incoming), rule.restrictive):
            return "TAKE"
        if same(hub.value, rule.restrictive):
            return "STAND"
    if rule.policy == "field_merge" and mine != theirs:
        return "TAKE" if mine < theirs else "STAND"
    later, earlier = stamp[0] >= hub.latest, hub.earliest >= stamp[1]
    if later != earlier:
        return "TAKE" if later else "STAND"
    return "TAKE" if mine <= theirs else "STAND"


def merge(rule: Rule, cell: Cell, source: Any, stamp: tuple[int, int], hub: HubCell) -> tuple[str, bool, str]:
    """Absorb one source value into a cell and the hub; return what `decide` does, and the part in the disposition."""
    incoming = source if source is ABSENT else rule.read(source)
    before, first = hub.value, cell.crm is UNKNOWN
    decision, contested = decide(rule, cell, incoming, stamp, hub)
    if decision == "RECEIPT":
        cell.crm, cell.hub = cell.sent or (UNKNOWN, UNKNOWN)
    elif decision == "AGREE":
        cell.crm, cell.hub = incoming, hub.value
        stronger = rule.ranks[rule.connection] < rule.ranks[hub.source]
        if first and incoming is not None and rule.direction != "out" and stronger:
            hub.source = rule.connection
    elif decision == "TAKE":
        lifted = rule.lift(incoming)
        cell.crm, cell.hub = incoming, lifted
        hub.value, hub.earliest, hub.latest, hub.source = lifted, stamp[0], stamp[1], rule.connection
    elif decision == "STAND":
        cell.crm, cell.hub = incoming, UNKNOWN
    if decision in ("RECEIPT", "AGREE", "TAKE", "STAND"):
        cell.decided = source
    if incoming is not ABSENT:
        cell.closed = decision if decision in ("HOLD", "WAIT") else None
    part = "held" if decision in ("HOLD", "WAIT") else "unchanged"
    if decision == "TAKE" and not same(before, hub.value):
        part = "applied"
    if contested and decision == "STAND":
        part = "lost"
    return decision, contested, part


def disposition(parts: list[str]) -> str:
    """Name the gravest part of a row."""
    return next((grave for grave in ("held", "applied", "lost") if grave in parts), "unchanged")


def plan(rule: Rule, cell: Cell, hub: HubCell) -> str:
    """Say what goes out for one cell; ADVANCE is carried out at once."""
    if rule.direction == "in" or cell.crm is UNKNOWN:  # 1
        return "QUIET"
    if cell.closed is not None:  # 2
        return "QUIET"
    if cell.hub is not UNKNOWN and same(cell.hub, hub.value):  # 3
        return "QUIET"
    shown = rule.project(hub.value)
    if shown is UNPROJECTABLE:  # 4
        return "PARK"
    if same(shown, cell.crm):  # 5
        cell.hub = hub.value
        return "ADVANCE"
    if cell.sent is not None and same(cell.sent[0], shown) and same(cell.sent[1], hub.value):  # 6
        return "QUIET"
    return "SEND"  # 7


def intend(rule: Rule, cell: Cell, hub: HubCell) -> None:
    """Commit what will be sent, before it is sent."""
    cell.sent = (rule.project(hub.value), hub.value)


def deliver(cell: Cell, source: Any = UNKNOWN) -> None:
    """Settle a delivered intent: both sides advance to what the command carried."""
    if cell.sent is not None:
        cell.crm, cell.hub = cell.sent
        cell.decided, cell.sent = source, None


def reform(rule: Rule, cell: Cell, hub: HubCell) -> None:
    """Recompute what a cell remembers under a new rule or key; the difference is never an edit."""
    cell.crm = UNKNOWN if cell.decided is UNKNOWN else rule.read(cell.decided)
    unmoved = cell.hub is not UNKNOWN and same(cell.hub, hub.value)
    cell.hub = hub.value if unmoved and cell.crm is not UNKNOWN else UNKNOWN
    cell.sent = (rule.read(cell.sent[0]), cell.sent[1]) if cell.sent else None
