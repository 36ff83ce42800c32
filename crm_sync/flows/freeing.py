"""Free values that a CRM refused because another record has them.

Belongs here: whose turn it is, once that record shows something else; who yields where records wait for each other.
Not here: withholding (settling), taking values out of a plan (outward), sending (propagate).
"""

from __future__ import annotations

from uuid import UUID

from crm_sync.flows.lens import Lens
from crm_sync.steps.planning import yielders
from crm_sync.store import hub, withheld
from crm_sync.store.database import Connection


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
