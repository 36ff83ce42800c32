"""The nouns that travel between stages, and the canonical text form of values.

Belongs here: frozen dataclasses without behaviour, and the text form that hashing and merging rest on.
Not here: rules (specs/model.py), decisions (steps/), anything with I/O.

**Canonical text form.** Inside the library every field value is one `str` that is never null and starts with a tag:

    "-"              absent: the record does not say (not readable, not selected); never the same as null
    "0"              null: known to be empty
    "t:<text>"       text, long_text, email, phone, picklist
    "n:<decimal>"    number, normalised (no exponent, no trailing zeros, "-0" is "0")
    "b:1" / "b:0"    boolean
    "d:YYYY-MM-DD"   date (never an instant)
    "i:<iso>Z"       datetime, UTC, microseconds only where not zero
    "r:<id>"         reference: in a CRM's form the target's record id, in the hub's form the target's hub id (uuid
    text)

So the text "None", the text "nan", null and absent can never be taken for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from crm_sync.errors import ErrorClass

ABSENT: Final = "-"
NULL: Final = "0"

Texts = NDArray[np.object_]
"""One column of canonical texts: 1-d object array of `str`."""
Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]


class _Missing:
    """The type of MISSING."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""A source value that the record did not carry at all (canonical form: absent). `None` is a null that it did carry."""


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Records of one CRM object as a connector decoded them: columns of equal length and order.

    `values` maps source field name -> 1-d object array of JSON scalars as the CRM gave them (str, int, float, bool,
    None),
    or MISSING. An association mapped as a reference appears as a column of target record ids under its mapping's source
    name (e.g. "associations.companies"). `stamps` are datetime64[us] in UTC. `versions` are opaque: equal means
    unchanged;
    order is told by `stamps` alone. A deleted record carries MISSING in all values. `hub_ids` is what our external key
    field holds (None where empty or absent). `raw` holds one JSON document a record, as received, for landing.
    """

    connection: str
    entity: str
    object: str
    record_ids: list[str]
    versions: list[str]
    stamps: NDArray[np.datetime64]
    deleted: Mask
    merged_into: list[str | None]
    hub_ids: list[str | None]
    values: dict[str, NDArray[np.object_]]
    raw: list[bytes]

    def __len__(self) -> int:
        return len(self.record_ids)


@dataclass(slots=True)
class Page:
    """One page of a read.

    `made` is its batch, or what makes it: then that is done at first use, while the next page is on its way.
    `cursor` is an opaque text from which the same read resumes after this page (None: cannot resume here). On the last
    page
    `watermark` is the opaque text from which the next incremental read starts; it is None on all other pages.
    `calls` counts the API calls spent on this page.
    """

    made: SourceBatch | Callable[[], SourceBatch]
    cursor: str | None
    watermark: str | None
    calls: int = 1

    @property
    def batch(self) -> SourceBatch:
        """Return the records."""
        if not isinstance(self.made, SourceBatch):
            self.made = self.made()
        return self.made


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Command:
    """One intended write to one CRM record.

    `values` are source field name -> JSON scalar ready to send (None clears). `references` are source name of the
    reference
    -> target record id in this CRM (None clears). `version` and `stamp` are those last seen, for preconditions; None
    where
    not known (then the flow has read the record immediately before).
    """

    command_id: int
    action: Action
    hub_id: UUID
    record_id: str | None
    values: Mapping[str, Any]
    references: Mapping[str, str | None]
    version: str | None = None
    stamp: datetime | None = None


class Status(StrEnum):
    """What became of one command.

    DELIVERED  the CRM says it is written
    CHANGED    the precondition failed, or a create found the key taken: read the record, merge, plan again
    REFUSED    for good (dead letter)
    RETRY      not written, may work later
    UNKNOWN    no answer, or an ambiguous one: read back before anything else
    """

    DELIVERED = "delivered"
    CHANGED = "changed"
    REFUSED = "refused"
    RETRY = "retry"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one command, same order and length as the commands. `message` is free of field values.

    `fields` names the source fields whose values a refusal is about, `holder` the record that has such a value already,
    where the CRM says so.
    """

    command_id: int
    status: Status
    record_id: str | None = None
    version: str | None = None
    stamp: datetime | None = None
    error_class: ErrorClass | None = None
    code: str = ""
    message: str = ""
    retry_after_seconds: float | None = None
    fields: tuple[str, ...] = ()
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a connector can do; the contract suite and the deliver flow ask here first.

    `conditional_update`: an update with a stale `version`/`stamp` is refused by the CRM itself.
    `versions_in_receipts`: a delivered outcome carries the record's new version.
    `overlap_seconds`: how far an incremental read goes back behind its watermark.
    `precision`: the resolution of stamps in seconds.
    """

    conditional_update: bool
    versions_in_receipts: bool
    overlap_seconds: float
    precision_seconds: float
    read_page_size: int
    write_batch_size: int


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One field as the CRM describes it; `type` is the CRM's own word."""

    name: str
    type: str
    max_length: int | None = None
    options: tuple[str, ...] = ()
    readable: bool = True
    writable: bool = True
    unique: bool = False


@dataclass(frozen=True, slots=True)
class ObjectDescription:
    object: str
    fields: Mapping[str, FieldDescription] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProvisionStep:
    """One thing that must exist in the CRM before syncing: `needed` is False where it already does."""

    connection: str
    object: str
    what: str
    needed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Books:
    """Counts of one run, connection and entity (P5). `read = deduplicated + out_of_scope + unchanged + applied + lost
    + held`."""

    read: int = 0
    deduplicated: int = 0
    out_of_scope: int = 0
    unchanged: int = 0
    applied: int = 0
    lost: int = 0
    held: int = 0

    def balanced(self) -> bool:
        """Tell whether every record read has exactly one disposition."""
        rest = self.deduplicated + self.out_of_scope + self.unchanged + self.applied + self.lost + self.held
        return self.read == rest


def columns(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.object_]]:
    """Turn row mappings into object columns; a key that a row lacks becomes MISSING."""
    out: dict[str, NDArray[np.object_]] = {}
    for name in names:
        column = np.empty(len(rows), dtype=object)
        column[:] = [row.get(name, MISSING) for row in rows]
        out[name] = column
    return out
