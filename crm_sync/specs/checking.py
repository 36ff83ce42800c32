"""Tell what a loaded set of rules amounts to, for a person who checks it.

Belongs here: summaries of a SpecSet that loaded without mistakes. Not here: finding mistakes (loader.py), printing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crm_sync.specs.model import Direction, SpecSet


@dataclass(frozen=True, slots=True)
class Overview:
    """One entity in one connection: how many fields it has, which are mapped, and which of them lose something.

    `inward` and `outward` are fields mapped one way only, `unmapped` those that this CRM never sees, `provisioned` the
    source fields that `crm-sync provision` creates (the external key comes on top).
    """

    connection: str
    crm: str
    enabled: bool
    entity: str
    object: str
    fields: int
    mapped: int
    lossy: tuple[str, ...]
    inward: tuple[str, ...]
    outward: tuple[str, ...]
    unmapped: tuple[str, ...]
    provisioned: tuple[str, ...]
    scope_rules: int
    match_rules: int


def summary(specs: SpecSet) -> list[Overview]:
    """Return one overview a connection and entity, in the order of connections.yaml."""
    out = []
    for name, connection in specs.connections.items():
        for entity_name in specs.entities:
            if entity_name not in connection.entities:
                continue
            entity, mapping = specs.entities[entity_name], specs.mapping(name, entity_name)
            out.append(
                Overview(
                    connection=name,
                    crm=connection.crm,
                    enabled=connection.enabled,
                    entity=entity_name,
                    object=mapping.object,
                    fields=len(entity.fields),
                    mapped=len(mapping.fields),
                    lossy=tuple(f.field for f in mapping.fields if f.lossy),
                    inward=tuple(f.field for f in mapping.fields if f.direction is Direction.IN),
                    outward=tuple(f.field for f in mapping.fields if f.direction is Direction.OUT),
                    unmapped=tuple(f for f in entity.field_names if f not in mapping.mapped),
                    provisioned=tuple(f.source for f in mapping.fields if f.provision),
                    scope_rules=len(mapping.scope),
                    match_rules=len(entity.match_rules),
                )
            )
    return out


def unset(specs: SpecSet, environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (connection, what, variable) for each variable of an enabled connection that the environment lacks."""
    out = []
    for name, connection in specs.connections.items():
        if not connection.enabled:
            continue
        named = {"address": connection.address_env, **connection.secrets_env}
        out += [(name, what, variable) for what, variable in named.items() if not environment.get(variable)]
    return out
