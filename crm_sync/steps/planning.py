"""Decide what is sent to a CRM, cell by cell. The rules: docs/merging.md.

Belongs here: the plan for every cell of a link. Not here: commands and their delivery (flows/propagate, flows/deliver).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from crm_sync.records import Hashes, Mask
from crm_sync.steps.merging import CellRules, Sent, Shadow


class Plan(IntEnum):
    """What to do with one cell outward."""

    QUIET = 0
    ADVANCE = 1
    SEND = 2
    PARK = 3


def hub_moved(shadow: Shadow, hub: Hashes) -> Mask:
    """Tell where the hub's value is not the one that the CRM reflects, (n, m)."""
    moved: Mask = ~shadow.hub_known | (hub != shadow.hub)
    return moved


def plan(
    rules: CellRules, shadow: Shadow, hub: Hashes, projected: Hashes, projectable: Mask, closed: Mask, sent: Sent
) -> NDArray[np.uint8]:
    """Plan every cell of n links, (n, m). `closed` names cells with an open review or a waiting inbound reference."""
    candidate = rules.outbound[None, :] & shadow.crm_known & ~closed & hub_moved(shadow, hub)
    under_way = sent.mask & (sent.crm == projected) & (sent.hub == hub) & projectable
    chosen = np.select(
        [~projectable, projected == shadow.crm, under_way], [Plan.PARK, Plan.ADVANCE, Plan.QUIET], Plan.SEND
    )
    return np.where(candidate, chosen, Plan.QUIET).astype(np.uint8)


def advanced(shadow: Shadow, hub: Hashes, plans: NDArray[np.uint8]) -> Shadow:
    """Return the shadow after the ADVANCE cells of a plan."""
    step = plans == Plan.ADVANCE
    return Shadow(shadow.crm, np.where(step, hub, shadow.hub), shadow.crm_known, shadow.hub_known | step)


def delivered(shadow: Shadow, sent: Sent) -> Shadow:
    """Return the shadow after delivery: both sides take the values that the command carried."""
    return Shadow(
        np.where(sent.mask, sent.crm, shadow.crm),
        np.where(sent.mask, sent.hub, shadow.hub),
        shadow.crm_known | sent.mask,
        shadow.hub_known | sent.mask,
    )


def yielders(waits: Mapping[tuple[str, UUID], tuple[str, UUID]]) -> set[tuple[str, UUID]]:
    """Return one cell, the least, of each circle of cells (field, golden record) of which each waits for the next."""
    found: set[tuple[str, UUID]] = set()
    done: set[tuple[str, UUID]] = set()
    for start in waits:
        path: dict[tuple[str, UUID], int] = {}
        cell = start
        while cell in waits and cell not in path and cell not in done:
            path[cell] = len(path)
            cell = waits[cell]
        if cell in path:
            found.add(min(list(path)[path[cell] :]))
        done |= path.keys()
    return found
