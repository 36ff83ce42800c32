"""Index the lookups: what points to a row is found at once, however many rows there are."""

from __future__ import annotations

from crm_sync.emulators.dynamics.tables import LOOKUPS, Tables
from crm_sync.emulators.dynamics.writing import BY_ITSELF
from crm_sync.emulators.state import State, field_sql


def index_lookups(state: State, tables: Tables) -> None:
    """Create the indexes that are missing, one for each stored lookup column of each table."""
    wanted: dict[str, str] = {}
    for logical in tables.names:
        for column in tables.table(logical).columns.values():
            if column.kind in LOOKUPS and column.logical not in BY_ITSELF | {"transactioncurrencyid"}:
                sql = field_sql(column.logical)
                wanted[f"lookup_{logical}_{column.logical}"] = (
                    f"record ({sql}) WHERE object = '{logical}' AND {sql} IS NOT NULL"
                )
    connection = state.connection()
    present = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    missing = {name: on for name, on in wanted.items() if name not in present}
    if missing:
        with state.transaction() as db:
            for name, on in missing.items():
                db.execute(f'CREATE INDEX IF NOT EXISTS "{name}" ON {on}')
