"""How many random sequences a model test draws: the same few in `make test`, many in `make proof`.

Belongs here: the counts. Not here: what is drawn, and the models (test_*_model.py).
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

PROOF = os.environ.get("CRM_SYNC_HYPOTHESIS_PROFILE") == "proof"
FEW, MANY = 20, 1000


def sequences(steps: int = 30) -> settings:
    """Return the settings of a state machine: 20 fixed sequences, or 1,000 drawn ones (PROOF_SEQUENCES: how many).

    What is drawn follows from pytest's --hypothesis-seed; `make proof` sets it and says so (PROOF_SEED).
    """
    return settings(
        max_examples=int(os.environ.get("PROOF_SEQUENCES", MANY)) if PROOF else FEW,
        stateful_step_count=steps,
        derandomize=not PROOF,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
