"""Read one entity file: its fields and its match rules.

Belongs here: what a single entity file can be judged by alone. Not here: what needs other files (agreement.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from crm_sync.specs.model import EntitySpec, FieldSpec, FieldType, KeyPart, MatchRule, OnFirstLink, Policy
from crm_sync.specs.reading import Mistakes, Node, Section, suggest
from crm_sync.specs.vocabulary import NORMALISERS, OUTCOMES

TEXTUAL: Final = frozenset({FieldType.TEXT, FieldType.LONG_TEXT, FieldType.EMAIL, FieldType.PHONE})
RESERVED: Final = frozenset({"hub_id", "record_id", "connection", "entity"})


@dataclass(slots=True)
class EntityFile:
    """An entity spec and the lines of what other files may contradict: keys are "field" or "field.what"."""

    file: str
    spec: EntitySpec
    lines: dict[str, int] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    """Fields with a mistake of their own: their mappings are not judged by them."""


def read_entity(file: str, name: str, node: Node, mistakes: Mistakes) -> EntityFile | None:
    """Read an entity file named `name`; None where nothing usable stands in it."""
    top = Section(file, node, f"entity {name!r}", mistakes)
    if not top.entries:
        return None
    stated = top.text("entity", required=True, default=name)
    if stated != name:
        top.add(top.line("entity"), f"the file is named {name!r} but says entity {stated!r}", "make the two equal")
    out = EntityFile(file, EntitySpec(name, 1, ()), {"": node.line})
    version = int(top.number("version", default=1, low=1) or 1)
    sections = top.named("fields", "field", required=True)
    fields: tuple[FieldSpec, ...] = ()
    for field_name, section in sections:
        before = len(mistakes.found)
        fields += (_field(field_name, section, out.lines),)
        if len(mistakes.found) > before:
            out.unsure.add(field_name)
    if not sections and top.has("fields"):
        top.add(top.line("fields"), f"entity {name!r} has no fields; expected at least one")
    known = {f.name: f for f in fields}
    rules = _rules(top, known)
    out.spec = EntitySpec(name, version, fields, rules, top.text("description"), top.text("owner"))
    top.done()
    return out


def _field(name: str, section: Section, lines: dict[str, int]) -> FieldSpec:
    lines[name] = section.at
    if name in RESERVED:
        section.add(section.at, f"{name!r} cannot name a field; the hub uses it itself", f"rename it, e.g. {name}_text")
    kind = section.member("type", FieldType, FieldType.TEXT, required=True)
    told = section.has("type")
    limit = section.number("max_length", low=1, high=1_000_000)
    if told and limit is not None and kind not in TEXTUAL:
        section.add(section.line("max_length"), f"{section.what} is a {kind} and takes no max_length", "remove it")
    values = tuple(word for word, _ in section.words("values", required=told and kind is FieldType.PICKLIST))
    if told and values and kind is not FieldType.PICKLIST:
        section.add(
            section.line("values"), f"{section.what} is a {kind}; only a picklist has values", "use type: picklist"
        )
    target = section.text("target", required=told and kind is FieldType.REFERENCE) or None
    if told and target and kind is not FieldType.REFERENCE:
        section.add(
            section.line("target"), f"{section.what} is a {kind}; only a reference has a target", "use type: reference"
        )
    policy = section.member("policy", Policy, Policy.LAST_WRITE_WINS)
    restrictive = _restrictive(section, kind, policy, values)
    priority = section.words("priority")
    for word, line in priority:
        lines[f"{name}.priority.{word}"] = line
    lines[f"{name}.target"] = section.line("target")
    lines[f"{name}.required"] = section.line("required")
    if policy is Policy.FIELD_MERGE and not priority:
        section.add(
            section.line("policy"),
            f"{section.what} merges by priority but lists none",
            "add `priority: [strongest, ..., weakest]`",
        )
    spec = FieldSpec(
        name=name,
        type=kind,
        pii=section.flag("pii", default=True),
        required=section.flag("required", default=False),
        max_length=None if limit is None or kind not in TEXTUAL else int(limit),
        values=values if kind is FieldType.PICKLIST else (),
        target=target if kind is FieldType.REFERENCE else None,
        policy=policy,
        priority=tuple(word for word, _ in priority),
        on_first_link=section.member("on_first_link", OnFirstLink, OnFirstLink.PRIORITY),
        restrictive=restrictive,
        description=section.text("description"),
    )
    section.done()
    return spec


def _restrictive(section: Section, kind: FieldType, policy: Policy, values: tuple[str, ...]) -> str | None:
    node = section.take("restrictive", required=policy is Policy.MOST_RESTRICTIVE)
    if policy is not Policy.MOST_RESTRICTIVE:
        if node is not None:
            section.add(
                section.line("restrictive"),
                f"{section.what} names a restrictive value without the policy for it",
                "add `policy: most_restrictive`",
            )
        return None
    if kind not in (FieldType.BOOLEAN, FieldType.PICKLIST):
        section.add(
            section.line("policy"), f"{section.what} is a {kind}; most_restrictive needs a boolean or a picklist"
        )
        return None
    if node is None:
        return None
    if kind is FieldType.BOOLEAN:
        if isinstance(node.value, bool):
            return "b:1" if node.value else "b:0"
        section.add(node.line, f"'restrictive' of {section.what} is {node.shape}; expected true or false")
        return None
    if isinstance(node.value, str) and node.value in values:
        return f"t:{node.value}"
    hint = suggest(node.value, values) if isinstance(node.value, str) else ""
    section.add(node.line, f"'restrictive' of {section.what} is {node.shape}; expected one of its values", hint)
    return None


def _rules(top: Section, known: dict[str, FieldSpec]) -> tuple[MatchRule, ...]:
    rules: list[MatchRule] = []
    for node in top.nodes("match"):
        rule = Section(top.file, node, f"a match rule of {top.what}", top.mistakes)
        if not rule.usable:
            continue
        name = rule.text("name", required=True)
        if name and name in [r.name for r in rules]:
            rule.add(rule.line("name"), f"two match rules of {top.what} are named {name!r}", "give each its own name")
        parts = _parts(rule, "keys", known, required=True)
        veto = _parts(rule, "veto", known, required=False)
        outcome = rule.choice("outcome", OUTCOMES, default="link")
        rule.done()
        if name and parts:
            rules.append(MatchRule(name, parts, veto, outcome))
    return tuple(rules)


def _parts(rule: Section, key: str, known: dict[str, FieldSpec], *, required: bool) -> tuple[KeyPart, ...]:
    section = rule.section(key, f"{key!r} of {rule.what}", required=required)
    if section is None:
        return ()
    parts = []
    for name in section.entries:
        normaliser = section.choice(name, NORMALISERS, required=True)
        if name not in known:
            section.add(section.line(name), f"unknown field {name!r} in {section.what}", suggest(name, known))
        elif known[name].type is FieldType.REFERENCE:
            section.add(section.line(name), f"the reference {name!r} cannot be part of a match rule", "remove it")
        elif normaliser:
            parts.append(KeyPart(name, normaliser))
    return tuple(parts)
