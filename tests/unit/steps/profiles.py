"""How many examples Hypothesis draws: the same every time in `make test`, fresh and more of them in `make proof`."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

PROOF = os.environ.get("CRM_SYNC_HYPOTHESIS_PROFILE") == "proof"


def examples(count: int) -> Any:
    """Return the settings decorator of a property: `count` fixed examples, or five times as many random ones."""
    return settings(
        max_examples=count * 5 if PROOF else count,
        derandomize=not PROOF,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
