"""Jobs: which assets run together. One run covers one connection, never one event or record.

Belongs here: jobs over the graph. Not here: when they run (sensors/).
"""

from __future__ import annotations

from collections.abc import Sequence

from dagster import AssetChecksDefinition, AssetKey, AssetSelection, define_asset_job
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.naming import hub_key, landing_key, outbound_key, reconciliation_key, streams
from crm_sync.specs.model import SpecSet

CONNECTION_TAG = "crm_sync/connection"


def sync_name(connection: str) -> str:
    """Name the job that reads one connection, merges, and tells it what changed."""
    return f"sync_{connection}"


def deliver_name(connection: str) -> str:
    """Name the job that only tells one connection what changed."""
    return f"deliver_{connection}"


def full_refresh_name(connection: str) -> str:
    """Name the job that reads one connection completely."""
    return f"full_refresh_{connection}"


def reconcile_name(connection: str) -> str:
    """Name the job that compares all of one connection with the hub."""
    return f"reconcile_{connection}"


def connections(specs: SpecSet) -> list[str]:
    """List the connections that sync anything, strongest first."""
    return list(dict.fromkeys(connection.name for connection, _ in streams(specs)))


def sync_jobs(specs: SpecSet, at_rest: Sequence[AssetChecksDefinition] = ()) -> list[UnresolvedAssetJobDefinition]:
    """Build the four jobs of every connection; the checks `at_rest` look at all records and are no part of them."""
    jobs = []
    for name in connections(specs):
        entities = [entity.name for connection, entity in streams(specs) if connection.name == name]
        landing = [landing_key(name, entity) for entity in entities]
        outbound = [outbound_key(name, entity) for entity in entities]
        everything: AssetSelection = AssetSelection.assets(
            *landing, *(hub_key(entity) for entity in entities), *outbound
        )
        if at_rest:
            everything = everything - AssetSelection.checks(*at_rest)
        tags = {CONNECTION_TAG: name}
        jobs += [
            define_asset_job(
                sync_name(name),
                everything,
                description=f"Read what changed in {name}, merge it, tell {name} what changed elsewhere.",
                tags=tags,
            ),
            define_asset_job(
                deliver_name(name),
                AssetSelection.assets(*outbound),
                description=f"Tell {name} what waits in the outbox.",
                tags=tags,
            ),
            define_asset_job(
                full_refresh_name(name),
                everything,
                description=f"Read {name} completely, whatever day is chosen; unchanged records cost no write.",
                config={"ops": full(landing)},
                tags=tags,
            ),
            define_asset_job(
                reconcile_name(name),
                AssetSelection.assets(*(reconciliation_key(name, entity) for entity in entities)),
                description=f"Compare all of {name} with hub and shadows; changes nothing.",
                tags=tags,
            ),
        ]
    return jobs


def full(landing: Sequence[AssetKey]) -> dict[str, object]:
    """Return the run configuration of a full read."""
    return {key.to_python_identifier(): {"config": {"full": True}} for key in landing}
