"""Run emulators from a shell: python -m crm_sync.emulators --state DIR."""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crm_sync.emulators.serving import CannotServe, Plan, die_with_parent, serve
from crm_sync.emulators.settings import CRMS


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    out = argparse.ArgumentParser(prog="python -m crm_sync.emulators", description="Pretend CRMs over TLS.")
    out.add_argument("--state", type=Path, required=True, metavar="DIR", help="where records, CA, addresses are kept")
    out.add_argument("--only", default=",".join(CRMS), help="some of: " + ",".join(CRMS))
    for crm in CRMS:
        out.add_argument(f"--{crm}-port", type=int, metavar="N", help="a free one if not given")
    out.add_argument("--limits", action="store_true", help="enforce the CRMs' rate limits and quotas")
    out.add_argument("--knob", action="append", default=[], metavar="NAME=NUMBER", help="such as index_lag_seconds=5")
    out.add_argument("--token-seconds", type=float, default=1800.0, help="life of an access token")
    out.add_argument("--die-with-parent", type=int, metavar="PID", help="end when the process PID, our parent, ends")
    out.add_argument("--seed", type=int, help="fill empty CRMs with a population; the truth goes to DIR/truth.json")
    out.add_argument("--accounts", type=int, default=300, help="real accounts of the population")
    out.add_argument("--contacts", type=int, default=1500, help="real contacts of the population")
    out.add_argument("--invalid-share", type=float, metavar="SHARE", help="share of records that a sync must refuse")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal and return the exit code: 0 after a signal, 2 where a person must change something."""
    given = parser().parse_args(arguments)
    if given.die_with_parent is not None:
        die_with_parent(given.die_with_parent)
    crms = [name for name in given.only.split(",") if name]
    unknown = [name for name in crms if name not in CRMS]
    if unknown or not crms:
        sys.stderr.write(f"--only names {', '.join(unknown) or 'nothing'}; expected some of {', '.join(CRMS)}.\n")
        return 2
    knobs: dict[str, Any] = {"limits": given.limits}
    for text in given.knob:
        name, _, value = text.partition("=")
        knobs[name] = float(value or 1)
    ports = {crm: port for crm in crms if (port := getattr(given, f"{crm}_port")) is not None}
    try:
        if given.seed is not None:
            from crm_sync.emulators.seeding import seed_once

            population = {"seed": given.seed, "accounts": given.accounts, "contacts": given.contacts}
            seed_once(given.state, **population, invalid_share=given.invalid_share)
        asyncio.run(serve(Plan(given.state, crms, ports, given.token_seconds, knobs)))
    except CannotServe as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (OSError, sqlite3.OperationalError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        sys.stderr.write(f"The state directory {given.state} cannot be used ({reason}). Choose another with --state.\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
