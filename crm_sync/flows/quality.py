"""Quality: what must hold of the data at rest, checked over SQL on columns without personal data.

Belongs here: the demands on each entity, bringing derived columns up to date, the report. Not here: validation in
flight (steps/validation), the library that evaluates demands (store/expectations), comparing with the CRMs (reconcile).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from crm_sync.flows.goldens import Derivation, Goldens
from crm_sync.flows.twins import find_twins
from crm_sync.specs.model import Direction, SpecSet
from crm_sync.store import quality
from crm_sync.store.database import Connection
from crm_sync.store.expectations import Demand, Outcome, judge

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

MOST_REFUSED: Final = 0.05
"""Share of a connection's source records that may be refused; the dirtiest populations we know stay below it."""
FEW_REFUSED: Final = 5
"""So many may be refused whatever their share is: of a few dozen records, a handful tells nothing about the rest."""
REQUIRED, REFERENCES, ACROSS, LINKS, UNIQUE, REFUSED = (
    "required_fields_are_filled",
    "references_lead_somewhere",
    "references_hold_across_systems",
    "links_are_whole",
    "golden_records_are_unique",
    "few_refused_at_rest",
)
CHECKS: Final = {
    REQUIRED: "No golden record lacks a required field.",
    REFERENCES: "Each reference of a golden record leads to a golden record of the right entity.",
    ACROSS: "Where a CRM knows a golden record it knows what that refers to, or we know why not yet.",
    LINKS: "Each live link leads to a live golden record and has its shadow.",
    UNIQUE: "No two golden records are the same by our own match rules, and none has two primary records in one place.",
    REFUSED: f"At most {MOST_REFUSED:.0%} of the source records of a connection are refused for their content, or "
    f"{FEW_REFUSED} of them.",
}
_BATCH = 2000
_EXPLAINED = ("there", "gone", "parked", "withheld", "queued", "in review")


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What the checks found of one entity. Ids, names, reason codes and counts; no field values."""

    entity: str
    at: datetime
    outcomes: list[Outcome]

    @property
    def passed(self) -> bool:
        """Tell whether all demands are met."""
        return all(o.passed for o in self.outcomes)

    def of(self, check: str) -> list[Outcome]:
        """Return the outcomes that belong to one check."""
        return [o for o in self.outcomes if o.demand.check == check]

    def counts(self) -> dict[str, int]:
        """Return how many demands were met and broken."""
        failed = sum(not o.passed for o in self.outcomes)
        return {"met": len(self.outcomes) - failed, "broken": failed}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a demand, for tables."""
        return [
            {
                "check": o.demand.check,
                "where": o.demand.place,
                "expected": o.demand.title,
                "passed": o.passed,
                "checked": o.checked,
                "unexpected": o.unexpected,
                "percent": round(100 * o.share, 2),
                "trouble": o.trouble,
            }
            for o in self.outcomes
        ]


def check_quality(ctx: Context, entity: str) -> QualityReport:
    """Check an entity's data at rest; StoreTrouble where the database cannot be asked."""
    ctx.entity(entity)
    derive(ctx, entity)
    find_twins(ctx, entity)
    outcomes = judge(ctx.database.url, demands(ctx.specs, entity))
    by_count = {number: demand for number, outcome in enumerate(outcomes) if (demand := _of_few(outcome))}
    if by_count:
        again = judge(ctx.database.url, list(by_count.values()))
        outcomes = [dict(zip(by_count, again, strict=True)).get(n, outcome) for n, outcome in enumerate(outcomes)]
    return QualityReport(entity, ctx.clock.now(), outcomes)


def _of_few(outcome: Outcome) -> Demand | None:
    """Return the demand by count of refusals whose share is too high though they are few; None for any other."""
    if outcome.demand.check != REFUSED or outcome.passed or outcome.trouble or outcome.unexpected > FEW_REFUSED:
        return None
    return replace(outcome.demand, mostly=max(0.0, 1 - (FEW_REFUSED + 0.5) / outcome.checked))


def derive(ctx: Context, entity: str) -> int:
    """Derive anew what stands beside documents where the rules for it have changed; return of how many records."""
    spec = ctx.entity(entity)
    rules = Derivation.of(spec)
    form = ctx.streams(entity)[0].hub_form

    def batch(conn: Connection) -> int:
        ids = quality.to_derive(conn, entity, rules.name, _BATCH)
        goldens = Goldens(ctx, conn, spec, form)
        goldens.load(ids)
        quality.derive(
            conn,
            [
                quality.Derived(h, rules.facts(doc), rules.missing(doc), rules.refs(doc), rules.name)
                for h, doc in zip(ids, goldens.docs(ids), strict=True)
            ],
        )
        return len(ids)

    total = 0
    while count := ctx.locked(entity, batch):
        total += count
    return total


def demands(specs: SpecSet, entity: str) -> list[Demand]:
    """Return what must hold of an entity at rest, from its rules."""
    here = {"entity": entity}
    out = [
        Demand(REQUIRED, "no required field is empty", "quality_golden", here, "missing_required", "in_set", (0,)),
        Demand(UNIQUE, "a golden record exists once", "quality_golden", here, "hub_id", "unique"),
        Demand(
            UNIQUE, "no other golden record has the same match key", "quality_golden", here, "twins", "in_set", (0,)
        ),
        Demand(
            UNIQUE,
            "at most one primary link per CRM object",
            "quality_place",
            here,
            "primaries",
            "in_set",
            (0, 1),
            ids=("hub_id", "connection"),
        ),
        Demand(
            LINKS,
            "links, match keys and queued changes belong to a golden record",
            "quality_belonging",
            here,
            "golden_record",
            "in_set",
            ("there",),
            ids=("hub_id", "belonging"),
        ),
    ]
    for field in specs.entities[entity].references:
        place = {"entity": entity, "field": field.name}
        out += [
            Demand(
                REFERENCES,
                "the golden record referred to exists",
                "quality_reference",
                place,
                "target_entity",
                "filled",
            ),
            Demand(
                REFERENCES,
                f"what is referred to is a golden record of {field.target}",
                "quality_reference",
                place,
                "target_entity",
                "in_set",
                (field.target,),
            ),
        ]
    for connection in _connections(specs, entity):
        out += _of_connection(specs, connection, entity)
    return out


def _connections(specs: SpecSet, entity: str) -> list[str]:
    return [name for name, spec in specs.connections.items() if spec.enabled and (name, entity) in specs.mappings]


def _of_connection(specs: SpecSet, connection: str, entity: str) -> Sequence[Demand]:
    place = {"connection": connection, "entity": entity}
    mapping = specs.mapping(connection, entity)
    ids = ("record_id", "hub_id")
    out = [
        Demand(
            LINKS,
            "the golden record of a link is live",
            "quality_link",
            place,
            "golden_record",
            "in_set",
            ("live",),
            ids=ids,
        ),
        Demand(
            LINKS, "a link has a shadow", "quality_link", place, "shadow", "in_set", ("present", "awaited"), ids=ids
        ),
        Demand(
            REFUSED,
            f"at most {MOST_REFUSED:.0%} of the source records, or {FEW_REFUSED}, are refused",
            "quality_source",
            place,
            "refused_for",
            "empty",
            mostly=1 - MOST_REFUSED,
            ids=("record_id",),
        ),
    ]
    outward = [
        field.name
        for field in specs.entities[entity].references
        if field.name in mapping.mapped and mapping.field(field.name).direction is not Direction.IN
    ]
    return out + [
        Demand(
            ACROSS,
            f"the {name} is known there, or we know why not",
            "quality_crossing",
            place | {"field": name},
            "target",
            "in_set",
            _EXPLAINED,
            ids=ids,
        )
        for name in outward
    ]
