"""Look outward from golden records to one CRM: what differs from what it holds, and what would be sent.

Belongs here: putting plan inputs together for links of one stream. Not here: the plan of a cell (steps/planning),
queueing
(propagate), sending (deliver).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from crm_sync.flows import freeing, references, shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens, doc_texts
from crm_sync.records import ABSENT, NULL, Hashes, Mask
from crm_sync.steps.merging import Shadow
from crm_sync.steps.planning import Plan, hub_moved, plan
from crm_sync.store import holding, links, outbox, withheld
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


@dataclass(frozen=True, slots=True)
class Outlook:
    """What n golden records mean for one stream, (n, width) each.

    `texts`: what the CRM would show (references by record id), right in cells that moved; `projected` their hashes;
    `hub` the hub's. `yielded`: cells to be emptied, as another record waits for what they show.
    """

    hub_ids: list[UUID]
    shadow: Shadow
    hub: Hashes
    texts: NDArray[np.object_]
    hub_texts: NDArray[np.object_]
    projected: Hashes
    projectable: Mask
    plans: NDArray[np.uint8]
    yielded: Mask

    def sends(self) -> Mask:
        """Tell which cells are to be sent."""
        send: Mask = self.plans == Plan.SEND
        return send

    def digest(self, row: int) -> bytes:
        """Name the plan of a row: which fields get which values."""
        send = self.plans[row] == Plan.SEND
        return hashlib.blake2b(
            send.tobytes() + np.where(send, self.projected[row], 0).astype("<u8").tobytes(), digest_size=16
        ).digest()

    def parked(self, lens: Lens, rows: Sequence[int] | NDArray[np.intp]) -> list[holding.ParkedOut]:
        """Return the outward references of some rows that wait for their target."""
        return [
            holding.ParkedOut(self.hub_ids[r], reference.field, target)
            for reference in lens.references
            for r in rows
            if self.plans[r, reference.position] == Plan.PARK
            and (target := references.hub_id_of(self.hub_texts[r, reference.position])) is not None
        ]


def look(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    goldens: Goldens,
    rows: Sequence[links.LinkRow],
    *,
    only_look: bool = False,
) -> Outlook:
    """Plan links of one stream inside the caller's transaction; their golden records must be loaded.

    Withheld values that are not planned any more are let go, but for `only_look`.
    """
    hub_ids = [r.hub_id for r in rows]
    link_ids = [r.link_id for r in rows]
    shadow = shadows.decode(ctx, conn, lens, goldens, rows, hub_ids)
    under_way = outbox.unsettled_by_links(conn, link_ids)
    sent = shadows.decode_sent(ctx, conn, lens, goldens, [under_way.get(i) for i in link_ids])
    hub = goldens.vectors(hub_ids, lens.places)
    moved = hub_moved(shadow, hub) & lens.rules.outbound[None, :] & shadow.crm_known
    texts, hub_texts, projected, projectable = _project(conn, lens, goldens, hub_ids, hub, moved)
    closed = _closed(conn, lens, link_ids)
    plans = plan(lens.rules, shadow, hub, projected, projectable, closed, sent)
    outlook = Outlook(hub_ids, shadow, hub, texts, hub_texts, projected, projectable, plans, np.zeros_like(moved))
    _withhold(conn, lens, outlook, only_look)
    return outlook


def look_at_new(
    conn: Connection, lens: Lens, goldens: Goldens, hub_ids: list[UUID], *, only_look: bool = False
) -> Outlook:
    """Plan golden records that have no record in this CRM yet: everything that is filled is to be sent."""
    hub = goldens.vectors(hub_ids, lens.places)
    wanted = (hub != lens.null) & lens.rules.outbound[None, :]
    texts, hub_texts, projected, projectable = _project(conn, lens, goldens, hub_ids, hub, wanted)
    filled = wanted & (texts != NULL)
    plans = np.where(filled, np.where(projectable, Plan.SEND, Plan.PARK), Plan.QUIET).astype(np.uint8)
    shadow = Shadow.unknown(len(hub_ids), lens.width)
    outlook = Outlook(hub_ids, shadow, hub, texts, hub_texts, projected, projectable, plans, np.zeros_like(wanted))
    _withhold(conn, lens, outlook, only_look)
    return outlook


def creatable(lens: Lens, outlook: Outlook) -> Mask:
    """Tell which golden records hold everything that the stream requires, references included, (n,)."""
    required = [p for p, f in enumerate(lens.fields) if f.required and lens.rules.outbound[p]]
    ready: Mask = np.all(outlook.sends()[:, required], axis=1)
    return ready


def _project(
    conn: Connection, lens: Lens, goldens: Goldens, hub_ids: list[UUID], hub: Hashes, wanted: Mask
) -> tuple[NDArray[np.object_], NDArray[np.object_], Hashes, Mask]:
    texts = np.full(hub.shape, ABSENT, dtype=object)
    hub_texts = texts.copy()
    projected, projectable = hub.copy(), np.ones(hub.shape, dtype=np.bool_)
    some = np.flatnonzero(wanted.any(axis=1))
    if some.size:
        own = doc_texts(goldens.docs([hub_ids[r] for r in some]), lens.fields)
        shown = lens.crm_texts(own, wanted[some])
        projectable[some] = references.outward(conn, lens, shown, wanted[some]) & (shown != ABSENT)
        projected[some] = np.where(wanted[some], lens.hash(shown), projected[some])
        texts[some], hub_texts[some] = shown, own
    return texts, hub_texts, projected, projectable


def _withhold(conn: Connection, lens: Lens, outlook: Outlook, only_look: bool) -> None:
    """Take the values that the CRM refused, and would refuse again, out of the plan; those that are not planned any
    more are let go. Where records wait for each other in a circle, one of them yields: its value is emptied for now."""
    row = {hub_id: r for r, hub_id in enumerate(outlook.hub_ids)}
    position = {f.name: p for p, f in enumerate(lens.fields)}
    over: list[tuple[UUID, str]] = []
    refused: list[withheld.Withheld] = []
    for one in withheld.of_records(conn, lens.name, lens.form.form_id, outlook.hub_ids):
        r, p = row[one.hub_id], position.get(one.field)
        if (
            p is None
            or one.form_id != lens.form.form_id
            or outlook.plans[r, p] != Plan.SEND
            or int(outlook.projected[r, p].view(np.int64)) != one.crm_hash
        ):
            over.append((one.hub_id, one.field))
        elif one.refused or only_look:
            outlook.plans[r, p] = Plan.QUIET
            refused.append(one)
    if only_look:
        return
    withheld.let_go(conn, lens.name, over)
    circles = freeing.yielding(conn, lens) if refused else set()
    for one in refused:
        if (one.field, one.hub_id) in circles:
            r, p = row[one.hub_id], position[one.field]
            outlook.plans[r, p], outlook.yielded[r, p] = Plan.SEND, True
            outlook.texts[r, p], outlook.projected[r, p] = NULL, lens.null
            # The CRM will reflect no value of the hub; one that equals nothing has the value itself planned again.
            outlook.hub[r, p] = ~outlook.hub[r, p]


def _closed(conn: Connection, lens: Lens, link_ids: Sequence[int]) -> Mask:
    closed = np.zeros((len(link_ids), lens.width), dtype=np.bool_)
    row = {link_id: r for r, link_id in enumerate(link_ids)}
    position = {f.name: p for p, f in enumerate(lens.fields)}
    cells = [(c.link_id, c.field) for c in holding.open_cells(conn, link_ids)] + holding.parked_cells(conn, link_ids)
    for link_id, name in cells:
        if name in position:
            closed[row[link_id], position[name]] = True
    closed[[row[link_id] for link_id in holding.quarantined_links(conn, link_ids)]] = True
    return closed
