"""Turn Salesforce's JSON records into batches: pure translation, no calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from crm_sync.records import SourceBatch, columns
from crm_sync.specs.model import MappingSpec

TECHNICAL: Final = ("IsDeleted", "MasterRecordId")
_CHECK: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def long_id(record_id: str) -> str:
    """Return the 18-character form of a record id: three characters tell which of the first fifteen are capitals."""
    if len(record_id) != 15:
        return record_id
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << i for i, char in enumerate(record_id[start : start + 5]) if "A" <= char <= "Z")
        suffix += _CHECK[bits]
    return record_id + suffix


def selected(mapping: MappingSpec) -> tuple[str, ...]:
    """List the fields to ask for: technical ones, our key, and what the mapping reads."""
    wanted = (mapping.id_field, mapping.stamp_field, *TECHNICAL, mapping.external_key, *mapping.source_fields)
    return tuple(dict.fromkeys(wanted))


def literal(moment: datetime) -> str:
    """Write a moment as a SOQL datetime literal, UTC, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_text(moment: datetime) -> str:
    """Write a moment as Salesforce's JSON does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def moment_of(text: str) -> datetime:
    """Read a moment in Salesforce's JSON form, or in ISO form."""
    return datetime.fromisoformat(text).astimezone(UTC)


def stamps_of(texts: Sequence[str]) -> NDArray[np.datetime64]:
    """Read many moments; Salesforce always writes UTC ("+0000"), anything else is read the slow way."""
    plain = [t[:-5] if t.endswith("+0000") else t[:-1] if t.endswith("Z") else "" for t in texts]
    if not all(plain):
        plain = [moment_of(t).replace(tzinfo=None).isoformat() for t in texts]
    return np.array(plain, dtype="datetime64[us]")


def gone(mapping: MappingSpec, record_id: str, now: datetime) -> dict[str, Any]:
    """Make the record of an id that Salesforce no longer knows."""
    return {
        mapping.id_field: record_id,
        mapping.stamp_field: stamp_text(now),
        "IsDeleted": True,
        "MasterRecordId": None,
    }


def batch(connection: str, mapping: MappingSpec, records: Sequence[Mapping[str, Any]]) -> SourceBatch:
    """Make a batch of records as received; unknown fields are ignored, fields not in a record become MISSING."""
    deleted = np.array([bool(r.get("IsDeleted")) for r in records], dtype=np.bool_)
    versions = [str(r[mapping.stamp_field]) for r in records]
    merged = [r.get("MasterRecordId") for r in records]
    return SourceBatch(
        connection=connection,
        entity=mapping.entity,
        object=mapping.object,
        record_ids=[long_id(r[mapping.id_field]) for r in records],
        versions=versions,
        stamps=stamps_of(versions),
        deleted=deleted,
        merged_into=[long_id(m) if m else None for m in merged],
        hub_ids=[r.get(mapping.external_key) or None for r in records],
        values=columns(mapping.source_fields, [{} if r.get("IsDeleted") else r for r in records]),
        raw=[orjson.dumps(r) for r in records],
    )


def decode(connection: str, mapping: MappingSpec, raw: Sequence[bytes]) -> SourceBatch:
    """Rebuild a batch from its raw documents."""
    return batch(connection, mapping, [orjson.loads(document) for document in raw])
