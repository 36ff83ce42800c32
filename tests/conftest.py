"""What every test starts from: no setting of the person who runs the tests reaches the product."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

OURS = ("CRM_SYNC_", "SALESFORCE_", "HUBSPOT_", "DYNAMICS_", "DAGSTER_")
FOR_TESTS = {"CRM_SYNC_HYPOTHESIS_PROFILE"}

for name in list(os.environ):
    if name.startswith(OURS) and name not in FOR_TESTS:
        del os.environ[name]
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"

# The same examples every time: what fails here fails for everybody. In `make proof` they follow from PROOF_SEED.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("proof", database=None, deadline=None)
settings.load_profile(os.environ.get("CRM_SYNC_HYPOTHESIS_PROFILE", "same"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many facts of the CRMs the emulators' tests show."""
    from tests import emulators_doc

    terminalreporter.write_line(emulators_doc.counts())
