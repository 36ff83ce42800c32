"""Associations between contacts and companies: types, labels, both directions, one primary a contact.

Not emulated: labels that users define, other pairs of objects (501).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crm_sync.emulators.hubspot.refusals import Refusal, invalid, not_supported, refusal
from crm_sync.emulators.state import State

CATEGORY = "HUBSPOT_DEFINED"
UNLABELED = {("contacts", "companies"): 279, ("companies", "contacts"): 280}
PRIMARY = {("contacts", "companies"): 1, ("companies", "contacts"): 2}
SINGULAR = {"contacts": "contact", "companies": "company"}
TYPE_IDS = {"contacts": "0-1", "companies": "0-2"}
MAX_READ, MAX_CREATE = 1000, 2000

Types = Sequence[Mapping[str, Any]]


class Associations:
    """The associations of the portal."""

    def __init__(self, state: State) -> None:
        self.state = state

    # -- types

    def check_pair(self, from_object: str, to_object: str) -> None:
        """Refuse pairs of objects that are not emulated."""
        if (from_object, to_object) not in UNLABELED:
            raise not_supported(f"associations from {from_object} to {to_object}")

    def target_of(self, from_object: str, types: Types) -> str:
        """Return the object that association types lead to from an object."""
        ids = self._type_ids(types)
        for (source, target), unlabeled in UNLABELED.items():
            if source == from_object and ids <= {unlabeled, PRIMARY[source, target]}:
                return target
        raise self._wrong_way(from_object, ids)

    def _type_ids(self, types: Types) -> set[int]:
        ids: set[int] = set()
        for one in types:
            if not isinstance(one, Mapping) or not str(one.get("associationTypeId", "")).isdigit():
                raise invalid("Each association type needs associationCategory and associationTypeId.")
            if one.get("associationCategory") != CATEGORY:
                raise not_supported(f"association category {one.get('associationCategory')}")
            ids.add(int(one["associationTypeId"]))
        if not ids:
            raise invalid("At least one association type is required.")
        return ids

    def _wrong_way(self, from_object: str, ids: Iterable[int]) -> Refusal:
        listed = ", ".join(str(one) for one in sorted(ids))
        return invalid(f"invalid from object type {TYPE_IDS[from_object]} for association type {listed}")

    def labels(self, from_object: str, to_object: str) -> list[dict[str, Any]]:
        """Return the association types of a pair of objects."""
        self.check_pair(from_object, to_object)
        return [self._label(from_object, to_object, PRIMARY), self._label(from_object, to_object, UNLABELED)]

    @staticmethod
    def _label(from_object: str, to_object: str, kind: Mapping[tuple[str, str], int]) -> dict[str, Any]:
        label = "Primary" if kind is PRIMARY else None
        return {"category": CATEGORY, "typeId": kind[from_object, to_object], "label": label}

    # -- reading

    def read(self, from_object: str, ids: Sequence[str], to_object: str) -> dict[str, list[dict[str, Any]]]:
        """Return from id -> [{"toObjectId", "associationTypes"}] of live records; ids without any are left out."""
        primary = PRIMARY[from_object, to_object]
        out: dict[str, list[dict[str, Any]]] = {}
        for id, pairs in self.state.associations(from_object, ids, to_object).items():
            by_target: dict[str, list[int]] = {}
            for to_id, type_id in pairs:
                by_target.setdefault(to_id, []).append(type_id)
            out[id] = [
                {
                    "toObjectId": int(to_id),
                    "associationTypes": [
                        self._label(from_object, to_object, PRIMARY if one == primary else UNLABELED)
                        for one in sorted(type_ids)
                    ],
                }
                for to_id, type_ids in by_target.items()
            ]
        return out

    def inline(self, from_object: str, ids: Sequence[str], wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return id -> the `associations` of a record as lists give them: one entry a label, so ids repeat."""
        out: dict[str, dict[str, Any]] = {id: {} for id in ids}
        for to_object in wanted:
            self.check_pair(from_object, to_object)
            name = f"{SINGULAR[from_object]}_to_{SINGULAR[to_object]}"
            primary = PRIMARY[from_object, to_object]
            for id, pairs in self.state.associations(from_object, ids, to_object).items():
                entries = [
                    {"id": to_id, "type": name if type_id == primary else f"{name}_unlabeled"}
                    for to_id, type_id in sorted(pairs, key=lambda pair: (int(pair[0]), pair[1]))
                ]
                out[id][to_object] = {"results": entries}
        return out

    # -- writing

    def relate(
        self, from_object: str, from_id: str, to_object: str, to_id: str, types: Types, *, default: bool = False
    ) -> list[str]:
        """Give a pair exactly these types (unlabeled always among them) and return its labels.

        `default` adds the unlabeled type and keeps the others.
        """
        self.check_pair(from_object, to_object)
        ids = {UNLABELED[from_object, to_object]} if default else self._type_ids(types)
        if not ids <= {UNLABELED[from_object, to_object], PRIMARY[from_object, to_object]}:
            raise self._wrong_way(from_object, ids)
        for object, id in ((from_object, from_id), (to_object, to_id)):
            record = self.state.get(object, id)
            if record is None or record.deleted:
                raise refusal(
                    404,
                    "OBJECT_NOT_FOUND",
                    f"No {SINGULAR[object]} with ID {id} exists",
                    context={"fromObjectId": [from_id], "toObjectId": [to_id]},
                )
        primary = PRIMARY[from_object, to_object] in ids
        with self.state.transaction():
            if not default:
                self._unlink(from_object, from_id, to_object, to_id)
            if primary:
                contact = from_id if from_object == "contacts" else to_id
                self._demote(contact)
            self._link(from_object, from_id, to_object, to_id, primary=primary)
        return ["Primary"] if primary else []

    def _link(self, from_object: str, from_id: str, to_object: str, to_id: str, *, primary: bool) -> None:
        kinds = [UNLABELED, PRIMARY] if primary else [UNLABELED]
        self.state.associate(
            [(from_object, from_id, to_object, to_id, kind[from_object, to_object]) for kind in kinds]
            + [(to_object, to_id, from_object, from_id, kind[to_object, from_object]) for kind in kinds]
        )

    def _unlink(
        self, from_object: str, from_id: str, to_object: str, to_id: str, *, only_primary: bool = False
    ) -> None:
        there = PRIMARY[from_object, to_object] if only_primary else None
        back = PRIMARY[to_object, from_object] if only_primary else None
        self.state.dissociate(
            [(from_object, from_id, to_object, to_id, there), (to_object, to_id, from_object, from_id, back)]
        )

    def _demote(self, contact: str) -> None:
        """Take the primary label from a contact's company; the association stays."""
        for company, type_id in self.state.associations("contacts", [contact], "companies").get(contact, []):
            if type_id == PRIMARY["contacts", "companies"]:
                self._unlink("contacts", contact, "companies", company, only_primary=True)

    def remove(self, from_object: str, from_id: str, to_object: str, to_id: str) -> None:
        """Remove all types between two records; none there is fine."""
        self.check_pair(from_object, to_object)
        self._unlink(from_object, from_id, to_object, to_id)

    def remove_labels(self, from_object: str, from_id: str, to_object: str, to_id: str, types: Types) -> None:
        """Remove labels; removing the unlabeled type removes all."""
        self.check_pair(from_object, to_object)
        ids = self._type_ids(types)
        only_primary = UNLABELED[from_object, to_object] not in ids
        self._unlink(from_object, from_id, to_object, to_id, only_primary=only_primary)

    def replace(self, from_object: str, from_id: str, to_object: str, to_ids: Sequence[str]) -> None:
        """Leave exactly these associations, the first of them primary (what a person does at the screen)."""
        self.check_pair(from_object, to_object)
        for to_id, _ in self.state.associations(from_object, [from_id], to_object).get(from_id, []):
            self._unlink(from_object, from_id, to_object, to_id)
        for at, to_id in enumerate(to_ids):
            contact = from_id if from_object == "contacts" else to_id
            primary = at == 0 or from_object == "companies"
            if primary:
                self._demote(contact)
            self._link(from_object, from_id, to_object, to_id, primary=primary)

    def drop_all(self, object: str, id: str) -> None:
        """Remove all associations of a record that is gone."""
        for other in [to for source, to in UNLABELED if source == object]:
            for to_id, _ in self.state.associations(object, [id], other).get(id, []):
                self._unlink(object, id, other, to_id)

    def move(self, object: str, old_ids: Sequence[str], new_id: str) -> None:
        """Give a merged record the associations of both; of two primary ones the first record's stays."""
        for other in [to for source, to in UNLABELED if source == object]:
            found = self.state.associations(object, old_ids, other)
            primary = PRIMARY[object, other]
            has_primary = False
            for old_id in old_ids:
                pairs = found.get(old_id, [])
                for to_id in dict.fromkeys(to_id for to_id, _ in pairs):
                    as_primary = (to_id, primary) in pairs and not (has_primary and object == "contacts")
                    has_primary = has_primary or as_primary
                    self._link(object, new_id, other, to_id, primary=as_primary)
            for old_id in old_ids:
                self.drop_all(object, old_id)
