"""Read back what the three CRMs and the hub hold, as rows in the hub's words, by other ways than the flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from crm_sync.flows.context import Context
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import doc_texts
from crm_sync.records import ABSENT, NULL, columns
from crm_sync.specs.model import Direction, FieldType, SpecSet
from crm_sync.steps.hashing import hash_texts
from crm_sync.steps.mapping import crm_form, lift_batch
from tests.scenarios.stage import Stage

Texts = dict[str, str]
"""Field -> canonical text."""


@dataclass(frozen=True, slots=True)
class Link:
    """One row of the crosswalk."""

    link_id: int
    hub_id: UUID
    connection: str
    record_id: str
    is_primary: bool
    state: str
    linked_by: str


@dataclass(frozen=True, slots=True)
class World:
    """All that is known of one entity: golden records, crosswalk, and what stands in each CRM (references by id)."""

    golden: dict[UUID, Texts]
    links: list[Link]
    crm: dict[tuple[str, str], Texts]

    def of(self, connection: str, record_id: str) -> UUID:
        """Return the golden record of a CRM record."""
        return next(x.hub_id for x in self.links if (x.connection, x.record_id) == (connection, record_id))

    def places(self, hub_id: UUID) -> dict[str, str]:
        """Return connection -> record id of the live primary links of a golden record."""
        return {
            x.connection: x.record_id for x in self.links if x.hub_id == hub_id and x.is_primary and x.state == "live"
        }


def well_known(stage: Stage, entity: str) -> list[tuple[UUID, dict[str, str]]]:
    """Return (golden record, connection -> record id) of those with one record in every CRM and nothing open."""
    now = world(stage, entity)
    open_ = {
        h
        for (h,) in stage.rows(
            "select hub_id from outbox union select hub_id from parked_out union select hub_id from withheld"
        )
    }
    open_ |= {h for (h,) in stage.rows("select hub_id from review where state = 'open' and hub_id is not null")}
    every = sorted({x.connection for x in now.links})
    where: dict[UUID, list[str]] = {}
    for link in now.links:
        where.setdefault(link.hub_id, []).append(link.connection)
    return [
        (h, now.places(h))
        for h, names in where.items()
        if sorted(names) == every and h in now.golden and h not in open_
    ]


def world(stage: Stage, entity: str) -> World:
    """Read everything there is of one entity."""
    with stage.opened("look") as ctx:
        golden = _golden(ctx, entity)
        rows = stage.rows(
            "select link_id, hub_id, connection, record_id, is_primary, state, linked_by from identity_link "
            "where entity = %s order by link_id",
            [entity],
        )
        specs = ctx.specs
    crm: dict[tuple[str, str], Texts] = {}
    for connection, of in specs.mappings:
        if of == entity:
            crm |= _lifted(stage, specs, connection, entity)
    return World(golden, [Link(*row) for row in rows], crm)


def _golden(ctx: Context, entity: str) -> dict[UUID, Texts]:
    with ctx.database.transaction() as conn:
        found = conn.execute(
            "select hub_id from hub_record where entity = %s and united_into is null order by hub_id", [entity]
        )
        hub_ids = [row[0] for row in found.fetchall()]
        goldens = Goldens(ctx, conn, ctx.entity(entity), ctx.streams(entity)[0].hub_form)
        goldens.load(hub_ids)
        docs = goldens.docs(hub_ids)
        _vectors_tell_the_truth(ctx, goldens, hub_ids, docs)
    names = ctx.entity(entity).field_names
    return {h: {n: doc.get(n, NULL) for n in names} for h, doc in zip(hub_ids, docs, strict=True)}


def _vectors_tell_the_truth(ctx: Context, goldens: Goldens, hub_ids: list[UUID], docs: list[dict[str, str]]) -> None:
    if not hub_ids:
        return
    fields = goldens._entity.fields
    stored = goldens.vectors(hub_ids, np.arange(len(fields)))
    assert (stored == hash_texts(doc_texts(docs, fields), ctx.vector_key)).all(), (
        "a stored vector is not its document's"
    )


def _lifted(stage: Stage, specs: SpecSet, connection: str, entity: str) -> dict[tuple[str, str], Texts]:
    mapping = specs.mapping(connection, entity)
    records = stage.records(connection, entity)
    documents: list[dict[str, Any]] = []
    for record in records.values():
        values = record["values"]
        # The pretend CRMs keep only what is filled: what is not there is empty.
        document = {f.source: values.get(f.source) for f in mapping.fields if f.association is None}
        for mapped in mapping.associations:
            assert mapped.association is not None
            document[mapped.source] = next(iter(record["associations"].get(mapped.association.to_object, [])), None)
        documents.append(document)
    sources = [f.source for f in mapping.fields]
    lifted = lift_batch(specs.entities[entity], mapping, specs.connections[connection], columns(sources, documents))
    return {
        (connection, record_id): {name: str(texts[row]) for name, texts in lifted.texts.items()}
        for row, record_id in enumerate(records)
    }


@dataclass(frozen=True, slots=True)
class Difference:
    """One cell in which a CRM does not show what the hub holds."""

    connection: str
    record_id: str
    field: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of comparing all linked records: what differs, what may (by reason), and how many cells agree."""

    differences: list[Difference]
    excused: dict[str, list[tuple[str, str, str]]]
    equal: int


def compare(stage: Stage, entity: str) -> Comparison:
    """Hold every live primary link against the hub, field by field, in the CRM's own projection."""
    now = world(stage, entity)
    specs = stage.specs
    excuses = _excuses(stage, entity)
    crosswalk = _Crosswalk(stage)
    differences: list[Difference] = []
    excused: dict[str, list[tuple[str, str, str]]] = {}
    equal = 0
    for link in now.links:
        if not link.is_primary or link.state != "live":
            continue
        mapping = specs.mapping(link.connection, entity)
        shown = now.crm.get((link.connection, link.record_id))
        assert shown is not None, f"{link} is live, but its record is gone"
        for mapped in mapping.fields:
            if mapped.direction is not Direction.BOTH:
                continue
            field = specs.entities[entity].field(mapped.field)
            text = now.golden[link.hub_id][field.name]
            if field.type is FieldType.REFERENCE and field.target is not None:
                expected = crosswalk.there(field.target, link.connection, text)
            else:
                cell = np.array([text], dtype=object)
                expected = str(
                    crm_form(specs.entities[entity], mapping, specs.connections[link.connection], field.name, cell)[0]
                )
            found = shown[field.name]
            if field.target is not None and crosswalk.golden(field.target, link.connection, found) == text:
                expected = found  # a further record of the same golden record is as good as its primary
            if expected == found:
                equal += 1
                continue
            place = (link.connection, link.record_id, field.name)
            reason = _reason(excuses, link, field.name)
            if ABSENT in (expected, found):
                reason = "no form of this value on the other side"
            if reason is None:
                differences.append(Difference(*place, expected, found))
            else:
                excused.setdefault(reason, []).append(place)
    return Comparison(differences, excused, equal)


class _Crosswalk:
    """Where references lead, both ways."""

    def __init__(self, stage: Stage) -> None:
        united = dict(stage.rows("select hub_id, united_into from hub_record where united_into is not null"))
        rows = stage.rows("select hub_id, entity, connection, record_id, is_primary, state from identity_link")
        self._golden = {(e, c, r): str(h) for h, e, c, r, _, _ in rows}
        self._there = {(e, c, h): r for h, e, c, r, primary, state in rows if primary and state == "live"}
        self._root = {str(loser): winner for loser, winner in united.items()}

    def there(self, target: str, connection: str, text: str) -> str:
        """Return the reference as a CRM shows it; unchanged where the target has no record there."""
        if text == NULL:
            return NULL
        record_id = self._there.get((target, connection, self._root.get(text[2:], UUID(text[2:]))))
        return f"r:{record_id}" if record_id else text

    def golden(self, target: str, connection: str, text: str) -> str:
        """Return a CRM's reference as the hub holds it; unchanged where its target is not linked."""
        found = None if text == NULL else self._golden.get((target, connection, text[2:]))
        return f"r:{found}" if found else text


Excuses = dict[str, set[tuple[Any, ...]]]


def _excuses(stage: Stage, entity: str) -> Excuses:
    return {
        "in review": set(stage.rows("select link_id, field from review where state = 'open' and link_id is not null")),
        "parked inbound": set(stage.rows("select link_id, field from parked_in")),
        "parked outward": set(stage.rows("select hub_id, connection, field from parked_out")),
        "withheld": set(stage.rows("select hub_id, connection, field from withheld")),
        "dead letter": set(stage.rows("select hub_id, connection from outbox where state = 'dead'")),
        "quarantined": set(stage.rows("select connection, record_id from quarantine where entity = %s", [entity])),
    }


def _reason(excuses: Excuses, link: Link, field: str) -> str | None:
    keys: dict[str, tuple[Any, ...]] = {
        "in review": (link.link_id, field),
        "parked inbound": (link.link_id, field),
        "parked outward": (link.hub_id, link.connection, field),
        "withheld": (link.hub_id, link.connection, field),
        "dead letter": (link.hub_id, link.connection),
        "quarantined": (link.connection, link.record_id),
    }
    return next((reason for reason, key in keys.items() if key in excuses[reason]), None)
