"""Run the steps of a client's session one after the other, and tell how each of them went.

Belongs here: the running, and what every session needs of its environment. Not here: any client.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable


def given(name: str) -> str:
    """Return an environment variable that `crm-sync emulate` printed."""
    return os.environ[name]


def email(who: str) -> str:
    """Return the address of one person of this session; no other session has it."""
    return f"{who}@{given('SESSION')}.example.com"


def key() -> str:
    """Return the name of the field that this session alone uses as its key."""
    return given("SESSION").replace("-", "_") + "_key"


def run(*steps: Callable[[], None]) -> None:
    """Run steps in order, telling each as one JSON line {"step", "error"}; a failed one does not stop the others."""
    failed = False
    for step in steps:
        try:
            step()
            error = None
        except Exception:
            error, failed = traceback.format_exc(), True
        print(json.dumps({"step": step.__name__, "error": error}), flush=True)
    sys.exit(1 if failed else 0)
