"""The worlds of worlds.py as the product sees them: hash vectors, merged and planned a batch at a time.

Where a hash has no meaning (unknown, not sent), it is that of the hub's value, so that looking at it goes wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crm_sync.records import Hashes, Mask
from crm_sync.steps import merging, planning
from crm_sync.steps.merging import Cell, HubSide, Incoming, Sent, Shadow
from crm_sync.steps.planning import Plan
from tests.unit.steps import reference_merger as slow
from tests.unit.steps.worlds import Field, Read, Rows, hashed


def grid(rows: Rows, of: Any, kind: Any = object) -> Any:
    """Collect one thing of every cell."""
    out = np.empty((len(rows), len(rows[0])), dtype=kind)
    for row, cells in enumerate(rows):
        for column, (cell, hub) in enumerate(cells):
            out[row, column] = of(cell, hub)
    return out


class Vectors:
    """A world in hashes; values are kept only where the product keeps them: hub documents, commands, bases."""

    def __init__(self, fields: list[Field], rows: Rows, key: str) -> None:
        self.key = key
        self.connection = fields[0].connection
        self.values = grid(rows, lambda _, hub: hub.value)
        self.source = grid(rows, lambda _, hub: hub.source)
        self.earliest = grid(rows, lambda _, hub: hub.earliest, np.int64)
        self.latest = grid(rows, lambda _, hub: hub.latest, np.int64)
        self.decided = grid(rows, lambda cell, _: cell.decided)
        self.sent_source = grid(rows, lambda cell, _: cell.sent[0] if cell.sent else slow.NOTHING)
        self.sent_hub = grid(rows, lambda cell, _: cell.sent[1] if cell.sent else slow.NOTHING)
        self.closed: Mask = grid(rows, lambda cell, _: cell.closed is not None, np.bool_)
        self.shadow = Shadow(
            hashed(grid(rows, lambda cell, hub: hub.value if cell.crm is slow.UNKNOWN else cell.crm), key),
            hashed(grid(rows, lambda cell, hub: hub.value if cell.hub is slow.UNKNOWN else cell.hub), key),
            grid(rows, lambda cell, _: cell.crm is not slow.UNKNOWN, np.bool_),
            grid(rows, lambda cell, _: cell.hub is not slow.UNKNOWN, np.bool_),
        )
        self.relearn(fields)

    def relearn(self, fields: list[Field]) -> None:
        """Take changed rules."""
        self.fields = fields
        self.plain = [f.rule() for f in fields]
        specs, mappings = [f.spec() for f in fields], [f.mapping() for f in fields]
        self.rules = merging.CellRules.build(specs, mappings, [f.ranks for f in fields], self.connection, self.key)
        self.sent = self._intents()

    def _intents(self) -> Sent:
        mask = np.array([[v is not slow.NOTHING for v in row] for row in self.sent_source], dtype=np.bool_)
        meaningless = self.values
        crm = hashed(np.where(mask, self.sent_source, meaningless), self.key)
        return Sent(crm, hashed(np.where(mask, self.sent_hub, meaningless), self.key), mask)

    def projected(self) -> tuple[Any, Mask]:
        """Show every hub value as the CRM would, and tell which can be shown."""
        shown = np.empty(self.values.shape, dtype=object)
        for column, rule in enumerate(self.plain):
            shown[:, column] = [rule.project(v) for v in self.values[:, column]]
        return shown, np.array([[v is not slow.UNPROJECTABLE for v in row] for row in shown], dtype=np.bool_)

    def read(self, sources: list[list[Any]], stamps: list[tuple[int, int]], sparing: bool) -> Read:
        """Absorb a batch; `sparing` projects only the cells that needs_projection names."""
        crm = np.empty(self.values.shape, dtype=object)
        lifted = np.empty(self.values.shape, dtype=object)
        for column, rule in enumerate(self.plain):
            crm[:, column] = [v if v is slow.ABSENT else rule.read(v) for v in (row[column] for row in sources)]
            lifted[:, column] = [v if v is slow.ABSENT else rule.lift(v) for v in crm[:, column]]
        incoming = Incoming(
            crm=hashed(crm, self.key),
            lifted=hashed(lifted, self.key),
            absent=_is(crm, slow.ABSENT),
            pending=_is(lifted, slow.PENDING),
            null=_is(crm, None),
            earliest=np.array([s[0] for s in stamps], dtype=np.int64),
            latest=np.array([s[1] for s in stamps], dtype=np.int64),
        )
        hashes = hashed(self.values, self.key)
        null = _is(self.values, None)
        shown, projectable = self.projected()
        projected = hashed(shown, self.key)
        if sparing:
            needed = merging.needs_projection(self.rules, incoming, self.shadow, hashes, null)
            projected = np.where(needed, projected, np.uint64(0))
            projectable = projectable & needed
        ranks = [[f.ranks[s] for f, s in zip(self.fields, row, strict=True)] for row in self.source]
        hub = HubSide(hashes, null, projected, projectable, np.array(ranks, dtype=np.int32), self.earliest, self.latest)
        merged = merging.merge(self.rules, incoming, self.shadow, hub, self.sent)
        self._take(merged, incoming, sources, lifted)
        assert np.array_equal(merged.hub, hashed(self.values, self.key)), "the hub's vector is not that of its values"
        decisions = [[Cell(c).name for c in row] for row in merged.cells]
        return decisions, merged.conflict.tolist(), [merging.Disposition(d).name.lower() for d in merged.disposition]

    def _take(self, merged: merging.Merged, incoming: Incoming, sources: Any, lifted: Any) -> None:
        self.shadow = merged.shadow
        values = np.empty(self.values.shape, dtype=object)
        values[:] = sources
        took = merged.took
        self.values = np.where(took, lifted, self.values)
        self.source = np.where(took | merged.vouched, self.connection, self.source)
        self.earliest = np.where(took, incoming.earliest[:, None], self.earliest)
        self.latest = np.where(took, incoming.latest[:, None], self.latest)
        settled = np.isin(merged.cells, [Cell.RECEIPT, Cell.AGREE, Cell.TAKE, Cell.STAND])
        self.decided = np.where(settled, values, self.decided)
        self.closed = np.where(incoming.absent, self.closed, np.isin(merged.cells, [Cell.HOLD, Cell.WAIT]))

    def plan(self) -> list[list[str]]:
        """Plan all cells, advance those that need no write, and commit the intents of those that do."""
        hashes = hashed(self.values, self.key)
        shown, projectable = self.projected()
        projected = hashed(shown, self.key)
        plans = planning.plan(self.rules, self.shadow, hashes, projected, projectable, self.closed, self.sent)
        self.shadow = planning.advanced(self.shadow, hashes, plans)
        send = plans == Plan.SEND
        self.sent_source = np.where(send, shown, self.sent_source)
        self.sent_hub = np.where(send, self.values, self.sent_hub)
        self.sent = self._intents()
        return [[Plan(p).name for p in row] for row in plans]

    def deliver(self) -> None:
        """Settle all intents as delivered."""
        self.shadow = planning.delivered(self.shadow, self.sent)
        self.decided = np.where(self.sent.mask, self.sent_source, self.decided)
        self.forget(np.ones(len(self.values), dtype=np.bool_))

    def forget(self, rows: Mask) -> None:
        """Drop the intents of some rows."""
        self.sent_source = np.where(rows[:, None], slow.NOTHING, self.sent_source)
        self.sent_hub = np.where(rows[:, None], slow.NOTHING, self.sent_hub)
        self.sent = self._intents()

    def reform(self, fields: list[Field], key: str) -> None:
        """Take a changed mapping or a rotated key, and recompute what is remembered."""
        unchanged = self.shadow.hub_known & (self.shadow.hub == hashed(self.values, self.key))
        self.key = key
        read, sent = np.empty(self.values.shape, dtype=object), np.empty(self.values.shape, dtype=object)
        for column, rule in enumerate(f.rule() for f in fields):
            read[:, column] = [v if v is slow.UNKNOWN else rule.read(v) for v in self.decided[:, column]]
            sent[:, column] = [v if v is slow.NOTHING else rule.read(v) for v in self.sent_source[:, column]]
        self.sent_source = sent
        self.relearn(fields)
        base = ~_is(self.decided, slow.UNKNOWN)
        self.shadow = merging.reform(hashed(read, key), base, unchanged, hashed(self.values, key))

    def copy_hub(self, rows: Rows) -> None:
        """Take over golden values that others gave."""
        self.values = grid(rows, lambda _, hub: hub.value)
        self.source = grid(rows, lambda _, hub: hub.source)
        self.earliest = grid(rows, lambda _, hub: hub.earliest, np.int64)
        self.latest = grid(rows, lambda _, hub: hub.latest, np.int64)

    def equals(self, rows: Rows) -> list[str]:
        """List where this world differs from the same world in plain values."""
        expected = Vectors(self.fields, rows, self.key)
        names = ("values", "source", "earliest", "latest", "closed")
        wrong = [name for name in names if not _alike(getattr(self, name), getattr(expected, name))]
        pairs = [("shadow", self.shadow, expected.shadow), ("sent", self.sent, expected.sent)]
        masks = {"crm": "crm_known", "hub": "hub_known"}
        for label, mine, theirs in pairs:
            for part in ("crm", "hub"):
                known = masks[part] if label == "shadow" else "mask"
                if not np.array_equal(getattr(mine, known), getattr(theirs, known)):
                    wrong.append(f"{label}.{known}")
                elif not _equal_where(getattr(mine, part), getattr(theirs, part), getattr(mine, known)):
                    wrong.append(f"{label}.{part}")
        return wrong


def _is(values: Any, thing: Any) -> Mask:
    return np.array([[v is thing for v in row] for row in values], dtype=np.bool_)


def _alike(mine: Any, theirs: Any) -> bool:
    pairs = zip(mine.ravel().tolist(), theirs.ravel().tolist(), strict=True)
    return all(slow.same(a, b) for a, b in pairs)


def _equal_where(mine: Hashes, theirs: Hashes, mask: Mask) -> bool:
    return bool(np.array_equal(mine[mask], theirs[mask]))
