"""The command line: `crm-sync ...`.

Belongs here: commands, their output for people and for programs, exit codes, the demo that tells the story.
Not here: what the commands do (flows/), rules (config/), Dagster (assets/; the demo talks to it as a subprocess).
"""

from __future__ import annotations

import sys

from crm_sync.errors import CrmSyncError


def main() -> None:
    """Run the command line; exit code 0: all is well, 1: trouble, 2: a person must change something."""
    from crm_sync.cli.app import app

    try:
        app()
    except CrmSyncError as error:
        sys.stderr.write(f"crm-sync: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("crm-sync: interrupted; nothing is lost, run it again.\n")
        sys.exit(130)
