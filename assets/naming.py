"""Keys, groups and labels of everything in the graph, from the specs alone.

Belongs here: names that more than one asset family, job or sensor uses. Not here: the assets themselves.
"""

from __future__ import annotations

import re

from dagster import AssetKey

from crm_sync.specs.model import ConnectionSpec, EntitySpec, SpecSet

LANDING, HUB, OUTBOUND, RECONCILIATION = "landing", "hub", "outbound", "reconciliation"


def landing_key(connection: str, entity: str) -> AssetKey:
    """Name the source pages of one entity of one connection."""
    return AssetKey([LANDING, connection, entity])


def hub_key(entity: str) -> AssetKey:
    """Name the golden records of one entity."""
    return AssetKey([HUB, entity])


def outbound_key(connection: str, entity: str) -> AssetKey:
    """Name what one connection was told about one entity."""
    return AssetKey([OUTBOUND, connection, entity])


def reconciliation_key(connection: str, entity: str) -> AssetKey:
    """Name the comparison of one connection with the hub about one entity."""
    return AssetKey([RECONCILIATION, connection, entity])


def streams(specs: SpecSet) -> list[tuple[ConnectionSpec, EntitySpec]]:
    """List (connection, entity) of everything that is synced, the targets of references first."""
    return [
        (connection, entity)
        for connection in specs.connections.values()
        if connection.enabled
        for entity in specs.entities.values()
        if (connection.name, entity.name) in specs.mappings
    ]


def meaning(entity: EntitySpec) -> str:
    """Say what an entity is, in the middle of a sentence: its name, and in brackets what its spec says."""
    text = entity.description.strip().rstrip(".")
    return f"{entity.name} ({text[0].lower()}{text[1:]})" if text else entity.name


def owners(entity: EntitySpec) -> list[str]:
    """Turn the owner of an entity spec into Dagster's form: an e-mail address, or team:<name>."""
    if not entity.owner:
        return []
    return [entity.owner] if "@" in entity.owner else ["team:" + re.sub(r"[^A-Za-z0-9_.-]+", "-", entity.owner)]
