"""Tell what a merge decided: questions for people, parked references, audit rows, counts.

Belongs here: writing down decisions. Not here: making them (steps/merging), changing golden records (fold).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import orjson

from crm_sync.flows import shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.steps.merging import Cell, Disposition
from crm_sync.store import audit, holding, hub, runs
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context
    from crm_sync.flows.fold import Fold, Told

QUESTION = "review.question"
CONTENTS = "audit.contents"
TERMS = {
    Disposition.UNCHANGED: "unchanged",
    Disposition.LOST: "lost",
    Disposition.APPLIED: "applied",
    Disposition.HELD: "held",
}


def ask_about_matches(work: Fold, rows: Sequence[int]) -> Counter[str]:
    """Open a question for each record that could be several golden records, or may be one; it waits, whole."""
    if not rows:
        return Counter()
    ctx, lens, batch = work.ctx, work.lens, work.batch
    place = holding.Place(lens.name, lens.entity.name, batch.object, ctx.run_id)
    aad = f"review/{lens.name}/{lens.entity.name}".encode()
    documents = [
        orjson.dumps({"record": batch.raw[r].decode(), "candidates": [str(c) for c in work.placements[r].candidates]})
        for r in rows
    ]
    sealed = ctx.keyring.seal_day(ctx.clock.now().date(), documents, [aad] * len(rows))
    holding.ask(
        work.conn,
        place,
        (
            holding.Question("ambiguous_match", batch.record_ids[r], question, gate=work.gates[r])
            for r, question in zip(rows, sealed, strict=True)
        ),
    )
    audit.append(
        work.conn,
        ctx.run_id,
        (
            audit.Entry(
                "in",
                "held",
                lens.name,
                lens.entity.name,
                batch.object,
                batch.record_ids[r],
                None,
                disposition="held",
                read_run_id=work.read_run_id,
                fields=[{"field": "", "decision": "HOLD", "rule": work.placements[r].rule}],
            )
            for r in rows
        ),
    )
    return Counter(held=len(rows), in_review=len(rows))


def write(
    ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, told: Told, read_run_id: UUID | None
) -> Counter[str]:
    """Write down what was decided for n linked records; return the counts.

    `read_run_id` is the run that read them, whose books they stand in; None where nothing was read (a parked cell
    woke).
    """
    counts = _questions(ctx, conn, lens, goldens, told)
    counts += _parking(ctx, conn, lens, told)
    counts += _audit(ctx, conn, lens, goldens, told, read_run_id)
    fresh = [told.reads.record_ids[r] for r, by in enumerate(told.reads.linked_by) if by]
    holding.close_match_reviews(conn, lens.name, lens.mapping.object, fresh)
    return counts


def _questions(ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, told: Told) -> Counter[str]:
    reads, merged = told.reads, told.merged
    hold = merged.cells == Cell.HOLD
    rows = {link_id: row for row, link_id in enumerate(reads.link_ids)}
    position = {f.name: p for p, f in enumerate(lens.fields)}
    crm, vectors = lens.hash(reads.texts).view(np.int64), _hub_hashes(lens, goldens, told).view(np.int64)
    moot: list[int] = []
    opened: list[UUID] = []
    superseded: list[int] = []
    for cell in holding.open_cells(conn, reads.link_ids):
        row, place = rows[cell.link_id], position.get(cell.field)
        if place is None:
            moot.append(cell.review_id)  # the field is not mapped any more
        elif hold[row, place]:
            if (crm[row, place], vectors[row, place]) == (cell.crm_hash, cell.hub_hash):
                hold[row, place] = False  # the very question that is open
            else:
                superseded.append(cell.review_id)
        elif reads.texts[row, place] != "-":
            moot.append(cell.review_id)
            opened.append(reads.hub_ids[row])
    holding.close_reviews(conn, moot, "moot")
    # The cell was closed outbound: what the hub holds by now may have to be sent.
    hub.enqueue_changes(conn, lens.entity.name, opened)
    holding.close_reviews(conn, superseded, "superseded")
    cells = list(zip(*np.nonzero(hold), strict=True))
    if not cells:
        return Counter()
    documents = [
        {
            "incoming": reads.texts[r, p],
            "hub": told.hub_before[r, p],
            "stamp": reads.stamps[r].isoformat() if reads.stamps[r] else None,
            "hub_source": goldens.source(reads.hub_ids[r], int(lens.places[p])),
        }
        for r, p in cells
    ]
    sealed = shadows.seal(ctx, goldens, [reads.hub_ids[r] for r, _ in cells], documents, QUESTION)
    place_of = holding.Place(lens.name, lens.entity.name, lens.mapping.object, ctx.run_id)
    holding.ask(
        conn,
        place_of,
        (
            holding.Question(
                kind=_kind(told, r, p),
                record_id=reads.record_ids[r],
                question=question,
                hub_id=reads.hub_ids[r],
                link_id=reads.link_ids[r],
                field=lens.fields[p].name,
                crm_hash=int(crm[r, p]),
                hub_hash=int(vectors[r, p]),
            )
            for (r, p), question in zip(cells, sealed, strict=True)
        ),
    )
    return Counter(in_review=len(cells))


def _hub_hashes(lens: Lens, goldens: Goldens, told: Told) -> Any:
    # After taking: cells on hold were not taken, so these are the hashes that the question was asked about.
    return goldens.vectors(told.reads.hub_ids, lens.places)


def _kind(told: Told, row: int, position: int) -> str:
    if not told.shadow.crm_known[row, position]:
        return "first_link"
    return "conflict" if told.merged.conflict[row, position] else "lossy"


def _parking(ctx: Context, conn: Connection, lens: Lens, told: Told) -> Counter[str]:
    if not lens.references:
        return Counter()
    reads, wait = told.reads, told.merged.cells == Cell.WAIT
    rows = {link_id: row for row, link_id in enumerate(reads.link_ids)}
    position = {f.name: p for p, f in enumerate(lens.fields)}
    over = [
        (link_id, name)
        for link_id, name in holding.parked_cells(conn, reads.link_ids)
        if name not in position
        or (not wait[rows[link_id], position[name]] and reads.texts[rows[link_id], position[name]] != "-")
    ]
    holding.unpark_in(conn, over)
    hub.enqueue_changes(conn, lens.entity.name, [reads.hub_ids[rows[link_id]] for link_id, _ in over])
    parked = [
        holding.ParkedIn(
            reads.link_ids[row],
            reference.field,
            reference.target_object,
            reads.texts[row, reference.position][2:],
            int(reads.earliest[row]),
            int(reads.latest[row]),
        )
        for reference in lens.references
        for row in np.flatnonzero(wait[:, reference.position])
    ]
    holding.park_in(conn, lens.name, ctx.run_id, parked)
    return Counter(parked=len(parked))


def _audit(
    ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, told: Told, read_run_id: UUID | None
) -> Counter[str]:
    reads, merged = told.reads, told.merged
    counts: Counter[str] = Counter()
    telling = np.isin(merged.cells, (Cell.TAKE, Cell.HOLD, Cell.WAIT)) | merged.conflict
    entries: list[audit.Entry] = []
    documents: list[dict[str, Any]] = []
    for row, linked_by in enumerate(reads.linked_by):
        disposition = Disposition(int(merged.disposition[row]))
        if linked_by and disposition is not Disposition.HELD:
            disposition = Disposition.APPLIED  # a new link is a change, whatever its fields
        counts[TERMS[disposition]] += 1
        if disposition is Disposition.UNCHANGED and not telling[row].any():
            continue
        cells = np.flatnonzero(telling[row])
        entries.append(
            audit.Entry(
                "in",
                _action(linked_by, disposition),
                lens.name,
                lens.entity.name,
                lens.mapping.object,
                reads.record_ids[row],
                reads.hub_ids[row],
                disposition=TERMS[disposition],
                read_run_id=read_run_id,
                fields=[_field(lens, goldens, told, row, int(p)) for p in cells],
                result=linked_by or "ok",
            )
        )
        documents.append({lens.fields[p].name: [told.hub_before[row, p], told.lifted[row, p]] for p in cells})
        if not linked_by and disposition is Disposition.APPLIED:
            counts["updated"] += 1
    ids = [e.hub_id for e in entries if e.hub_id is not None]
    sealed = shadows.seal(ctx, goldens, ids, documents, CONTENTS)
    audit.append(
        conn,
        ctx.run_id,
        (dataclasses.replace(e, contents=blob) for e, blob in zip(entries, sealed, strict=True)),
    )
    quiet = counts["unchanged"] - sum(e.disposition == "unchanged" for e in entries)
    if read_run_id is not None:
        runs.add_tally(conn, read_run_id, lens.name, lens.entity.name, {"unchanged": quiet})
    return counts


def _action(linked_by: str, disposition: Disposition) -> str:
    if linked_by == "new":
        return "created"
    if linked_by:
        return "linked"
    return {Disposition.HELD: "held", Disposition.LOST: "lost"}.get(disposition, "updated")


def _field(lens: Lens, goldens: Goldens, told: Told, row: int, position: int) -> dict[str, Any]:
    field, cell = lens.fields[position], Cell(int(told.merged.cells[row, position]))
    first = not told.shadow.crm_known[row, position]
    if told.merged.conflict[row, position]:
        rule = "first_link" if first else field.policy.value
    else:
        rule = "first_read" if first else "one_side_changed"
    winner = lens.name if cell is Cell.TAKE else goldens.source(told.reads.hub_ids[row], int(lens.places[position]))
    return {"field": field.name, "decision": cell.name, "rule": rule, "winner": winner or "hub"}
