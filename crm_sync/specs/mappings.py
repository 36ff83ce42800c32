"""Read one mapping file: how an entity lives in one CRM.

Belongs here: the fields of a mapping judged against their entity. Not here: options of transforms (options.py), what
needs connections or other entities (agreement.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crm_sync.specs.entities import EntityFile
from crm_sync.specs.model import (
    Association,
    Direction,
    EntitySpec,
    FieldMapping,
    FieldSpec,
    FieldType,
    MappingSpec,
    OnInbound,
    ScopeRule,
)
from crm_sync.specs.options import read_options
from crm_sync.specs.reading import SOURCE, Mistakes, Node, Section, scalar_text, suggest
from crm_sync.specs.vocabulary import DEFAULT_TRANSFORM, OPERATORS, TRANSFORMS

ASSOCIATIONS = "associations."
_SOURCE = "a field name of the CRM (letters, digits, _)"


@dataclass(slots=True)
class MappingFile:
    """A mapping spec and its lines: "field", "field.<key>", "field.values.<word>", ".<key>" and ".scope.<source>"."""

    file: str
    spec: MappingSpec
    lines: dict[str, int] = field(default_factory=dict)


def read_mapping(
    file: str, crm: str, name: str, node: Node, known: EntityFile | None, mistakes: Mistakes
) -> MappingFile | None:
    """Read the mapping file of entity `name`; without a readable entity nothing can be judged."""
    top = Section(file, node, f"mapping of {name!r}", mistakes)
    if not top.entries or known is None:
        return None
    entity = known.spec
    stated = top.text("entity", required=True, default=name)
    if stated != name:
        top.add(top.line("entity"), f"the file is named {name!r} but says entity {stated!r}", "make the two equal")
    version = int(top.number("version", default=1, low=1) or 1)
    name_of_object = _source(top, "object")
    lines: dict[str, int] = {"": node.line, **{f".{key}": line for key, (_, line) in top.entries.items()}}
    fields: list[FieldMapping] = []
    sources = top.section("fields", f"'fields' of {top.what}", required=True)
    for key, (inner, line) in (sources.entries if sources else {}).items():
        section = Section(file, inner, f"field {key!r}", mistakes, line)
        lines[key] = line
        lines.update(_inner_lines(key, section))
        if key not in entity.field_names:
            section.add(line, f"entity {name!r} has no field {key!r}", suggest(key, entity.field_names))
            continue
        if key in known.unsure:
            continue
        mapped = _field(entity.field(key), section, lines)
        if mapped is not None:
            fields.append(mapped)
    spec = MappingSpec(
        crm=crm,
        entity=name,
        object=name_of_object,
        singular=_source(top, "singular", default=name_of_object),
        version=version,
        id_field=_source(top, "id_field"),
        stamp_field=_source(top, "stamp_field"),
        external_key=_source(top, "external_key"),
        fields=tuple(fields),
        scope=_scope(top, lines),
        create=top.flag("create", default=True),
    )
    top.done()
    _judge(top, entity, spec, lines, set(sources.entries) if sources else set())
    return MappingFile(file, spec, lines)


def _source(section: Section, key: str, *, default: str | None = None) -> str:
    return section.text(key, required=default is None, default=default or "", pattern=SOURCE, expected=_SOURCE)


def _field(spec: FieldSpec, section: Section, lines: dict[str, int]) -> FieldMapping | None:
    if not section.usable:
        return None
    source = _source(section, "source")
    transform = section.choice("transform", TRANSFORMS, default=DEFAULT_TRANSFORM[spec.type])
    if spec.type not in TRANSFORMS[transform].types:
        fitting = sorted(word for word, t in TRANSFORMS.items() if spec.type in t.types)
        section.add(
            section.line("transform"),
            f"transform {transform!r} does not serve {section.what}, which is a {spec.type}",
            "known: " + ", ".join(fitting),
        )
        transform = DEFAULT_TRANSFORM[spec.type]
    direction = section.member("direction", Direction, Direction.BOTH)
    options, lossy = read_options(section, spec, transform)
    on_inbound = section.member("on_inbound", OnInbound, OnInbound.REPLACE)
    if lossy and not section.has("on_inbound") and direction is not Direction.OUT:
        section.add(
            section.at,
            f"{section.what} loses: {lossy}",
            "say what a change made there does: `on_inbound: replace`, `review` or `ignore`",
        )
    if not lossy and section.has("on_inbound"):
        section.add(
            section.line("on_inbound"), f"{section.what} loses nothing, so on_inbound has no effect", "remove it"
        )
    association, bind, target_object = _reference(spec, source, section, lines)
    mapped = FieldMapping(
        field=spec.name,
        source=source,
        transform=transform,
        direction=direction,
        options=options,
        on_inbound=on_inbound,
        association=association,
        bind=bind,
        target_object=target_object,
        provision=section.flag("provision", default=False),
        lossy=bool(lossy),
    )
    section.done()
    return mapped


def _reference(
    spec: FieldSpec, source: str, section: Section, lines: dict[str, int]
) -> tuple[Association | None, str | None, str | None]:
    if spec.type is not FieldType.REFERENCE:
        for key in ("association", "bind", "target_object"):
            if section.take(key) is not None:
                section.add(
                    section.line(key), f"{section.what} is a {spec.type}; only a reference has {key!r}", "remove it"
                )
        return None, None, None
    lines[f"{spec.name}.target_object"] = section.line("target_object")
    target_object = section.text("target_object", pattern=SOURCE, expected=_SOURCE) or None
    bind = section.text("bind", pattern=SOURCE, expected=_SOURCE) or None
    inner = section.section("association", f"'association' of {section.what}")
    if source.startswith(ASSOCIATIONS) and inner is None:
        section.add(
            section.line("source"),
            f"{section.what} is kept as an association but says no type",
            "add `association: {type_id: ...}`",
        )
    if inner is None:
        return None, bind, target_object
    if not source.startswith(ASSOCIATIONS):
        section.add(
            section.line("source"),
            f"{section.what} has an association, so its source must start with {ASSOCIATIONS!r}",
            f"e.g. source: {ASSOCIATIONS}companies",
        )
    type_id = inner.number("type_id", low=1, required=True)
    label = inner.number("label_type_id", low=1)
    category = inner.text("category", default="HUBSPOT_DEFINED")
    inner.done()
    association = Association(
        to_object=source.removeprefix(ASSOCIATIONS),
        type_id=int(type_id or 0),
        category=category,
        label_type_id=None if label is None else int(label),
    )
    return association, bind, target_object


def _inner_lines(key: str, section: Section) -> dict[str, int]:
    found = {f"{key}.{inner}": line for inner, (_, line) in section.entries.items()}
    values = section.entries.get("values")
    if values is not None and isinstance(values[0].value, dict):
        found |= {f"{key}.values.{word}": line for word, (_, line) in values[0].value.items()}
    return found


def _scope(top: Section, lines: dict[str, int]) -> tuple[ScopeRule, ...]:
    rules = []
    for node in top.nodes("scope"):
        section = Section(top.file, node, f"a scope rule of {top.what}", top.mistakes)
        if not section.usable:
            continue
        source = _source(section, "source")
        operator = section.choice("operator", OPERATORS, required=True)
        values = []
        for item in section.nodes("values", required=operator in ("is", "is_not")):
            if isinstance(item.value, list | dict) or item.value is None:
                section.add(item.line, f"'values' of {section.what} holds {item.shape}; expected single values")
            else:
                values.append(scalar_text(item.value))
        if values and operator in ("filled", "empty"):
            section.add(
                section.line("values"), f"the operator {operator!r} of {section.what} takes no values", "remove them"
            )
        section.done()
        lines[f".scope.{source}"] = section.line("source")
        if source and operator:
            rules.append(ScopeRule(source, operator, tuple(values)))
    return tuple(rules)


def _judge(top: Section, entity: EntitySpec, spec: MappingSpec, lines: dict[str, int], written: set[str]) -> None:
    for one in entity.fields:
        if one.required and one.name not in written:
            top.add(
                top.line("fields"),
                f"the required field {one.name!r} of {entity.name!r} is not mapped",
                f"add `{one.name}: {{source: ...}}`",
            )
    taken: dict[str, str] = {}
    technical = {spec.id_field: "id_field", spec.stamp_field: "stamp_field", spec.external_key: "external_key"}
    for mapped in spec.fields:
        line = lines[mapped.field]
        if entity.field(mapped.field).required and mapped.direction is Direction.OUT:
            top.add(
                line,
                f"the required field {mapped.field!r} is mapped outward only, so no record could ever be read",
                "use direction: both or in",
            )
        if not mapped.source or mapped.direction is Direction.IN:
            continue
        if mapped.source in technical:
            top.add(
                line,
                f"{mapped.field!r} would be written to {mapped.source!r}, which is the {technical[mapped.source]}",
                "map another source, or use direction: in",
            )
        elif mapped.source in taken:
            top.add(
                line,
                f"{mapped.field!r} and {taken[mapped.source]!r} are both written to {mapped.source!r}",
                "let one of them have direction: in, or map another source",
            )
        else:
            taken[mapped.source] = mapped.field
