"""The protocol that every connector keeps. One contract suite (tests/contract) runs against each of them.

Belongs here: the protocol. Not here: HTTP (transport.py), anything that names a CRM (its own package).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from crm_sync.ports import Lane
from crm_sync.records import Capabilities, Command, ObjectDescription, Outcome, Page, ProvisionStep, SourceBatch
from crm_sync.specs.model import MappingSpec


class Connector(Protocol):
    """Read and write one CRM account.

    Errors: BadCredentials, Unreachable, LimitReached, Refused, CursorExpired (errors.py); nothing of a vendor's leaks.
    """

    name: str
    crm: str

    def capabilities(self, mapping: MappingSpec) -> Capabilities:
        """Say what this CRM can do for an object."""
        ...

    def describe(self, mapping: MappingSpec) -> ObjectDescription:
        """Return the object's fields as the CRM describes them now."""
        ...

    def changes(self, mapping: MappingSpec, watermark: str | None, resume: str | None, lane: Lane) -> Iterator[Page]:
        """Read what changed since `watermark` (None: everything, and start a change stream), deletions included.

        `resume` is the `cursor` of a page of this same read that was committed before a crash. The watermark on the
        last page is taken before the first call. Records may come more than once, in any order. CursorExpired: read
        `snapshot`.
        """
        ...

    def snapshot(self, mapping: MappingSpec, resume: str | None, lane: Lane,
                 window: tuple[str, str] | None = None) -> Iterator[Page]:
        """Read every record (deleted ones may be left out); the last page carries a watermark for `changes`.

        `window` limits to records last modified in [from, to), ISO dates in UTC; then no watermark is given.
        """
        ...

    def fetch(self, mapping: MappingSpec, record_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read these records now, by id; ids that do not exist (any more) come back as deleted rows."""
        ...

    def fetch_by_key(self, mapping: MappingSpec, hub_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read the records whose external key is one of `hub_ids`, strongly consistent; others are left out."""
        ...

    def write(self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane) -> list[Outcome]:
        """Write, grouped into as few calls as the CRM allows; one outcome a command, same order.

        CREATE goes by the external key and never overwrites a record that exists (then: CHANGED). UPDATE is conditional
        on `version`/`stamp` where the CRM can. References are part of the write. A failed call that may have reached
        the CRM is UNKNOWN.
        """
        ...

    def provision(self, mapping: MappingSpec, *, apply: bool) -> list[ProvisionStep]:
        """List (with `apply`: create) what the CRM lacks: external key, fields marked `provision`, change tracking."""
        ...

    def close(self) -> None:
        """Release sockets."""
        ...


Secrets = Mapping[str, str]
