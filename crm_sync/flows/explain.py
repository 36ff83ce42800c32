"""Explain: what happened to a golden record, field by field, with the values that won and lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from crm_sync.errors import Misconfigured
from crm_sync.flows import shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.verdicts import CONTENTS
from crm_sync.records import NULL
from crm_sync.store import audit, hub, links
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


@dataclass(frozen=True, slots=True)
class Explanation:
    """A golden record as it is: its links, its fields with their source, and its history; holds values, so it is for a
    person only."""

    hub_id: UUID
    links: list[dict[str, Any]]
    fields: list[dict[str, Any]]
    history: list[dict[str, Any]]


def find(ctx: Context, entity: str, reference: str) -> UUID:
    """Return the hub id meant by a hub id or "<connection>:<record id>"; Misconfigured where there is none."""

    def look(conn: Connection) -> UUID | None:
        connection, colon, record_id = reference.partition(":")
        if colon and (connection, entity) in ctx.specs.mappings:
            place = ctx.specs.mapping(connection, entity).object
            return links.resolve_records(conn, connection, place, [record_id]).get(record_id)
        try:
            hub_id = UUID(reference)
        except ValueError:
            return None
        root = hub.roots(conn, entity, [hub_id]).get(hub_id)
        # A hub id says nothing of its entity, its records in the CRMs do.
        objects = {(name, m.object) for (name, mapped), m in ctx.specs.mappings.items() if mapped == entity}
        found = [] if root is None else links.links_by_hub(conn, [root])
        return None if found and not any((x.connection, x.object) in objects for x in found) else root

    found = ctx.database.run(look)
    if found is None:
        places = ", ".join(name for name, mapped in ctx.specs.mappings if mapped == entity)
        raise Misconfigured(
            f"No {entity} {reference!r} is known; expected a hub id, or <connection>:<record id> of a record that was "
            f"read, where the connection is one of: {places}."
        )
    return found


def explain(ctx: Context, entity: str, reference: str, field: str | None = None) -> Explanation:
    """Return what is known of a golden record and how it came about; with `field` that field alone."""
    spec = ctx.entity(entity)
    hub_id = find(ctx, entity, reference)
    wanted = [f for f in spec.fields if field in (None, f.name)]
    if not wanted:
        raise Misconfigured(f"{entity} has no field {field!r}; its fields are: {', '.join(spec.field_names)}.")

    def work(conn: Connection) -> Explanation:
        goldens = Goldens(ctx, conn, spec, ctx.streams(entity)[0].hub_form)
        goldens.load([hub_id])
        doc = goldens.docs([hub_id])[0]
        order = {name: place for place, name in enumerate(spec.field_names)}
        now = [
            {
                "field": f.name,
                "value": _shown(doc.get(f.name, NULL)),
                "source": goldens.source(hub_id, order[f.name]) or None,
            }
            for f in wanted
        ]
        there = [
            {
                "connection": x.connection,
                "object": x.object,
                "record_id": x.record_id,
                "primary": x.is_primary,
                "state": x.state,
            }
            for x in links.links_by_hub(conn, [hub_id])
        ]
        return Explanation(hub_id, there, now, _history(ctx, conn, goldens, hub_id, {f.name for f in wanted}))

    return ctx.database.run(work)


def _history(ctx: Context, conn: Connection, goldens: Goldens, hub_id: UUID, wanted: set[str]) -> list[dict[str, Any]]:
    rows = audit.history(conn, hub_id)
    sealed = [(r.hub_id, r.contents) for r in rows if r.contents is not None]
    opened = iter(shadows.unseal(ctx, goldens, [s[0] for s in sealed], [s[1] for s in sealed], CONTENTS))
    told: list[dict[str, Any]] = []
    for row in rows:
        values = next(opened) if row.contents is not None else {}
        for cell in row.fields:
            if cell["field"] in wanted:
                before, incoming = (*values.get(cell["field"], []), None, None)[:2]
                told.append(
                    {
                        "at": row.at.isoformat(),
                        "direction": row.direction,
                        "action": row.action,
                        "connection": row.connection,
                        "actor": row.actor,
                        **cell,
                        "before": _shown(before),
                        "incoming": _shown(incoming),
                        "result": row.result,
                    }
                )
    return told


def _shown(text: str | None) -> str | None:
    if text in ("b:1", "b:0"):
        return "true" if text == "b:1" else "false"
    return None if text is None or text in (NULL, "-") else text[2:]
