"""A portrait of the whole world without stamps, ids of our making, and attempts: equal portraits are equal outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_sync.specs.model import FieldType
from tests.scenarios.reading import World, world
from tests.scenarios.stage import Stage

Name = tuple[str, ...]
"""A golden record, by the sorted labels of the records that people had made of it."""
Labels = Mapping[tuple[str, str], str]
"""(connection, record id) -> the label of a record that a person had made."""


def portrait(stage: Stage, known: Labels, entities: tuple[str, ...] = ("account", "contact")) -> dict[str, Any]:
    """Describe golden records, links, CRM records, and what is held, all by what people had made (`known`)."""
    worlds = {entity: world(stage, entity) for entity in entities}
    names = {e: _names(w, known) for e, w in worlds.items()}
    ids = {(x.connection, x.record_id): x.hub_id for w in worlds.values() for x in w.links}
    out: dict[str, Any] = {}
    for entity, now in worlds.items():
        where = {f.name: f.target for f in stage.specs.entities[entity].fields if f.type is FieldType.REFERENCE}

        def told(field: str, text: str, connection: str | None, where: dict[str, str | None] = where) -> object:
            target = where.get(field)
            if target is None or not text.startswith("r:"):
                return text
            hub_id = UUID(text[2:]) if connection is None else ids.get((connection, text[2:]))
            return names[target].get(hub_id, ("nobody",)) if hub_id else ("unlinked", text)

        out[f"{entity}: golden records"] = {
            names[entity][h]: {f: told(f, t, None) for f, t in texts.items()} for h, texts in now.golden.items()
        }
        out[f"{entity}: links"] = _links(now, names[entity], known)
        out[f"{entity}: CRM records"] = _counted(
            (
                connection,
                known.get((connection, record_id), "ours"),
                names[entity].get(ids.get((connection, record_id)), ("nobody",)),
                tuple(sorted((f, told(f, t, connection)) for f, t in texts.items())),
            )
            for (connection, record_id), texts in now.crm.items()
        )
    out["held"] = _held(stage, names, known)
    return out


def _names(now: World, known: Labels) -> dict[UUID | None, Name]:
    found: dict[UUID | None, list[str]] = {}
    for link in now.links:
        if (link.connection, link.record_id) in known:
            found.setdefault(link.hub_id, []).append(known[(link.connection, link.record_id)])
    names = {hub_id: tuple(sorted(refs)) for hub_id, refs in found.items()}
    assert len(set(names.values())) == len(now.golden), "a golden record stands for no record that people had made"
    return names


def _links(now: World, names: dict[UUID | None, Name], known: Labels) -> Any:
    return _counted(
        (
            names[x.hub_id],
            x.connection,
            known.get((x.connection, x.record_id), "ours"),
            x.is_primary,
            x.state,
        )
        for x in now.links
    )


def _held(stage: Stage, names: dict[str, dict[UUID | None, Name]], known: Labels) -> Any:
    every = {h: n for by in names.values() for h, n in by.items()}
    rows: list[tuple[Any, ...]] = [
        ("quarantined", known.get((c, r)), why)
        for c, r, why in stage.rows("select connection, record_id, reasons::text from quarantine")
    ]
    rows += [("review", every.get(h), *r) for h, *r in stage.rows(
        "select hub_id, kind, connection, field from review where state = 'open'")]  # fmt: skip
    rows += [("withheld", every.get(h), *r) for h, *r in stage.rows("select hub_id, connection, field from withheld")]
    rows += [
        ("outbox", every.get(h), *r) for h, *r in stage.rows("select hub_id, connection, state, action from outbox")
    ]
    rows += [("parked", every.get(h), *r) for h, *r in stage.rows("select hub_id, connection, field from parked_out")]
    return _counted(rows)


def _counted(rows: Any) -> dict[Any, int]:
    return dict(Counter(rows))


def twins(stage: Stage) -> list[tuple[str, str, str]]:
    """Return external keys that two live records of one CRM carry: records created twice."""
    found = []
    for (connection, entity), mapping in stage.specs.mappings.items():
        keys = Counter(r["values"].get(mapping.external_key) for r in stage.records(connection, entity).values())
        found += [(connection, entity, key) for key, count in keys.items() if key and count > 1]
    return found


def difference(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Tell in which entries two portraits differ, a few of each."""
    lines = []
    for part in one.keys() | other.keys():
        here, there = one.get(part, {}), other.get(part, {})
        wrong = [k for k in here.keys() | there.keys() if here.get(k) != there.get(k)]
        lines += [f"{part}: {k}\n    one:   {here.get(k)}\n    other: {there.get(k)}" for k in wrong[:5]]
        if len(wrong) > 5:
            lines.append(f"{part}: and {len(wrong) - 5} more")
    return lines
