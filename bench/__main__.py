"""The benchmark from one command: make bench, or python -m bench --crm salesforce --rows 100000.

Prints a table, and with --json FILE writes all figures. Every measurement runs in a process, a database and a pretend
CRM of its own; nothing of it stays.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from bench.table import report
from crm_sync.emulators.settings import CRMS


def _measure(crm: str, rows: int, seed: int, *options: str) -> dict[str, Any]:
    directory = Path(tempfile.mkdtemp(prefix="crm-sync-bench-"))
    directory.chmod(0o711)  # where we run as root, the server runs as another account
    try:
        _python("bench.population", crm, str(directory / "crm"), str(seed), str(rows))
        told = _python("bench.rounds", crm, str(directory), *options)
        found: dict[str, Any] = orjson.loads(told.splitlines()[-1])
        return found
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _python(module: str, *arguments: str) -> bytes:
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{module} ended with code {done.returncode}; see above")
    return done.stdout


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What one machine does with many contacts.")
    parser.add_argument("--crm", choices=[*CRMS, "all"], default="all")
    parser.add_argument("--rows", type=int, default=100_000, help="contacts of the CRM")
    parser.add_argument("--seed", type=int, default=20_26)
    parser.add_argument("--no-memory", action="store_true", help="do not measure again with twice the contacts")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    found = []
    for crm in CRMS if given.crm == "all" else [given.crm]:
        sys.stderr.write(f"measuring {crm} with {given.rows:,} contacts\n")
        one = _measure(crm, given.rows, given.seed)
        if not given.no_memory:
            sys.stderr.write(f"measuring the memory of {crm} with {2 * given.rows:,} contacts\n")
            twice = _measure(crm, 2 * given.rows, given.seed, "--memory-only")
            one["peak_mib_2n"] = twice["rounds"][-1]["peak_mib"]
            one["twice"] = twice
        found.append(one)
        sys.stdout.write(report(one) + "\n")
    if given.json:
        given.json.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
