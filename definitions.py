"""The composition root: every room put together for Dagster. `python -m definitions` serves runs over standard input.

Belongs here: which rooms there are. Not here: anything that one of them could know.
Loading reads the rule files and nothing else: no database, no CRM.
"""

from __future__ import annotations

import sys
from datetime import date
from typing import Any

from dagster import Definitions, in_process_executor

from assets.checks import asset_checks
from assets.golden import hub_assets
from assets.jobs import sync_jobs
from assets.landing import landing_assets
from assets.outbound import outbound_assets
from assets.quality import quality_checks, quality_job
from assets.reconciliation import reconciliation_assets, reconciliation_checks
from assets.running import serve
from crm_sync.settings import Settings
from crm_sync.specs.loader import load
from crm_sync.specs.model import SpecSet
from resources.library import Library
from sensors.requests import sensors
from sensors.schedules import schedules


def build_definitions(specs: SpecSet | None = None, first_day: date | None = None, **resources: Any) -> Definitions:
    """Build everything from the rule files; arguments and resources by name override what the environment says."""
    settings = Settings.load()
    rules = specs or load(settings.config_dir)
    begins = first_day or settings.first_day
    at_rest = quality_checks(rules)
    jobs = sync_jobs(rules, at_rest)
    return Definitions(
        assets=[
            *landing_assets(rules, begins),
            *hub_assets(rules),
            *outbound_assets(rules),
            *reconciliation_assets(rules, begins),
        ],
        asset_checks=[*asset_checks(rules), *reconciliation_checks(rules), *at_rest],
        jobs=[*jobs, quality_job(at_rest)],
        schedules=schedules(rules),
        sensors=sensors(rules, jobs),
        resources={"library": Library(), **resources},
        executor=in_process_executor,
    )


defs = build_definitions()

if __name__ == "__main__":
    sys.exit(serve(defs, sys.stdin, sys.stdout))
