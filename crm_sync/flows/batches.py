"""Batches of source records: parts of them, their stamps, and what can be said of them without asking the store.

Belongs here: pure views on one batch. Not here: transactions (absorb, ingest), the decisions themselves (steps/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from crm_sync.flows.lens import Lens
from crm_sync.records import Mask, SourceBatch
from crm_sync.steps.mapping import Lifted
from crm_sync.steps.scoping import in_scope
from crm_sync.steps.validation import Reason, validate


@dataclass(slots=True)
class Viewed:
    """A batch with its gates, scope and stamps, in its order; lifted and validated when first asked for."""

    lens: Lens
    batch: SourceBatch
    gates: list[int]
    scope: Mask
    stamps: list[datetime]
    _judged: tuple[Lifted, dict[int, list[Reason]]] | None = field(default=None)

    def judged(self) -> tuple[Lifted, dict[int, list[Reason]]]:
        """Return the canonical texts of all records, and every reason of those that must be refused, by row."""
        if self._judged is None:
            lifted = self.lens.lift(self.batch.values)
            self._judged = lifted, validate(self.lens.entity, self.lens.mapping, lifted)
        return self._judged

    def part(self, rows: Sequence[int] | range) -> Viewed:
        """Return some records of the batch, to be judged anew."""
        return view(self.lens, part(self.batch, rows))


def view(lens: Lens, batch: SourceBatch) -> Viewed:
    """Look at a batch under the rules of its stream."""
    gates = lens.gates(batch).tolist()
    return Viewed(lens, batch, gates, in_scope(lens.mapping, batch.values), stamps_of(batch))


def stamps_of(batch: SourceBatch) -> list[datetime]:
    """Return the stamps of all records as timezone-aware times."""
    return [moment.replace(tzinfo=UTC) for moment in batch.stamps.astype("datetime64[us]").tolist()]


def stamp_of(batch: SourceBatch, row: int) -> datetime:
    """Return the stamp of one record as a timezone-aware time."""
    moment: datetime = batch.stamps[row].astype("datetime64[us]").astype(datetime)
    return moment.replace(tzinfo=UTC)


def part(batch: SourceBatch, rows: Sequence[int] | range) -> SourceBatch:
    """Return some records of a batch."""
    if len(rows) == len(batch) and all(row == place for place, row in enumerate(rows)):
        return batch
    picked = np.array(list(rows), dtype=np.intp)
    return SourceBatch(
        connection=batch.connection,
        entity=batch.entity,
        object=batch.object,
        record_ids=[batch.record_ids[r] for r in picked],
        versions=[batch.versions[r] for r in picked],
        stamps=batch.stamps[picked],
        deleted=batch.deleted[picked],
        merged_into=[batch.merged_into[r] for r in picked],
        hub_ids=[batch.hub_ids[r] for r in picked],
        values={name: column[picked] for name, column in batch.values.items()},
        raw=[batch.raw[r] for r in picked],
    )


def newest(batch: SourceBatch) -> list[int]:
    """Return the rows to keep: of each record the one with the latest stamp, the last read where equal; in reading
    order."""
    if len(set(batch.record_ids)) == len(batch):
        return list(range(len(batch)))
    best: dict[str, int] = {}
    for row, record_id in enumerate(batch.record_ids):
        other = best.get(record_id)
        if other is None or batch.stamps[row] >= batch.stamps[other]:
            best[record_id] = row
    return sorted(best.values())
