"""Three-way merge of batches, cell by cell. The rules and their reasons: docs/merging.md.

Belongs here: the decision for every cell of a read. Not here: what is sent (planning.py), values (projecting.py), I/O.
Shapes: n rows (links) by m mapped fields. All hashes of one call are of one form (same key, same mapping).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from crm_sync.records import Hashes, Mask
from crm_sync.specs.model import Direction, FieldMapping, FieldSpec, OnFirstLink, OnInbound, Policy
from crm_sync.steps.hashing import hash_one

Ranks = NDArray[np.int32]
Micros = NDArray[np.int64]


class Cell(IntEnum):
    """The decision for one cell of a read; see docs/merging.md."""

    KEEP = 0
    RECEIPT = 1
    AGREE = 2
    TAKE = 3
    STAND = 4
    HOLD = 5
    WAIT = 6


class Disposition(IntEnum):
    """What became of one row, in rising gravity."""

    UNCHANGED = 0
    LOST = 1
    APPLIED = 2
    HELD = 3


@dataclass(frozen=True, slots=True)
class CellRules:
    """The rules of m mapped fields as columns. `restrictive` holds the hash of the winning value where
    `has_restrictive`."""

    fields: tuple[str, ...]
    last_write_wins: Mask
    field_merge: Mask
    manual_review: Mask
    most_restrictive: Mask
    restrictive: Hashes
    first_link_review: Mask
    lossy: Mask
    lossy_review: Mask
    lossy_ignore: Mask
    inbound: Mask
    outbound: Mask
    rank: Ranks
    """Rank of this connection per field; 0 is strongest."""

    @classmethod
    def build(
        cls,
        specs: Sequence[FieldSpec],
        mappings: Sequence[FieldMapping],
        ranks: Sequence[Mapping[str, int]],
        connection: str,
        key: str,
    ) -> CellRules:
        """Turn the rules of the mapped fields, in order, into columns; `ranks` is SpecSet.priority of each field."""

        def mask(flags: Sequence[bool]) -> Mask:
            return np.array(flags, dtype=np.bool_)

        policy = [s.policy for s in specs]
        restrictive = np.array([hash_one(s.restrictive or "b:1", key) for s in specs], dtype=np.uint64)
        return cls(
            fields=tuple(s.name for s in specs),
            last_write_wins=mask([p is Policy.LAST_WRITE_WINS for p in policy]),
            field_merge=mask([p is Policy.FIELD_MERGE for p in policy]),
            manual_review=mask([p is Policy.MANUAL_REVIEW for p in policy]),
            most_restrictive=mask([p is Policy.MOST_RESTRICTIVE for p in policy]),
            restrictive=restrictive,
            first_link_review=mask([s.on_first_link is OnFirstLink.REVIEW for s in specs]),
            lossy=mask([f.lossy for f in mappings]),
            lossy_review=mask([f.lossy and f.on_inbound is OnInbound.REVIEW for f in mappings]),
            lossy_ignore=mask([f.lossy and f.on_inbound is OnInbound.IGNORE for f in mappings]),
            inbound=mask([f.direction is not Direction.OUT for f in mappings]),
            outbound=mask([f.direction is not Direction.IN for f in mappings]),
            rank=np.array([r[connection] for r in ranks], dtype=np.int32),
        )


@dataclass(frozen=True, slots=True)
class Shadow:
    """What the links remember, (n, m) each. Hashes of unknown cells have no meaning."""

    crm: Hashes
    hub: Hashes
    crm_known: Mask
    hub_known: Mask

    @classmethod
    def unknown(cls, rows: int, width: int) -> Shadow:
        """Return the shadow of links never read before."""
        zeros = np.zeros((rows, width), dtype=np.uint64)
        none = np.zeros((rows, width), dtype=np.bool_)
        return cls(zeros, zeros.copy(), none, none.copy())


@dataclass(frozen=True, slots=True)
class Sent:
    """The unsettled write intent of each link, (n, m); `mask` tells the fields it carries."""

    crm: Hashes
    hub: Hashes
    mask: Mask

    @classmethod
    def nothing(cls, rows: int, width: int) -> Sent:
        """Return the case that no write is unsettled."""
        zeros = np.zeros((rows, width), dtype=np.uint64)
        return cls(zeros, zeros.copy(), np.zeros((rows, width), dtype=np.bool_))


@dataclass(frozen=True, slots=True)
class Incoming:
    """What was read, (n, m). `lifted` is the hub's form of the value; equal to `crm` but for references.

    `earliest`/`latest` bound the time of the edit in microseconds, (n,): (previous stamp seen, this stamp].
    """

    crm: Hashes
    lifted: Hashes
    absent: Mask
    pending: Mask
    null: Mask
    earliest: Micros
    latest: Micros


@dataclass(frozen=True, slots=True)
class HubSide:
    """The golden records of the same rows, (n, m). `rank` is that of the source of each value; evidence in
    microseconds.

    `projected` is the hash of project(hub) where `projectable`; it must be right in the cells that `needs_projection`
    names.
    """

    hashes: Hashes
    null: Mask
    projected: Hashes
    projectable: Mask
    rank: Ranks
    earliest: Micros
    latest: Micros


@dataclass(frozen=True, slots=True)
class Merged:
    """The decisions and what follows from them, (n, m).

    `hub` is the golden record's new vector, `took` the cells where it must take the incoming value, `vouched` those
    where it must name this connection as the source of the value that it has, `conflict` the cells in which both sides
    differed (first links included).
    """

    cells: NDArray[np.uint8]
    shadow: Shadow
    hub: Hashes
    took: Mask
    vouched: Mask
    conflict: Mask
    disposition: NDArray[np.uint8]


def needs_projection(rules: CellRules, incoming: Incoming, shadow: Shadow, hub: Hashes, hub_null: Mask) -> Mask:
    """Name the cells in which project(hub) matters: those where the CRM changed and the hub changed, may be fuller, or
    has no base."""
    crm_changed = ~incoming.absent & ~(shadow.crm_known & (incoming.crm == shadow.crm))
    hub_changed = ~shadow.hub_known | (hub != shadow.hub)
    first = ~shadow.crm_known & ~hub_null
    known = shadow.crm_known & (hub_changed | rules.lossy[None, :])
    needed: Mask = crm_changed & (first | known)
    return needed


def merge(rules: CellRules, incoming: Incoming, shadow: Shadow, hub: HubSide, sent: Sent) -> Merged:
    """Decide every cell of n reads, each against its own golden record; rows of one golden record go in separate
    calls."""
    first = ~shadow.crm_known
    hub_changed = ~shadow.hub_known | (hub.hashes != shadow.hub)
    # Two record ids may stand for one thing (duplicates inside a CRM): what lifts to the hub's value agrees with it.
    same_thing = ~incoming.pending & (incoming.lifted == hub.hashes)
    agrees = same_thing | (hub.projectable & (incoming.crm == hub.projected))
    lossy = np.broadcast_to(rules.lossy, first.shape)
    outward_only = np.broadcast_to(~rules.inbound, first.shape)

    cells = np.full(first.shape, Cell.TAKE, dtype=np.uint8)
    open_ = np.ones(first.shape, dtype=np.bool_)

    def settle(when: Mask, decision: Cell) -> None:
        hit = open_ & when
        cells[hit] = decision
        open_[hit] = False

    settle(incoming.absent, Cell.KEEP)
    settle(shadow.crm_known & (incoming.crm == shadow.crm), Cell.KEEP)
    settle(sent.mask & (incoming.crm == sent.crm), Cell.RECEIPT)
    settle(first & ((incoming.null & hub.null) | agrees), Cell.AGREE)
    settle(first & incoming.null, Cell.STAND)
    settle(outward_only, Cell.STAND)
    settle(incoming.pending, Cell.WAIT)
    settle(first & hub.null, Cell.TAKE)
    first_conflict = open_ & first
    settle(~first & (hub_changed | lossy) & agrees, Cell.AGREE)
    settle(~first & ~hub_changed & rules.lossy_review, Cell.HOLD)
    settle(~first & ~hub_changed & rules.lossy_ignore, Cell.STAND)
    conflict = open_ & ~first & hub_changed

    if first_conflict.any():
        decided = _first_link(rules, incoming, hub)
        cells[first_conflict] = decided[first_conflict]
    if conflict.any():
        decided = _by_policy(rules, incoming, hub)
        cells[conflict] = decided[conflict]
    return _outcome(rules, cells, conflict | first_conflict, incoming, shadow, hub, sent)


def _first_link(rules: CellRules, incoming: Incoming, hub: HubSide) -> NDArray[np.uint8]:
    better = rules.rank[None, :] < hub.rank
    take = np.where(rules.most_restrictive, incoming.crm == rules.restrictive, better)
    hold = np.broadcast_to(rules.first_link_review & ~rules.most_restrictive, take.shape)
    return np.where(hold, Cell.HOLD, np.where(take, Cell.TAKE, Cell.STAND)).astype(np.uint8)


def _by_policy(rules: CellRules, incoming: Incoming, hub: HubSide) -> NDArray[np.uint8]:
    later = incoming.earliest[:, None] >= hub.latest
    earlier = hub.earliest >= incoming.latest[:, None]
    take = np.where(later == earlier, rules.rank[None, :] <= hub.rank, later)
    ranked = np.where(rules.rank[None, :] == hub.rank, take, rules.rank[None, :] < hub.rank)
    take = np.where(rules.field_merge, ranked, take)
    strict = np.where(incoming.crm == rules.restrictive, True, np.where(hub.hashes == rules.restrictive, False, take))
    take = np.where(rules.most_restrictive, strict, take)
    take = np.where(rules.lossy_ignore, False, take)
    hold = np.broadcast_to(rules.manual_review | rules.lossy_review, take.shape)
    return np.where(hold, Cell.HOLD, np.where(take, Cell.TAKE, Cell.STAND)).astype(np.uint8)


def _outcome(
    rules: CellRules,
    cells: NDArray[np.uint8],
    conflict: Mask,
    incoming: Incoming,
    shadow: Shadow,
    hub: HubSide,
    sent: Sent,
) -> Merged:
    receipt, agree = cells == Cell.RECEIPT, cells == Cell.AGREE
    took, stand = cells == Cell.TAKE, cells == Cell.STAND
    crm = np.where(receipt, sent.crm, np.where(agree | took | stand, incoming.crm, shadow.crm))
    new_hub = np.where(took, incoming.lifted, hub.hashes)
    shadow_hub = np.where(receipt, sent.hub, np.where(agree | took, new_hub, shadow.hub))
    # A stronger CRM that knows the value as well stands for it, or the order of first reads would decide over a third.
    vouched = agree & ~shadow.crm_known & ~incoming.null & rules.inbound[None, :] & (rules.rank[None, :] < hub.rank)
    crm_known = shadow.crm_known | receipt | agree | took | stand
    hub_known = (shadow.hub_known | receipt | agree | took) & ~stand
    held = (cells == Cell.HOLD) | (cells == Cell.WAIT)
    applied = took & (new_hub != hub.hashes)
    disposition = np.select(
        [held.any(axis=1), applied.any(axis=1), (stand & conflict).any(axis=1)],
        [Disposition.HELD, Disposition.APPLIED, Disposition.LOST],
        Disposition.UNCHANGED,
    ).astype(np.uint8)
    return Merged(cells, Shadow(crm, shadow_hub, crm_known, hub_known), new_hub, took, vouched, conflict, disposition)


def reform(recomputed: Hashes, has_base: Mask, hub_unchanged: Mask, hub: Hashes) -> Shadow:
    """Return the shadow in a new form; the difference is never an edit.

    `recomputed`: hashes in the new form of the source values last decided on, where `has_base`; `hub_unchanged`: the
    hub equalled
    `shadow.hub` in the old form (False for fields that the old form lacked); `hub`: its current vector in the new form.
    """
    return Shadow(recomputed, hub.copy(), has_base.copy(), hub_unchanged & has_base)
