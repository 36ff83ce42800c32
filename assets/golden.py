"""The asset family `hub`: golden records, one asset per entity.

Belongs here: assets over crm_sync/flows/absorb.py and propagate.py, and the checks of what they did.
Not here: reading CRMs (landing.py), writing to them (outbound.py).
"""

from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, AssetsDefinition, MaterializeResult, asset

from assets.naming import HUB, hub_key, landing_key, meaning, owners, streams
from assets.reporting import counted, plainly, unless_idle
from crm_sync.flows.absorb import absorb
from crm_sync.flows.propagate import propagate
from crm_sync.specs.model import EntitySpec, SpecSet
from resources.library import Library


def hub_assets(specs: SpecSet) -> list[AssetsDefinition]:
    """Build one asset per entity that is synced anywhere."""
    synced = {entity.name for _, entity in streams(specs)}
    return [_hub(specs, entity, synced) for entity in specs.entities.values() if entity.name in synced]


def _hub(specs: SpecSet, entity: EntitySpec, synced: set[str]) -> AssetsDefinition:
    sources = [connection.name for connection, other in streams(specs) if other.name == entity.name]
    targets = {f.target for f in entity.references if f.target in synced and f.target != entity.name}
    deps = [AssetDep(landing_key(name, entity.name), partition_mapping=AllPartitionMapping()) for name in sources]
    deps += [AssetDep(hub_key(target)) for target in sorted(filter(None, targets))]

    @asset(
        key=hub_key(entity.name),
        description=f"The golden records of {meaning(entity)}. Takes in every landed page of {', '.join(sources)}, "
        "merges by the rules, then plans what each of them must be told.",
        deps=deps,
        group_name=HUB,
        kinds={"postgres"},
        owners=owners(entity),
        metadata={"entity": entity.name, "fields": len(entity.fields), "spec_version": entity.version},
    )
    def merged(context: AssetExecutionContext, library: Library) -> MaterializeResult[None]:
        with plainly():
            reports = absorb(library.context, entity.name), propagate(library.context, entity.name)
        return unless_idle(context, counted(*reports), *reports)

    return merged
