"""Forms: what a stored vector means (hash key, fields in order, mapping).

Belongs here: table form. Not here: recomputing a vector in a new form (steps/merging.reform, flows).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection

Q = queries("forms")


@dataclass(frozen=True, slots=True)
class Form:
    """One form: the vector key used, and the fields in the order of the vector."""

    form_id: int
    key_id: int
    entity: str
    connection: str | None
    fields: tuple[str, ...]


def ensure_form(
    conn: Connection, *, key_id: int, entity: str, connection: str | None, fields: Sequence[str], text: str
) -> Form:
    """Return the form described by `text` (everything that influences a vector), made if it is new."""
    digest = hashlib.sha256(f"{key_id}\n{entity}\n{connection or ''}\n{text}".encode()).digest()
    parameters = {
        "digest": digest,
        "key_id": key_id,
        "entity": entity,
        "connection": connection,
        "fields": list(fields),
    }
    row = conn.execute(Q["find_form"], parameters).fetchone()
    if row is None:
        conn.execute(Q["insert_form"], parameters)
        row = conn.execute(Q["find_form"], parameters).fetchone()
    assert row is not None
    return Form(row[0], row[1], row[2], row[3], tuple(row[4]))


def load_form(conn: Connection, form_id: int) -> Form:
    """Return a form by id."""
    row = conn.execute(Q["load_form"], {"form_id": form_id}).fetchone()
    assert row is not None, "a form that a vector names is never removed"
    return Form(row[0], row[1], row[2], row[3], tuple(row[4]))
