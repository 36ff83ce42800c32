"""Pools of connections that SQLAlchemy keeps for others in this process (Dagster's storages).

Belongs here: replacing what the server ended meanwhile. Not here: our own connections (database).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool


def replace_dead_connections() -> None:
    """Have every pool of this process look at a connection before it hands it out, and make a new one for one that the
    server ended, as with a restart of the database."""
    if not event.contains(QueuePool, "checkout", _look_alive):
        event.listen(QueuePool, "checkout", _look_alive)


def _look_alive(connection: Any, *_: object) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
    except Exception as error:  # whatever its driver raises
        raise DisconnectionError(type(error).__name__) from None
