"""Alembic's entry: runs the revisions on the connection that `crm_sync.store.migrating` opened and locked."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="schema_version", version_table_schema="crm_sync")
context.run_migrations()
