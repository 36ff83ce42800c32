"""Turn HubSpot's JSON records into a SourceBatch; pure, so that landing can be replayed.

A raw document is the record as received, plus what other calls told about it:

    "associations": {"companies": {"results": [...]}}   items {"id", "type"} from the list, or {"toObjectId",
                                                        "associationTypes"} from v4; the key is there whenever the
                                                        associations were read, so that none and unread differ
    "archived": true                                    the record is deleted ("goneAt": when that was seen)
    "mergedInto": "<id>"                                the record was merged into that one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from crm_sync.records import MISSING, SourceBatch, columns
from crm_sync.specs.model import FieldMapping, MappingSpec

Document = dict[str, Any]

SINGULAR: Final[Mapping[str, str]] = {
    "contacts": "contact",
    "companies": "company",
    "deals": "deal",
    "tickets": "ticket",
}
"""HubSpot's names of one record, as inline association types spell them ("contact_to_company")."""
EPOCH: Final = "1970-01-01T00:00:00"


def requested(mapping: MappingSpec) -> list[str]:
    """Return the properties to ask for: mapped ones, the external key, the stamp."""
    return list(dict.fromkeys((*mapping.source_fields, mapping.external_key, mapping.stamp_field)))


def encode(documents: Sequence[Document]) -> list[bytes]:
    """Return the raw form of documents, for landing."""
    return [orjson.dumps(document) for document in documents]


def decode(connection: str, mapping: MappingSpec, raw: Sequence[bytes]) -> SourceBatch:
    """Rebuild a batch from raw documents."""
    documents: list[Document] = [orjson.loads(one) for one in raw]
    return to_batch(connection, mapping, documents, raw)


def to_batch(
    connection: str, mapping: MappingSpec, documents: Sequence[Document], raw: Sequence[bytes] | None = None
) -> SourceBatch:
    """Make a batch of documents; deleted and merged ones carry MISSING in all values."""
    deleted = np.array([is_gone(one) for one in documents], dtype=bool)
    live: list[Mapping[str, Any]] = [{} if is_gone(one) else one.get("properties") or {} for one in documents]
    values = columns(mapping.source_fields, live)
    for reference in mapping.associations:
        values[reference.source] = _references(mapping, reference, documents)
    hub_ids: list[str | None] = [(one.get("properties") or {}).get(mapping.external_key) or None for one in documents]
    return SourceBatch(
        connection=connection,
        entity=mapping.entity,
        object=mapping.object,
        record_ids=[str(one["id"]) for one in documents],
        versions=[version_of(one) for one in documents],
        stamps=_stamps(documents),
        deleted=deleted,
        merged_into=[one.get("mergedInto") for one in documents],
        hub_ids=hub_ids,
        values=values,
        raw=encode(documents) if raw is None else list(raw),
    )


def is_gone(document: Document) -> bool:
    """Tell whether a document stands for a record that is deleted or merged away."""
    return bool(document.get("archived")) or document.get("mergedInto") is not None


def version_of(document: Document) -> str:
    """Return the opaque version: the stamp as HubSpot wrote it, told apart for what is gone."""
    if document.get("mergedInto"):
        return f"merged:{document['mergedInto']}"
    if document.get("archived"):
        return f"archived:{document.get('archivedAt') or ''}"
    return str(document.get("updatedAt") or "")


def stamp_of(document: Document) -> datetime | None:
    """Return the modification time of one record as HubSpot gave it, None where it gave none."""
    text = document.get("updatedAt")
    return datetime.fromisoformat(str(text)).astimezone(UTC) if text else None


def _stamps(documents: Sequence[Document]) -> NDArray[np.datetime64]:
    texts = [
        str((one.get("archivedAt") or one.get("goneAt") if is_gone(one) else None) or one.get("updatedAt") or EPOCH)
        for one in documents
    ]
    return np.array([text.removesuffix("Z") for text in texts], dtype="datetime64[us]")


def _references(mapping: MappingSpec, reference: FieldMapping, documents: Sequence[Document]) -> NDArray[np.object_]:
    assert reference.association is not None
    to_object = reference.association.to_object
    column = np.empty(len(documents), dtype=object)
    for row, document in enumerate(documents):
        associated = document.get("associations")
        if is_gone(document) or not isinstance(associated, dict) or to_object not in associated:
            column[row] = MISSING
        else:
            column[row] = counted(mapping, reference, associated[to_object].get("results") or [])
    return column


def counted(mapping: MappingSpec, reference: FieldMapping, items: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the one associated record that counts: the primary one, else the one with the lowest id, else None."""
    if not items:
        return None
    first = [target_id(item) for item in items if is_labelled(mapping, reference, item)]
    return min(first or [target_id(item) for item in items], key=lambda text: (len(text), text))


def target_id(item: Mapping[str, Any]) -> str:
    """Return the record id of an association item of either form (v4 gives a number)."""
    return str(item["toObjectId"] if "toObjectId" in item else item["id"])


def is_labelled(mapping: MappingSpec, reference: FieldMapping, item: Mapping[str, Any]) -> bool:
    """Tell whether an item carries the label (such as primary) that the mapping names."""
    association = reference.association
    if association is None or association.label_type_id is None:
        return False
    if "associationTypes" in item:
        return any(
            one.get("typeId") == association.label_type_id and one.get("category") == association.category
            for one in item["associationTypes"]
        )
    source = SINGULAR.get(mapping.object, mapping.singular)
    target = SINGULAR.get(association.to_object, association.to_object)
    return item.get("type") == f"{source}_to_{target}"
