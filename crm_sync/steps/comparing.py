"""Compare records as a CRM holds them with what we believe of them: what is drift, what waits, what is well.

Belongs here: the finding of every row and cell. Not here: reading and counting (flows/reconcile), putting it right.
Shapes: n rows (records) by m mapped fields. All hashes of one call are of one form.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from crm_sync.records import Hashes, Mask
from crm_sync.steps.merging import Sent, Shadow
from crm_sync.steps.planning import Plan


class Finding(StrEnum):
    """What a comparison may find of a record.

    Drift: the CRM is not as we believe.
      MISSING_THERE  a live link, but the CRM has no such record any more
      MISSING_HERE   a record of ours to sync without a live link, that nobody holds either: it never arrived
      LEFT_SCOPE     a live link, but the record is not ours to sync any more
      DIFFERING      a field of the CRM is not what it was when it was last decided on: an edit that we missed
      ORPHAN_LINK    a live link without a golden record, or without a shadow
      DUPLICATE      two records with the same external key of ours, or two live primary links of one golden record
    Lag: the CRM is not as the hub wants it, and nothing is under way.
      LAGGING        a field that should have been sent
      NOT_CREATED    a golden record that should have been created there
    Neither: known and accounted for.
      HELD           in quarantine, in review, parked, withheld, or a dead letter
      QUEUED         a command, a plan or a read is waiting
      MOVING         it changed while we looked
    """

    MISSING_THERE = "missing_there"
    MISSING_HERE = "missing_here"
    LEFT_SCOPE = "left_scope"
    DIFFERING = "differing"
    ORPHAN_LINK = "orphan_link"
    DUPLICATE = "duplicate"
    LAGGING = "lagging"
    NOT_CREATED = "not_created"
    HELD = "held"
    QUEUED = "queued"
    MOVING = "moving"


DRIFT: Final = (
    Finding.MISSING_THERE,
    Finding.MISSING_HERE,
    Finding.LEFT_SCOPE,
    Finding.DIFFERING,
    Finding.ORPHAN_LINK,
    Finding.DUPLICATE,
)
LAG: Final = (Finding.LAGGING, Finding.NOT_CREATED)


class Verdict(IntEnum):
    """What is known of a row before its cells are looked at."""

    CLEAN = 0
    COMPARE = 1
    MISSING_THERE = 2
    MISSING_HERE = 3
    LEFT_SCOPE = 4
    ORPHAN_LINK = 5
    HELD = 6
    QUEUED = 7


FINDING_OF: Final[dict[int, Finding]] = {
    int(v): Finding(v.name.lower()) for v in Verdict if v not in (Verdict.CLEAN, Verdict.COMPARE)
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of n records as read, (n,) each.

    `linked`: there is a live link. `held`: this very version waits in quarantine or review. `queued`: a notice asks to
    read the record, or a command of ours created it. `golden`, `shadow`: the link has one.
    """

    deleted: Mask
    in_scope: Mask
    linked: Mask
    held: Mask
    queued: Mask
    golden: Mask
    shadow: Mask


def judge(standing: Standing) -> NDArray[np.uint8]:
    """Return the Verdict of every row, the first that fits."""
    s = standing
    cases: list[tuple[Mask, Verdict]] = [
        (s.deleted & s.linked, Verdict.MISSING_THERE),
        (s.deleted, Verdict.CLEAN),
        (~s.linked & ~s.in_scope, Verdict.CLEAN),
        (~s.linked & s.held, Verdict.HELD),
        (~s.linked & s.queued, Verdict.QUEUED),
        (~s.linked, Verdict.MISSING_HERE),
        (~s.in_scope, Verdict.LEFT_SCOPE),
        (~s.golden, Verdict.ORPHAN_LINK),
        (s.held, Verdict.HELD),
        (~s.shadow & s.queued, Verdict.QUEUED),
        (~s.shadow, Verdict.ORPHAN_LINK),
    ]
    verdicts = np.full(len(s.deleted), Verdict.COMPARE, dtype=np.uint8)
    for when, verdict in reversed(cases):
        verdicts[when] = verdict
    return verdicts


def differing(crm: Hashes, absent: Mask, refused: Mask, shadow: Shadow, sent: Sent, held: Mask) -> Mask:
    """Tell which cells of n records as read are an edit that we missed, (n, m).

    `refused` are values that cannot be lifted; `held` cells wait with this very value for a person or a reference. What
    an unsettled command carries may be there already.
    """
    believed = shadow.crm_known & (crm == shadow.crm) & ~refused
    under_way = sent.mask & (crm == sent.crm) & ~refused
    found: Mask = ~absent & ~believed & ~under_way & ~held
    return found


def lagging(plans: NDArray[np.uint8], queued: Mask, parked: Mask) -> Mask:
    """Tell which cells should have been sent, (n, m): the row is not queued, (n,), nor the cell parked, (n, m)."""
    wanting = (plans == Plan.SEND) | (plans == Plan.PARK)
    found: Mask = wanting & ~parked & ~queued[:, None]
    return found


def newest_rows(record_ids: list[str], stamps: NDArray[np.datetime64]) -> list[int]:
    """Return of each record the row with the latest stamp, the last one where equal, in order of reading."""
    best: dict[str, int] = {}
    for row, record_id in enumerate(record_ids):
        other = best.get(record_id)
        if other is None or stamps[row] >= stamps[other]:
            best[record_id] = row
    return sorted(best.values())


def key_of(text: str | None) -> UUID | None:
    """Return the hub id that an external key field holds; None where it is empty or somebody else's text."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
