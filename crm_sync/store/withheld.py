"""Withheld values: what a CRM refused of a record while it takes the rest, for whom it waits, when it is tried again.

Belongs here: table withheld. Not here: taking a value out of a plan (flows/outward), whole commands (outbox).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, stage

Q = queries("withheld")


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that a CRM refused, named by its hash in a form; `holder` is the record that has it, where the CRM
    said."""

    hub_id: UUID
    field: str
    form_id: int
    crm_hash: int
    error_class: str
    error_code: str
    holder: str | None


@dataclass(frozen=True, slots=True)
class Withheld:
    """A withheld value; `refused` tells whether the CRM would refuse it again, as far as we know."""

    hub_id: UUID
    field: str
    form_id: int
    crm_hash: int
    refused: bool


def withhold(conn: Connection, connection: str, object_name: str, run_id: UUID, values: Iterable[Refused]) -> None:
    """Withhold values, each for the record that has it, with what is known of that record now.

    To be called under the entity's lock, after everything else that the same answers told.
    """
    given = list(values)
    own = ("hub_id", "field", "form_id", "crm_hash", "error_class", "error_code", "holder")
    rows = ((*(getattr(v, name) for name in own), connection, object_name, run_id) for v in given)
    if not stage(conn, "withheld", (*own, "connection", "object", "run_id"), rows):
        return
    if any(v.holder is None and v.error_class == "duplicate" for v in given):
        conn.execute(Q["name_holders"], {"connection": connection, "object": object_name})
    conn.execute(Q["withhold"])


def of_records(conn: Connection, connection: str, form_id: int, hub_ids: Sequence[UUID]) -> list[Withheld]:
    """Return the withheld values of golden records in one CRM, judged under a form."""
    parameters = {"connection": connection, "form_id": form_id, "hub_ids": list(hub_ids)}
    return [Withheld(*row) for row in conn.execute(Q["of_records"], parameters).fetchall()]


def enqueue_due(conn: Connection, connection: str, entity: str, form_id: int) -> int:
    """Queue the golden records whose values may not be refused any more; return how many were not queued yet."""
    parameters = {"connection": connection, "entity": entity, "form_id": form_id}
    return conn.execute(Q["enqueue_due"], parameters).rowcount


def of_other_forms(conn: Connection, connection: str, entity: str, form_id: int) -> list[tuple[UUID, str, int, int]]:
    """Return (hub id, field, hash, id of its key) of the values of a stream that are not named in a form."""
    parameters = {"connection": connection, "entity": entity, "form_id": form_id}
    return [(r[0], r[1], r[2], r[3]) for r in conn.execute(Q["of_other_forms"], parameters).fetchall()]


def rename(conn: Connection, connection: str, form_id: int, values: Sequence[tuple[UUID, str, int]]) -> None:
    """Name values (hub id, field, hash) in a form; whom they wait for, and since when, stays."""
    if values:
        conn.execute(Q["rename"], {"connection": connection, "form_id": form_id} | _columns(values))


def waits(conn: Connection, connection: str, entity: str, form_id: int) -> dict[tuple[str, UUID], tuple[str, UUID]]:
    """Return (field, golden record) -> (field, golden record whose record in the CRM shows the value that it waits
    for)."""
    parameters = {"connection": connection, "entity": entity, "form_id": form_id}
    rows = conn.execute(Q["waits"], parameters).fetchall()
    return {(field, waiter): (field, holder) for field, waiter, holder in rows}


def let_go(conn: Connection, connection: str, cells: Sequence[tuple[UUID, str]]) -> None:
    """Forget withheld values of cells (hub id, field) that agree or hold another value by now."""
    if cells:
        conn.execute(
            Q["let_go"],
            {"connection": connection, "hub_ids": [c[0] for c in cells], "fields": [c[1] for c in cells]},
        )


def arrived(conn: Connection, connection: str, values: Sequence[tuple[UUID, str, int]]) -> None:
    """Forget values (hub id, field, hash) that the CRM took after all."""
    if values:
        conn.execute(Q["arrived"], {"connection": connection} | _columns(values))


def forget(conn: Connection, hub_ids: Sequence[UUID]) -> None:
    """Forget withheld values of golden records that were united into others."""
    conn.execute(Q["forget"], {"hub_ids": list(hub_ids)})


def reasons(conn: Connection) -> list[dict[str, Any]]:
    """Return why values are withheld: connection, entity, field, error_class, error_code, values."""
    names = ("connection", "entity", "field", "error_class", "error_code", "values")
    return [dict(zip(names, row, strict=True)) for row in conn.execute(Q["reasons"]).fetchall()]


def _columns(values: Sequence[tuple[UUID, str, int]]) -> dict[str, Any]:
    return {"hub_ids": [v[0] for v in values], "fields": [v[1] for v in values], "hashes": [v[2] for v in values]}
