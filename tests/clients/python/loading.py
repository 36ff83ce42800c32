"""Load what dlt's rest_api source reads into a DuckDB file, and look at what arrived there.

Belongs here: what the dlt sessions share. Not here: any CRM (dlt_*.session.py).
"""

from __future__ import annotations

from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_source
from telling import given


class Loading:
    """One dlt pipeline of a CRM; its state and its DuckDB file lie in the working directory."""

    def __init__(self, crm: str) -> None:
        self.pipeline = dlt.pipeline(crm, destination="duckdb", dataset_name="copy", pipelines_dir=given("SESSION_DIR"))

    def run(self, config: Any) -> dict[str, int]:
        """Load a rest_api configuration; return how many rows of each table this run read."""
        info = self.pipeline.run(rest_api_source(config))
        info.raise_on_failed_jobs()
        return dict(self.pipeline.last_trace.last_normalize_info.row_counts)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the DuckDB file."""
        with self.pipeline.sql_client() as database, database.execute_query(query, *values) as cursor:
            return list(cursor.fetchall())

    def one(self, query: str, *values: Any) -> tuple[Any, ...]:
        """Ask for exactly one row."""
        [row] = self.rows(query, *values)
        return row
