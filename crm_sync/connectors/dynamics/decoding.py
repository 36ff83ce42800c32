"""Turn Dataverse's rows into a SourceBatch, and say what to select for that. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from crm_sync.records import SourceBatch, columns
from crm_sync.specs.model import FieldMapping, MappingSpec

LOOKUP_TYPE: Final = "@Microsoft.Dynamics.CRM.lookuplogicalname"
READ_AT: Final = "crm_sync.read_at"
"""Our addition to the documents of rows that are gone: Dataverse does not say when, so it is when we learnt it."""
_MERGED: Final = "merged"
_MASTER: Final = "_masterid_value"
_MERGEABLE: Final = frozenset({"account", "contact", "lead", "incident"})


def selection(mapping: MappingSpec) -> str:
    """Return the $select of an object: mapped and technical columns, and where it went if merged."""
    names = [*mapping.source_fields, mapping.external_key, mapping.stamp_field, mapping.id_field]
    if mapping.singular in _MERGEABLE:
        names += [_MERGED, _MASTER]
    return ",".join(dict.fromkeys(names))


def target_type(field: FieldMapping) -> str | None:
    """Return the only table whose rows count in a polymorphic lookup; None where the lookup has one target.

    Dataverse names the navigation property of each target `<column>_<table>` (parentcustomerid_account).
    """
    column = field.source.removeprefix("_").removesuffix("_value")
    if field.bind is not None and field.bind.startswith(f"{column}_"):
        return field.bind.removeprefix(f"{column}_")
    return None


def gone(record_id: str, read_at: datetime, reason: str = "deleted") -> dict[str, Any]:
    """Return the document of a row that is not there any more."""
    return {"id": record_id, "reason": reason, READ_AT: read_at.strftime("%Y-%m-%dT%H:%M:%SZ")}


def stamped(document: dict[str, Any], id_field: str, read_at: datetime) -> dict[str, Any]:
    """Add the time of reading to the document of a deleted row; other documents as they are."""
    if id_field in document or READ_AT in document:
        return document
    return {**document, READ_AT: read_at.strftime("%Y-%m-%dT%H:%M:%SZ")}


def batch(connection: str, mapping: MappingSpec, documents: Sequence[Mapping[str, Any]]) -> SourceBatch:
    """Return the documents (rows and stamped deleted ones) as a batch; a merged row counts as deleted."""
    names = mapping.source_fields
    lookups = {
        field.source: wanted
        for field in mapping.fields
        if field.source in names and (wanted := target_type(field)) is not None
    }
    rows: list[Mapping[str, Any]] = []
    record_ids: list[str] = []
    versions: list[str] = []
    stamps: list[str] = []
    deleted = np.zeros(len(documents), dtype=np.bool_)
    merged_into: list[str | None] = []
    hub_ids: list[str | None] = []
    for index, document in enumerate(documents):
        record_id = document.get(mapping.id_field)
        winner = document.get(_MASTER) if document.get(_MERGED) else None
        merged_into.append(winner)
        deleted[index] = record_id is None or bool(document.get(_MERGED))
        hub_ids.append(None if deleted[index] else document.get(mapping.external_key) or None)
        if record_id is None:
            record_ids.append(str(document["id"]).lower())
            versions.append(str(document.get("reason", "deleted")))
            stamps.append(document[READ_AT][:-1])
        else:
            record_ids.append(str(record_id))
            versions.append(str(document["@odata.etag"]))
            stamps.append(str(document[mapping.stamp_field]).removesuffix("Z"))
        rows.append({} if deleted[index] else _values(document, lookups))
    return SourceBatch(
        connection=connection,
        entity=mapping.entity,
        object=mapping.object,
        record_ids=record_ids,
        versions=versions,
        stamps=_stamps(stamps),
        deleted=deleted,
        merged_into=merged_into,
        hub_ids=hub_ids,
        values=columns(names, rows),
        raw=[orjson.dumps(document) for document in documents],
    )


def _values(document: Mapping[str, Any], lookups: Mapping[str, str]) -> Mapping[str, Any]:
    wrong = [
        name for name, wanted in lookups.items() if document.get(name) and document.get(name + LOOKUP_TYPE) != wanted
    ]
    if not wrong:
        return document
    return {**document, **dict.fromkeys(wrong)}


def _stamps(texts: Sequence[str]) -> NDArray[np.datetime64]:
    return np.array(texts, dtype="datetime64[us]")


def instant(text: str) -> datetime:
    """Parse a stamp as Dataverse gives it."""
    return datetime.fromisoformat(text)


def decode(connection: str, mapping: MappingSpec, raw: Sequence[bytes]) -> SourceBatch:
    """Rebuild a batch from its raw documents."""
    return batch(connection, mapping, [orjson.loads(document) for document in raw])
