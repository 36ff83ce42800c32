"""Run 0003_quality.sql: what the checks at rest look at."""

from crm_sync.store.migrating import execute_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the columns, the table of twins, and the views."""
    execute_file("0003_quality.sql")
