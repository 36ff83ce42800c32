"""Provision: make sure that each CRM has what syncing needs (external keys, our own fields, change tracking)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from crm_sync.records import ProvisionStep
from crm_sync.store import watermarks

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


def provision(ctx: Context, connections: Sequence[str] | None, apply: bool) -> list[ProvisionStep]:
    """Return what each CRM needs; with `apply` create what it lacks. Safe to repeat.

    Busy where something is to be created in a CRM that another run reads: that read began without it, and would end as
    one of everything.
    """
    names = list(connections or [n for n, c in ctx.specs.connections.items() if c.enabled])
    steps: list[ProvisionStep] = []
    for name in names:
        ctx.connection_spec(name)
        entities = [entity for connection, entity in ctx.specs.mappings if connection == name]
        planned = [step for entity in entities for step in _ask(ctx, name, entity, apply=False)]
        if not apply:
            steps += planned
            continue
        with ctx.leased(f"read/{name}") if any(step.needed for step in planned) else nullcontext():
            for entity in entities:
                found = _ask(ctx, name, entity, apply=True)
                steps += found
                _created(ctx, name, entity, [step for step in found if step.needed])
    return steps


def _ask(ctx: Context, connection: str, entity: str, *, apply: bool) -> list[ProvisionStep]:
    return ctx.connector(connection).provision(ctx.specs.mapping(connection, entity), apply=apply)


def _created(ctx: Context, connection: str, entity: str, steps: Sequence[ProvisionStep]) -> None:
    for step in steps:
        ctx.journal.operation(connection, f"provision {step.object}", "created", step.what)
    if steps:
        # What could not be read until now can be: no record says so by a newer stamp.
        ctx.database.run(lambda conn: watermarks.read_all_again(conn, connection, entity))
