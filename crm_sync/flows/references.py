"""Where references lead: from a CRM's record id to a hub id, and back.

Belongs here: resolving whole columns through the crosswalk. Not here: what happens to those that lead nowhere yet
(steps).
"""

from __future__ import annotations

from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from crm_sync.flows.lens import Lens
from crm_sync.records import Mask
from crm_sync.store.database import Connection
from crm_sync.store.links import resolve_hubs, resolve_records

TAG = "r:"


def inward(conn: Connection, lens: Lens, crm_texts: NDArray[np.object_]) -> tuple[NDArray[np.object_], Mask]:
    """Return the hub's form of an (n, width) array of lifted texts, and where a reference is pending."""
    lifted = crm_texts.copy()
    pending = np.zeros(crm_texts.shape, dtype=np.bool_)
    for reference in lens.references:
        column = crm_texts[:, reference.position].tolist()
        ids = sorted({t[2:] for t in column if t.startswith(TAG)})
        if not ids:
            continue
        found = resolve_records(conn, lens.name, reference.target_object, ids)
        hub_form = {f"{TAG}{record_id}": f"{TAG}{hub_id}" for record_id, hub_id in found.items()}
        lifted[:, reference.position] = [hub_form.get(t, t) for t in column]
        pending[:, reference.position] = [t.startswith(TAG) and t not in hub_form for t in column]
    return lifted, pending


def hub_id_of(text: str) -> UUID | None:
    """Return the hub id in the hub's form of a reference; None where there is none that can be read."""
    if not text.startswith(TAG):
        return None
    try:
        return UUID(text[len(TAG) :])
    except ValueError:
        return None


def outward(conn: Connection, lens: Lens, texts: NDArray[np.object_], wanted: Mask) -> Mask:
    """Replace hub ids by record ids in the wanted cells of an (n, width) array, in place; return which are
    projectable."""
    projectable = np.ones(texts.shape, dtype=np.bool_)
    for reference in lens.references:
        column = texts[:, reference.position]
        rows = [r for r in np.flatnonzero(wanted[:, reference.position]) if column[r].startswith(TAG)]
        if not rows:
            continue
        meant = {column[r]: hub_id for r in rows if (hub_id := hub_id_of(column[r])) is not None}
        found = resolve_hubs(conn, lens.name, reference.target_object, sorted(set(meant.values())))
        for row in rows:
            hub_id = meant.get(column[row])
            record_id = found.get(hub_id) if hub_id else None
            if record_id is None:
                projectable[row, reference.position] = False
            else:
                texts[row, reference.position] = f"{TAG}{record_id}"
    return projectable
