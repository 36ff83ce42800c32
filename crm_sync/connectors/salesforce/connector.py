"""Put reader, writer and provisioning together as the connector of one Salesforce org."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from crm_sync.connectors.access import overlap_seconds
from crm_sync.connectors.salesforce.calls import PAGE_SIZE, Calls
from crm_sync.connectors.salesforce.provisioning import provision
from crm_sync.connectors.salesforce.reader import Reader
from crm_sync.connectors.salesforce.writer import CREATES_A_CALL, Writer
from crm_sync.ports import Lane, Services
from crm_sync.records import (
    Capabilities,
    Command,
    FieldDescription,
    ObjectDescription,
    Outcome,
    Page,
    ProvisionStep,
    SourceBatch,
)
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec, MappingSpec

OVERLAP_SECONDS: Final = 60.0
"""Rows are stamped inside their transaction and seen after its commit; longer transactions need the option."""


class SalesforceConnector:
    """Read and write one Salesforce org (see connectors/base.py)."""

    crm = "salesforce"

    def __init__(self, connection: ConnectionSpec, services: Services, settings: Settings) -> None:
        """Prepare without any call. Raises BadSettings for a wrong address, a missing secret or a bad option."""
        self.name = connection.name
        self._overlap = overlap_seconds(connection, OVERLAP_SECONDS)
        self._calls = Calls(connection, services, settings)
        self._reader = Reader(self._calls, self._overlap)
        self._writer = Writer(self._calls)

    def capabilities(self, mapping: MappingSpec) -> Capabilities:
        """Say what Salesforce can do: updates are conditional, receipts tell no version, stamps are whole seconds."""
        return Capabilities(
            conditional_update=True,
            versions_in_receipts=False,
            overlap_seconds=self._overlap,
            precision_seconds=1.0,
            read_page_size=PAGE_SIZE,
            write_batch_size=CREATES_A_CALL,
        )

    def describe(self, mapping: MappingSpec) -> ObjectDescription:
        """Return the object's fields; fields that field-level security hides are missing."""
        fields = (_field(raw) for raw in self._calls.describe(mapping.object)["fields"])
        return ObjectDescription(mapping.object, {field.name: field for field in fields})

    def changes(self, mapping: MappingSpec, watermark: str | None, resume: str | None, lane: Lane) -> Iterator[Page]:
        """Read what changed, the recycle bin included, in (SystemModstamp, Id) order."""
        return self._reader.changes(mapping, watermark, resume, lane)

    def snapshot(
        self, mapping: MappingSpec, resume: str | None, lane: Lane, window: tuple[str, str] | None = None
    ) -> Iterator[Page]:
        """Read every live record, or those last modified in the window."""
        return self._reader.snapshot(mapping, resume, lane, window)

    def fetch(self, mapping: MappingSpec, record_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read records by id."""
        return self._reader.fetch(mapping, record_ids, lane)

    def fetch_by_key(self, mapping: MappingSpec, hub_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read records by our external key."""
        return self._reader.fetch_by_key(mapping, hub_ids, lane)

    def write(self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane) -> list[Outcome]:
        """Write commands, 200 creates or 25 updates a call."""
        return self._writer.write(mapping, commands, lane)

    def provision(self, mapping: MappingSpec, *, apply: bool) -> list[ProvisionStep]:
        """List, and with `apply` create, the external key and the fields marked `provision`."""
        steps = provision(self._calls, mapping, apply=apply)
        self._reader.forget_fields(mapping)
        return steps

    def close(self) -> None:
        """Release sockets."""
        self._calls.close()


def _field(raw: dict[str, Any]) -> FieldDescription:
    return FieldDescription(
        name=raw["name"],
        type=raw["type"],
        max_length=raw["length"] or None,
        options=tuple(option["value"] for option in raw["picklistValues"] if option["active"]),
        writable=bool(raw["updateable"]),
        unique=bool(raw["unique"]),
    )
