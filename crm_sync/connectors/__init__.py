"""The only code that speaks HTTP to a CRM, and the registry of connectors: the one place that names a concrete CRM.

Belongs here: the protocol (base.py), what all connectors share (transport.py, access.py), one package per CRM.
Not here: SQL (store/), what to read or write and when (flows/), field rules (config/mappings/, steps/mapping.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, cast

from crm_sync.connectors.base import Connector
from crm_sync.errors import BadSettings
from crm_sync.ports import Services
from crm_sync.records import SourceBatch
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec, MappingSpec

_FACTORIES: Final[Mapping[str, str]] = {
    "salesforce": "crm_sync.connectors.salesforce.connector:SalesforceConnector",
    "hubspot": "crm_sync.connectors.hubspot.connector:HubspotConnector",
    "dynamics": "crm_sync.connectors.dynamics.connector:DynamicsConnector",
}
"""Kind of CRM -> "module:class", imported when first used: vendor libraries are dear to import."""

_DECODERS: Final[Mapping[str, str]] = {
    "salesforce": "crm_sync.connectors.salesforce.decoding:decode",
    "hubspot": "crm_sync.connectors.hubspot.decoding:decode",
    "dynamics": "crm_sync.connectors.dynamics.decoding:decode",
}
KINDS: Final = tuple(_FACTORIES)


def build(connection: ConnectionSpec, services: Services, settings: Settings) -> Connector:
    """Make the connector of a connection; BadSettings for an unknown kind of CRM or incomplete settings."""
    where = _FACTORIES.get(connection.crm)
    if where is None:
        raise BadSettings(
            f"{connection.name}: unknown kind of CRM {connection.crm!r} in connections.yaml; "
            f"known are {', '.join(KINDS)}."
        )
    return cast(Connector, _imported(where)(connection, services, settings))


def decode(connection: ConnectionSpec, mapping: MappingSpec, raw: Sequence[bytes]) -> SourceBatch:
    """Rebuild a batch from `SourceBatch.raw` documents; pure, for landing and replay."""
    return cast(SourceBatch, _imported(_DECODERS[connection.crm])(connection.name, mapping, raw))


def _imported(where: str) -> Callable[..., Any]:
    module, _, name = where.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
