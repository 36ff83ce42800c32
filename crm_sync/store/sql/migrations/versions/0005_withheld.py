"""Run 0005_withheld.sql: for whom a refused value waits, and when it is tried again."""

from crm_sync.store.migrating import execute_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and what judges them."""
    execute_file("0005_withheld.sql")
