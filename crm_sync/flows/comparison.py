"""Compare records as read from a CRM with links, shadows and golden records, in one moment of the store.

Belongs here: putting together what the decision needs, for one batch. Not here: the decision (steps/comparing), reading
the CRM and counting (reconcile).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from crm_sync.flows import outward, shadows
from crm_sync.flows.absorb import part, stamp_of
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.records import ABSENT, Mask, SourceBatch
from crm_sync.steps.comparing import (
    FINDING_OF,
    Finding,
    Standing,
    Verdict,
    differing,
    judge,
    key_of,
    lagging,
    newest_rows,
)
from crm_sync.steps.hashing import unpack_masks, unpack_vectors
from crm_sync.steps.merging import Sent, Shadow
from crm_sync.steps.planning import Plan, hub_moved
from crm_sync.steps.scoping import in_scope
from crm_sync.store import heldkeys, holding, links, outbox, reconciliations
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

TAG = "r:"
Fingerprint = tuple[object, ...]
Mark = tuple[Finding, str]
"""A finding and the field that it concerns, empty for the whole record."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What one batch came to: for each record its findings, and what the store knew of it when it was compared."""

    batch: SourceBatch
    keys: list[UUID | None]
    counted: list[bool]
    """Whether the record is ours to compare: in scope and there, or linked."""
    marks: list[list[Mark]]
    fingerprints: dict[str, Fingerprint]


def compare(ctx: Context, lens: Lens, batch: SourceBatch) -> Compared:
    """Compare the newest version of each record of a batch; changes nothing."""
    rows = newest_rows(batch.record_ids, batch.stamps)
    batch = part(batch, rows) if len(rows) < len(batch) else batch

    def work(conn: Connection) -> Compared:
        reconciliations.one_moment(conn)
        return _compare(ctx, conn, lens, batch)

    return ctx.database.run(work)


def fingerprints(ctx: Context, lens: Lens, record_ids: Sequence[str]) -> dict[str, Fingerprint]:
    """Return what the store knows of records now, to tell later whether it has changed."""
    known = ctx.database.run(lambda conn: links.find_links(conn, lens.name, lens.mapping.object, record_ids))
    return {record_id: _fingerprint(link) for record_id, link in known.items()}


def not_created(
    ctx: Context, lens: Lens, goldens_there: Sequence[tuple[UUID, str | None, bool]], is_open: bool
) -> list[tuple[UUID, Finding]]:
    """Return findings of golden records without a record in this CRM, given as store.findings lists them."""
    found = [(h, Finding.HELD) for h, command, _ in goldens_there if command == "dead"]
    found += [
        (h, Finding.QUEUED) for h, command, changed in goldens_there if command != "dead" and (command or changed)
    ]
    free = [h for h, command, changed in goldens_there if command is None and not changed]
    if not free or not is_open:
        return found

    def work(conn: Connection) -> list[tuple[UUID, Finding]]:
        reconciliations.one_moment(conn)
        # The CRM may hold them already, in records that wait for a person or to be mended.
        twins = heldkeys.twins(conn, lens.name, lens.entity.name, lens.mapping.object, free)
        goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
        goldens.load(free)
        ready = outward.creatable(lens, outward.look_at_new(conn, lens, goldens, free, only_look=True))
        missing = [h for h, r in zip(free, ready, strict=True) if r]
        return [(h, Finding.HELD if h in twins else Finding.NOT_CREATED) for h in missing]

    return found + ctx.database.run(work)


def _fingerprint(link: links.LinkRow) -> Fingerprint:
    return (link.link_id, link.hub_id, link.state, link.crm_vector, link.version, link.gate)


def _compare(ctx: Context, conn: Connection, lens: Lens, batch: SourceBatch) -> Compared:
    count, place = len(batch), (lens.name, batch.object)
    known = links.find_links(conn, *place, batch.record_ids)
    states = reconciliations.record_states(conn, *place, batch.record_ids)
    live = [known[i] if i in known and known[i].state == "live" else None for i in batch.record_ids]
    keys = [key_of(text) for text in batch.hub_ids]
    unlinked_keys = {k for k, link in zip(keys, live, strict=True) if k is not None and link is None}
    wanted = {link.hub_id for link in live if link is not None} | unlinked_keys
    hubs = reconciliations.hub_states(conn, *place, sorted(wanted))
    scope = in_scope(lens.mapping, batch.values)
    linked = np.array([link is not None for link in live], dtype=np.bool_)
    standing = Standing(
        deleted=batch.deleted,
        in_scope=scope,
        linked=linked,
        held=_held(lens, batch, live, states),
        queued=np.array(
            [
                (i in states and states[i].noticed) or (link is None and k in hubs and hubs[k].command is not None)
                for i, link, k in zip(batch.record_ids, live, keys, strict=True)
            ],
            dtype=np.bool_,
        ),
        golden=np.array(
            [x is not None and x.hub_id in hubs and not hubs[x.hub_id].united for x in live], dtype=np.bool_
        ),
        shadow=np.array([x is not None and x.form_id is not None for x in live], dtype=np.bool_),
    )
    verdicts = judge(standing)
    marks: list[list[Mark]] = [[] for _ in range(count)]
    for row, verdict in enumerate(verdicts.tolist()):
        if verdict in FINDING_OF:
            marks[row].append((FINDING_OF[verdict], ""))
    rows = [int(r) for r in np.flatnonzero(verdicts == Verdict.COMPARE)]
    if rows:
        there = [link for r in rows if (link := live[r]) is not None]
        cells = _cells(ctx, conn, lens, part(batch, rows), there, hubs)
        for row, found in zip(rows, cells, strict=True):
            marks[row] += found
    counted = ((scope & ~batch.deleted) | linked).tolist()
    return Compared(batch, keys, counted, marks, {i: _fingerprint(link) for i, link in known.items()})


def _held(
    lens: Lens,
    batch: SourceBatch,
    live: Sequence[links.LinkRow | None],
    states: dict[str, reconciliations.RecordState],
) -> Mask:
    held = np.zeros(len(batch), dtype=np.bool_)
    versions = []
    for row, record_id in enumerate(batch.record_ids):
        state = states.get(record_id)
        if state is None:
            continue
        if live[row] is None:
            held[row] = state.quarantined or state.in_review
        elif state.quarantined:
            versions.append(row)
    if versions:
        # A linked record is held in the version that was refused; a newer one is an edit like any other.
        for row, gate in zip(versions, lens.gates(part(batch, versions)).tolist(), strict=True):
            state = states[batch.record_ids[row]]
            held[row] = state.gate == gate or (state.stamp is not None and stamp_of(batch, row) <= state.stamp)
    return held


def _cells(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    batch: SourceBatch,
    there: list[links.LinkRow],
    hubs: dict[UUID, reconciliations.HubState],
) -> list[list[Mark]]:
    lifted = lens.lift(batch.values)
    texts = lens.texts(lifted.texts, len(batch))
    refused = np.zeros(texts.shape, dtype=np.bool_)
    for position, field in enumerate(lens.fields):
        if field.name in lifted.reasons:
            refused[:, position] = [code is not None for code in lifted.reasons[field.name]]
    crm = lens.hash(texts)
    goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
    shadow, plans = _believed(ctx, conn, lens, goldens, there, hubs)
    sent = _sent(ctx, conn, lens, goldens, there)
    position_of = {f.name: p for p, f in enumerate(lens.fields)}
    row_of = {link.link_id: r for r, link in enumerate(there)}
    held = np.zeros(texts.shape, dtype=np.bool_)
    open_ = held.copy()
    for cell in holding.open_cells(conn, list(row_of)):
        if cell.field in position_of:
            row, place = row_of[cell.link_id], position_of[cell.field]
            open_[row, place] = True
            held[row, place] = crm.view(np.int64)[row, place] == cell.crm_hash
    waiting = reconciliations.waiting(conn, lens.name, list(row_of), [x.hub_id for x in there])
    for (link_id, name), target in waiting.inbound.items():
        if name in position_of:
            row, place = row_of[link_id], position_of[name]
            open_[row, place] = True
            held[row, place] = texts[row, place] == f"{TAG}{target}"
    # A refused value that is named in an older form may be the very one that a plan in this form would send.
    unnamed = {cell for cell, form_id in waiting.withheld.items() if form_id != lens.form.form_id}
    parked, withheld, unknown = (
        np.array([[(x.hub_id, f.name) in cells for f in lens.fields] for x in there], dtype=np.bool_)
        for cells in (waiting.outward, waiting.withheld, unnamed)
    )
    drift = differing(crm, texts == ABSENT, refused, shadow, sent, held)
    queued = np.array([hubs[x.hub_id].command is not None or hubs[x.hub_id].changed for x in there], dtype=np.bool_)
    lag = lagging(plans, queued, parked | unknown)
    masks: list[tuple[Finding, Mask]] = [(Finding.DIFFERING, drift), (Finding.LAGGING, lag)]
    masks.append((Finding.HELD, open_ | parked | withheld))
    out: list[list[Mark]] = []
    for row, link in enumerate(there):
        found = [(f, lens.fields[int(p)].name) for f, mask in masks for p in np.flatnonzero(mask[row])]
        if queued[row]:
            found.append((Finding.HELD if hubs[link.hub_id].command == "dead" else Finding.QUEUED, ""))
        out.append(found)
    return out


def _believed(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    goldens: Goldens,
    there: list[links.LinkRow],
    hubs: dict[UUID, reconciliations.HubState],
) -> tuple[Shadow, NDArray[np.uint8]]:
    """Return shadows and plans of links; only golden records that moved, or are in an older form, are decrypted."""
    shadow = Shadow.unknown(len(there), lens.width)
    plans = np.full((len(there), lens.width), Plan.QUIET, dtype=np.uint8)
    width = len(lens.entity.fields)
    plain = [
        r
        for r, x in enumerate(there)
        if x.form_id == lens.form.form_id and hubs[x.hub_id].form_id == lens.hub_form.form_id
    ]
    dear = sorted(set(range(len(there))) - set(plain))
    if plain:
        some = [there[r] for r in plain]
        shadow.crm[plain] = unpack_vectors([x.crm_vector or b"" for x in some], lens.width)
        shadow.hub[plain] = unpack_vectors([x.hub_vector or b"" for x in some], lens.width)
        shadow.crm_known[plain] = unpack_masks([x.crm_known or b"" for x in some], lens.width)
        shadow.hub_known[plain] = unpack_masks([x.hub_known or b"" for x in some], lens.width)
        vectors = unpack_vectors([hubs[x.hub_id].vector for x in some], width)[:, lens.places]
        moved = hub_moved(shadows.rows_of(shadow, plain), vectors) & lens.rules.outbound[None, :]
        dear += [plain[r] for r in np.flatnonzero(moved.any(axis=1)) if there[plain[r]].is_primary]
    if dear:
        some = [there[r] for r in dear]
        goldens.load([x.hub_id for x in some])
        outlook = outward.look(ctx, conn, lens, goldens, some, only_look=True)
        shadow.crm[dear], shadow.crm_known[dear] = outlook.shadow.crm, outlook.shadow.crm_known
        shadow.hub[dear], shadow.hub_known[dear] = outlook.shadow.hub, outlook.shadow.hub_known
        primary = np.array([x.is_primary for x in some], dtype=np.bool_)
        # Further records of one golden record are read and never written to.
        plans[dear] = np.where(primary[:, None], outlook.plans, Plan.QUIET)
    return shadow, plans


def _sent(ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, there: list[links.LinkRow]) -> Sent:
    under_way = outbox.unsettled_by_links(conn, [x.link_id for x in there])
    if not under_way:
        return Sent.nothing(len(there), lens.width)
    goldens.load([u.hub_id for u in under_way.values()])
    return shadows.decode_sent(ctx, conn, lens, goldens, [under_way.get(x.link_id) for x in there])
