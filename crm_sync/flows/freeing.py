"""Free values that a CRM refused because another record had them, once that record shows something else.

Belongs here: who ceased to show what, and whose turn it is then. Not here: withholding (settling), sending (propagate).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import numpy as np

from crm_sync.errors import ErrorClass
from crm_sync.flows.lens import Lens
from crm_sync.records import Hashes, Mask
from crm_sync.steps.hashing import unpack_masks, unpack_vectors
from crm_sync.store import holding, hub
from crm_sync.store.database import Connection
from crm_sync.store.links import LinkRow


def free_values(conn: Connection, lens: Lens, shown: Hashes, ceased: Mask) -> int:
    """Let go of values withheld as duplicates that records of the CRM showed (hashes, (n, width)) and, where `ceased`,
    show no more; queue their golden records. Return how many values."""
    if not ceased.any():
        return 0
    waiting: defaultdict[tuple[str, int], list[UUID]] = defaultdict(list)
    free: list[tuple[UUID, str]] = []
    for one in holding.withheld_for(conn, lens.name, lens.entity.name, ErrorClass.DUPLICATE.value):
        if one.form_id == lens.form.form_id:
            waiting[one.field, one.crm_hash].append(one.hub_id)
        else:
            # Named by other rules, it cannot be compared: it is tried once, and then named by these.
            free.append((one.hub_id, one.field))
    if not waiting and not free:
        return 0
    for position in np.flatnonzero(ceased.any(axis=0)):
        name = lens.fields[position].name
        for value in set(shown[ceased[:, position], position].view(np.int64).tolist()):
            free += [(hub_id, name) for hub_id in waiting.get((name, value), ())]
    holding.let_go(conn, lens.name, free)
    hub.enqueue_changes(conn, lens.entity.name, {hub_id for hub_id, _ in free})
    return len(free)


def free_values_of(conn: Connection, lens: Lens, gone: Sequence[LinkRow]) -> int:
    """Free what records showed that are gone from the CRM."""
    known = [link for link in gone if link.form_id == lens.form.form_id and link.crm_vector and link.crm_known]
    if not known:
        return 0
    shown = unpack_vectors([link.crm_vector or b"" for link in known], lens.width)
    return free_values(conn, lens, shown, unpack_masks([link.crm_known or b"" for link in known], lens.width))
