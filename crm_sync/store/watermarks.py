"""Watermarks: where the next incremental read starts, and how far an unfinished one has come.

Belongs here: table watermark. Not here: what the texts mean (connectors).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crm_sync.store.queries import queries
from crm_sync.store.staging import Connection

Q = queries("watermarks")


@dataclass(frozen=True, slots=True)
class Position:
    """The position of one stream. `resume*` are None where no read is unfinished.

    `form_id` names the form (the rules) under which everything was last read, None where that is not known.
    """

    watermark: str | None = None
    resume: str | None = None
    resume_mode: str | None = None
    resume_from: str | None = None
    read_at: datetime | None = None
    form_id: int | None = None
    resume_form_id: int | None = None


def load_position(conn: Connection, connection: str, entity: str) -> Position:
    """Return the position of a stream; all None where it was never read."""
    row = conn.execute(Q["load_watermark"], {"connection": connection, "entity": entity}).fetchone()
    return Position(*row) if row else Position()


def save_progress(
    conn: Connection,
    connection: str,
    entity: str,
    *,
    mode: str,
    started_from: str | None,
    form_id: int,
    cursor: str | None,
) -> None:
    """Remember the cursor of the page just landed, in the same transaction."""
    conn.execute(
        Q["save_progress"],
        {
            "connection": connection,
            "entity": entity,
            "resume": cursor,
            "mode": mode,
            "resume_from": started_from,
            "form_id": form_id,
        },
    )


def finish_read(
    conn: Connection, connection: str, entity: str, watermark: str | None, *, form_id: int | None = None
) -> None:
    """Commit the watermark with the last page, None keeps the old one; `form_id` where everything was read."""
    values = {"connection": connection, "entity": entity, "watermark": watermark, "form_id": form_id}
    conn.execute(Q["finish_read"], values)


def read_all_again(conn: Connection, connection: str, entity: str) -> None:
    """Let the next read of a stream be a full one."""
    conn.execute(Q["read_all_again"], {"connection": connection, "entity": entity})


def open_stream(conn: Connection, connection: str, entity: str) -> bool:
    """Open a stream for creates if its first read is absorbed; return True only the time that it opens."""
    return conn.execute(Q["open_stream"], {"connection": connection, "entity": entity}).fetchone() is not None


def streams_open(conn: Connection, entity: str) -> set[str]:
    """Return the connections in which records of an entity may be created."""
    return {row[0] for row in conn.execute(Q["streams_open"], {"entity": entity}).fetchall()}
