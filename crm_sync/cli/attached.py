"""Run a program that ends when its parent ends: `python -m crm_sync.cli.attached PARENT PROGRAM ...`.

Belongs here: the tie, which survives the exec (Linux; elsewhere the program merely runs). Not here: starting and
stopping (supervising.py).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the program; ends at once where the parent is gone already."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - our own program, without a shell


if __name__ == "__main__":
    main(sys.argv[1:])
