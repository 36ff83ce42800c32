"""What waits: quarantine (refused content), review (a person decides), parked references.

Belongs here: tables quarantine, review, parked_in, parked_out. Not here: withheld values (withheld), dead letters
(outbox), letting go (flows/release).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection, stage

Q = queries("holding")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One refused source record; `reasons` are [{field, code}], `body` is encrypted under the day key."""

    record_id: str
    gate: int
    stamp: datetime
    reasons: list[dict[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """One question for a person. `field`, `link_id`, `hub_id` and hashes are None for an ambiguous match."""

    kind: str
    record_id: str
    question: bytes
    hub_id: UUID | None = None
    link_id: int | None = None
    field: str | None = None
    crm_hash: int | None = None
    hub_hash: int | None = None
    gate: int | None = None


@dataclass(frozen=True, slots=True)
class OpenCell:
    review_id: int
    link_id: int
    field: str
    crm_hash: int
    hub_hash: int


@dataclass(frozen=True, slots=True)
class ParkedIn:
    """An inbound reference that waits for `target_record_id` of `target_object` to be linked."""

    link_id: int
    field: str
    target_object: str
    target_record_id: str
    earliest: int
    latest: int


@dataclass(frozen=True, slots=True)
class Woken:
    """A parked inbound reference whose target is `target_hub_id` now."""

    link_id: int
    field: str
    target_record_id: str
    earliest: int
    latest: int
    target_hub_id: UUID
    connection: str
    object: str
    record_id: str


@dataclass(frozen=True, slots=True)
class ParkedOut:
    hub_id: UUID
    field: str
    target_hub_id: UUID


@dataclass(frozen=True, slots=True)
class Place:
    """Where held rows belong."""

    connection: str
    entity: str
    object: str
    run_id: UUID


def quarantine(conn: Connection, place: Place, rows: Iterable[Quarantined]) -> None:
    """Put source records into quarantine with every reason."""
    columns = ("connection", "entity", "object", "record_id", "gate", "stamp", "reasons", "body", "run_id")
    staged = stage(
        conn,
        "quarantine",
        columns,
        (
            (
                place.connection,
                place.entity,
                place.object,
                r.record_id,
                r.gate,
                r.stamp,
                Jsonb(r.reasons),
                r.body,
                place.run_id,
            )
            for r in rows
        ),
    )
    if staged:
        conn.execute(Q["quarantine_staged"])


def unquarantine(conn: Connection, connection: str, object_name: str, record_ids: Sequence[str]) -> list[str]:
    """Take records out of quarantine (a newer version is acceptable); return those that were in it."""
    rows = conn.execute(
        Q["unquarantine"], {"connection": connection, "object": object_name, "record_ids": list(record_ids)}
    ).fetchall()
    return [row[0] for row in rows]


def quarantined_links(conn: Connection, link_ids: Sequence[int]) -> list[int]:
    """Return the links whose record is in quarantine: the CRM holds a version of it that nobody decided on."""
    return [row[0] for row in conn.execute(Q["quarantined_links"], {"link_ids": list(link_ids)}).fetchall()]


def open_cells(conn: Connection, link_ids: Sequence[int]) -> list[OpenCell]:
    """Return the cells of links that have an open question."""
    return [OpenCell(*row) for row in conn.execute(Q["open_cells"], {"link_ids": list(link_ids)}).fetchall()]


def close_reviews(conn: Connection, review_ids: Sequence[int], state: str) -> None:
    """Close questions as moot, superseded or decided."""
    if review_ids:
        conn.execute(Q["close_reviews"], {"review_ids": list(review_ids), "state": state})


def forget_cells(conn: Connection, link_ids: Sequence[int]) -> None:
    """Close the questions and forget the parked references of links whose records are away."""
    for query in ("forget_questions", "forget_parked_in"):
        conn.execute(Q[query], {"link_ids": list(link_ids)})


def close_match_reviews(conn: Connection, connection: str, object_name: str, record_ids: Sequence[str]) -> None:
    """Close the match questions of records that found their golden record."""
    if record_ids:
        conn.execute(
            Q["close_match_reviews"],
            {"connection": connection, "object": object_name, "record_ids": list(record_ids)},
        )


def ask(conn: Connection, place: Place, questions: Iterable[Question]) -> None:
    """Open questions; one that is open already is not asked twice."""
    columns = (
        "kind",
        "connection",
        "entity",
        "object",
        "record_id",
        "hub_id",
        "link_id",
        "field",
        "crm_hash",
        "hub_hash",
        "gate",
        "question",
        "run_id",
    )
    staged = stage(
        conn,
        "review",
        columns,
        (
            (
                q.kind,
                place.connection,
                place.entity,
                place.object,
                q.record_id,
                q.hub_id,
                q.link_id,
                q.field,
                q.crm_hash,
                q.hub_hash,
                q.gate,
                q.question,
                place.run_id,
            )
            for q in questions
        ),
    )
    if staged:
        conn.execute(Q["insert_reviews"])


def parked_cells(conn: Connection, link_ids: Sequence[int]) -> list[tuple[int, str]]:
    """Return (link id, field) of the cells whose inbound reference waits."""
    return [(r[0], r[1]) for r in conn.execute(Q["parked_cells"], {"link_ids": list(link_ids)}).fetchall()]


def park_in(conn: Connection, connection: str, run_id: UUID, rows: Iterable[ParkedIn]) -> None:
    """Park inbound references."""
    columns = ("link_id", "field", "connection", "target_object", "target_record_id", "earliest", "latest", "run_id")
    staged = stage(
        conn,
        "parked_in",
        columns,
        (
            (r.link_id, r.field, connection, r.target_object, r.target_record_id, r.earliest, r.latest, run_id)
            for r in rows
        ),
    )
    if staged:
        conn.execute(Q["park_in"])


def unpark_in(conn: Connection, cells: Sequence[tuple[int, str]]) -> None:
    """Forget inbound references that no longer wait."""
    if cells:
        conn.execute(Q["unpark_in"], {"link_ids": [c[0] for c in cells], "fields": [c[1] for c in cells]})


def woken_in(conn: Connection, entity: str, limit: int) -> list[Woken]:
    """Return parked inbound references of an entity whose target is linked now."""
    return [Woken(*row) for row in conn.execute(Q["woken_in"], {"entity": entity, "limit": limit}).fetchall()]


def park_out(
    conn: Connection, connection: str, run_id: UUID, hub_ids: Sequence[UUID], rows: Iterable[ParkedOut]
) -> None:
    """Replace the parked outward references of golden records in one CRM."""
    if hub_ids:
        conn.execute(Q["unpark_out"], {"connection": connection, "hub_ids": list(hub_ids)})
    columns = ("hub_id", "connection", "field", "target_hub_id", "run_id")
    if stage(conn, "parked_out", columns, ((r.hub_id, connection, r.field, r.target_hub_id, run_id) for r in rows)):
        conn.execute(Q["park_out"])


def forget_parked_out(conn: Connection, hub_ids: Sequence[UUID]) -> None:
    """Forget parked outward references of golden records that were united into others."""
    conn.execute(Q["forget_parked_out"], {"hub_ids": list(hub_ids)})


def wake_out(conn: Connection, entity: str) -> list[UUID]:
    """Return golden records whose parked outward reference can be sent now."""
    return [row[0] for row in conn.execute(Q["wake_out"], {"entity": entity}).fetchall()]


def count_held(conn: Connection) -> dict[tuple[str, str, str], int]:
    """Return (connection, entity, kind) -> rows; kinds: quarantined, in_review, parked, parked_out, withheld."""
    return {(r[0], r[1], r[2]): int(r[3]) for r in conn.execute(Q["count_held"]).fetchall()}


def quarantine_reasons(conn: Connection) -> list[dict[str, Any]]:
    """Return why records are in quarantine: connection, entity, field, code, records."""
    names = ("connection", "entity", "field", "code", "records")
    return [dict(zip(names, row, strict=True)) for row in conn.execute(Q["quarantine_reasons"]).fetchall()]
