"""What every test starts from: no setting of the person who runs the tests reaches the product."""

from __future__ import annotations

import os

OURS = ("CRM_SYNC_", "SALESFORCE_", "HUBSPOT_", "DYNAMICS_", "DAGSTER_")
FOR_TESTS = {"CRM_SYNC_HYPOTHESIS_PROFILE"}

for name in list(os.environ):
    if name.startswith(OURS) and name not in FOR_TESTS:
        del os.environ[name]
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
