"""Complete records with what HubSpot's record answers leave out: associations, and properties without a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from crm_sync.connectors.hubspot.client import Client
from crm_sync.connectors.hubspot.decoding import Document
from crm_sync.ports import Lane
from crm_sync.specs.model import FieldMapping, MappingSpec

ASSOCIATIONS_LIMIT: Final = 1000


class Completion:
    """Completes the records of one HubSpot account."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, frozenset[str]] = {}

    def read_associations(
        self, mapping: MappingSpec, reference: FieldMapping, ids: Sequence[str], lane: Lane
    ) -> dict[str, list[dict[str, Any]]]:
        """Return record id -> association items in v4's form ([] where there are none)."""
        to_object = to_object_of(reference)
        out: dict[str, list[dict[str, Any]]] = {id: [] for id in ids}
        waiting: list[dict[str, Any]] = [{"id": id} for id in out]
        while waiting:
            part, waiting = waiting[:ASSOCIATIONS_LIMIT], waiting[ASSOCIATIONS_LIMIT:]
            answer = self._client.call(
                f"{mapping.object}/{to_object}/associations/read",
                self._client.associations.get_page,
                mapping.object,
                to_object,
                {"inputs": part},
                lane=lane,
            )
            # Records without associations come as errors of a 207; they keep their empty list.
            for result in answer.get("results") or []:
                id = str(result["from"]["id"])
                out[id] += result.get("to") or []
                after = next_position(result)
                if after is not None:
                    waiting.append({"id": id, "after": after})
        return out

    def associate(self, mapping: MappingSpec, documents: Sequence[Document], lane: Lane) -> None:
        """Put the mapped associations into documents that came without."""
        if not documents:
            return
        for reference in mapping.associations:
            ids = [str(one["id"]) for one in documents]
            found = self.read_associations(mapping, reference, ids, lane)
            for id, document in zip(ids, documents, strict=True):
                document.setdefault("associations", {})[to_object_of(reference)] = {"results": found[id]}

    def complete_inline(self, mapping: MappingSpec, documents: Sequence[Document], lane: Lane) -> None:
        """Say "none" where a list left the key out, and read on where it gave only the first associations."""
        for reference in mapping.associations:
            to_object = to_object_of(reference)
            cut: list[Document] = []
            for document in documents:
                given = document.setdefault("associations", {}).setdefault(to_object, {"results": []})
                if next_position(given) is not None:
                    cut.append(document)
            if cut:
                found = self.read_associations(mapping, reference, [str(one["id"]) for one in cut], lane)
                for document in cut:
                    document["associations"][to_object] = {"results": found[str(document["id"])]}

    def fill_omitted(self, mapping: MappingSpec, documents: Sequence[Document], lane: Lane) -> None:
        """Make null what was asked for, exists, and was left out; what does not exist (or is unreadable) stays out."""
        wanted = mapping.source_fields
        omitted = {name for one in documents for name in wanted if name not in (one.get("properties") or {})}
        if not omitted:
            return
        if mapping.object not in self._known:
            listed = self._client.call(
                f"{mapping.object}/properties", self._client.properties.get_all, mapping.object, lane=lane
            )
            self._known[mapping.object] = frozenset(str(one["name"]) for one in listed.get("results") or [])
        for name in omitted & self._known[mapping.object]:
            for document in documents:
                document.setdefault("properties", {}).setdefault(name, None)


def to_object_of(reference: FieldMapping) -> str:
    """Return the object that a reference points to."""
    assert reference.association is not None
    return reference.association.to_object


def next_position(document: Mapping[str, Any]) -> str | None:
    """Return the `after` of the next page, None on the last."""
    after = ((document.get("paging") or {}).get("next") or {}).get("after")
    return None if after is None else str(after)
