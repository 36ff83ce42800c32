"""The Dynamics 365 connector, put together from its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crm_sync.connectors.dynamics.client import WebApi
from crm_sync.connectors.dynamics.provisioning import Metadata
from crm_sync.connectors.dynamics.reader import PAGE_ROWS, Reader
from crm_sync.connectors.dynamics.writer import PARTS_A_CALL, Writer
from crm_sync.ports import Lane, Services
from crm_sync.records import Capabilities, Command, ObjectDescription, Outcome, Page, ProvisionStep, SourceBatch
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec, MappingSpec


class DynamicsConnector:
    """Read and write one Dataverse environment (see connectors/base.py)."""

    crm = "dynamics"

    def __init__(self, connection: ConnectionSpec, services: Services, settings: Settings) -> None:
        """Prepare; nothing is called yet. Raises BadSettings for a missing address, secret or CA bundle."""
        self.name = connection.name
        self._api = WebApi(connection, services, settings)
        self._reader = Reader(self._api)
        self._writer = Writer(self._api, self._reader)
        self._metadata = Metadata(self._api)

    def capabilities(self, mapping: MappingSpec) -> Capabilities:
        """Say what Dataverse can do: the same for every table that has change tracking and optimistic concurrency."""
        return Capabilities(
            conditional_update=True,
            versions_in_receipts=True,
            overlap_seconds=0.0,
            precision_seconds=1.0,
            read_page_size=PAGE_ROWS,
            write_batch_size=PARTS_A_CALL,
        )

    def describe(self, mapping: MappingSpec) -> ObjectDescription:
        """Return the table's columns as they are now."""
        return self._metadata.describe(mapping)

    def changes(self, mapping: MappingSpec, watermark: str | None, resume: str | None, lane: Lane) -> Iterator[Page]:
        """Read by change tracking; every row comes once a call, in its present state, deletions with their id alone."""
        return self._reader.changes(mapping, watermark, resume, lane)

    def snapshot(
        self, mapping: MappingSpec, resume: str | None, lane: Lane, window: tuple[str, str] | None = None
    ) -> Iterator[Page]:
        """Read all rows and start a new change stream, or read a window of modification."""
        if window is not None:
            return self._reader.window(mapping, resume, lane, window)
        return self._reader.everything(mapping, resume, lane)

    def fetch(self, mapping: MappingSpec, record_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read rows by id, 300 a call."""
        return self._reader.fetch(mapping, record_ids, lane)

    def fetch_by_key(self, mapping: MappingSpec, hub_ids: Sequence[str], lane: Lane) -> SourceBatch:
        """Read rows by our external key, 300 a call."""
        return self._reader.fetch_by_key(mapping, hub_ids, lane)

    def write(self, mapping: MappingSpec, commands: Sequence[Command], lane: Lane) -> list[Outcome]:
        """Write through $batch, 100 a call."""
        return self._writer.write(mapping, commands, lane)

    def provision(self, mapping: MappingSpec, *, apply: bool) -> list[ProvisionStep]:
        """List (and create) the key column, its alternate key, mapped columns of ours, and change tracking."""
        return self._metadata.provision(mapping, apply=apply)

    def close(self) -> None:
        """Release sockets."""
        self._api.close()
