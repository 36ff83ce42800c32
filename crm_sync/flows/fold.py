"""Fold reads into golden records: link, merge, and write what follows, for one batch of one stream.

Belongs here: the order of linking and merging, and rows of one golden record going one after the other. Not here: what
is folded (reads), the decision of a cell (steps/merging), what is told of it (verdicts).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray

from crm_sync.flows import references, shadows, verdicts
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens, doc_texts
from crm_sync.flows.reads import Fold, Reads, Told
from crm_sync.records import ABSENT, NULL, Hashes
from crm_sync.steps.merging import Cell, HubSide, Incoming, Sent, Shadow, merge, needs_projection
from crm_sync.store import holding, hub, links, outbox
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


def fold(work: Fold) -> Counter[str]:
    """Link and merge a batch inside the caller's transaction; return the counts."""
    counts: Counter[str] = Counter()
    undecided = [r for r, p in enumerate(work.placements) if p.hub_id is None]
    counts += verdicts.ask_about_matches(work, undecided)
    placed = [(r, p.hub_id) for r, p in enumerate(work.placements) if p.hub_id is not None]
    if not placed:
        return counts
    rows, hub_ids = [r for r, _ in placed], [h for _, h in placed]
    work.goldens.load(hub_ids)
    creates = _creates_under_way(work, rows, hub_ids)
    fresh = [work.batch.record_ids[r] for r in rows if work.links[r] is None]
    holding.close_match_reviews(work.conn, work.lens.name, work.batch.object, fresh)
    link_ids = _link(work, rows, hub_ids)
    latest = work.batch.stamps.astype("datetime64[us]").astype(np.int64)
    before = [work.links[r] for r in rows]
    lifted, pending = references.inward(work.conn, work.lens, work.texts[rows])
    reads = Reads(
        hub_ids=hub_ids,
        link_ids=link_ids,
        record_ids=[work.batch.record_ids[r] for r in rows],
        before=before,
        linked_by=[work.placements[r].rule if work.links[r] is None else "" for r in rows],
        texts=work.texts[rows],
        hashes=work.hashes[rows],
        lifted=lifted,
        pending=pending,
        bases=[work.bases[r] for r in rows],
        gates=[work.gates[r] for r in rows],
        versions=[work.batch.versions[r] for r in rows],
        stamps=moments(latest[rows]),
        earliest=np.array([_micros(b.stamp) if b and b.stamp else 0 for b in before], dtype=np.int64),
        latest=latest[rows],
    )
    parts = waves(hub_ids)
    for wave in parts:
        begin = work.goldens.begin if wave is parts[-1] else lambda: None
        part = reads.rows(wave)
        counts += merge_reads(work.ctx, work.conn, work.lens, work.goldens, part, creates, work.read_run_id, begin)
    work.goldens.flush(work.meanwhile)
    outbox.settle(work.conn, [u.command_id for u in creates.values()])
    return counts


def merge_reads(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    goldens: Goldens,
    reads: Reads,
    creates: dict[UUID, outbox.Unsettled],
    read_run_id: UUID | None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Counter[str]:
    """Merge reads of different golden records: change these in memory, write shadows, questions, parked references,
    audit.

    `creates` are creates under way, by hub id: reading such a record proves that it was made as carried. `meanwhile` is
    called when all is decided and the server has nothing to do yet.
    """
    told = _decide(ctx, conn, lens, goldens, reads, creates)
    meanwhile()
    _take(lens, goldens, told)
    _remember(ctx, conn, lens, goldens, told)
    outbox.settle(conn, [u.command_id for u in told.arrived.values()])
    counts = verdicts.write(ctx, conn, lens, goldens, told, read_run_id)
    moved = (told.merged.cells != Cell.KEEP).any(axis=1)
    fresh = np.array([bool(by) for by in reads.linked_by], dtype=np.bool_)
    goldens.queue(reads.hub_ids[r] for r in np.flatnonzero(moved | fresh))
    return counts


def waves(hub_ids: Sequence[UUID]) -> list[list[int]]:
    """Split rows so that no wave holds a golden record twice; the order of the rows of one golden record is kept.

    Golden records with one row come last, all together: nothing is asked any more while their rows are written.
    """
    reads = Counter(hub_ids)
    alone: list[int] = []
    out: list[list[int]] = []
    depth: dict[UUID, int] = {}
    for row, hub_id in enumerate(hub_ids):
        if reads[hub_id] == 1:
            alone.append(row)
            continue
        level = depth.get(hub_id, 0)
        depth[hub_id] = level + 1
        if level == len(out):
            out.append([])
        out[level].append(row)
    return [*out, alone] if alone else out


def _creates_under_way(work: Fold, rows: Sequence[int], hub_ids: Sequence[UUID]) -> dict[UUID, outbox.Unsettled]:
    ours = [h for r, h in zip(rows, hub_ids, strict=True) if work.placements[r].rule == "external_key"]
    if not ours:
        return {}
    return outbox.unsettled_creates(work.conn, work.lens.name, work.batch.object, ours)


def _link(work: Fold, rows: Sequence[int], hub_ids: Sequence[UUID]) -> list[int]:
    unlinked = [(r, h) for r, h in zip(rows, hub_ids, strict=True) if work.links[r] is None]
    # A golden record that begins here has no link yet.
    there = [h for r, h in unlinked if work.placements[r].rule != "new"]
    taken = links.with_primary(work.conn, work.lens.name, work.batch.object, there)
    new: list[links.NewLink] = []
    for row, hub_id in unlinked:
        # One link is primary; further duplicates inside one CRM hang on the same golden record and are never written
        # to.
        new.append(links.NewLink(hub_id, work.batch.record_ids[row], hub_id not in taken, work.placements[row].rule))
        taken.add(hub_id)
    made = links.insert_links(work.conn, work.lens.entity.name, work.lens.name, work.batch.object, work.ctx.run_id, new)
    back = [link for r in rows if (link := work.links[r]) is not None and link.state != "live"]
    links.revive(work.conn, [b.link_id for b in back])
    # Nothing was sent to them while they were away.
    hub.enqueue_changes(work.conn, work.lens.entity.name, [b.hub_id for b in back])
    return [link.link_id if (link := work.links[r]) is not None else made[work.batch.record_ids[r]] for r in rows]


def _decide(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    goldens: Goldens,
    reads: Reads,
    creates: dict[UUID, outbox.Unsettled],
) -> Told:
    rows = len(reads.hub_ids)
    shadow = shadows.decode(ctx, conn, lens, goldens, reads.before, reads.hub_ids)
    owner = dict(zip(reads.link_ids, reads.hub_ids, strict=True))
    linked_before = reads.linked_before()
    under_way = outbox.unsettled_by_links(conn, linked_before) if linked_before else {}
    # What was sent for a golden record that was united into this one says nothing of this one.
    under_way = {i: u for i, u in under_way.items() if u.hub_id == owner[i]}
    sent = shadows.decode_sent(ctx, conn, lens, goldens, [under_way.get(i) for i in reads.link_ids])
    if creates:
        shadow, sent = _as_created(ctx, conn, lens, goldens, reads, creates, shadow, sent)
    incoming = Incoming(
        crm=reads.hashes,
        lifted=_hub_form(lens, reads.hashes, reads.lifted),
        absent=reads.texts == ABSENT,
        pending=reads.pending,
        null=reads.texts == NULL,
        earliest=reads.earliest,
        latest=reads.latest,
    )
    vectors = goldens.vectors(reads.hub_ids, lens.places)
    null = vectors == lens.null
    wanted = needs_projection(lens.rules, incoming, shadow, vectors, null)
    projected, projectable = vectors.copy(), np.ones(vectors.shape, dtype=np.bool_)
    some = np.flatnonzero(wanted.any(axis=1))
    if some.size:
        texts = doc_texts(goldens.docs([reads.hub_ids[r] for r in some]), lens.fields)
        shown = lens.crm_texts(texts, wanted[some])
        projectable[some] = references.outward(conn, lens, shown, wanted[some]) & (shown != ABSENT)
        projected[some] = lens.hash(shown)
    earliest, latest = goldens.evidence(reads.hub_ids, lens.places)
    side = HubSide(
        hashes=vectors,
        null=null,
        projected=projected,
        projectable=projectable,
        rank=lens.ranks_of(*goldens.sources(reads.hub_ids)),
        earliest=earliest,
        latest=latest,
    )
    merged = merge(lens.rules, incoming, shadow, side, sent)
    telling = np.isin(merged.cells, (Cell.TAKE, Cell.HOLD)) | merged.conflict
    before = np.full((rows, lens.width), NULL, dtype=object)
    open_rows = np.flatnonzero(telling.any(axis=1))
    if open_rows.size:
        before[open_rows] = doc_texts(goldens.docs([reads.hub_ids[r] for r in open_rows]), lens.fields)
    receipts = (merged.cells == Cell.RECEIPT).any(axis=1)
    arrived = {r: under_way[i] for r, i in enumerate(reads.link_ids) if receipts[r] and i in under_way}
    arrived |= {r: creates[h] for r, h in enumerate(reads.hub_ids) if h in creates and reads.before[r] is None}
    return Told(reads, shadow, merged, arrived, before)


def _hub_form(lens: Lens, crm: Hashes, lifted: NDArray[np.object_]) -> Hashes:
    """Return the hashes of lifted texts; only references differ from the CRM's form."""
    if not lens.references:
        return crm
    hashes = crm.copy()
    places = [r.position for r in lens.references]
    hashes[:, places] = lens.hash(lifted[:, places])
    return hashes


def _as_created(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    goldens: Goldens,
    reads: Reads,
    creates: dict[UUID, outbox.Unsettled],
    shadow: Shadow,
    sent: Sent,
) -> tuple[Shadow, Sent]:
    rows = [r for r, h in enumerate(reads.hub_ids) if h in creates and reads.before[r] is None]
    if rows:
        carried = shadows.decode_sent(ctx, conn, lens, goldens, [creates[reads.hub_ids[r]] for r in rows])
        made = shadows.created_shadow(lens, carried)
        shadow.crm[rows], shadow.hub[rows] = made.crm, made.hub
        shadow.crm_known[rows], shadow.hub_known[rows] = made.crm_known, made.hub_known
    return shadow, sent


def _take(lens: Lens, goldens: Goldens, told: Told) -> None:
    reads, merged = told.reads, told.merged
    places = goldens.rows(reads.hub_ids)
    for position in np.flatnonzero(merged.took.any(axis=0)):
        rows = np.flatnonzero(merged.took[:, position])
        goldens.set_column(
            places[rows],
            lens.fields[position].name,
            reads.lifted[rows, position],
            merged.hub[rows, position],
            reads.earliest[rows],
            reads.latest[rows],
            lens.name,
        )
    for position in np.flatnonzero(merged.vouched.any(axis=0)):
        rows = np.flatnonzero(merged.vouched[:, position])
        goldens.set_source(places[rows], lens.fields[position].name, lens.name)


def _remember(ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, told: Told) -> None:
    reads = told.reads
    kept = np.isin(told.merged.cells, (Cell.HOLD, Cell.WAIT))
    absent = reads.texts == ABSENT
    partial = [
        int(r)
        for r in np.flatnonzero((kept | absent).any(axis=1))
        if (b := reads.before[r]) is not None and b.base is not None
    ]
    olds = [reads.before[r] for r in partial]
    opened = shadows.unseal(
        ctx, goldens, [o.hub_id for o in olds if o], [o.base or b"" for o in olds if o], shadows.BASE
    )
    old_bases: dict[int, dict[str, Any]] = dict(zip(partial, opened, strict=True))
    bases = list(reads.bases)
    held = kept.any(axis=1)
    for row in sorted({*np.flatnonzero(held).tolist(), *old_bases}):
        undecided = {s for p in np.flatnonzero(kept[row]) for s in lens.sources_of(int(p))}
        base = orjson.loads(bases[row])
        decided = [s for s in base if s not in undecided]
        bases[row] = orjson.dumps(shadows.decided_base(old_bases.get(row, {}), base, decided))
    sealed = ctx.keyring.seal_subject(goldens.keys(reads.hub_ids), reads.hub_ids, bases, shadows.BASE)
    # A parked cell that wakes is no read: what we wrote since the last one stays noted.
    wrote = [
        b is not None and bool(b.wrote) and (b.gate, b.stamp) == (reads.gates[row], reads.stamps[row])
        for row, b in enumerate(reads.before)
    ]
    columns = shadows.encode(
        lens, reads.link_ids, told.merged.shadow, reads.gates, reads.versions, reads.stamps, sealed, wrote
    )
    first = [row for row, b in enumerate(reads.before) if b is None]
    again = [row for row, b in enumerate(reads.before) if b is not None]
    links.insert_shadows(conn, {name: [column[r] for r in first] for name, column in columns.items()})
    links.upsert_shadows(conn, {name: [column[r] for r in again] for name, column in columns.items()})


def moments(micros: NDArray[np.int64]) -> list[datetime | None]:
    """Return microseconds since 1970 as timezone-aware times."""
    return [m.replace(tzinfo=UTC) for m in micros.astype("datetime64[us]").tolist()]


def _micros(stamp: datetime) -> int:
    return int(np.datetime64(stamp.replace(tzinfo=None), "us").astype(np.int64))
