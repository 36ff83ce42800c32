"""Match keys of golden records inside one transaction: remembered as records are read, written in bulk.

Belongs here: which match keys are to be written, and when. Not here: what a match key is (steps/matching), the SQL
(store/matchkeys), choosing among candidates (identify).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from crm_sync.records import NULL, Texts
from crm_sync.specs.model import EntitySpec
from crm_sync.steps.matching import Digester, Identity, Key, identities
from crm_sync.store import matchkeys
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

KeyRow = tuple[str, bytes, UUID]


class MatchKeys:
    """The match keys that one transaction has to write; they are verified at use, so that one too many does no harm."""

    def __init__(self, ctx: Context, conn: Connection, entity: EntitySpec) -> None:
        self._conn = conn
        self._entity = entity
        self._fields = tuple(dict.fromkeys(p.field for rule in entity.match_rules for p in rule.parts))
        self._digester = Digester(entity.name, ctx.keyring.match_key())
        self._waiting: dict[UUID, set[Key]] = {}
        self._told: dict[UUID, tuple[str, ...]] = {}
        self._alone: set[UUID] = set()

    def digests(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """Return the stored forms of match keys."""
        return self._digester.digests(keys)

    def know(self, digests: Mapping[Key, bytes]) -> None:
        """Take over stored forms of match keys that were made elsewhere."""
        self._digester.know(digests)

    def remember(self, hub_ids: Sequence[UUID], found: Sequence[Identity]) -> None:
        """Have match keys of golden records (their own or of a record linked to them) written."""
        for hub_id, identity in zip(hub_ids, found, strict=True):
            known = self._waiting.get(hub_id)
            if known is None:
                self._waiting[hub_id] = set(identity.keys)
            else:
                known.update(identity.keys)

    def remember_reads(
        self, hub_ids: Sequence[UUID], found: Sequence[Identity], texts: Mapping[str, Texts], rows: Sequence[int]
    ) -> None:
        """Have the match keys of records that were read written, given by their identities and texts, and where they
        stand in these."""
        self.remember(hub_ids, found)
        several = Counter(hub_ids)
        self._alone.update(h for h, reads in several.items() if reads == 1)
        never = np.full(len(rows), NULL, dtype=object)
        columns = [texts[n][rows].tolist() if n in texts else never for n in self._fields]
        self._told.update(zip(hub_ids, zip(*columns, strict=True), strict=True))

    def told_all(self, hub_id: UUID) -> bool:
        """Tell whether one read told all that a golden record that begins here can be recognised by."""
        return hub_id in self._alone

    def remember_own(self, hub_ids: Sequence[UUID], docs: Sequence[dict[str, str]]) -> None:
        """Have the match keys of golden records' documents written, but for those that say what the last read said."""
        told, fields = self._told.get, self._fields
        other = [
            row
            for row, (hub_id, doc) in enumerate(zip(hub_ids, docs, strict=True))
            if tuple([doc.get(name, NULL) for name in fields]) != told(hub_id)
        ]
        self.remember([hub_ids[r] for r in other], identities_of(self._entity, [docs[r] for r in other]))

    def write_new(self, hub_ids: Iterable[UUID]) -> None:
        """Write what is remembered of golden records of which nothing is written yet."""
        matchkeys.add_new(self._conn, self._entity.name, self._rows({h: self._waiting.pop(h, set()) for h in hub_ids}))

    def write(self) -> None:
        """Write all that is remembered still."""
        matchkeys.add(self._conn, self._entity.name, self._rows(self._waiting))
        self._waiting = {}

    def _rows(self, waiting: Mapping[UUID, set[Key]]) -> list[KeyRow]:
        # In the order of the index: what stands together there is written together.
        digest = self._digester.digest
        return sorted([(key[0], digest(key), hub_id) for hub_id, keys in waiting.items() for key in keys])


def identities_of(entity: EntitySpec, docs: Sequence[dict[str, str]]) -> list[Identity]:
    """Return the identities of documents."""
    columns = {}
    for field in entity.fields:
        column = np.empty(len(docs), dtype=object)
        column[:] = [d.get(field.name, NULL) for d in docs]
        columns[field.name] = column
    return identities(entity, columns, len(docs))
