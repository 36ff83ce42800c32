"""Run 0001_spine.sql: the tables of the spine."""

from crm_sync.store.migrating import execute_file

revision = "0001"
down_revision = "0000"


def upgrade() -> None:
    """Create the tables."""
    execute_file("0001_spine.sql")
