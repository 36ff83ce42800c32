"""Run 0000_foundation.sql: keys, locks, tokens, budgets, the operations journal."""

from crm_sync.store.migrating import execute_file

revision = "0000"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    execute_file("0000_foundation.sql")
