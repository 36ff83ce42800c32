"""Run 0002_reconciliation.sql: what the full comparisons found."""

from crm_sync.store.migrating import execute_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    execute_file("0002_reconciliation.sql")
