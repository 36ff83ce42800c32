"""Batches of source records: parts of them, their stamps, and what can be said of them without asking the store.

Belongs here: pure views on one batch. Not here: transactions (absorb, ingest), the decisions themselves (steps/).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from crm_sync.flows.lens import Lens
from crm_sync.records import MISSING, Hashes, Mask, Page, SourceBatch, Texts
from crm_sync.steps.matching import Identity, Key, identities
from crm_sync.steps.scoping import in_scope
from crm_sync.steps.validation import Reason, validate


@dataclass(frozen=True, slots=True)
class Judged:
    """What the records of a batch hold: canonical texts by field, their hashes (n, width), every reason of those that
    must be refused (by row), the identity of each, and its mapped source values as JSON (those that it carried);
    `digests` are the stored forms of match keys, as far as they are made already."""

    texts: dict[str, Texts]
    hashes: Hashes
    reasons: dict[int, list[Reason]]
    identities: list[Identity]
    bases: list[bytes]
    digests: Mapping[Key, bytes] = field(default_factory=dict)

    def part(self, rows: Sequence[int]) -> Judged:
        """Return what was judged of some records."""
        picked = np.array(rows, dtype=np.intp)
        return Judged(
            {name: column[picked] for name, column in self.texts.items()},
            self.hashes[picked],
            {place: self.reasons[row] for place, row in enumerate(rows) if row in self.reasons},
            [self.identities[row] for row in rows],
            [self.bases[row] for row in rows],
            self.digests,
        )


@dataclass(slots=True)
class Viewed:
    """A batch with its gates, scope and stamps, in its order; judged when first asked for.

    One that was judged elsewhere has come without the source values, of which nothing more is needed.
    """

    lens: Lens
    batch: SourceBatch
    gates: list[int]
    scope: Mask
    stamps: list[datetime]
    _judged: Judged | None = field(default=None)

    def judged(self) -> Judged:
        """Lift and validate all records, and say by what each is recognised."""
        if self._judged is None:
            entity, lifted = self.lens.entity, self.lens.lift(self.batch.values)
            reasons = validate(entity, self.lens.mapping, lifted)
            found = identities(entity, lifted.texts, len(self.batch))
            hashes = self.lens.hash(self.lens.texts(lifted.texts, len(self.batch)))
            self._judged = Judged(lifted.texts, hashes, reasons, found, self.lens.bases(self.batch))
        return self._judged

    def part(self, rows: Sequence[int]) -> Viewed:
        """Return some records of the batch."""
        return Viewed(
            self.lens,
            part(self.batch, rows),
            [self.gates[row] for row in rows],
            self.scope[np.array(rows, dtype=np.intp)],
            [self.stamps[row] for row in rows],
            self._judged and self._judged.part(rows),
        )


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


def joined_pages(pages: Iterable[Page], rows: int) -> Iterator[Page]:
    """Join pages of one read until they have at least so many rows; what came before an error is joined before it."""
    waiting: list[Page] = []
    held = 0
    try:
        for page in pages:
            held += len(page.batch)  # may raise: what came before is joined
            waiting.append(page)
            if held >= rows:
                yield _joined(waiting)
                waiting, held = [], 0
    except Exception:
        if waiting:
            yield _joined(waiting)
        raise
    if waiting:
        yield _joined(waiting)


def _joined(pages: Sequence[Page]) -> Page:
    first, last = pages[0].batch, pages[-1]
    if len(pages) == 1:
        return last
    batches = [page.batch for page in pages]
    names = list(dict.fromkeys(name for batch in batches for name in batch.values))
    whole = SourceBatch(
        connection=first.connection,
        entity=first.entity,
        object=first.object,
        record_ids=[i for b in batches for i in b.record_ids],
        versions=[v for b in batches for v in b.versions],
        stamps=np.concatenate([b.stamps for b in batches]),
        deleted=np.concatenate([b.deleted for b in batches]),
        merged_into=[m for b in batches for m in b.merged_into],
        hub_ids=[h for b in batches for h in b.hub_ids],
        values={n: np.concatenate([_column(b, n) for b in batches]) for n in names},
        raw=[r for b in batches for r in b.raw],
    )
    return Page(whole, last.cursor, last.watermark, sum(page.calls for page in pages))


def _column(batch: SourceBatch, name: str) -> NDArray[np.object_]:
    column = batch.values.get(name)
    return np.full(len(batch), MISSING, dtype=object) if column is None else column


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
