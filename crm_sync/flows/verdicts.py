"""Tell what a merge decided: questions for people, parked references, audit rows, counts.

Belongs here: writing down decisions. Not here: making them (steps/merging), changing golden records (fold).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray

from crm_sync.flows import shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.flows.reads import Fold, Told
from crm_sync.records import Mask
from crm_sync.specs.model import Policy
from crm_sync.steps.hashing import unpack_masks
from crm_sync.steps.merging import Cell, Disposition
from crm_sync.store import audit, holding, hub, runs
from crm_sync.store.database import Connection
from crm_sync.store.forms import load_form
from crm_sync.store.outbox import Unsettled

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

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
    _resolved(ctx, conn, lens, told)
    return counts


def _resolved(ctx: Context, conn: Connection, lens: Lens, told: Told) -> None:
    """Tell of writes whose answer never came: this read shows that they were done."""
    audit.append(
        conn,
        ctx.run_id,
        (
            audit.Entry(
                "out",
                "sent",
                lens.name,
                lens.entity.name,
                lens.mapping.object,
                told.reads.record_ids[row],
                told.reads.hub_ids[row],
                fields=[
                    {"field": n, "decision": "SEND", "rule": "read_back"} for n in carried_fields(conn, lens, intent)
                ],
                result="resolved",
            )
            for row, intent in told.arrived.items()
        ),
    )


def carried_fields(conn: Connection, lens: Lens, intent: Unsettled) -> list[str]:
    """Name the fields that a write intent carries."""
    form = lens.form if intent.form_id == lens.form.form_id else load_form(conn, intent.form_id)
    mask = unpack_masks([intent.mask], len(form.fields))[0]
    return [name for name, carried in zip(form.fields, mask, strict=True) if carried]


def _questions(ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, told: Told) -> Counter[str]:
    reads, merged = told.reads, told.merged
    hold = merged.cells == Cell.HOLD
    linked_before = reads.linked_before()
    open_cells = holding.open_cells(conn, linked_before) if linked_before else []
    if not open_cells and not hold.any():
        return Counter()
    rows = {link_id: row for row, link_id in enumerate(reads.link_ids)}
    position = {f.name: p for p, f in enumerate(lens.fields)}
    crm, vectors = reads.hashes.view(np.int64), _hub_hashes(lens, goldens, told).view(np.int64)
    moot: list[int] = []
    opened: list[UUID] = []
    superseded: list[int] = []
    for cell in open_cells:
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
    linked_before = reads.linked_before()
    rows = {link_id: row for row, link_id in enumerate(reads.link_ids)}
    position = {f.name: p for p, f in enumerate(lens.fields)}
    over = [
        (link_id, name)
        for link_id, name in (holding.parked_cells(conn, linked_before) if linked_before else ())
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
    telling = np.isin(merged.cells, (Cell.TAKE, Cell.HOLD, Cell.WAIT)) | merged.conflict
    fresh = np.array([bool(by) for by in reads.linked_by], dtype=np.bool_)
    # A new link is a change, whatever its fields.
    dispositions = np.where(fresh, np.maximum(merged.disposition, Disposition.APPLIED), merged.disposition)
    counts = Counter({term: int((dispositions == d).sum()) for d, term in TERMS.items()})
    counts["updated"] = int(((dispositions == Disposition.APPLIED) & ~fresh).sum())
    counts = +counts
    rows = np.flatnonzero((dispositions != Disposition.UNCHANGED) | telling.any(axis=1))
    if rows.size:
        fields, documents = _fields(lens, goldens, told, telling, rows)
        ids = [reads.hub_ids[r] for r in rows]
        found = [Disposition(d) for d in dispositions[rows].tolist()]
        by = [reads.linked_by[r] for r in rows]
        audit.append_reads(
            conn,
            ctx.run_id,
            read_run_id,
            (lens.name, lens.entity.name, lens.mapping.object),
            {
                "action": [_action(linked_by, d) for linked_by, d in zip(by, found, strict=True)],
                "disposition": [TERMS[d] for d in found],
                "record_id": [reads.record_ids[r] for r in rows],
                "hub_id": ids,
                "fields": fields,
                "contents": shadows.seal(ctx, goldens, ids, documents, CONTENTS),
                "result": [linked_by or "ok" for linked_by in by],
            },
        )
    quiet = counts["unchanged"] - int((dispositions[rows] == Disposition.UNCHANGED).sum())
    if read_run_id is not None:
        runs.add_tally(conn, read_run_id, lens.name, lens.entity.name, {"unchanged": quiet})
    return counts


def _action(linked_by: str, disposition: Disposition) -> str:
    if linked_by == "new":
        return "created"
    if linked_by:
        return "linked"
    return {Disposition.HELD: "held", Disposition.LOST: "lost"}.get(disposition, "updated")


def _fields(
    lens: Lens, goldens: Goldens, told: Told, telling: Mask, rows: NDArray[np.intp]
) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Return of each row, for the cells that tell: what was decided, as JSON; and the values before and incoming."""
    codes, names = goldens.sources([told.reads.hub_ids[r] for r in rows])
    first = ~told.shadow.crm_known[rows]
    conflict, cells = told.merged.conflict[rows], told.merged.cells[rows]
    policies = np.array([list(Policy).index(f.policy) for f in lens.fields], dtype=np.int64)
    # Cells with the same number were decided alike, and are told together.
    alike = (codes[:, lens.places].astype(np.int64) << 16) | (cells.astype(np.int64) << 2) | (conflict << 1) | first
    alike = np.where(telling[rows], alike | np.where(conflict, policies << 8, 0), -1)
    words: dict[int, bytes] = {}

    def decision(code: int) -> bytes:
        found = words.get(code)
        if found is None:
            policy = list(Policy)[code >> 8 & 0xFF]
            told_so = _decision(lens, policy, Cell(code >> 2 & 0x3F), bool(code & 1), bool(code & 2), names[code >> 16])
            found = words[code] = b"]," + orjson.dumps(told_so)[1:]
        return found

    field_names = [f.name for f in lens.fields]
    quoted = [orjson.dumps(name) for name in field_names]
    known: dict[bytes, tuple[bytes, list[int]]] = {}

    def words_of(decided: NDArray[np.int64]) -> tuple[bytes, list[int]]:
        groups: dict[int, list[int]] = {}
        for place, code in enumerate(decided.tolist()):
            if code >= 0:
                groups.setdefault(code, []).append(place)
        parts = [b'{"fields":[' + b",".join([quoted[p] for p in g]) + decision(code) for code, g in groups.items()]
        return b"[" + b",".join(parts) + b"]", [p for g in groups.values() for p in g]

    fields: list[bytes] = []
    documents: list[dict[str, Any]] = []
    before, incoming = told.hub_before[rows].tolist(), told.reads.lifted[rows].tolist()
    for decided, was, came in zip(alike, before, incoming, strict=True):
        pattern = decided.tobytes()  # many rows were decided alike in all cells
        found = known.get(pattern)
        if found is None:
            found = known[pattern] = words_of(decided)
        fields.append(found[0])
        documents.append({field_names[p]: (was[p], came[p]) for p in found[1]})
    return fields, documents


def _decision(lens: Lens, policy: Policy, cell: Cell, first: bool, conflict: bool, source: str) -> dict[str, str]:
    if conflict:
        rule = "first_link" if first else policy.value
    else:
        rule = "first_read" if first else "one_side_changed"
    winner = lens.name if cell is Cell.TAKE else source
    return {"decision": cell.name, "rule": rule, "winner": winner or "hub"}
