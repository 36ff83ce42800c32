"""Edit: a change made in the hub, by a person or the support system. It is a source like any other: audited, and sent
outward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from crm_sync.errors import Misconfigured, Refused
from crm_sync.flows import references, shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.verdicts import CONTENTS
from crm_sync.records import NULL, columns
from crm_sync.specs.model import ConnectionSpec, EntitySpec, FieldMapping, FieldSpec, MappingSpec
from crm_sync.specs.vocabulary import DEFAULT_TRANSFORM
from crm_sync.steps.hashing import hash_one
from crm_sync.steps.mapping import lift_batch
from crm_sync.steps.validation import validate
from crm_sync.store import audit, hub
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

SOURCE = "hub"


def edit(ctx: Context, entity: str, hub_id: UUID, changes: Mapping[str, object], actor: str) -> None:
    """Change fields of a golden record (None clears); Refused names every field that breaks its rule, Misconfigured an
    unknown one."""
    spec = ctx.entity(entity)
    unknown = [name for name in changes if name not in spec.field_names]
    if unknown:
        raise Misconfigured(
            f"{entity} has no field {', '.join(unknown)}; its fields are: {', '.join(spec.field_names)}."
        )
    mapping = _plain_mapping(spec, list(changes))
    lifted = lift_batch(spec, mapping, _region_of(ctx), columns(list(changes), [changes]))
    reasons = validate(spec, mapping, lifted).get(0, [])
    if reasons:
        told = ", ".join(f"{r.field}: {r.code}{_choice(spec.field(r.field))}" for r in reasons)
        raise Refused(f"The edit of {entity} {hub_id} breaks its rules ({told}); nothing was changed.")

    def work(conn: Connection) -> None:
        root = hub.roots(conn, entity, [hub_id]).get(hub_id)
        if root is None:
            raise Misconfigured(
                f"There is no {entity} {hub_id} in the hub; find it: crm-sync explain {entity} <connection>:<record id>"
            )
        for field in spec.references:
            if field.name in changes and field.target is not None:
                lifted.texts[field.name][0] = _target(conn, field.name, field.target, str(lifted.texts[field.name][0]))
        goldens = Goldens(ctx, conn, spec, ctx.streams(entity)[0].hub_form)
        goldens.load([root])
        doc = goldens.docs([root])[0]
        now = int(np.datetime64(ctx.clock.now().replace(tzinfo=None), "us").astype(np.int64))
        before = {n: doc.get(n, NULL) for n in changes}
        after = {n: str(lifted.texts[n][0]) for n in changes}
        moved = [n for n in changes if before[n] != after[n]]
        for name in moved:
            goldens.set(root, name, after[name], hash_one(after[name], ctx.vector_key), (now, now), SOURCE)
        goldens.flush()
        hub.enqueue_changes(conn, entity, [root] if moved else [])
        contents = shadows.seal(ctx, goldens, [root], [{n: [before[n], after[n]] for n in moved}], CONTENTS)[0]
        fields = [{"field": n, "decision": "TAKE", "rule": "edit", "winner": SOURCE} for n in moved]
        audit.append(
            conn,
            ctx.run_id,
            [
                audit.Entry(
                    "hub", "edited", SOURCE, entity, entity, None, root, fields=fields, contents=contents, actor=actor
                )
            ],
        )

    ctx.locked(entity, work)


def _choice(field: FieldSpec) -> str:
    return f", expected one of {', '.join(field.values)}" if field.values else ""


def _target(conn: Connection, field: str, entity: str, text: str) -> str:
    """Return a reference in the hub's own form; Refused where it leads to no golden record of that entity."""
    if text == NULL:
        return text
    hub_id = references.hub_id_of(text)
    root = hub.roots(conn, entity, [hub_id]).get(hub_id) if hub_id else None
    if root is None:
        raise Refused(f"{field} must be the hub id of an {entity} that exists; nothing was changed.")
    return f"{references.TAG}{root}"


def _plain_mapping(spec: EntitySpec, names: list[str]) -> MappingSpec:
    """Return the mapping of a source that speaks the hub's own words."""
    fields = tuple(FieldMapping(n, n, DEFAULT_TRANSFORM[spec.field(n).type]) for n in names)
    return MappingSpec(SOURCE, spec.name, spec.name, spec.name, 1, "hub_id", "updated_at", "hub_id", fields)


def _region_of(ctx: Context) -> ConnectionSpec:
    # Phone numbers without a country code are read as in the first connection's region.
    return next(iter(ctx.specs.connections.values()))
