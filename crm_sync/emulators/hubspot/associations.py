"""Associations between records: both directions, labels beside the unlabeled type, one primary company.

Source: associations v4 guide. Changing an association does not move the stamps of the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from crm_sync.emulators.hubspot.association_types import AssociationTypes, Kind
from crm_sync.emulators.hubspot.catalog import Catalog
from crm_sync.emulators.hubspot.events import Events
from crm_sync.emulators.hubspot.refusals import refusal
from crm_sync.emulators.hubspot.sources import API, Source
from crm_sync.emulators.state import State

Row = tuple[str, str, str, str, int]


class Associations:
    """The associations of the portal."""

    def __init__(self, state: State, catalog: Catalog, types: AssociationTypes, events: Events) -> None:
        self.state, self._catalog, self.types, self._events = state, catalog, types, events

    # -- reading

    def pairs(self, from_object: str, ids: Sequence[str], to_object: str) -> dict[str, dict[str, list[Kind]]]:
        """Return from id -> to id -> its types, in the order of ids; from ids without any are left out."""
        kinds = self.types.of(from_object, to_object)
        out: dict[str, dict[str, list[Kind]]] = {}
        if not kinds:
            return out
        for id, found in self.state.associations(from_object, ids, to_object).items():
            for to_id, type_id in found:
                if type_id in kinds:
                    out.setdefault(id, {}).setdefault(to_id, []).append(kinds[type_id])
        return out

    def inline(self, from_object: str, ids: Sequence[str], wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return id -> object -> entries as lists give them: one entry a label, so ids repeat."""
        out: dict[str, dict[str, Any]] = {id: {} for id in ids}
        for to_object in wanted:
            for id, targets in self.pairs(from_object, ids, to_object).items():
                out[id][to_object] = [
                    {"id": to_id, "type": self.types.legacy_name(kind)}
                    for to_id, kinds in targets.items()
                    for kind in kinds
                ]
        return out

    # -- writing

    def relate(
        self, from_object: str, from_id: str, to_object: str, to_id: str, types: Any, *, default: bool = False,
        source: Source = API,
    ) -> list[str]:  # fmt: skip
        """Give a pair exactly these types (unlabeled always among them) and return its labels.

        `default` adds the unlabeled type and keeps the others.
        """
        unlabeled = self.types.unlabeled(from_object, to_object)
        ids = {unlabeled.id} if default else self.types.ids(from_object, to_object, types)
        for object, id in ((from_object, from_id), (to_object, to_id)):
            record = self.state.get(object, id)
            if record is None or record.deleted:
                raise refusal(
                    404,
                    "OBJECT_NOT_FOUND",
                    f"No {self._catalog.singular(object)} with ID {id} exists",
                    context={"fromObjectId": [from_id], "toObjectId": [to_id]},
                )
        kinds = [one for one in self.types.of(from_object, to_object).values() if one.id in ids | {unlabeled.id}]
        with self.state.transaction():
            if not default:
                self._unlink(from_object, from_id, to_object, to_id)
            if any(one.label == "Primary" for one in kinds):
                self._demote(from_object, from_id, to_object, to_id)
            self.state.associate(self._rows(from_id, to_id, kinds))
            self._tell(from_object, from_id, to_object, to_id, kinds, source, removed=False)
        return [one.label for one in kinds if one.label is not None]

    @staticmethod
    def _rows(from_id: str, to_id: str, kinds: Iterable[Kind]) -> list[Row]:
        rows: list[Row] = []
        for one in kinds:
            rows.append((one.from_object, from_id, one.to_object, to_id, one.id))
            rows.append((one.to_object, to_id, one.from_object, from_id, one.back))
        return rows

    def _tell(
        self, from_object: str, from_id: str, to_object: str, to_id: str, kinds: Sequence[Kind], source: Source, *,
        removed: bool,
    ) -> None:  # fmt: skip
        primary = any(one.label == "Primary" for one in kinds)
        for ends in ((from_object, from_id, to_object, to_id), (to_object, to_id, from_object, from_id)):
            self._events.association(*ends, source, removed=removed, primary=primary)

    def _unlink(self, from_object: str, from_id: str, to_object: str, to_id: str) -> int:
        return self.state.dissociate(
            [(from_object, from_id, to_object, to_id, None), (to_object, to_id, from_object, from_id, None)]
        )

    def _demote(self, from_object: str, from_id: str, to_object: str, to_id: str) -> None:
        """Take the primary label from what had it; the association stays."""
        if not self.types.single(from_object, to_object):
            from_object, from_id, to_object = to_object, to_id, from_object
        primary = self.types.primary(from_object, to_object)
        if primary is None:
            return
        for other, type_id in self.state.associations(from_object, [from_id], to_object).get(from_id, []):
            if type_id == primary.id:
                self.state.dissociate(self._rows(from_id, other, [primary]))

    def remove(self, from_object: str, from_id: str, to_object: str, to_id: str, source: Source = API) -> None:
        """Remove all types between two records; none there is fine."""
        self.types.known(from_object, to_object)
        with self.state.transaction():
            if self._unlink(from_object, from_id, to_object, to_id):
                self._tell(from_object, from_id, to_object, to_id, [], source, removed=True)

    def remove_labels(self, from_object: str, from_id: str, to_object: str, to_id: str, types: Any) -> None:
        """Remove labels; removing the unlabeled type removes all."""
        ids = self.types.ids(from_object, to_object, types)
        if self.types.unlabeled(from_object, to_object).id in ids:
            self.remove(from_object, from_id, to_object, to_id)
            return
        kinds = self.types.of(from_object, to_object)
        with self.state.transaction():
            if self.state.dissociate(self._rows(from_id, to_id, [kinds[id] for id in ids])):
                chosen = [kinds[id] for id in ids]
                self._tell(from_object, from_id, to_object, to_id, chosen, API, removed=True)

    def replace(self, from_object: str, from_id: str, to_object: str, to_ids: Sequence[str], source: Source) -> None:
        """Leave exactly these associations, the first of them primary (what a person does at the screen)."""
        self.types.known(from_object, to_object)
        kept = [*to_ids]
        for to_id, _ in self.state.associations(from_object, [from_id], to_object).get(from_id, []):
            self.remove(from_object, from_id, to_object, to_id, source)
        primary = self.types.primary(from_object, to_object)
        for at, to_id in enumerate(kept):
            first = primary is not None and (at == 0 or not self.types.single(from_object, to_object))
            wanted = [self.types.unlabeled(from_object, to_object)] + ([primary] if primary and first else [])
            if first:
                self._demote(from_object, from_id, to_object, to_id)
            self.state.associate(self._rows(from_id, to_id, wanted))
            self._tell(from_object, from_id, to_object, to_id, wanted, source, removed=False)

    def drop_all(self, object: str, id: str) -> None:
        """Remove all associations of a record that is gone."""
        for other in self.types.partners(object):
            for to_id in {to_id for to_id, _ in self.state.associations(object, [id], other).get(id, [])}:
                self._unlink(object, id, other, to_id)

    def move(self, object: str, old_ids: Sequence[str], new_id: str) -> None:
        """Give a merged record the associations of both; of two primary ones the first record's stays."""
        for other in self.types.partners(object):
            kinds = self.types.of(object, other)
            single, has_primary = self.types.single(object, other), False
            found = self.state.associations(object, old_ids, other)
            rows: list[Row] = []
            for old_id in old_ids:
                for to_id, type_id in found.get(old_id, []):
                    one = kinds.get(type_id)
                    if one is None or (to_id in old_ids and object == other):
                        continue
                    if single and one.label == "Primary":
                        if has_primary:
                            continue
                        has_primary = True
                    rows += self._rows(new_id, to_id, [one])
            for old_id in old_ids:
                for to_id, _ in found.get(old_id, []):
                    self._unlink(object, old_id, other, to_id)
            self.state.associate(rows)
