"""Free values that a CRM refused because another record has them.

Belongs here: whose turn it is, once that record shows something else; who yields where records wait for each other.
Not here: withholding (settling), taking values out of a plan (outward), sending (propagate).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens, doc_texts
from crm_sync.steps.hashing import hash_one
from crm_sync.steps.planning import yielders
from crm_sync.store import hub, withheld
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


def rename(ctx: Context, conn: Connection, lens: Lens) -> None:
    """Name the withheld values of a stream by the rules of now, where these would send the very same: a change of the
    rules is no reason to try again. Those that they would send in another way are tried once."""
    named = withheld.of_other_forms(conn, lens.name, lens.entity.name, lens.form.form_id)
    references = {r.field for r in lens.references}
    position = {f.name: p for p, f in enumerate(lens.fields) if f.name not in references}
    mine = [one for one in named if one[1] in position]
    if not mine:
        return
    goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
    hub_ids = [hub_id for hub_id, _, _, _ in mine]
    goldens.load(hub_ids)
    rows, places = np.arange(len(mine)), np.array([position[name] for _, name, _, _ in mine])
    wanted = np.zeros((len(mine), lens.width), dtype=np.bool_)
    wanted[rows, places] = True
    texts = lens.crm_texts(doc_texts(goldens.docs(hub_ids), lens.fields), wanted)[rows, places]
    same = []
    for text, (hub_id, name, crm_hash, key_id) in zip(texts, mine, strict=True):
        if _hash(text, ctx.keyring.vector_key_of(key_id)) == crm_hash:
            same.append((hub_id, name, _hash(text, lens.key)))
    withheld.rename(conn, lens.name, lens.form.form_id, same)


def _hash(text: str, key: str) -> int:
    return int(hash_one(text, key).view(np.int64))


def enqueue_freed(conn: Connection, lens: Lens) -> bool:
    """Queue the golden records of which a CRM refused a value that it may take now, and those that are to yield; tell
    whether there are any.

    However the record that has the value came to show something else (a read, a receipt, a deletion, mended or seen
    again in quarantine): what is known of it is compared with what was known when the value was refused.
    """
    freed = withheld.enqueue_due(conn, lens.name, lens.entity.name, lens.form.form_id)
    yields = {hub_id for _, hub_id in yielding(conn, lens)}
    hub.enqueue_changes(conn, lens.entity.name, yields)
    return bool(freed or yields)


def yielding(conn: Connection, lens: Lens) -> set[tuple[str, UUID]]:
    """Return the cells (field, golden record) that are to be emptied in the CRM, one of each circle of records that
    wait for each other's values; a required field never yields."""
    required = {f.name for f in lens.fields if f.required}
    waits = withheld.waits(conn, lens.name, lens.entity.name, lens.form.form_id)
    return yielders({waiter: holder for waiter, holder in waits.items() if waiter[0] not in required})
