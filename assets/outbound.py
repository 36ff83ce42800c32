"""The asset family `outbound`: what each connection was told, one asset per connection and entity.

Belongs here: assets over crm_sync/flows/deliver.py. Not here: deciding what to tell (golden.py).
"""

from dagster import AssetDep, AssetExecutionContext, AssetsDefinition, MaterializeResult, asset

from assets.naming import OUTBOUND, hub_key, meaning, outbound_key, owners, streams
from assets.reporting import counted, noting, plainly, unless_idle
from crm_sync.flows.deliver import deliver
from crm_sync.specs.model import ConnectionSpec, EntitySpec, SpecSet
from resources.library import Library


def outbound_assets(specs: SpecSet) -> list[AssetsDefinition]:
    """Build one asset per connection and entity."""
    return [_outbound(specs, connection, entity) for connection, entity in streams(specs)]


def _outbound(specs: SpecSet, connection: ConnectionSpec, entity: EntitySpec) -> AssetsDefinition:
    # A contact can only be written once its account exists there.
    there = {other.name for one, other in streams(specs) if one.name == connection.name}
    targets = {f.target for f in entity.references if f.target in there and f.target != entity.name}
    deps = [AssetDep(hub_key(entity.name))]
    deps += [AssetDep(outbound_key(connection.name, target)) for target in sorted(filter(None, targets))]
    source = specs.mapping(connection.name, entity.name).object

    @asset(
        key=outbound_key(connection.name, entity.name),
        description=f"Tells {connection.name} what changed elsewhere: its {source}, from the golden records of "
        f"{meaning(entity)}.",
        deps=deps,
        group_name=OUTBOUND,
        kinds={connection.crm},
        owners=owners(entity),
        metadata={"connection": connection.name, "entity": entity.name, "object": source},
    )
    def sent(context: AssetExecutionContext, library: Library) -> MaterializeResult[None]:
        before = library.calls(connection.name)
        with plainly(), noting(library, connection.name):
            report = deliver(library.context, connection.name, entity.name)
        return unless_idle(context, counted(report, calls=library.calls(connection.name) - before), report)

    return sent
