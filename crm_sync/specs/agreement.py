"""Judge the rule files together: references, priorities, what connections sync, and the order of entities.

Belongs here: mistakes that one file alone cannot show. Not here: reading (entities.py, mappings.py, connections.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from crm_sync.specs.connections import ConnectionsFile, unknown_connection
from crm_sync.specs.entities import EntityFile
from crm_sync.specs.mappings import MappingFile
from crm_sync.specs.model import ConnectionSpec, FieldType, MappingSpec
from crm_sync.specs.reading import Mistakes, suggest

MappingFiles = Mapping[tuple[str, str], MappingFile]
"""Keyed by (directory in mappings/, entity)."""


def judge_entities(entities: Mapping[str, EntityFile], connections: Collection[str], mistakes: Mistakes) -> None:
    """Check targets, priorities and cycles of required references."""
    for file in entities.values():
        for one in file.spec.fields:
            if one.target is not None and one.target not in entities:
                mistakes.add(
                    file.file,
                    file.lines[f"{one.name}.target"],
                    f"field {one.name!r} refers to the unknown entity {one.target!r}",
                    suggest(one.target, entities),
                )
            for word in one.priority:
                if connections and word not in connections and word != "hub":
                    mistakes.add(
                        file.file,
                        file.lines[f"{one.name}.priority.{word}"],
                        f"the priority of {one.name!r} names the unknown connection {word!r}",
                        unknown_connection(word, connections),
                    )
    for cycle in _cycles(entities):
        file = entities[cycle[0]]
        spec = next(f for f in file.spec.references if f.required and f.target == cycle[1 % len(cycle)])
        mistakes.add(
            file.file,
            file.lines[f"{spec.name}.required"],
            "required references go round in a circle: "
            + " -> ".join([*cycle, cycle[0]])
            + "; no record of them could come first",
            "make one of them not required",
        )


def _cycles(entities: Mapping[str, EntityFile]) -> list[list[str]]:
    found: list[list[str]] = []
    seen: set[frozenset[str]] = set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            cycle = path[path.index(name) :]
            if frozenset(cycle) not in seen:
                seen.add(frozenset(cycle))
                first = cycle.index(min(cycle))
                found.append(cycle[first:] + cycle[:first])
            return
        for one in entities[name].spec.references:
            if one.required and one.target is not None and one.target in entities:
                walk(one.target, [*path, name])

    for name in entities:
        walk(name, [])
    return found


def judge_connections(
    connections: ConnectionsFile,
    entities: Collection[str],
    mappings: MappingFiles,
    broken: Collection[tuple[str, str]],
    mistakes: Mistakes,
) -> None:
    """Check that a connection's entities exist and are mapped; `broken` mapping files exist but cannot be read."""
    directories = {directory for directory, _ in [*mappings, *broken]}
    for name, spec in connections.specs.items():
        line = connections.lines[f"{name}.mappings"]
        if spec.mappings and spec.mappings not in directories:
            mistakes.add(
                connections.file,
                line,
                f"connection {name!r} uses the unknown directory mappings/{spec.mappings}",
                suggest(spec.mappings, directories),
            )
            continue
        for entity in spec.entities:
            at = connections.lines[f"{name}.entities.{entity}"]
            key = (spec.mappings, entity)
            if entity not in entities:
                mistakes.add(
                    connections.file,
                    at,
                    f"connection {name!r} syncs the unknown entity {entity!r}",
                    suggest(entity, entities),
                )
            elif key not in mappings and key not in broken:
                mistakes.add(
                    connections.file,
                    at,
                    f"connection {name!r} syncs {entity!r}, which has no mapping",
                    f"write mappings/{spec.mappings}/{entity}.yaml",
                )


def judge_references(entities: Mapping[str, EntityFile], mappings: MappingFiles, mistakes: Mistakes) -> None:
    """Check that a mapped reference points to the object in which its target lives, within one directory."""
    for (directory, entity), file in mappings.items():
        for mapped in file.spec.fields:
            spec = entities[entity].spec.field(mapped.field)
            if spec.type is not FieldType.REFERENCE or spec.target is None:
                continue
            target = mappings.get((directory, spec.target))
            if target is None:
                if spec.target in entities:
                    mistakes.add(
                        file.file,
                        file.lines[mapped.field],
                        f"the reference {mapped.field!r} needs {spec.target!r}, not mapped in mappings/{directory}",
                        f"write mappings/{directory}/{spec.target}.yaml, or do not map the reference",
                    )
                continue
            wanted = target.spec.object
            told = mapped.target_object or (mapped.association.to_object if mapped.association else wanted)
            if told and wanted and told != wanted:
                mistakes.add(
                    file.file,
                    file.lines[f"{mapped.field}.target_object"],
                    f"the reference {mapped.field!r} points to {told!r}, but {spec.target!r} lives in {wanted!r}",
                    f"did you mean {wanted!r}?",
                )


def ordered(entities: Mapping[str, EntityFile]) -> list[str]:
    """Return the entities so that the target of a reference comes first; circles of optional ones are cut."""
    out: list[str] = []

    def visit(name: str, path: frozenset[str]) -> None:
        if name in out or name in path:
            return
        for one in sorted(entities[name].spec.references, key=lambda f: not f.required):
            if one.target is not None and one.target in entities:
                visit(one.target, path | {name})
        out.append(name)

    for name in sorted(entities, key=lambda n: not any(f.required for f in entities[n].spec.references)):
        visit(name, frozenset())
    return out


def bound(
    connection: ConnectionSpec, file: MappingFile, target_objects: Mapping[str, str], entity: EntityFile
) -> MappingSpec:
    """Return a mapping as one connection uses it: its kind of CRM, its phone region, the targets of its references."""
    fields = []
    for mapped in file.spec.fields:
        spec = entity.spec.field(mapped.field)
        if mapped.transform == "phone" and "region" not in mapped.options:
            mapped = dataclasses.replace(mapped, options={**mapped.options, "region": connection.region})
        if spec.target is not None and mapped.target_object is None:
            mapped = dataclasses.replace(mapped, target_object=target_objects.get(spec.target))
        fields.append(mapped)
    return dataclasses.replace(file.spec, crm=connection.crm, fields=tuple(fields))
