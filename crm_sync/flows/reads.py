"""What is folded and what comes of it: batches, reads of linked records, decisions, as plain data.

Belongs here: the shapes that folding, waking and telling share. Not here: folding (fold), telling (verdicts).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.records import Hashes, Mask, SourceBatch
from crm_sync.steps.matching import Placement
from crm_sync.steps.merging import Merged, Shadow
from crm_sync.store import links, outbox
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


@dataclass(frozen=True, slots=True)
class Fold:
    """One batch of valid, identified records. `texts`: (n, width) canonical texts, references by record id, `hashes`
    theirs; `bases` as in Reads."""

    ctx: Context
    conn: Connection
    lens: Lens
    goldens: Goldens
    batch: SourceBatch
    texts: NDArray[np.object_]
    hashes: Hashes
    bases: list[bytes]
    gates: list[int]
    placements: list[Placement]
    links: list[links.LinkRow | None]
    read_run_id: UUID
    meanwhile: Callable[[], None] = lambda: None
    """Called when only the server has something to do yet."""


@dataclass(frozen=True, slots=True)
class Reads:
    """n reads of linked records, ready to merge; all sequences have the same order.

    `before` is the link as stored (None: linked just now, by `linked_by`). `hashes` are those of `texts`, `lifted` the
    texts in the hub's form, where no reference is `pending`. `bases` are the source values carried, as JSON. `earliest`
    and `latest` bound the edit in microseconds.
    """

    hub_ids: list[UUID]
    link_ids: list[int]
    record_ids: list[str]
    before: list[links.LinkRow | None]
    linked_by: list[str]
    texts: NDArray[np.object_]
    hashes: Hashes
    lifted: NDArray[np.object_]
    pending: Mask
    bases: list[bytes]
    gates: list[int]
    versions: list[str | None]
    stamps: list[datetime | None]
    earliest: NDArray[np.int64]
    latest: NDArray[np.int64]

    def linked_before(self) -> list[int]:
        """Return the links that were there before; nothing can wait for those that were made just now."""
        return [i for i, link in zip(self.link_ids, self.before, strict=True) if link is not None]

    def rows(self, rows: Sequence[int]) -> Reads:
        """Return some of the reads."""
        if len(rows) == len(self.hub_ids):
            return self

        def pick(values: Sequence[Any]) -> list[Any]:
            return [values[r] for r in rows]

        index = np.array(rows, dtype=np.intp)
        return Reads(
            pick(self.hub_ids),
            pick(self.link_ids),
            pick(self.record_ids),
            pick(self.before),
            pick(self.linked_by),
            self.texts[index],
            self.hashes[index],
            self.lifted[index],
            self.pending[index],
            pick(self.bases),
            pick(self.gates),
            pick(self.versions),
            pick(self.stamps),
            self.earliest[index],
            self.latest[index],
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What a merge decided, with what is needed to tell about it."""

    reads: Reads
    shadow: Shadow
    merged: Merged
    arrived: dict[int, outbox.Unsettled]
    """Row -> the command under way whose values this read shows: it is settled by it."""
    hub_before: NDArray[np.object_]
    """(n, width) hub texts before, right in rows where a cell was taken, held or in conflict."""
