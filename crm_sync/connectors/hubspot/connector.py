"""Put the parts together into the Connector that the registry hands out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from crm_sync.connectors.access import overlap_seconds
from crm_sync.connectors.hubspot.client import Client
from crm_sync.connectors.hubspot.completing import Completion
from crm_sync.connectors.hubspot.provisioning import Provisioning
from crm_sync.connectors.hubspot.reader import LIST_LIMIT, Reader
from crm_sync.connectors.hubspot.writer import WRITE_LIMIT, Writer
from crm_sync.ports import Lane, Services
from crm_sync.records import Capabilities, Command, ObjectDescription, Outcome, Page, ProvisionStep, SourceBatch
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec, MappingSpec

OVERLAP_SECONDS: Final = 60.0
"""The search index lags; integrators report up to about 30 seconds."""


class HubspotConnector:
    """Reads and writes one HubSpot account; safe to use from several threads."""

    crm = "hubspot"

    def __init__(self, connection: ConnectionSpec, services: Services, settings: Settings) -> None:
        self.name = connection.name
        self._overlap = overlap_seconds(connection, OVERLAP_SECONDS)
        self._client = Client(connection, services, settings)
        completion = Completion(self._client)
        self._reader = Reader(self._client, completion, timedelta(seconds=self._overlap))
        self._writer = Writer(self._client, self._reader, completion)
        self._provisioning = Provisioning(self._client)

    def capabilities(self, mapping: MappingSpec) -> Capabilities:
        """Say what HubSpot can do: no preconditions, versions in every receipt, stamps of a millisecond."""
        return Capabilities(
            conditional_update=False,
            versions_in_receipts=True,
            overlap_seconds=self._overlap,
            precision_seconds=0.001,
            read_page_size=LIST_LIMIT,
            write_batch_size=WRITE_LIMIT,
        )

    def describe(self, mapping: MappingSpec) -> ObjectDescription:
        """Return the properties of the object as HubSpot describes them now."""
        return self._provisioning.describe(mapping)

    def changes(self, mapping: MappingSpec, watermark: str | None, resume: str | None, lane: Lane) -> Iterator[Page]:
        """Read what was modified since the watermark (deletions never show); None: everything."""
        return self._reader.changes(mapping, watermark, resume, lane)

    def snapshot(
        self, mapping: MappingSpec, resume: str | None, lane: Lane, window: tuple[str, str] | None = None
    ) -> Iterator[Page]:
        """Read every live record, or those last modified within the window."""
        return self._reader.snapshot(mapping, resume, lane, window)

    def fetch(self, mapping: MappingSpec, record_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read records by id, one row an id; deleted and merged ones say so."""
        return self._reader.fetch(mapping, record_ids, lane)

    def fetch_by_key(self, mapping: MappingSpec, hub_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read records by the external key."""
        return self._reader.fetch_by_key(mapping, hub_ids, lane)

    def write(self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane) -> list[Outcome]:
        """Write in batches; one outcome a command, same order."""
        return self._writer.write(mapping, commands, lane)

    def provision(self, mapping: MappingSpec, *, apply: bool) -> list[ProvisionStep]:
        """List (with `apply` create) the unique external key and the fields of our own."""
        return self._provisioning.provision(mapping, apply=apply)

    def close(self) -> None:
        """Release sockets."""
        self._client.close()
