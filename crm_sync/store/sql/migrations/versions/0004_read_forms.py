"""Run 0004_read_forms.sql: under which rules a stream was last read completely."""

from crm_sync.store.migrating import execute_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns."""
    execute_file("0004_read_forms.sql")
