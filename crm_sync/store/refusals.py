"""What the database says when it refuses or fails a statement, without the values that it says it about.

Belongs here: the one way by which the driver's errors leave the store. Not here: what a flow does about a row that
breaks a constraint (it catches staging.ConstraintError inside its transaction).
PostgreSQL quotes values in DETAIL and CONTEXT lines ("Key (email)=(...) already exists") and in many messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from crm_sync.errors import StoreTrouble

_SILENT: Final = frozenset({"08", "40", "42", "53", "54", "55", "57", "58"})
"""Classes of SQLSTATE whose primary message speaks of names and resources, never of values (we bind every value)."""


@contextmanager
def without_values() -> Iterator[None]:
    """Let the driver's errors leave as StoreTrouble, which says kind, constraint, table and column, and no more."""
    try:
        yield
    except psycopg.Error as error:
        raise trouble(error) from None


def trouble(error: psycopg.Error) -> StoreTrouble:
    """Return what may be said of a driver's error."""
    code = error.sqlstate or ""
    diag = error.diag
    parts = [type(error).__name__]
    named = (
        ("constraint", diag.constraint_name),
        ("table", diag.table_name),
        ("column", diag.column_name),
        ("SQLSTATE", code),
    )
    parts += [f"{what} {name}" for what, name in named if name]
    if code[:2] in _SILENT and diag.message_primary:
        parts.append(diag.message_primary)
    if not code and isinstance(error, psycopg.OperationalError):
        what = "The connection to the database was lost"
        after = "Nothing is lost: see that the server runs, then run again."
    else:
        what = "The database refused a statement"
        after = "The transaction was rolled back and nothing is lost; the server's log tells more under that code."
    return StoreTrouble(f"{what} ({', '.join(parts)}). {after}", code=code)
